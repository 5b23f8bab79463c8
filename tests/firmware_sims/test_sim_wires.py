"""Ptys and TCP ports of the simulators: pace, wrong settings, plugs, truth."""

import asyncio
import json
import os
import termios
import time
from contextlib import suppress
from pathlib import Path

import pytest
from raw_port import port

from firmware_sims.city import build
from firmware_sims.device import Served, steady
from firmware_sims.faults import Fault, Faults
from firmware_sims.faulty import Faulty
from firmware_sims.framing import RTU, mbap, rtu
from firmware_sims.lines import RtuLine, Slave, TcpUnits
from firmware_sims.self_identifying import SelfIdentifying
from firmware_sims.tcp import TcpWire
from firmware_sims.truth import Truth
from firmware_sims.uart import Line
from firmware_sims.ultrasonic import DRESS, MaxBotixHRXL
from firmware_sims.wire import PtyWire

REQUEST = rtu(1, b"\x03\0\4\0\x40")  # 64 registers: 133 bytes of answer


async def gather(fd, *, until=lambda data: False, timeout_s=10.0):
    """Bytes with their times, until `until(all bytes)` or the deadline."""
    loop, data, arrivals = asyncio.get_running_loop(), b"", []
    end = loop.time() + timeout_s
    while loop.time() < end and not until(data):
        try:
            part = os.read(fd, 4096)
        except BlockingIOError:
            await asyncio.sleep(0.0005)
            continue
        except OSError:
            break
        if not part:
            break
        data += part
        arrivals.append((loop.time(), len(data)))
    return data, arrivals


def bus(**slave):
    return RtuLine({1: Slave(SelfIdentifying("s", 1, "u16"), reply_s=(0.01, 0.01), **slave)})


async def reached(wire, condition, timeout_s=10.0):
    end = asyncio.get_running_loop().time() + timeout_s
    while not condition(wire):
        assert asyncio.get_running_loop().time() < end, "the wire did not get there in time"
        await asyncio.sleep(0.005)


def test_bytes_come_at_the_lines_pace(tmp_path):
    async def run():
        async with PtyWire(bus(), tmp_path / "p") as wire:
            with port(wire.link) as fd:
                await reached(wire, lambda w: w.listened)
                started = time.monotonic()
                os.write(fd, REQUEST)
                data, arrivals = await gather(fd, until=lambda d: len(d) == 133)
                took = time.monotonic() - started
        return data, arrivals, took

    data, arrivals, took = asyncio.run(run())
    assert len(data) == 133
    ideal = (8 + 133) * 10 / 9600 + 0.01
    assert 0.99 * ideal < took < 8 * ideal
    assert len(arrivals) > 10  # not in one go
    first, last = arrivals[0], arrivals[-1]
    # No byte may come before its time.
    assert last[0] - first[0] >= 0.8 * (last[1] - first[1]) * 10 / 9600


def test_frames_in_a_row_keep_the_pace(tmp_path):
    async def run():
        faults = Faults(RTU)
        faults.switch_on(Fault("duplicate"))
        async with PtyWire(bus(faults=faults), tmp_path / "p") as wire:
            with port(wire.link) as fd:
                await reached(wire, lambda w: w.listened)
                started = time.monotonic()
                os.write(fd, REQUEST)
                data, _ = await gather(fd, until=lambda d: len(d) == 266)
                return data, time.monotonic() - started

    data, took = asyncio.run(run())
    assert data[:133] == data[133:]
    assert took >= 0.99 * ((8 + 266) * 10 / 9600 + 0.01)


@pytest.mark.parametrize(("speed", "good"), [(termios.B9600, True), (termios.B19200, False), (termios.B4800, False)])
def test_a_wrong_baud_rate_garbles_both_ways(tmp_path, speed, good):
    notes = []

    async def run():
        device = Faulty(MaxBotixHRXL("canal", lambda _now: 1.234, period_s=0.05), Faults(DRESS))
        async with PtyWire(device, tmp_path / "level", note=notes.append) as wire:
            with port(wire.link, speed) as fd:
                return (await gather(fd, until=lambda d: len(d) > 40))[0]

    data = asyncio.run(run())
    assert (b"R1234\rR1234\r" in data) == good
    heard = {n.fault for n in notes if "nobody" not in n.fault}
    assert heard == ({""} if good else {"garbled"})


def test_a_request_at_the_wrong_rate_is_not_understood(tmp_path):
    async def run():
        line = bus()
        async with PtyWire(line, tmp_path / "p") as wire:
            with port(wire.link, termios.B19200) as fd:
                await reached(wire, lambda w: w.listened)
                os.write(fd, REQUEST)
                await reached(wire, lambda w: w.counters.received > 0)
                data, _ = await gather(fd, timeout_s=0.1)
        return data, line.heard

    assert asyncio.run(run()) == (b"", 0)


def test_parity_is_heard_where_the_reader_is_declared(tmp_path):
    async def run():
        device = MaxBotixHRXL("canal", lambda _now: 1.234, period_s=0.05)
        reader = Line(9600, parity="E")
        async with PtyWire(device, tmp_path / "p", line=Line(9600, parity="O"), reader=reader) as wire:
            with port(wire.link) as fd:
                data, _ = await gather(fd, until=lambda d: len(d) > 12)
            return data, wire.counters

    data, counters = asyncio.run(run())
    assert b"R1234\r" in data  # right bytes, all parity errors: what names a parity fault
    assert counters.parity > 10
    assert counters.framing == 0


def test_nobody_listens(tmp_path):
    notes = []

    async def run():
        device = MaxBotixHRXL("canal", lambda _now: 1.234, period_s=0.05)
        async with PtyWire(device, tmp_path / "p", note=notes.append) as wire:
            await reached(wire, lambda w: w.counters.lost > 12)
            assert {n.fault for n in notes} == {"nobody"}
            for _ in range(2):
                with port(wire.link) as fd:
                    data, _ = await gather(fd, until=lambda d: len(d) >= 12)
                    first, second, *_ = data.split(b"\r")
                    assert b"R1234".endswith(first)  # at most the tail of one line, nothing older
                    assert second in {b"R1234", b"R123", b"R12", b"R1", b"R", b""}
                await reached(wire, lambda w: not w.listened)

    asyncio.run(run())


def test_who_opens_the_port_in_mid_frame_hears_the_tail(tmp_path):
    notes = []

    async def run():
        device = Faulty(MaxBotixHRXL("canal", lambda _now: 1.234, period_s=60), Faults(DRESS))
        # 300 Bd: a line takes 200 ms.
        async with PtyWire(device, tmp_path / "p", line=Line(300), note=notes.append) as wire:
            await reached(wire, lambda w: w.counters.lost >= 2)
            with port(wire.link, termios.B300) as fd:
                return await gather(fd, until=lambda d: d.endswith(b"\r"))

    data, _ = asyncio.run(run())
    assert 0 < len(data) < 6
    assert b"R1234\r".endswith(data)
    assert [n.fault for n in notes] == ["nobody"]


def test_unplug_and_replug(tmp_path):
    async def run():
        async with PtyWire(bus(), tmp_path / "p") as wire:
            old = Path(wire.link).resolve()
            with port(wire.link) as fd:
                await reached(wire, lambda w: w.listened)
                wire.unplug()
                assert not wire.link.is_symlink()
                data, _ = await gather(fd)
                assert data == b""
                with pytest.raises(OSError):
                    os.write(fd, b"x")
                wire.unplug()
                wire.replug()
                assert Path(wire.link).resolve() != old
            with port(wire.link) as fd:
                os.write(fd, REQUEST)
                data, _ = await gather(fd, until=lambda d: len(d) == 133)
                assert len(data) == 133
        assert not wire.link.is_symlink()

    asyncio.run(run())


def test_late_answers_do_not_hold_up_others(tmp_path):
    async def run():
        faults = Faults(RTU)
        faults.switch_on(Fault("late", delay_s=0.4, left=1))
        async with PtyWire(bus(faults=faults), tmp_path / "p") as wire:
            with port(wire.link) as fd:
                await reached(wire, lambda w: w.listened)
                os.write(fd, rtu(1, b"\x03\0\4\0\1"))
                await asyncio.sleep(0.05)
                os.write(fd, rtu(1, b"\x03\0\5\0\1"))
                data, arrivals = await gather(fd, until=lambda d: len(d) == 14)
            return data, arrivals

    data, _ = asyncio.run(run())
    unit = SelfIdentifying("s", 1, "u16")
    first, second = (rtu(1, unit.answer(b"\x03\0" + bytes([r]) + b"\0\1", 0)) for r in (4, 5))
    assert data == second + first


def test_requests_without_a_pause_are_counted(tmp_path):
    async def run():
        async with PtyWire(bus(), tmp_path / "p") as wire:
            with port(wire.link) as fd:
                await reached(wire, lambda w: w.listened)
                os.write(fd, REQUEST)
                await gather(fd, until=lambda d: len(d) > 20)
                os.write(fd, REQUEST)
                await gather(fd, until=lambda d: len(d) > 150)
            return wire.counters

    counters = asyncio.run(run())
    assert counters.collisions == 1


def test_a_babbling_line_fills_its_time_and_stops(tmp_path):
    async def run():
        async with PtyWire(bus(), tmp_path / "p") as wire:
            with port(wire.link) as fd:
                await reached(wire, lambda w: w.listened)
                started = asyncio.get_running_loop().time()
                wire.babble(bytes)
                data, _ = await gather(fd, until=lambda d: len(d) >= 300)
                took = asyncio.get_running_loop().time() - started
                wire.babble(None)
                await gather(fd, timeout_s=0.3)
                silent, _ = await gather(fd, timeout_s=0.1)
                os.write(fd, REQUEST)
                answer, _ = await gather(fd, until=lambda d: len(d) == 133)
        return data, took, silent, answer

    data, took, silent, answer = asyncio.run(run())
    assert set(data) == {0}
    assert took >= 0.99 * 300 * 10 / 9600
    assert silent == b""
    assert len(answer) == 133


def test_modbus_tcp_answers_and_cuts():
    async def run():
        units = TcpUnits({1: Slave(SelfIdentifying("s", 1, "u16"))})
        async with TcpWire(units.session, limit=1) as wire:
            reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
            writer.write(mbap(1, 1, pdu=b"\x03\0\4\0\1"))
            first = await reader.readexactly(11)
            other, other_writer = await asyncio.open_connection("127.0.0.1", wire.port)
            assert await other.read() == b""
            other_writer.close()
            await wire.unplug()
            with suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", wire.port)
            await wire.replug()
            reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
            writer.write(mbap(2, 1, pdu=b"\x03\0\4\0\1"))
            second = await reader.readexactly(11)
            writer.close()
            return first, second, wire.refused

    first, second, refused = asyncio.run(asyncio.wait_for(run(), 10))
    assert first[:9].hex() == "000100000005010302"
    assert second[:2] == b"\0\2"
    assert refused == 1


def test_a_stream_over_tcp():
    async def run():
        device = MaxBotixHRXL("canal", lambda _now: 1.234, period_s=0.02)
        notes = []
        async with TcpWire(talker=device, note=notes.append) as wire:
            assert notes[0].fault == "nobody"
            reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
            line = await reader.readuntil(b"\r")
            writer.close()
            return line

    assert asyncio.run(asyncio.wait_for(run(), 10)) == b"R1234\r"


def test_truth_file(tmp_path):
    async def run():
        async with Truth(tmp_path / "truth.jsonl", mono=lambda: 5.0) as truth:
            truth.note(Served("radar", 100.5, 3, {"speed": 51.5}, "lane2", "late"))
            end = time.monotonic() + 5
            while not (tmp_path / "truth.jsonl").read_text():
                assert time.monotonic() < end
                await asyncio.sleep(0.01)
            truth.note(Served("canal", 101.0, 4, {"distance": 1.5}))

    asyncio.run(run())
    lines = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert lines == [
        {
            "t": 100.5,
            "mono": 5.0,
            "device": "radar",
            "poll": 3,
            "part": "lane2",
            "fault": "late",
            "values": {"speed": 51.5},
        },
        {"t": 101.0, "mono": 5.0, "device": "canal", "poll": 4, "values": {"distance": 1.5}},
    ]


def test_the_air_sensor_on_its_port_says_the_truth(tmp_path):
    notes = []

    async def run():
        sensor = build(1).air
        sensor.period_s = 0.1
        async with PtyWire(sensor, tmp_path / "pm", note=notes.append) as wire:
            with port(wire.link) as fd:
                data, _ = await gather(fd, until=lambda d: len(d) >= 128)
        return data[data.index(b"BM\0\x1c") :]  # behind the tail of a frame that began before

    data = asyncio.run(run())
    heard = [n.values["pm2_5"] for n in notes if not n.fault]
    frames = [data[at : at + 32] for at in range(0, 96, 32)]
    assert all(frame[:4] == b"BM\0\x1c" for frame in frames)
    assert [float(int.from_bytes(frame[12:14], "big")) for frame in frames] == heard[:3]


def test_devices_go_on_when_the_clock_is_set_back(monkeypatch):
    clock = steady()
    first = clock()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert 0 <= clock() - first < 60
