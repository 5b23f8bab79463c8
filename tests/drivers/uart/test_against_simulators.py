"""Decoders against the simulated devices, which share no code with them: what was served is what is read.

With faults on, a reading is either one that was served, or marked; nothing else.
"""

import asyncio
from bisect import bisect_left, bisect_right

import pytest
import virtual_time
from sim_bench import NOON_S, VirtualLine, agrees, ask, facing, listen, named

from drivers.link import SerialLink, line
from drivers.profile import load
from drivers.sample import Code
from drivers.uart.polled import PolledStream, Wire
from drivers.uart.registry import family
from firmware_sims.faults import Fault
from firmware_sims.single import DEVICES
from firmware_sims.uart import Line
from firmware_sims.wire import PtyWire

PUSHING = {"plantower-pms5003": 240, "omnipresense-ops243": 240, "maxbotix-hrxl": 120, "dfrobot-a01nyub": 60}
SEALED = ("plantower-pms5003",)
FAULTS = ("silence", "bad_checksum", "half", "noise_before", "noise_after", "extra_byte", "duplicate", "late")


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
    faults = [Fault(name, rate=0.1, delay_s=0.05) for name in FAULTS]
    samples, said, reader = listen(kind, seconds=1200, faults=faults)
    times = [served.t_s for served in said]
    for sample in samples:  # a late frame is late by seconds at most: nothing older is looked at
        heard_s = sample.t_mono_ns / 1e9
        near = said[bisect_left(times, heard_s - 5.0) : bisect_right(times, heard_s + 0.001)]
        assert any(agrees(named(reader.profile, sample), served.values) for served in near)
    assert len(samples) > 0.5 * len(said)
    assert reader.figures.rejected


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
    names = (*FAULTS, "echo", "foreign", "wrong_unit", "missing", "exception", "noise_between")
    faults = [Fault(name, rate=0.06, delay_s=0.5, delay_to_s=3.0) for name in names]
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

    class Head(VirtualLine):
        line = line("300 7E1")
        baud = 300

        async def write(self, data):
            told.append((self.baud, data))
            await super().write(data)

        async def open(self):
            self.baud = 300

        async def retune(self, baud):
            self.baud = baud

        def _arrive(self, data):
            garbled = told[-1][1] == b"\x06050\r\n"
            super()._arrive(bytes(byte ^ 0x41 for byte in data) if garbled else data)

    async def scenario():
        device = PolledStream(Wire(facing(DEVICES["iec62056-21"].make(7, 1), Head)), load("iec62056-21"))
        return [await device.poll() for _ in range(2)]

    (bad,), (good,) = virtual_time.run(scenario())
    assert set(bad.codes) <= {Code.CRC, Code.TIMEOUT}
    assert good.codes[0] == Code.GOOD
    assert told == [(300, b"/?!\r\n"), (300, b"\x06050\r\n"), (300, b"/?!\r\n"), (300, b"\x06000\r\n")]


def test_a_simulated_detector_says_again_what_got_lost():
    """The frame count bit of FT1.2: the same bit is the same question, a changed one the next."""
    made, ask = DEVICES["adec-tdc"].make(7, 1), family("adec_tdc").ask
    said = [made.hear(ask(1, count), 1_795_000_000.0 + number) for number, count in enumerate((1, 1, 2, 2, 3))]
    first, again, second, once_more, third = ([data for _, data in answers] for answers in said)
    assert first == again != second == once_more != third
    assert len(first[0]) > 10
