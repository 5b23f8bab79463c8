"""Decoders against the simulated devices, which share no code with them: what was served is what is read.

With faults on, a reading is either one that was served, or marked; nothing else.
"""

import asyncio
import math
from bisect import bisect_left, bisect_right

import pytest
import virtual_time

from drivers.link import SerialLink, line
from drivers.profile import load
from drivers.sample import Code
from drivers.uart.polled import PolledStream, Wire
from drivers.uart.stream import StreamDevice
from firmware_sims.faults import Fault, Faults
from firmware_sims.faulty import Faulty
from firmware_sims.single import DEVICES
from firmware_sims.uart import Line
from firmware_sims.wire import PtyWire

NOON_S = 1_795_240_800.0  # 2026-11-21 13:00 in Khon Kaen: traffic on all lanes
PUSHING = {"plantower-pms5003": 240, "omnipresense-ops243": 240, "maxbotix-hrxl": 120, "a01nyub": 60}
PROFILES = {"a01nyub": "dfrobot-a01nyub"}
SEALED = ("plantower-pms5003",)
FAULTS = ("silence", "bad_checksum", "half", "noise_before", "noise_after", "extra_byte", "duplicate", "late")


def named(profile, sample):
    names = [point.name for point in profile.points(sample.part)]
    return {name: value for name, value, code in zip(names, sample.values, sample.codes, strict=True) if code < 200}


def agrees(values, served):
    """Whether all of `values` were said in one served answer, to the resolution of the wire."""
    return all(
        name in served and math.isclose(value, served[name], rel_tol=1e-6, abs_tol=1e-6)
        for name, value in values.items()
        if name in served or not name.startswith(("particles", "length"))
    )


def listen(kind, *, seconds, faults=()):
    """Samples of a device that talks by itself, and what it said."""
    made = DEVICES[kind].make(7, 1)
    device = Faulty(made, Faults(DEVICES[kind].dress, seed=3))
    for name in faults:
        device.faults.switch_on(Fault(name, rate=0.1, delay_s=0.05))
    said = []
    device.note = said.append
    reader = StreamDevice(load(PROFILES.get(kind, kind)))
    for command in reader.start():
        device.hear(command, NOON_S)
    samples, now_s = [], NOON_S
    while now_s < NOON_S + seconds:
        data, due_s = device.speak(now_s)
        if data:
            samples += reader.feed(data, round(now_s * 1e9))
        now_s = max(due_s, now_s + 0.001)
    return samples, said, reader


@pytest.mark.parametrize("kind", PUSHING)
def test_what_is_pushed_is_what_is_read(kind):
    samples, said, reader = listen(kind, seconds=PUSHING[kind])
    values = [named(reader.profile, sample) for sample in samples]
    told = [served.values for served in said]
    good = [value for value in values if value]
    assert len(good) == len(told) > 10
    assert all(agrees(value, served) for value, served in zip(good, told, strict=True))
    assert not reader.figures.rejected


@pytest.mark.parametrize("kind", SEALED)
def test_under_faults_nothing_but_what_was_served(kind):
    samples, said, reader = listen(kind, seconds=1200, faults=FAULTS)
    times = [served.t_s for served in said]
    for sample in samples:  # a late frame is late by seconds at most: nothing older is looked at
        heard_s = sample.t_mono_ns / 1e9
        near = said[bisect_left(times, heard_s - 5.0) : bisect_right(times, heard_s + 0.001)]
        assert any(agrees(named(reader.profile, sample), served.values) for served in near)
    assert len(samples) > 0.5 * len(said)
    assert reader.figures.rejected


class Bench:
    """A line on virtual time with a simulated device at its far end."""

    endpoint = "bench"

    def __init__(self, device):
        self.device = device
        self._queue = []
        self._more = asyncio.Event()

    async def write(self, data):
        loop = asyncio.get_running_loop()
        for delay_s, reply in self.device.hear(data, NOON_S + loop.time() - 1000.0):
            loop.call_later(delay_s, self._arrive, reply)

    def _arrive(self, data):
        self._queue.append((data, asyncio.get_running_loop().time()))
        self._more.set()

    async def read(self, timeout_s):
        if not self._queue:
            self._more.clear()
            try:
                await asyncio.wait_for(self._more.wait(), timeout_s)
            except TimeoutError:
                return b"", asyncio.get_running_loop().time()
        queue, self._queue = self._queue, []
        return b"".join(data for data, _ in queue), queue[0][1]

    def flush(self):
        queue, self._queue = self._queue, []
        return b"".join(data for data, _ in queue)


def ask(profile, *, polls, every_s, faults=()):
    made = DEVICES["wavetronix-ss125"].make(7, 77)
    device = Faulty(made, Faults(DEVICES["wavetronix-ss125"].dress, seed=3))
    for name in faults:
        device.faults.switch_on(Fault(name, rate=0.06, delay_s=0.5, delay_to_s=3.0))
    said = []
    device.note = said.append

    async def scenario():
        polled = PolledStream(Wire(Bench(device)), load(profile), unit=77)
        samples = []
        for _ in range(polls):
            samples += await polled.poll()
            await asyncio.sleep(every_s)
        return samples, polled

    samples, polled = virtual_time.run(scenario())
    return samples, said, polled


def test_intervals_of_all_lanes():
    samples, said, polled = ask("wavetronix-ss125", polls=40, every_s=5.0)
    told = [(served.part, served.values) for served in said if served.part.startswith("lane")]
    read = [(sample.part, named(polled.profile, sample)) for sample in samples]
    assert len(read) >= 60
    for part, values in read:
        assert any(part == where and agrees(values, served) for where, served in told)
    assert sum(values["vehicle_count"] for _, values in read) > 10


def test_single_vehicles():
    samples, said, polled = ask("wavetronix-ss125-events", polls=60, every_s=5.0)
    told = [(served.part, served.values) for served in said]
    read = [(sample.part, named(polled.profile, sample)) for sample in samples]
    assert len(read) == len(told) > 10
    for (part, values), (where, served) in zip(read, told, strict=True):
        assert part == where
        assert agrees(values, served)


@pytest.mark.parametrize("profile", ["wavetronix-ss125", "wavetronix-ss125-events"])
def test_asked_under_faults_nothing_but_what_was_served(profile):
    faults = (*FAULTS, "echo", "foreign", "wrong_unit", "missing", "exception", "noise_between")
    samples, said, polled = ask(profile, polls=300, every_s=5.0, faults=faults)
    told = [(served.part, served.values) for served in said]
    believed = 0
    for sample in samples:
        values = named(polled.profile, sample)
        if values:
            believed += 1
            assert any(sample.part == where and agrees(values, served) for where, served in told)
    assert believed > 50
    assert profile.endswith("events") or {int(code) for s in samples for code in s.codes} & {Code.TIMEOUT, Code.CRC}


@pytest.mark.parts
def test_over_a_real_port(tmp_path):
    """A pty at 115200 Bd: bytes through the kernel, opened by the product's own link."""

    async def scenario():
        made = DEVICES["wavetronix-ss125"].make(7, 77)
        port = tmp_path / "radar"
        async with PtyWire(made, port, line=Line.parse("115200 8N1"), clock=lambda: NOON_S):
            link = SerialLink(str(port), "115200 8N1")
            await link.open()
            try:
                return await PolledStream(Wire(link), load("wavetronix-ss125"), unit=77).poll()
            finally:
                await link.close()

    samples = asyncio.run(scenario())
    assert [sample.part for sample in samples] == [f"lane{n + 1}" for n in range(len(samples))]
    assert samples
    assert all(sample.codes[0] == Code.GOOD for sample in samples)


@pytest.mark.parts
def test_a_meter_changes_its_speed(tmp_path):
    """IEC 62056-21 mode C on a pty: called at 300 Bd, read at 9600, and called at 300 again."""

    async def scenario():
        made, said = DEVICES["iec62056-21"].make(7, 1), []
        async with PtyWire(made, tmp_path / "head", line=Line.parse("300 7E1"), note=said.append) as wire:
            link = SerialLink(str(wire.link), "300 7E1")
            await link.open()
            device = PolledStream(Wire(link), load("iec62056-21"))
            loop = asyncio.get_running_loop()
            begin_s, polls = loop.time(), []
            try:
                for _ in range(2):
                    polls += await device.poll()
                    await asyncio.sleep(0.35)
            finally:
                await link.close()
            return polls, said, loop.time() - begin_s, wire.counters

    samples, said, took_s, counters = asyncio.run(scenario())
    assert len(samples) == len(said) == 2
    for sample, served in zip(samples, said, strict=True):
        assert agrees(named(load("iec62056-21"), sample), served.values)
    assert counters.framing == counters.parity == 0
    assert took_s < counters.sent * 10 / 300  # at 300 Bd the bytes alone take longer than this


def test_a_head_that_cannot_go_faster_is_read_slowly():
    """Behind a change of speed only noise arrives: the next session stays at 300 Bd."""
    told = []

    class Head(Bench):
        line = line("300 7E1")
        baud = 300

        async def write(self, data):
            told.append((self.baud, data))
            await super().write(data)

        async def open(self):
            self.baud = 300

        async def close(self):
            pass

        async def retune(self, baud):
            self.baud = baud

        def _arrive(self, data):
            garbled = told[-1][1] == b"\x06050\r\n"
            super()._arrive(bytes(byte ^ 0x41 for byte in data) if garbled else data)

    async def scenario():
        device = PolledStream(Wire(Head(DEVICES["iec62056-21"].make(7, 1))), load("iec62056-21"))
        return [await device.poll() for _ in range(2)]

    (bad,), (good,) = virtual_time.run(scenario())
    assert set(bad.codes) <= {Code.CRC, Code.TIMEOUT}
    assert good.codes[0] == Code.GOOD
    assert told == [(300, b"/?!\r\n"), (300, b"\x06050\r\n"), (300, b"/?!\r\n"), (300, b"\x06000\r\n")]
