"""The composition root: builds every object, owns the only top-level TaskGroup, handles signals.

Reading `Daemon.__init__` from top to bottom is reading the gateway: clock, journal, pipeline, sinks, wires, socket.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from drivers.device import Pushing
from gateway import __version__
from gateway.alarms import Alarms
from gateway.archive import keep_sealed, open_archive
from gateway.catalogue import worded
from gateway.clock import Clock, SystemClock, boot_id, stamp_ms
from gateway.codec import Codec
from gateway.config import Bus
from gateway.config.duration import seconds, size_bytes
from gateway.config.load import Loaded
from gateway.desk import AGAIN, Desk
from gateway.fitting import fitted
from gateway.health import Health, journal_facts, left_aside, record_line
from gateway.heard import Heard
from gateway.history import history
from gateway.inventory import described, inventory, personal_ids
from gateway.local import LocalSocket
from gateway.notify import notify, watchdog_s
from gateway.numbers import next_epoch
from gateway.outlet import outlet
from gateway.poller import PolledWire, PushWire, Station, Wire
from gateway.pulse import Pulse
from gateway.reading import Event
from gateway.record import Record
from gateway.retention import Retention
from gateway.shipper import Shipper
from gateway.sinks import SinkDown, Site
from gateway.steering import Steering
from gateway.troubles import Troubles
from gateway.wiring import wiring

LOG: Final = logging.getLogger("citygate")
HEALTH_S: Final = 30.0
STALLED_S: Final = 30.0


class Daemon:
    """A gateway, built from its config. `run` returns when `stop` was called."""

    def __init__(self, loaded: Loaded, *, clock: Clock, dry_run: bool = False, command: Sequence[str] = ()) -> None:
        config = loaded.config
        self.clock = clock
        self.state_dir = Path(config.gateway.state_dir)
        self.items = inventory(config, profiles_dir=loaded.profiles_dir)
        self.journal = open_archive(
            self.state_dir / "journal", cap_bytes=size_bytes(config.journal.cap), stamp=partial(stamp_ms, clock)
        )
        codec = Codec(self.journal.marks)
        self.epoch = next_epoch(self.journal.marks, secrets.token_hex(2))
        self.series = tuple(series for item in self.items for series in item.series.values())
        self.pipeline, self.windows = fitted(
            loaded, self.items, clock=clock, journal=self.journal, codec=codec, epoch=self.epoch
        )
        self.site = self._site(loaded)
        self.shippers = () if dry_run else tuple(self._shipper(name, loaded, codec) for name in config.sink)
        self.wires = tuple(self._wire(name, bus) for name, bus in config.bus.items())
        self.health = self._health()
        self.local = LocalSocket(self.state_dir / "citygate.sock", snapshot=self.health.snapshot, answer=self._answer)
        self.alarms = Alarms(
            config, self.items, clock=clock, journal=self.journal, tell=self.pipeline.event, dated=self.pipeline.dated
        )
        self.pipeline.listeners += [*(shipper.offer for shipper in self.shippers), self.health.note, self._publish]
        self.troubles = Troubles(self.journal, say=self._say, stations=[item.id for item in self.items])
        for wire in self.wires:
            wire.strangers |= self.troubles.strangers & {station.id for station in wire.stations}
        self.pipeline.listeners += [self.troubles.note, self.alarms.note]  # the last may journal an event of its own
        self.pulse = self._pulse(loaded, codec)
        self.steering = Steering(
            wires=self.wires,
            shippers=self.shippers,
            pipeline=self.pipeline,
            health=self.health,
            rest=self.rest,
            history=partial(history, journal=self.journal, codec=codec),
        )
        self.desk = Desk(command, event=self.pipeline.event, now_ms=clock.wall_ms, stop=self.stop)
        self._pollers: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    def _pulse(self, loaded: Loaded, codec: Codec) -> Pulse:
        retention = Retention(
            journal=self.journal,
            codec=codec,
            lanes={shipper.name: shipper.lanes for shipper in self.shippers},
            tell=self.pipeline.event,
            let_go=self.pipeline.let_go,
            keep_ms=round(seconds(loaded.config.journal.keep) * 1000),
        )
        pulse = Pulse(
            pipeline=self.pipeline, journal=self.journal, shippers=self.shippers, retention=retention, clock=self.clock
        )  # fmt: skip
        pulse.period_s = seconds(loaded.config.journal.commit)
        pulse.remember = Heard(self.journal, self.wires, hurry=self.pipeline.urgent).mark
        return pulse

    def _site(self, loaded: Loaded) -> Site:
        gateway = loaded.config.gateway
        place = gateway.location
        return Site(
            city=gateway.city,
            gateway=gateway.id,
            version=__version__,
            boot=boot_id(),
            epoch=self.epoch,
            config_hash=loaded.hash,
            name=gateway.name,
            location=None if place is None else {"latitude": place.latitude, "longitude": place.longitude},
            series=self.series,
            devices=described(self.items),
            streams=("raw", *loaded.config.windows.lengths, "event"),
        )

    def _shipper(self, name: str, loaded: Loaded, codec: Codec) -> Shipper:
        shipper = outlet(
            name,
            loaded,
            personal=personal_ids(self.items),
            journal=self.journal,
            codec=codec,
            pipeline=self.pipeline,
            site=self.site,
            clock=self.clock,
        )
        shipper.say = self._say("sink")
        return shipper

    def _wire(self, name: str, bus: Bus) -> Wire:
        items = [item for item in self.items if item.config.bus == name]
        made = wiring(bus, items)
        stations = [
            Station(item.id, item.every_s, item.series, device, silence_s=item.profile.silence_s)
            for item, device in zip(items, made.drivers, strict=True)
        ]
        take, say = self.pipeline.take, self._say("link")
        if any(isinstance(station.device, Pushing) for station in stations):
            return PushWire(name, link=made.link, stations=stations, take=take, say=say)
        return PolledWire(name, way=made.way, stations=stations, take=take, say=say)

    def _health(self) -> Health:
        return Health(
            gateway={
                "id": self.site.gateway,
                "city": self.site.city,
                "name": self.site.name,
                "location": self.site.location,
                "version": __version__,
                "epoch": self.epoch,
                "streams": list(self.site.streams),
            },
            series=self.series,
            state_dir=self.state_dir,
            now_ms=self.clock.wall_ms,
            mono_s=lambda: self.clock.mono_ns() / 1e9,
            trusted=self.clock.trusted,
            seen=self.pipeline.seen,
            buses=lambda: {wire.name: wire.report() for wire in self.wires},
            sinks=lambda: {shipper.name: shipper.report() for shipper in self.shippers},
            journal=lambda: journal_facts(self.journal),
            windows=lambda: left_aside(self.windows, undated=self.pipeline.undated_lost),
            started_s=self.clock.mono_ns() / 1e9,
            labels=self.site.devices,
        )

    def _say(self, kind: str) -> Callable[[str, str, str, str], None]:
        """What wires and sinks call to raise or clear their alarm: (name, code, state, fact)."""

        def say(name: str, code: str, state: str, fact: str) -> None:
            ident = f"{kind}-{name}-{code}"
            text = worded(code, name=name, seen=fact, over=state == "cleared")
            self.pipeline.event(
                Event("_gateway", self.clock.wall_ms(), ident, kind, code, state, 1 + (state == "raised"), text)
            )

        return say

    def _publish(self, _position: int, record: Record | None) -> None:
        if record is not None and self.local.watched:
            self.local.publish({"record": {**record_line(record), "epoch": record.epoch}})

    async def _answer(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if request.get("ask") in ("live-code", "unlock", "desk"):
            return await self.desk.answer(request)
        return await self.steering.answer(request)

    def stop(self) -> None:
        """Ask for the end; `run` returns soon after."""
        self._stopping.set()

    async def run(self) -> None:
        """Everything at once, until the end is asked for; then polling stops, the journal commits, sinks close."""
        for wire in self.wires:
            wire.start_grid(self.clock.wall_ms())
        await self.local.open()
        tasks = {"pulse": self.pulse.run, "health": self._report, "watchdog": self._watchdog, "recall": self._remember}
        tasks["seal"] = partial(keep_sealed, self.journal)
        tasks |= {"alarms": self.alarms.run, "troubles": self.troubles.run}
        tasks |= {f"ship:{one.name}": one.run for one in self.shippers}
        try:
            async with asyncio.TaskGroup() as group:
                self._pollers = [group.create_task(_forever(w.run), name=f"poll:{w.name}") for w in self.wires]
                others = [group.create_task(_forever(work), name=name) for name, work in tasks.items()]
                notify("READY=1")
                LOG.info("citygate %s is %s, epoch %s", __version__, self.site.gateway, self.epoch)
                await self._stopping.wait()
                if not self.desk.again:
                    notify("STOPPING=1")
                await self.rest()
                for task in others:
                    task.cancel()
        finally:
            await self.local.close()
            await self.pulse.commit()
            await self.journal.close()

    async def rest(self) -> None:
        """Stop polling and commit; what is in the journal stays there for the sinks."""
        for task in self._pollers:
            task.cancel()
        await asyncio.gather(*self._pollers, return_exceptions=True)
        await self.pulse.commit()

    async def _report(self) -> None:
        while True:
            report = self.health.report()
            self.local.publish({"health": report})
            for shipper in self.shippers:
                if shipper.state == "up":
                    try:
                        await shipper.sink.health(report)
                    except SinkDown as down:
                        LOG.debug("sink %s missed a health report: %s", shipper.name, down)
            await asyncio.sleep(HEALTH_S)

    async def _remember(self) -> None:
        """Open windows and rolling figures out of the journal, beside the polling."""
        while True:
            while (recall := self.pipeline.recall) is not None:
                self.pipeline.remember(await asyncio.to_thread(recall.read))
            await asyncio.sleep(1.0)  # until the clock is stepped back

    async def _watchdog(self) -> None:
        """Fed by progress alone: the pulse has committed, and every wire's task has shown a sign of life."""
        every_s = watchdog_s()
        loop = asyncio.get_running_loop()
        while True:
            beats = [self.pulse.beat_s, *(wire.beat_s for wire in self.wires if wire.stations)]
            if every_s is not None and loop.time() - min(beats) < STALLED_S:
                notify("WATCHDOG=1")
            await asyncio.sleep(min(every_s or HEALTH_S, 5.0))


async def _forever(work: Callable[[], Awaitable[None]]) -> None:
    """The task supervisor: a task that dies of a bug is reported and started again, never silently gone."""
    while True:
        try:
            await work()
        except Exception:
            task = asyncio.current_task()
            LOG.exception("task %s died of a bug; it starts again [CG-SYS-01]", task and task.get_name())
        await asyncio.sleep(1.0)


def _held() -> None:
    """Never called: a signal that comes while the gateway is built waits for the loop, and finds `stop` there."""


async def _main(loaded: Loaded, *, once: bool, dry_run: bool, command: Sequence[str]) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _held)
    daemon = Daemon(loaded, clock=SystemClock(loaded.config.clock.trust), dry_run=dry_run, command=command)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop)
    if not once:
        await daemon.run()
        return AGAIN if daemon.desk.again else 0
    ended = asyncio.create_task(daemon.steering.once(daemon.series, end=daemon.stop), name="once")
    await daemon.run()
    return await ended


def run(loaded: Loaded, *, once: bool = False, dry_run: bool = False, command: Sequence[str] = ()) -> int:
    """The daemon as a process; its exit code, or `AGAIN`. Raises `JournalError` where its state cannot be opened."""
    return asyncio.run(_main(loaded, once=once, dry_run=dry_run, command=command))
