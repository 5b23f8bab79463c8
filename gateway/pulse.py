"""The pulse: once a second windows close, the journal commits and keeps its cap. Events hurry it.

A commit writes records, cursors and sequence numbers together, so they always agree after a crash.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from gateway.clock import Clock
from gateway.journal import Journal
from gateway.journal.errors import CommitFailed
from gateway.pipeline import Pipeline
from gateway.retention import Retention
from gateway.shipper import Shipper

LOG: Final = logging.getLogger("citygate.journal")
PULSE_S: Final = 1.0
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
        self._pipeline = pipeline
        self._journal = journal
        self._shippers = shippers
        self._retention = retention
        self._clock = clock
        self._urgent = asyncio.Event()
        pipeline.urgent = self._urgent.set

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._urgent.clear()
            self._pipeline.tick()
            await self.commit()
            self._retention.enforce(self._clock.wall_ms())
            try:
                async with asyncio.timeout(PULSE_S):
                    await self._urgent.wait()
                    await asyncio.sleep(GATHER_S)
            except TimeoutError:
                continue

    async def commit(self) -> None:
        """One group commit. A failed one is told once and tried again at the next pulse."""
        self._pipeline.mark_numbers()
        for shipper in self._shippers:
            self._journal.mark(f"sink:{shipper.name}", shipper.lanes.state_bytes())
        try:
            await self._journal.commit()
        except CommitFailed as error:
            if self.fact != str(error):
                LOG.warning("the journal could not commit: %s [CG-JRN-02]", error)
            self.fact = str(error)
            return
        self.fact = ""
        self.beat_s = asyncio.get_running_loop().time()
        for shipper in self._shippers:
            shipper.committed()
