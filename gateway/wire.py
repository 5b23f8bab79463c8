"""What every wire has: opening, losing and reopening it, failed samples on time while it is away, its schedule's start.

Knows neither sinks nor disk. A lost wire is reopened with a full-jitter wait of at most 3 s; meanwhile its devices
give failed samples at their usual times: "no data" is data.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from drivers.errors import LinkError
from drivers.sample import Code, Sample
from gateway.lending import Loan
from gateway.reading import Series
from gateway.station import Station
from gateway.wire_load import WireLoad

LOG: Final = logging.getLogger("citygate.poll")
REOPEN_S: Final = 3.0
PHASE: Final = 0.25  # of the wire's shortest period: how far behind the wall clock's slots its polls begin


class Way(Protocol):
    """What every wire opens and closes: a link, or a Modbus master around one."""

    endpoint: str

    async def open(self) -> None:
        """Open and lock it. Raises `LinkError`."""

    async def close(self) -> None:
        """Close it; harmless when it is not open."""


Take = Callable[[Series, Sample], None]
Say = Callable[[str, str, str, str], None]


class Wire:
    """What polled and listening wires have in common: opening, losing, reopening, and handing samples on."""

    def __init__(self, name: str, *, way: Way, stations: Sequence[Station], take: Take, say: Say) -> None:
        self.name = name
        self.way = way
        self.stations = tuple(stations)
        self.state = "opening"
        self.fact = ""
        self.beat_s = 0.0  # loop time of the last sign of life of this task, for the watchdog
        self.strangers: set[str] = set()  # stations at which another device answers: told, and not cleared yet
        self._take = take
        self._say = say
        self._failures = 0
        self._load = WireLoad()
        self.loan = Loan(way.endpoint)
        self.undeclared: Callable[[Station, str], None] = lambda _station, _part: None
        self.hurry: Callable[[], None] = lambda: None  # asks for a commit: an interval has come

    async def run(self) -> None:
        """Until cancelled: open, serve, and on loss wait and open again."""
        while True:
            try:
                self.loan.check()
                await self.way.open()
                self._up()
                await self.loan.work(self._serve_and_close)
            except LinkError as error:
                self._down(error)
            finally:
                await self.way.close()
            await self._absent(random.uniform(0.1, min(REOPEN_S, 0.5 * 2.0**self._failures)))  # noqa: S311 - jitter

    async def _serve_and_close(self) -> None:
        """Closing takes as long as late answers may come: a tool gets the wire after that, and not before."""
        try:
            await self.serve()
        finally:
            await self.way.close()

    async def serve(self) -> None:
        """Use the open link. Raises `LinkError` when it is lost."""
        raise NotImplementedError

    def _up(self) -> None:
        if self.state != "up":
            LOG.info("wire %s: %s is open", self.name, self.way.endpoint)
        if self.state == "down":
            self._say(self.name, "CG-BUS-01", "cleared", f"{self.way.endpoint} is open again")
        self.state, self.fact, self._failures = "up", "", 0
        for station in self.stations:
            station.proven = False

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
                if station.period_s and station.due_s <= now_s:
                    station.failed += 1
                    self.deliver(station, station.failure(now_s, Code.ABSENT))
                    self.reschedule(station, now_s)
            if now_s >= until_s:
                return
            due_s = min((s.due_s for s in self.stations if s.period_s), default=until_s)
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
        if samples and station.every_s and station.remembering is not None and station.remembering.seen:
            self.hurry()  # a named interval is committed at once, lest a restart asks for it again

    def start_grid(self, wall_ms: int) -> None:
        """Lay each station's schedule on the wall clock's slots, `PHASE` behind their start; monotonic from then on."""
        now_s = asyncio.get_running_loop().time()
        behind_s = PHASE * min((station.period_s for station in self.stations if station.period_s), default=0.0)
        for station in self.stations:
            if station.period_s:
                into_s = (wall_ms / 1000.0) % station.period_s
                station.due_s = now_s + (station.period_s + behind_s - into_s) % station.period_s

    def reschedule(self, station: Station, now_s: float) -> None:
        """The next due time on the grid; periods that have passed meanwhile are missed, not caught up."""
        station.due_s += station.period_s
        if station.due_s <= now_s:
            passed = int((now_s - station.due_s) / station.period_s) + 1
            station.missed += passed
            station.due_s += passed * station.period_s

    def report(self) -> dict[str, Any]:
        """The wire's part of health and of the snapshot."""
        told = {"state": self.state, "endpoint": self.way.endpoint, **({"fact": self.fact} if self.fact else {})}
        return told | self._load.report(self.way, self.stations, now_s=asyncio.get_running_loop().time())
