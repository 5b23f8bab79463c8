"""One owner task per wire: plans, paces, asks, listens, hands samples on; decides what a failure means.

Knows neither sinks nor disk. A lost wire is reopened with a full-jitter wait of at most 5 s; meanwhile its devices
give failed samples at their usual times: "no data" is data.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from drivers.device import Acknowledging, Excusing, Polled, Pushing
from drivers.errors import LinkError
from drivers.link import Link, SerialLink
from drivers.sample import FIRST_BAD, Code, Sample
from gateway.due import choose
from gateway.lending import Loan
from gateway.reading import Series
from gateway.station import Station
from gateway.traffic import Traffic

__all__ = ["PolledWire", "PushWire", "Station", "Way", "Wire"]

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
        self._traffic = Traffic()
        self.loan = Loan(way.endpoint)
        self.undeclared: Callable[[Station, str], None] = lambda _station, _part: None

    async def run(self) -> None:
        """Until cancelled: open, serve, and on loss wait and open again."""
        while True:
            try:
                self.loan.check()
                await self.way.open()
                self._up()
                await self.loan.work(self.serve)
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

    def start_grid(self, wall_ms: int) -> None:
        """Lay each station's schedule on the wall clock's slots, `PHASE` behind their start; monotonic from then on."""
        now_s = asyncio.get_running_loop().time()
        for station in self.stations:
            if station.period_s:
                into_s = (wall_ms / 1000.0) % station.period_s
                station.due_s = now_s + (station.period_s * (1.0 + PHASE) - into_s) % station.period_s

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
        return told | self._traffic.report(self.way, self.stations, now_s=asyncio.get_running_loop().time())


class PolledWire(Wire):
    """Devices that are asked, in the order of `gateway.due`; technicians' reads go between polls."""

    def __init__(self, name: str, *, way: Way, stations: Sequence[Station], take: Take, say: Say) -> None:
        super().__init__(name, way=way, stations=stations, take=take, say=say)
        self._asks: asyncio.Queue[tuple[Station, asyncio.Future[tuple[Sample, ...]]]] = asyncio.Queue(ASKS)
        self._asked = asyncio.Event()
        self._strangers: set[str] = set()

    async def serve(self) -> None:
        """Poll what is due, answer what is asked, else sleep."""
        loop = asyncio.get_running_loop()
        while True:
            self.beat_s = now_s = loop.time()
            if not self._asks.empty():
                await self._answer()
                continue
            station, unasked = choose(self.stations, now_s)
            for silent in unasked:
                silent.failed += 1
                self.deliver(silent, silent.failure(now_s, Code.TIMEOUT))
                self.reschedule(silent, now_s)
            if station is not None:
                await self._poll(station, _polled(station).poll)
                self.reschedule(station, loop.time())
                continue
            self._asked.clear()
            due_s = min((one.due_s for one in self.stations if one.due_s > now_s), default=now_s + 5.0)
            timer = loop.call_at(min(due_s, now_s + 5.0), self._asked.set)
            await self._asked.wait()
            timer.cancel()

    async def _poll(self, station: Station, poll: Callable[[], Awaitable[tuple[Sample, ...]]]) -> tuple[Sample, ...]:
        loop = asyncio.get_running_loop()
        station.begin(loop.time())
        if station.addressed is None or station.addressed.doubt_s():
            station.tried_s = station.asked_s
        samples = await poll()
        self._traffic.busy_s += loop.time() - station.asked_s
        station.polls += 1
        if _heard(station, samples):
            station.answered(loop.time())
            if not station.proven and not await self._identified(station):
                samples = station.failure(loop.time(), Code.ABSENT)
        else:
            station.failed += 1
        self.deliver(station, samples)
        return samples

    async def _identified(self, station: Station) -> bool:
        """Whether a device that answers after its wire came back is the one that was believed before."""
        wrong = station.judge(() if station.addressed is None else await station.addressed.identify())
        if wrong is not None and station.id not in self._strangers:
            self._strangers.add(station.id)
            self._say(station.id, "CG-BUS-06", "raised", f"{wrong.means}: {wrong.seen}")
        if station.proven and station.id in self._strangers:
            self._strangers.discard(station.id)
            self._say(station.id, "CG-BUS-06", "cleared", "its identity holds again")
        return station.proven

    async def _answer(self) -> None:
        station, answer = self._asks.get_nowait()
        poll = _polled(station).poll if station.addressed is None else station.addressed.poll_now
        try:
            samples = await self._poll(station, poll)
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
        self._char_s = link.line.char_s if isinstance(link, SerialLink) else 0.0

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
            self._traffic.busy_s += len(data) * self._char_s
            samples = device.feed(data, round(first_s * 1e9)) if data else ()
            await self._acknowledge(device)
            if samples:
                heard_s = station.heard_s = loop.time()
                station.polls += len(samples)
                self.deliver(station, samples)
            elif station.every_s and loop.time() >= max(heard_s + quiet_s, station.due_s):
                station.failed += 1
                self.deliver(station, station.failure(loop.time(), Code.STALE))
                station.due_s = max(station.due_s, heard_s + quiet_s)
                self.reschedule(station, loop.time())

    async def _acknowledge(self, device: Pushing) -> None:
        if isinstance(device, Acknowledging):
            while device.replies:
                await self.link.write(device.replies.popleft())


def _heard(station: Station, samples: Sequence[Sample]) -> bool:
    """Whether the device answered: something good came, or it says itself that it had nothing new."""
    if samples:
        return any(code < FIRST_BAD for sample in samples for code in sample.codes)
    return isinstance(station.device, Excusing) and not station.device.failure


def _polled(station: Station) -> Polled:
    if not isinstance(station.device, Polled):
        raise TypeError(f"{station.id} talks by itself and cannot be polled")
    return station.device


def _pushing(station: Station) -> Pushing:
    if not isinstance(station.device, Pushing):
        raise TypeError(f"{station.id} must be polled")
    return station.device
