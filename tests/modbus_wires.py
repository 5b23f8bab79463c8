"""Modbus wires in memory, RTU on `bus_sim` and TCP here, with registers that tell their own unit and address."""

import asyncio
import random
import struct

import virtual_time

from drivers.errors import DriverError, LinkLost, ReplyError
from drivers.modbus.master import Master
from drivers.profile import Limits

QUICK = Limits(timeout_ms=200)


def told(unit, address, count):
    """Self-identifying registers: each says its unit and its address."""
    return b"".join(struct.pack(">H", (unit * 1000 + address + n) & 0xFFFF) for n in range(count))


async def opened(bus, **options):
    master = Master(bus, framing="rtu", line=bus.line, **options)
    await master.open()
    return master


async def storm(
    bus, *, units, reads, counts=(2,), limits=QUICK, seed=1, patience_s=600, pause_s=0.0, function="holding"
):
    """Random reads; counts right, wrong, failed."""
    chance = random.Random(seed)
    master = await opened(bus)
    found = {"right": 0, "wrong": 0, "failed": 0}
    for _ in range(reads):
        unit, address, count = chance.choice(units), chance.choice(range(5)), chance.choice(counts)
        try:
            answer = await master.read(
                unit, function, address=address, count=count, limits=limits, patience_s=patience_s
            )
        except ReplyError:
            found["failed"] += 1
        else:
            found["right" if answer.data == told(unit, address, count) else "wrong"] += 1
        await asyncio.sleep(pause_s)
    return found, master.counters()


class Net:
    """A `DirectLink` in memory: every answer comes when and as `answer(adu)` says: pairs of (delay in s, bytes)."""

    def __init__(self, answer):
        self.endpoint = "net"
        self.sent = []
        self._answer = answer
        self._on_data = self._on_lost = None

    async def open(self):
        self._loop = asyncio.get_running_loop()

    async def close(self):
        self._on_data = self._on_lost = None

    def listen(self, *, on_data, on_lost):
        self._on_data, self._on_lost = on_data, on_lost

    def send(self, data):
        self.sent.append(data)
        for delay_s, answer in self._answer(data):
            self._loop.call_later(delay_s, lambda got=answer: self._on_data and self._on_data(got))

    def lose(self):
        self._on_lost(LinkLost("reset", endpoint="net"))

    async def write(self, data):
        self.send(data)

    async def read(self, timeout_s):
        raise NotImplementedError

    def flush(self):
        return b""


def good(request):
    _, _, _, unit, function, address, count = struct.unpack(">HHHBBHH", request)
    body = told(unit, address, count)
    return struct.pack(">HHHBBB", *struct.unpack(">HH", request[:4]), 3 + len(body), unit, function, len(body)) + body


def reading(net, *reads, limits=QUICK, patience_s=5.0):
    """The outcome of each read (unit, address, count), one after the other."""

    async def scenario():
        master = Master(net, framing="tcp")
        await master.open()
        outcomes = []
        for unit, address, count in reads:
            try:
                answer = await master.read(
                    unit, "holding", address=address, count=count, limits=limits, patience_s=patience_s
                )
                outcomes.append(answer.data)
            except DriverError as error:
                outcomes.append(type(error))
        return outcomes, master.counters()

    return virtual_time.run(scenario())
