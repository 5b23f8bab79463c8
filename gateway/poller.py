"""One owner task per wire: plans, paces, asks, listens, hands samples on; decides what a failure means.

Knows neither sinks nor disk. A lost wire is reopened with a full-jitter wait of at most 5 s; meanwhile its devices
give failed samples at their usual times: "no data" is data.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from drivers.device import Polled, Pushing
from drivers.errors import LinkError
from drivers.link import Link
from drivers.sample import FIRST_BAD, Code, Sample
from gateway.reading import Series

LOG: Final = logging.getLogger("citygate.poll")
REOPEN_S: Final = 5.0
PHASE: Final = 0.25  # polls fall a quarter of a period behind the wall clock's slot, away from its borders
ASKS: Final = 8  # technicians' reads that may wait for one wire


class Way(Protocol):
    """What every wire opens and closes: a link, or a Modbus master around one."""

    endpoint: str

    async def open(self) -> None:
        """Open and lock it. Raises `LinkError`."""

    async def close(self) -> None:
        """Close it; harmless when it is not open."""


Take = Callable[[Series, Sample], None]
Say = Callable[[str, str, str, str], None]


@dataclass(slots=True)
class Station:
    """A configured device on its wire, with its series by part and its figures."""

    id: str
    every_s: float
    series: Mapping[str, Series]
    device: Polled | Pushing
    silence_s: float = 0.0
    due_s: float = 0.0
    asked_s: float = 0.0
    polls: int = 0
    failed: int = 0
    missed: int = 0
    heard_s: float | None = None
    undeclared: dict[str, int] = field(default_factory=dict)

    def failure(self, now_s: float, code: Code) -> tuple[Sample, ...]:
        """Failed samples for all parts, at `now_s`."""
        return tuple(
            Sample.failed(round(now_s * 1e9), count=len(series.points), code=code)
            if not part
            else Sample(
                round(now_s * 1e9), (float("nan"),) * len(series.points), (int(code),) * len(series.points), part
            )
            for part, series in self.series.items()
            if series.every_ms is not None
        )


class Wire:
    """What polled and listening wires have in common: opening, losing, reopening, and handing samples on."""

    def __init__(self, name: str, *, way: Way, stations: Sequence[Station], take: Take, say: Say) -> None:
        self.name = name
        self.way = way
        self.stations = tuple(stations)
        self.state = "opening"
        self.fact = ""
        self.beat_s = 0.0  # loop time of the last sign of life of this task, for the watchdog
        self._take = take
        self._say = say
        self._failures = 0
        self.undeclared: Callable[[Station, str], None] = lambda _station, _part: None

    async def run(self) -> None:
        """Until cancelled: open, serve, and on loss wait and open again."""
        while True:
            try:
                await self.way.open()
                self._up()
                await self.serve()
            except LinkError as error:
                self._down(error)
            finally:
                await self.way.close()
            await self._absent(random.uniform(0.1, min(REOPEN_S, 0.5 * 2.0**self._failures)))  # noqa: S311 - jitter

    async def serve(self) -> None:
        """Use the open link. Raises `LinkError` when it is lost."""
        raise NotImplementedError

    def _up(self) -> None:
        if self.state != "up":
            LOG.info("wire %s: %s is open", self.name, self.way.endpoint)
        if self.state == "down":
            self._say(self.name, "CG-BUS-01", "cleared", f"{self.way.endpoint} is open again")
        self.state, self.fact, self._failures = "up", "", 0

    def _down(self, error: LinkError) -> None:
        self._failures = min(self._failures + 1, 8)
        if self.state != "down" or self.fact != error.fact:
            LOG.warning("wire %s: %s", self.name, error)
            self._say(self.name, "CG-BUS-01", "raised", str(error))
        self.state, self.fact = "down", error.fact

    async def _absent(self, wait_s: float) -> None:
        """The wire is gone for `wait_s`: its devices fail on time."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + wait_s
        while True:
            self.beat_s = now_s = loop.time()
            for station in self.stations:
                if station.every_s and station.due_s <= now_s:
                    station.failed += 1
                    self.deliver(station, station.failure(now_s, Code.ABSENT))
                    self.reschedule(station, now_s)
            if now_s >= until_s:
                return
            due_s = min((s.due_s for s in self.stations if s.every_s), default=until_s)
            await asyncio.sleep(max(0.0, min(until_s, due_s) - now_s))

    def deliver(self, station: Station, samples: Sequence[Sample]) -> None:
        """Hand samples on by part; a lane that is not declared is counted and reported, not published."""
        for sample in samples:
            series = station.series.get(sample.part)
            if series is not None:
                self._take(series, sample)
                continue
            if sample.part not in station.undeclared:
                self.undeclared(station, sample.part)
            station.undeclared[sample.part] = station.undeclared.get(sample.part, 0) + 1

    def start_grid(self, wall_ms: int) -> None:
        """Lay each station's schedule on the wall clock's slots, `PHASE` behind their start; monotonic from then on."""
        now_s = asyncio.get_running_loop().time()
        for station in self.stations:
            if station.every_s:
                into_s = (wall_ms / 1000.0) % station.every_s
                station.due_s = now_s + (station.every_s * (1.0 + PHASE) - into_s) % station.every_s

    def reschedule(self, station: Station, now_s: float) -> None:
        """The next due time on the grid; periods that have passed meanwhile are missed, not caught up."""
        station.due_s += station.every_s
        if station.due_s <= now_s:
            passed = int((now_s - station.due_s) / station.every_s) + 1
            station.missed += passed
            station.due_s += passed * station.every_s

    def report(self) -> dict[str, Any]:
        """The wire's part of health and of the snapshot."""
        return {"state": self.state, "endpoint": self.way.endpoint, **({"fact": self.fact} if self.fact else {})}


class PolledWire(Wire):
    """Earliest deadline first over devices that are asked; technicians' reads go between polls."""

    def __init__(self, name: str, *, way: Way, stations: Sequence[Station], take: Take, say: Say) -> None:
        super().__init__(name, way=way, stations=stations, take=take, say=say)
        self._asks: asyncio.Queue[tuple[Station, asyncio.Future[tuple[Sample, ...]]]] = asyncio.Queue(ASKS)
        self._asked = asyncio.Event()

    async def serve(self) -> None:
        """Poll what is due, answer what is asked, else sleep."""
        loop = asyncio.get_running_loop()
        while True:
            self.beat_s = now_s = loop.time()
            if not self._asks.empty():
                await self._answer()
                continue
            station = self._next(now_s)
            if station is not None:
                await self._poll(station)
                self.reschedule(station, loop.time())
                continue
            self._asked.clear()
            due_s = min((one.due_s for one in self.stations), default=now_s + 5.0)
            timer = loop.call_at(min(due_s, now_s + 5.0), self._asked.set)
            await self._asked.wait()
            timer.cancel()

    def _next(self, now_s: float) -> Station | None:
        """Of those that are due, the one with the earliest deadline; under overload the one that waited longest."""
        due = [station for station in self.stations if station.due_s <= now_s]
        return min(due, key=lambda one: (one.due_s + one.every_s, one.asked_s), default=None)

    async def _poll(self, station: Station) -> tuple[Sample, ...]:
        station.asked_s = asyncio.get_running_loop().time()
        samples = await _polled(station).poll()
        station.polls += 1
        if any(code < FIRST_BAD for sample in samples for code in sample.codes):
            station.heard_s = asyncio.get_running_loop().time()
        else:
            station.failed += 1
        self.deliver(station, samples)
        return samples

    async def _answer(self) -> None:
        station, answer = self._asks.get_nowait()
        try:
            samples = await self._poll(station)
        except LinkError as error:
            answer.set_exception(error)
            raise
        if not answer.cancelled():
            answer.set_result(samples)

    async def ask(self, station: Station) -> tuple[Sample, ...]:
        """One extra poll of `station`, between the scheduled ones. Raises `LinkError`, `asyncio.QueueFull`."""
        if self.state != "up":
            raise LinkError(self.fact or "the wire is not open", endpoint=self.way.endpoint)
        answer: asyncio.Future[tuple[Sample, ...]] = asyncio.get_running_loop().create_future()
        self._asks.put_nowait((station, answer))
        self._asked.set()
        return await answer


class PushWire(Wire):
    """A wire with one device that talks by itself."""

    def __init__(self, name: str, *, link: Link, stations: Sequence[Station], take: Take, say: Say) -> None:
        super().__init__(name, way=link, stations=stations, take=take, say=say)
        self.link = link

    async def serve(self) -> None:
        """Send the start commands, then listen; silence beyond the profile's bound gives stale samples on time."""
        loop = asyncio.get_running_loop()
        (station,) = self.stations
        device = _pushing(station)
        for command in device.start():
            await self.link.write(command)
        quiet_s = max(3.0 * station.every_s, station.silence_s, 2.0)
        heard_s = loop.time()
        while True:
            self.beat_s = now_s = loop.time()
            due_s = max(heard_s + quiet_s, station.due_s) if station.every_s else now_s + 5.0
            data, first_s = await self.link.read(max(0.01, min(due_s - now_s, 5.0)))
            samples = device.feed(data, round(first_s * 1e9)) if data else ()
            if samples:
                heard_s = station.heard_s = loop.time()
                station.polls += len(samples)
                self.deliver(station, samples)
            elif station.every_s and loop.time() >= max(heard_s + quiet_s, station.due_s):
                station.failed += 1
                self.deliver(station, station.failure(loop.time(), Code.STALE))
                station.due_s = max(station.due_s, heard_s + quiet_s)
                self.reschedule(station, loop.time())


def _polled(station: Station) -> Polled:
    if not isinstance(station.device, Polled):
        raise TypeError(f"{station.id} talks by itself and cannot be polled")
    return station.device


def _pushing(station: Station) -> Pushing:
    if not isinstance(station.device, Pushing):
        raise TypeError(f"{station.id} must be polled")
    return station.device
