"""A wire whose settings are searched, in virtual time: simulated units, their UART, the receiver's error counters.

The link is handed the settings that the scan asks for, as a port would be, and garbles both ways as a UART does.
"""

import asyncio
from dataclasses import replace

from firmware_sims.lines import RtuLine, Slave
from firmware_sims.single import DEVICES
from firmware_sims.uart import Line, heard
from gateway.technician.tap import Errors

NOON_S = 1_795_240_800.0


def unit(profile, number, **slave):
    """A simulated register device as a slave with this id."""
    return Slave(DEVICES[profile].make(7, number), **slave)


class SimTap:
    """Implements `Tap`: `slaves` (id -> slave) on a line set to `line`.

    counts: whether the port counts errors. inverted: A and B swapped (breaks at rest). echo: None, "whole" or "spoilt".
    chatter: [(seconds, bytes)] that others say at their own pace, in the line's own settings.
    """

    endpoint = "/dev/ttySIM"

    def __init__(self, slaves, *, line="9600 8N1", counts=True, inverted=False, echo=None, chatter=(), mix=None):
        self.device = RtuLine(slaves)
        self.line = Line.parse(line)
        self.counts, self.inverted, self.echo, self.chatter, self.mix = counts, inverted, echo, chatter, mix
        self.counted = Errors()
        self.sent = []
        self.began_s = None

    def link(self, settings):
        return SimLink(self, Line(settings.baud, settings.bits, settings.parity, settings.stop))

    def errors(self):
        if self.inverted:
            self.counted = replace(self.counted, breaks=self.counted.breaks + 3)
        return self.counted if self.counts else None


class SimLink:
    def __init__(self, tap, line):
        self.endpoint, self.tap, self.line = tap.endpoint, tap, line
        self._inbox, self._first_s, self._more = bytearray(), 0.0, asyncio.Event()
        self._timers = []

    async def open(self):
        loop = asyncio.get_running_loop()
        if self.tap.began_s is None:
            self.tap.began_s = loop.time()
        for at_s, data in self.tap.chatter:
            if self.tap.began_s + at_s >= loop.time():
                self._timers.append(loop.call_at(self.tap.began_s + at_s, self._hear, data))

    async def close(self):
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    async def write(self, data):
        loop, tap = asyncio.get_running_loop(), self.tap
        tap.sent.append((loop.time(), self.line, bytes(data)))
        end_s = loop.time() + len(data) * self.line.char_s
        if tap.echo:
            back = data if tap.echo == "whole" else bytes(byte & 0x5A for byte in data)
            self._timers.append(loop.call_at(end_s, self._put, back))
        there = heard(data, sent=self.line, listened=tap.line, inverted=tap.inverted)
        free_s = end_s
        for delay_s, answer in tap.device.hear(there.data, NOON_S + loop.time()):
            told = tap.mix(answer) if tap.mix else answer
            free_s = max(free_s, end_s + delay_s) + len(told) * tap.line.char_s  # one after the other, as a line does
            self._timers.append(loop.call_at(free_s, self._hear, told))

    def _hear(self, data):
        here = heard(data, sent=self.tap.line, listened=self.line, inverted=self.tap.inverted)
        counted = self.tap.counted
        self.tap.counted = replace(
            counted, framing=counted.framing + here.framing_errors, parity=counted.parity + here.parity_errors
        )
        self._put(here.data)

    def _put(self, data):
        if not self._inbox:
            self._first_s = asyncio.get_running_loop().time()
        self._inbox += data
        self._more.set()

    async def read(self, timeout_s):
        if not self._inbox:
            self._more.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._more.wait()
            except TimeoutError:
                return b"", asyncio.get_running_loop().time()
        return self.flush(), self._first_s

    def flush(self):
        data = bytes(self._inbox)
        self._inbox.clear()
        return data
