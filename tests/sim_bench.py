"""Simulated stream devices before the real drivers, in virtual time: what they said, and what was read."""

import asyncio
import math
from dataclasses import dataclass, field

import virtual_time

from drivers.profile import load
from drivers.uart.polled import PolledStream, Wire
from drivers.uart.stream import StreamDevice
from firmware_sims.faults import Faults
from firmware_sims.faulty import Faulty
from firmware_sims.quirks import afflict
from firmware_sims.single import DEVICES

NOON_S = 1_795_240_800.0  # 2026-11-21 13:00 in Khon Kaen: traffic on all lanes


@dataclass
class Taped(Faulty):
    """A device behind its faults whose bytes are kept."""

    tape: list = field(default_factory=list)

    def hear(self, data, now_s):
        answers = super().hear(data, now_s)
        self.tape += [answer for _, answer in answers]
        return answers

    def speak(self, now_s):
        data, due_s = super().speak(now_s)
        self.tape += [data] if data else []
        return data, due_s


def made(name, *, faults=(), quirks=()):
    """The simulated device behind its faults, and the list of what it says."""
    kind = DEVICES[name]
    device = Taped(kind.make(7, kind.unit), Faults(kind.dress, seed=3))
    for fault in faults:
        device.faults.switch_on(fault)
    for quirk in quirks:
        afflict(device.device, quirk, now_s=NOON_S)
    said = []
    device.note = said.append
    return device, said


def listen(name, *, seconds, faults=(), quirks=()):
    """Samples of a device that talks by itself, what it said, and the reader."""
    device, said = made(name, faults=faults, quirks=quirks)
    reader = StreamDevice(load(name))
    for command in reader.start():
        device.hear(command, NOON_S)
    samples, now_s = [], NOON_S
    while now_s < NOON_S + seconds:
        data, due_s = device.speak(now_s)
        if data:
            samples += reader.feed(data, round(now_s * 1e9))
        now_s = max(due_s, now_s + 0.001)
    reader.tape = device.tape
    return samples, said, reader


class VirtualLine:
    """A line on virtual time: `answer(request)` says what arrives, in pairs of (delay in s, bytes)."""

    endpoint = "bench"

    def __init__(self, answer):
        self.answer = answer
        self.asked = []
        self._queue = []
        self._more = asyncio.Event()

    async def open(self):
        pass

    async def close(self):
        pass

    async def write(self, data):
        loop = asyncio.get_running_loop()
        self.asked.append((loop.time(), data))
        for delay_s, reply in self.answer(data) or ():
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


def facing(device, kind=VirtualLine):
    """A line with a simulated device at its far end, whose day begins at noon."""
    return kind(lambda data: device.hear(data, NOON_S + asyncio.get_running_loop().time() - 1000.0))


def ask(name, *, polls, every_s, faults=(), quirks=()):
    """Samples of a device that is asked, what it said, and the reader."""
    device, said = made(name, faults=faults, quirks=quirks)

    async def scenario():
        polled = PolledStream(Wire(facing(device)), load(name), unit=DEVICES[name].unit or 1)
        samples = []
        for _ in range(polls):
            samples += await polled.poll()
            await asyncio.sleep(every_s)
        return samples, polled

    samples, polled = virtual_time.run(scenario())
    polled.tape = device.tape
    return samples, said, polled


def named(profile, sample):
    """Point -> value of what a sample believes."""
    names = [point.name for point in profile.points(sample.part)]
    return {name: value for name, value, code in zip(names, sample.values, sample.codes, strict=True) if code < 200}


def agrees(values, served):
    """Whether all of `values` were said in one served answer, to the resolution of the wire."""
    return all(
        math.isclose(value, served.get(key, math.nan), rel_tol=2e-6, abs_tol=1e-6) for key, value in values.items()
    )
