"""Vehicles that a sensor tells once, out of its queue: none is lost where a poll is broken off."""

import asyncio

import pytest
import virtual_time
from made_records import series
from stream_examples import adec

from drivers.errors import LinkLost
from drivers.profile import load
from drivers.sample import FIRST_BAD
from drivers.uart.polled import PolledStream
from drivers.uart.polled import Wire as Line
from gateway.poller import PolledWire, Station

VEHICLES = 10
ANSWER_S = 0.06


class Sensor:
    """A detector with a queue; what it has told is gone. The cable breaks once, after `breaks_after` vehicles."""

    endpoint = "sensor"

    def __init__(self, breaks_after=None):
        self.breaks_after = breaks_after
        self.told = 0
        self._inbox = b""
        self._come = asyncio.Event()

    async def open(self):
        self._come = asyncio.Event()

    async def close(self):
        pass

    def flush(self):
        data, self._inbox = self._inbox, b""
        return data

    async def write(self, data):
        if self.told == self.breaks_after:
            self.breaks_after = None
            raise LinkLost("cable", endpoint=self.endpoint)
        frame = b"\xe5"
        if self.told < VEHICLES:
            frame = adec(b"\0" + bytes(4) + bytes((40 + self.told, 1, 0, 40, 0, 90)))
            self.told += 1
        asyncio.get_running_loop().call_later(ANSWER_S, self._arrive, frame)

    def _arrive(self, data):
        self._inbox += data
        self._come.set()

    async def read(self, timeout_s):
        if not self._inbox and timeout_s > 0:
            self._come.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._come.wait()
            except TimeoutError:
                pass
        return self.flush(), asyncio.get_running_loop().time()


def told_and_delivered(interrupt, breaks_after=None):
    """`interrupt(wire, task)` comes 0.35 s after the start, in the middle of the first poll."""
    delivered = []

    def take(_one, sample):
        if sample.codes[0] < FIRST_BAD:  # while the wire is away there are failed samples
            delivered.append(sample.values[0])

    async def scenario():
        sensor = Sensor(breaks_after)
        device = PolledStream(Line(sensor), load("adec-tdc"))
        station = Station("detector", 0.0, {"": series("detector")}, device)
        wire = PolledWire("w", way=sensor, stations=[station], take=take, say=lambda *_: None)
        wire.start_grid(0)
        station.due_s = 0.0
        task = asyncio.create_task(wire.run())
        await asyncio.sleep(0.35)
        assert device.seen == {} or delivered  # a name is no news before its vehicle is handed over
        await interrupt(wire, task)
        await asyncio.sleep(20.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return sensor.told

    told = virtual_time.run(scenario())
    return [40.0 + n for n in range(told)], delivered


async def nothing(wire, task):
    pass


async def lend(wire, task):
    await wire.loan.lend(5.0)


async def stop(wire, task):
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(("interrupt", "breaks_after"), [(nothing, None), (nothing, 6), (lend, None), (stop, None)])
def test_every_vehicle_that_was_told_is_delivered_once(interrupt, breaks_after):
    told, delivered = told_and_delivered(interrupt, breaks_after)
    assert delivered == told
    assert len(told) == (VEHICLES if interrupt is not stop else 6)


def test_an_end_that_is_asked_for_twice_does_not_wait():
    async def twice(wire, task):
        task.cancel()
        await asyncio.sleep(0)
        await stop(wire, task)

    told, delivered = told_and_delivered(twice)
    assert delivered in (told, told[:-1])
