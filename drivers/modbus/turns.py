"""Turns on a wire: who may send next. The most urgent first, then first come, first served."""

from __future__ import annotations

import asyncio
import heapq
from enum import IntEnum


class Priority(IntEnum):
    """Who asks: a person waits, a poll is due, or it may wait (scans, diagnosis)."""

    PERSON = 0
    POLL = 1
    IDLE = 2


class Turns:
    """At most `limit` holders at a time; a request that needs the wire for itself says limit 1.

    The queue is as long as the number of tasks that wait in `take`, hence bounded by the devices of the wire.
    """

    def __init__(self) -> None:
        self.held = 0
        self._count = 0
        self._queue: list[tuple[int, int, int, asyncio.Future[None]]] = []

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    def take_now(self, limit: int) -> bool:
        """A turn without waiting, if one is free and nobody waits."""
        if self._queue or self.held >= limit:
            return False
        self.held += 1
        return True

    async def take(self, priority: int, *, limit: int) -> None:
        """Wait for a turn; `give` it back."""
        if self.take_now(limit):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._queue, (priority, self._count, limit, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give()
            raise

    def give(self) -> None:
        """The turn is over; whoever is next and fits goes on."""
        self.held -= 1
        while self._queue:
            _, _, limit, turn = self._queue[0]
            if turn.cancelled():
                heapq.heappop(self._queue)
            elif self.held < limit:
                heapq.heappop(self._queue)
                self.held += 1
                turn.set_result(None)
            else:
                break
