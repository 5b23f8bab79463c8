"""The Modbus engine against an independent client, and the unit that proves where its values came from."""

import asyncio
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient

from firmware_sims.city import build
from firmware_sims.device import Served
from firmware_sims.framing import mbap, rtu
from firmware_sims.lines import RtuLine, Slave, TcpUnits
from firmware_sims.registers import Cell, RegisterUnit
from firmware_sims.self_identifying import Origin, SelfIdentifying, origin, stamp, words
from firmware_sims.tcp import TcpWire

NOON = 1_795_237_200.0


def frames(answers):
    return [data for _, data in answers]


@pytest.mark.parametrize("kind", ["u16", "u32", "f32"])
@given(data=st.data())
def test_a_value_says_where_it_came_from(kind, data):
    unit, register, poll = {"u16": (16, 256, 16), "u32": (256, 8192, 4096), "f32": (32, 1024, 1024)}[kind]
    said = Origin(
        data.draw(st.integers(0, unit - 1)),
        data.draw(st.integers(0, register // words(kind) - 1)) * words(kind),
        data.draw(st.integers(0, poll - 1)),
    )
    number = stamp(kind, said)
    if kind == "f32":
        assert struct.unpack(">f", struct.pack(">f", number))[0] == number
    assert origin(kind, number) == said


def test_values_without_origin_are_refused():
    for value in (0.5, -1.0, 2.0**24):
        with pytest.raises(ValueError):
            origin("f32", value)


def test_self_identifying_registers():
    unit = SelfIdentifying("s", 7, "f32")
    for poll in (1, 2):
        pdu = unit.answer(struct.pack(">BHH", 4, 10, 6), NOON)
        values = struct.unpack(">3f", pdu[2:])
        assert [origin("f32", v) for v in values] == [Origin(7, r, poll) for r in (10, 12, 14)]
    assert unit.answer(struct.pack(">BHH", 4, 11, 2), NOON).hex() == "8402"


@given(st.lists(st.integers(1, 7), min_size=1), st.integers(1, 5))
def test_requests_may_arrive_in_any_portions(cuts, count):
    line = RtuLine({1: Slave(SelfIdentifying("s", 1, "u16"))})
    request = rtu(1, struct.pack(">BHH", 3, 4, 2)) * count
    answers, at, now = [], 0, NOON
    while at < len(request):
        size = cuts[at % len(cuts)]
        answers += line.hear(request[at : at + size], now)
        at += size
        now += 0.001
    assert len(answers) == count


@given(st.binary(max_size=300))
def test_noise_gets_no_answer_and_is_forgotten_after_silence(noise):
    line = RtuLine({1: Slave(SelfIdentifying("s", 1, "u16"))})
    with suppress(IndexError):
        line.hear(noise, NOON)
    assert len(line.hear(rtu(1, b"\x03\0\0\0\1"), NOON + 1)) == 1


def test_absent_units_and_broadcasts_stay_silent():
    line = RtuLine({1: Slave(SelfIdentifying("s", 1))})
    assert line.hear(rtu(2, b"\x03\0\0\0\2"), NOON) == []
    assert line.hear(rtu(0, b"\x06\0\0\0\2"), NOON + 1) == []
    assert line.heard == 2


def unit(**changes):
    cells = (Cell(10, "f32", "power_active", 1000.0), Cell(12, "s64", "energy_import", 0.001))
    return RegisterUnit("m", cells, lambda _now: {"power_active": 1500.0, "energy_import": 12.3456}, **changes)


@pytest.mark.parametrize(
    ("pdu", "answer", "changes"),
    [
        ("04000a0002", "04043fc00000", {}),
        ("04000c0004", "0408000000000000303a", {}),
        ("04000a0003", "8402", {"splits": False}),
        ("04000b0002", "8402", {"splits": False}),
        ("0400090003", "8402", {}),
        ("0400090003", "040680003fc00000", {"hole": b"\x80\0"}),
        ("04000a007e", "8403", {}),
        ("04000a0000", "8403", {}),
        ("04000b0002", "8402", {"even": True}),
        ("03000a0002", "8301", {}),
        ("0600010001", "8601", {}),
        ("11", "9101", {}),
        ("11", "110201ff", {"report": b"\x01\xff"}),
        ("2b0e0100", "ab01", {}),
        ("2b0e0100", "2b0e01810000020001410101" + "42", {"identity": ("A", "B")}),
        ("2b0e0401", "2b0e048100000101" + "0142", {"identity": ("A", "B")}),
    ],
)
def test_pdus(pdu, answer, changes):
    assert unit(**changes).answer(bytes.fromhex(pdu), NOON).hex() == answer


def test_truth_holds_what_the_bytes_say():
    meter, notes = unit(), []
    meter.note = notes.append
    meter.answer(bytes.fromhex("04000a0006"), NOON)
    meter.answer(bytes.fromhex("04000a0003"), NOON)  # half of the counter: not served
    assert notes == [
        Served("m", NOON, 1, {"power_active": 1500.0, "energy_import": 12.346}),
        Served("m", NOON, 2, {"power_active": 1500.0}),
    ]


def test_absent_values_read_as_not_available():
    chiller = build(1).chiller
    assert chiller.answer(bytes.fromhex("030dbd0004"), NOON).hex() == "0308" + "8000000000000000"
    chiller.source = lambda _now: {}
    assert chiller.answer(bytes.fromhex("030c250002"), NOON).hex() == "0304ffc00000"
    assert chiller.answer(bytes.fromhex("030c000001"), NOON).hex() == "03028000"
    assert chiller.answer(bytes.fromhex("0300450003"), NOON)[2:] == b"Schnei"


def test_sdm630_totals_agree():
    meter, notes = build(1).main_meter, []
    meter.note = notes.append
    meter.answer(bytes.fromhex("0400000050"), NOON)
    said = notes[0].values
    assert said["power_active"] == pytest.approx(sum(said[f"power_active_l{n}"] for n in (1, 2, 3)), rel=1e-5)
    assert said["power_apparent_l1"] == pytest.approx(said["voltage_l1"] * said["current_l1"], rel=1e-5)
    assert 210 < said["voltage_l2"] < 240
    assert meter.answer(bytes.fromhex("0400000051"), NOON).hex() == "8403"  # at most 80 registers
    shifted = meter.answer(bytes.fromhex("0400010002"), NOON)  # an odd start gives words of two values
    assert len(shifted) == 6
    assert struct.unpack(">f", meter.answer(bytes.fromhex("0300140002"), NOON)[2:])[0] == 1.0  # address setting


async def _read_with_pymodbus(framer, session, unit_id):
    async with TcpWire(session) as wire:
        client = AsyncModbusTcpClient("127.0.0.1", port=wire.port, framer=framer, timeout=3)
        try:
            assert await client.connect()
            good = await client.read_holding_registers(0x0C83, count=4, device_id=unit_id)
            name = await client.read_device_information(device_id=unit_id)
            bad = await client.read_holding_registers(0x0C84, count=4, device_id=unit_id)
        finally:
            client.close()
    return good, name, bad


@pytest.mark.parametrize("framer", [FramerType.SOCKET, FramerType.RTU])
def test_an_independent_client_understands_us(framer):
    chiller, notes = build(1).chiller, []
    chiller.note = notes.append
    if framer is FramerType.SOCKET:
        session = TcpUnits({255: Slave(chiller)}).session
    else:
        line = RtuLine({255: Slave(chiller)})
        session = lambda: line
    good, name, bad = asyncio.run(_read_with_pymodbus(framer, session, 255))
    raw = struct.unpack(">q", struct.pack(">4H", *good.registers))[0]
    assert raw * 0.001 == pytest.approx(notes[0].values["energy_import"])
    assert name.information[0] == b"Schneider Electric"
    assert bad.isError()
    assert bad.exception_code == 2


def test_tcp_session_cuts_by_length():
    units = TcpUnits({1: Slave(SelfIdentifying("s", 1, "u16"))}, gateway=True)
    session = units.session()
    request = mbap(7, 1, pdu=b"\x03\0\5\0\1") + mbap(8, 1, pdu=b"\x03\0\6\0\1")
    assert session.hear(request[:9], NOON) == []
    first, second = frames(session.hear(request[9:], NOON))
    assert (first[:2], second[:2]) == (b"\0\7", b"\0\x08")
    assert frames(session.hear(mbap(9, 5, pdu=b"\x03\0\5\0\1"), NOON)) == [mbap(9, 5, pdu=b"\x83\x0b")]
