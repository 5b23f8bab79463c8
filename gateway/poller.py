"""One owner task per wire: plans, paces, asks, listens, hands samples on; decides what a failure means."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Final

from drivers.device import Acknowledging, Polled, Pushing, Unloading
from drivers.errors import LinkError
from drivers.link import Link, SerialLink, TcpLink
from drivers.sample import FIRST_BAD, Code, Sample
from gateway.due import choose, lay_out, misplaced, wake_s
from gateway.station import Station
from gateway.wire import LOG, Say, Take, Way, Wire

__all__ = ["PolledWire", "PushWire", "Station", "Way", "Wire"]

LAY_OUT_S: Final = 60.0  # between two changes of the places in a period
ASKS: Final = 8  # technicians' reads that may wait for one wire
KEPT_S: Final = 0.5  # how soon after connecting a device server has handed over what it kept
KEPT_GAP_S: Final = 0.05
KEPT_MOST_S: Final = 2.0


class PolledWire(Wire):
    """Devices that are asked, in the order of `gateway.due`; technicians' reads go between polls."""

    def __init__(self, name: str, *, way: Way, stations: Sequence[Station], take: Take, say: Say) -> None:
        super().__init__(name, way=way, stations=stations, take=take, say=say)
        self._asks: asyncio.Queue[tuple[Station, asyncio.Future[tuple[Sample, ...]]]] = asyncio.Queue(ASKS)
        self._bell: asyncio.Future[None] | None = None  # ends the sleep between two polls
        self._lay_out_s = 0.0
        self._estranged = False

    async def serve(self) -> None:
        """Poll what is due, answer what is asked, else sleep; ends where nobody but strangers answers.

        Then the port is given up and opened again: its name may have gone to another adapter, whose owner waits for it.
        """
        loop = asyncio.get_running_loop()
        self._estranged = False
        while not self._estranged:
            self.beat_s = now_s = loop.time()
            if not self._asks.empty():
                await self._answer()
                continue
            turn = choose(self.stations, now_s)
            for silent in turn.expired:
                silent.failed += 1
                self.deliver(silent, silent.failure(now_s, Code.TIMEOUT))
                self.reschedule(silent, now_s)
            if turn.station is not None:
                await self._poll(turn.station, _ask(turn.station, turn.limit_s))
                self.reschedule(turn.station, loop.time())
                continue
            if now_s >= self._lay_out_s and misplaced(self.stations):
                self._lay_out_s = now_s + LAY_OUT_S
                lay_out(self.stations)
            self._bell = loop.create_future()  # half the price of an Event, at a thousand polls a second
            timer = loop.call_at(min(wake_s(self.stations, now_s), now_s + 5.0), self._ring)
            try:
                await self._bell
            finally:
                timer.cancel()

    def _ring(self) -> None:
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    async def _poll(self, station: Station, poll: Awaitable[tuple[Sample, ...]]) -> tuple[Sample, ...]:
        loop = asyncio.get_running_loop()
        station.begin(loop.time())
        if station.slow is not None:
            self.beat_s = loop.time() + station.slow.longest_s  # until then its silence is no standstill
        try:
            samples = await poll
        except (LinkError, asyncio.CancelledError):
            if (station.proven or station.addressed is None) and isinstance(station.device, Unloading):
                self.deliver(station, station.device.left())
            raise
        self._load.busy_s += loop.time() - station.asked_s
        station.polls += 1
        heard = _heard(station, samples)
        station.spent(loop.time(), answered=heard)
        if not heard:
            station.failed += 1
        elif (not station.proven or loop.time() >= station.curious_s) and not await self._identified(station):
            samples = station.failure(loop.time(), Code.ABSENT)
        self.deliver(station, samples)
        return samples

    async def _identified(self, station: Station) -> bool:
        """Whether a device that answers is the one that was believed before."""
        findings = () if station.addressed is None else await station.addressed.identify()
        wrong = station.judge(findings, now_s=asyncio.get_running_loop().time())
        if wrong is not None and station.id not in self.strangers:
            self.strangers.add(station.id)
            self._say(station.id, "CG-BUS-06", "raised", f"{wrong.means}: {wrong.seen}")
        self._estranged = wrong is not None and not any(one.proven for one in self.stations)
        if station.proven and station.id in self.strangers:
            self.strangers.discard(station.id)
            self._say(station.id, "CG-BUS-06", "cleared", "its identity holds again")
        return station.proven

    async def _answer(self) -> None:
        station, answer = self._asks.get_nowait()
        if answer.done():  # its asker has gone
            return
        device = station.addressed
        try:
            samples = await self._poll(station, _polled(station).poll() if device is None else device.poll_now())
        except LinkError as error:
            if not answer.done():
                answer.set_exception(error)
            raise
        if not answer.done():
            answer.set_result(samples)

    async def ask(self, station: Station) -> tuple[Sample, ...]:
        """One extra poll of `station`, between the scheduled ones. Raises `LinkError`, `asyncio.QueueFull`."""
        if self.state != "up":
            raise LinkError(self.fact or "the wire is not open", endpoint=self.way.endpoint)
        answer: asyncio.Future[tuple[Sample, ...]] = asyncio.get_running_loop().create_future()
        self._asks.put_nowait((station, answer))
        self._ring()
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
        if isinstance(self.link, TcpLink):
            await self._drop_kept()
        for command in device.start():
            await self.link.write(command)
        quiet_s = max(3.0 * station.every_s, station.silence_s, 2.0)
        heard_s = loop.time()
        while True:
            self.beat_s = now_s = loop.time()
            due_s = max(heard_s + quiet_s, station.due_s) if station.every_s else now_s + 5.0
            data, first_s = await self.link.read(max(0.01, min(due_s - now_s, 5.0)))
            self._load.busy_s += len(data) * self._char_s
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

    async def _drop_kept(self) -> None:
        """Throw away what the device server kept while nobody was connected: it would be dated now.

        That is what comes within `KEPT_S` of the connection, and goes on coming without a pause.
        """
        loop = asyncio.get_running_loop()
        begin_s = loop.time()
        dropped = 0
        while (open_s := loop.time() - begin_s) < KEPT_MOST_S:
            data, _ = await self.link.read(max(KEPT_GAP_S, KEPT_S - open_s))
            dropped += len(data)
            if not data and loop.time() - begin_s >= KEPT_S:
                break
        if dropped:
            LOG.info("wire %s: %d bytes that %s had kept were dropped", self.name, dropped, self.way.endpoint)

    async def _acknowledge(self, device: Pushing) -> None:
        if isinstance(device, Acknowledging):
            while device.replies:
                await self.link.write(device.replies.popleft())


def _ask(station: Station, limit_s: float | None) -> Awaitable[tuple[Sample, ...]]:
    """A poll; in the slack of others it gives up when that is over, where the device knows how."""
    if station.addressed is None or limit_s is None:
        return _polled(station).poll()
    return station.addressed.poll_within(limit_s)


def _heard(station: Station, samples: Sequence[Sample]) -> bool:
    """Whether the device answered: something good came, or it says itself that it had nothing new."""
    if samples:
        return any(code < FIRST_BAD for sample in samples for code in sample.codes)
    return station.excusing is not None and not station.excusing.failure


def _polled(station: Station) -> Polled:
    if station.polled is None:
        raise TypeError(f"{station.id} talks by itself and cannot be polled")
    return station.polled


def _pushing(station: Station) -> Pushing:
    if not isinstance(station.device, Pushing):
        raise TypeError(f"{station.id} must be polled")
    return station.device
