"""Every fault does what its name says, and the truth tells of it."""

import random

import pytest

from firmware_sims import plantower, wavetronix
from firmware_sims.city import build
from firmware_sims.faults import NAMES, Fault, Faults
from firmware_sims.faulty import Faulty
from firmware_sims.framing import RTU, TCP, mbap, rtu, rtu_whole
from firmware_sims.lines import RtuLine, Slave, TcpUnits
from firmware_sims.self_identifying import SelfIdentifying

NOON = 1_795_237_200.0
REQUEST = rtu(1, b"\x03\0\4\0\2")


def line(*faults, seed=1):
    found = Faults(RTU, seed=seed)
    for fault in faults:
        found.switch_on(fault)
    slave = Slave(SelfIdentifying("s", 1, "u16"), reply_s=(0.01, 0.01), faults=found)
    bus = RtuLine({1: slave, 2: Slave(SelfIdentifying("t", 2, "u16"))})
    notes = []
    bus.note = notes.append
    return bus, notes


def answers(fault, request=REQUEST):
    bus, notes = line(fault)
    found = bus.hear(request, NOON)
    assert [n.fault for n in notes] == [fault.name]
    return found


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("fault", ["exception", "wrong_unit", "wrong_function", "bad_checksum", "wrong_count"])
def test_faults_of_a_unit_on_a_bus_strike(cg_bus, fault, tcp):
    """The bus of the test kit gives its units what a frame looks like: else most faults do nothing."""
    placed = cg_bus({1: "eastron-sdm630", 2: "eastron-sdm120"}, tcp=tcp)[2]
    pdu = b"\x04\x04ABCD"
    frame = mbap(1, 2, pdu=pdu) if tcp else rtu(2, pdu)
    placed.strike(fault)
    told, names = placed.faults.apply(b"", [(0.0, frame)])
    assert names == [fault]
    assert told != [(0.0, frame)]


GOOD = line()[0].hear(REQUEST, NOON)[0][1]


def test_silence():
    assert answers(Fault("silence")) == []


def test_bad_checksum():
    (_, frame) = answers(Fault("bad_checksum"))[0]
    assert len(frame) == len(GOOD)
    assert not rtu_whole(frame)
    assert sum((a ^ b).bit_count() for a, b in zip(frame, GOOD, strict=True)) == 1


def test_late():
    assert answers(Fault("late", delay_s=0.5)) == [(pytest.approx(0.51), GOOD)]
    delays = {answers(Fault("late", delay_s=0.1, delay_to_s=0.3))[0][0] for _ in range(3)}
    assert all(0.11 <= delay <= 0.31 for delay in delays)


def test_half():
    assert answers(Fault("half"))[0][1] == GOOD[: len(GOOD) // 2]


def test_noise():
    assert answers(Fault("noise_before", size=3))[0][1][3:] == GOOD
    assert answers(Fault("noise_after", size=3))[0][1][:-3] == GOOD
    (first, second) = answers(Fault("noise_between", size=4, delay_s=0.2))
    assert first[1] == GOOD
    assert (second[0], len(second[1])) == (pytest.approx(0.21), 4)


def test_extra_byte():
    frame = answers(Fault("extra_byte"))[0][1]
    assert len(frame) == len(GOOD) + 1


def test_dribble():
    found = answers(Fault("dribble", delay_s=0.002))
    assert b"".join(data for _, data in found) == GOOD
    assert found[-1][0] == pytest.approx(0.01 + 0.002 * (len(GOOD) - 1))


def test_tail_and_banner():
    assert answers(Fault("tail"))[0][1] == GOOD[len(GOOD) // 2 :]
    text = answers(Fault("banner"))[0][1].removesuffix(GOOD)
    assert text.strip().isascii()
    assert len(text) > 5


def test_chunks_of_an_usb_adapter():
    long_one = rtu(1, b"\x03\0\0\0\x32")  # 50 registers: 105 bytes
    bus, _ = line(Fault("chunks"))
    (first_s, first), (second_s, second) = bus.hear(long_one, NOON)
    assert (len(first), len(second)) == (62, 43)
    assert second_s - first_s == pytest.approx(0.016)
    assert rtu_whole(first + second)


def test_headers_of_modbus_tcp():
    request = mbap(7, 1, pdu=b"\x03\0\0\0\2")
    for fault, at, expected in (
        (Fault("wrong_transaction"), slice(0, 2), bytes((0 ^ 0x5A, 7 ^ 0x5A))),
        (Fault("length_lie"), slice(4, 6), b"\0\0"),
        (Fault("length_lie", code=0), slice(4, 6), b"\xff\xff"),
    ):
        found = Faults(TCP)
        found.switch_on(fault)
        session = TcpUnits({1: Slave(SelfIdentifying("s", 1, "u16"), faults=found)}).session()
        ((_, frame),) = session.hear(request, NOON)
        assert frame[at] == expected
        assert frame[2:4] == b"\0\0"


def test_echo():
    assert answers(Fault("echo")) == [(0.0, REQUEST), (0.01, GOOD)]


def test_exception():
    assert answers(Fault("exception", code=2)) == [(0.01, bytes.fromhex("018302C0F1"))]


def test_correct_frames_of_the_wrong_kind():
    other = answers(Fault("wrong_unit"))[0][1]
    assert rtu_whole(other)
    assert (other[0], other[1:-2]) == (6, GOOD[1:-2])
    other = answers(Fault("wrong_function"))[0][1]
    assert rtu_whole(other)
    assert (other[0], other[1], other[2:-2]) == (1, 4, GOOD[2:-2])
    foreign, good = (data for _, data in answers(Fault("foreign")))
    assert rtu_whole(foreign)
    assert (len(foreign), foreign[:3], good) == (89, b"\x01\x04\x54", GOOD)
    assert [data for _, data in answers(Fault("duplicate"))] == [GOOD, GOOD]


def test_a_correct_frame_with_one_register_less():
    ((_, frame),) = answers(Fault("wrong_count"))
    assert rtu_whole(frame)
    assert frame[2] == GOOD[2] - 2 == len(frame) - 5
    assert frame[3:-2] == GOOD[3:-4]
    assert answers(Fault("wrong_count"), rtu(1, b"\x03\0\4\0\1"))[0][1][2] == 2  # a single one stays


def test_bursts_are_short_and_are_seen():
    for seed in range(200):
        bus, _ = line(Fault("burst"), seed=seed)
        ((_, frame),) = bus.hear(REQUEST, NOON)
        bits = int.from_bytes(frame) ^ int.from_bytes(GOOD)
        assert 2 <= bits.bit_length() - (bits & -bits).bit_length() + 1 <= 16
        assert not rtu_whole(frame)


def test_heads_without_frames():
    assert answers(Fault("false_head"))[0][1] == GOOD[:3] + GOOD
    assert answers(Fault("idle", size=2))[0][1] == b"\xff\xff" + GOOD
    assert answers(Fault("idle", size=1, code=0))[0][1] == b"\0" + GOOD
    scrambled = answers(Fault("scrambled"))[0][1]
    assert (scrambled[:3], len(scrambled)) == (GOOD[:3], len(GOOD))
    assert not rtu_whole(scrambled)
    assert len(answers(Fault("garbage", size=5))[0][1]) == 5


def test_one_frame_of_several_does_not_come():
    radar = Faulty(build(1).radar, Faults(wavetronix.DRESS))
    request = wavetronix.packet(bytes.fromhex("710000000000"), destination=1, source=0, sequence=1)
    assert len(radar.hear(request, NOON)) == 4
    radar.faults.switch_on(Fault("missing"))
    assert len(radar.hear(request, NOON)) == 3
    assert answers(Fault("missing"))[0][1] == GOOD  # a single frame stays


def test_rate_and_count():
    bus, notes = line(Fault("silence", left=2))
    found = [len(bus.hear(REQUEST, NOON + n)) for n in range(4)]
    assert found == [0, 0, 1, 1]
    bus, notes = line(Fault("silence", rate=0.3), seed=7)
    silent = sum(not bus.hear(REQUEST, NOON + n) for n in range(1000))
    assert 220 < silent < 380
    assert sum(n.fault == "silence" for n in notes) == silent == bus.slaves[1].faults.struck["silence"]


def test_faults_strike_one_unit_only_and_heal():
    bus, _ = line(Fault("silence"))
    assert len(bus.hear(rtu(2, b"\x03\0\4\0\2"), NOON)) == 1
    bus.slaves[1].faults.heal("silence")
    assert len(bus.hear(REQUEST, NOON + 1)) == 1


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="silence"):
        Fault("quiet")


@pytest.mark.parametrize("name", NAMES)
def test_every_fault_on_tcp(name):
    units = TcpUnits({1: Slave(SelfIdentifying("s", 1, "u16"))})
    good = units.session().hear(mbap(9, 1, pdu=b"\x03\0\4\0\2"), NOON)[0][1]
    units.slaves[1].faults.switch_on(Fault(name))
    found = b"".join(data for _, data in units.session().hear(mbap(9, 1, pdu=b"\x03\0\4\0\2"), NOON))
    whole = {"late", "dribble", "missing"}
    assert (found == good.replace(b"\x14\x01", b"\x14\x02").replace(b"\x15\x01", b"\x15\x02")) is False or name in whole
    if name == "exception":
        assert found == mbap(9, 1, pdu=b"\x83\x04")
    assert units.slaves[1].faults.dress is TCP


@pytest.mark.parametrize("name", NAMES)
def test_every_fault_on_pushed_frames(name):
    sensor = Faulty(build(1).air, Faults(plantower.DRESS))
    notes = []
    sensor.note = notes.append
    sensor.faults.switch_on(Fault(name, delay_s=0.01))
    out, at_s = b"", NOON
    while at_s < NOON + 5:
        data, at_s = sensor.speak(at_s)
        out += data
    assert notes
    assert {n.fault for n in notes} == {name}
    good = [frame for frame in out.split(b"BM")[1:] if plantower.seal((b"BM" + frame)[:30]) == b"BM" + frame[:30]]
    harmful = {"silence", "bad_checksum", "half", "tail", "extra_byte", "burst", "scrambled", "garbage"}
    assert (len(good) >= 4) == (name not in harmful)


def test_a_late_frame_comes_when_it_is_due():
    sensor = Faulty(build(1).air, Faults(plantower.DRESS))
    sensor.faults.switch_on(Fault("late", delay_s=0.4))
    data, due_s = sensor.speak(NOON)
    assert data == b""
    assert due_s == pytest.approx(NOON + 0.4)
    data, due_s = sensor.speak(due_s)
    assert len(data) == 32
    assert due_s == pytest.approx(NOON + 1)


def test_same_seed_same_faults():
    results = []
    for _ in range(2):
        bus, _ = line(Fault("noise_before", rate=0.5), Fault("bad_checksum", rate=0.5), seed=3)
        results.append([bus.hear(REQUEST, NOON + n) for n in range(50)])
    assert results[0] == results[1]
    assert len({tuple(map(tuple, r)) for r in results[0]}) > random.Random(1).randint(2, 3)
