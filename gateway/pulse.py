"""The pulse: once a second windows close, the journal commits and keeps its cap. Events hurry it.

A commit writes records, cursors and sequence numbers together, so they always agree after a crash.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from gateway.clock import Clock, stamp_ms
from gateway.journal import Journal
from gateway.journal.errors import CommitFailed
from gateway.pipeline import Pipeline
from gateway.reading import Event
from gateway.retention import Retention
from gateway.shipper import Shipper

LOG: Final = logging.getLogger("citygate.journal")
GATHER_S: Final = 0.05  # an event waits this long for others before its commit


class Pulse:
    """Drives the pipeline's ticks and the group commits."""

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        journal: Journal,
        shippers: tuple[Shipper, ...],
        retention: Retention,
        clock: Clock,
    ) -> None:
        self.beat_s = 0.0  # loop time of the last successful commit, for the watchdog
        self.fact = ""
        self.period_s = 1.0
        self.remember: Callable[[], None] = lambda: None  # sets further marks before each commit
        self._pipeline = pipeline
        self._journal = journal
        self._shippers = shippers
        self._retention = retention
        self._clock = clock
        self._urgent = asyncio.Event()
        pipeline.urgent = self._urgent.set

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep(), name="keep")
            await self._beats()

    async def _keep(self) -> None:
        """Retention beside the beats: writing a segment anew must not hold up a commit."""
        while True:
            await asyncio.sleep(self.period_s)
            await self._retention.enforce(stamp_ms(self._clock))

    async def _beats(self) -> None:
        while True:
            self._urgent.clear()
            await self.beat(keep=False)
            try:
                async with asyncio.timeout(self.period_s):
                    await self._urgent.wait()
                    await asyncio.sleep(GATHER_S)
            except TimeoutError:
                continue

    async def beat(self, *, keep: bool = True) -> None:
        """Windows, commit, retention (with `keep`); and once more where the commit failed and retention made room."""
        self._pipeline.tick()
        failed = await self.commit()
        if (keep or failed) and await self._retention.enforce(stamp_ms(self._clock)) and failed:
            await self.commit()

    async def commit(self) -> bool:
        """One group commit; whether it failed. It is told once, by an event, and tried again at the next pulse."""
        self._pipeline.set_marks()
        self.remember()
        for shipper in self._shippers:
            self._journal.mark(f"sink:{shipper.name}", shipper.lanes.state_bytes())
        try:
            await self._journal.commit()
        except CommitFailed as error:
            if not self.fact:
                LOG.warning("the journal could not commit: %s [CG-JRN-02]", error)
                self._say("raised", "; ".join(map(str, error.causes)) or "its cap is reached")
            self.fact = str(error)
            return True
        if self.fact:
            self._say("cleared", "it commits again")
        self.fact = ""
        self.beat_s = asyncio.get_running_loop().time()
        for shipper in self._shippers:
            shipper.committed()
        return False

    def _say(self, state: str, fact: str) -> None:
        """The alarm waits in the journal's memory as all else does, and tells afterwards for how long it was so."""
        text = {"en": f"The journal: {fact}", "th": f"เจอร์นัล: {fact}"}
        level = 2 if state == "raised" else 1
        now_ms = self._clock.wall_ms()
        self._pipeline.event(Event("_gateway", now_ms, "journal-CG-JRN-02", "alarm", "CG-JRN-02", state, level, text))
