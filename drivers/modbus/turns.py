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

    A turn is free for the taking (`held += 1`) when nobody is `waiting` and fewer than the limit hold one. The queue is
    as long as the number of tasks that wait in `take`, hence bounded by the devices of the wire.
    """

    __slots__ = ("_count", "held", "waiting")

    def __init__(self) -> None:
        self.held = 0
        self.waiting: list[tuple[int, int, int, asyncio.Future[None]]] = []
        self._count = 0

    async def take(self, priority: int, *, limit: int) -> None:
        """Wait for a turn; `give` it back."""
        if not self.waiting and self.held < limit:
            self.held += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self.waiting, (priority, self._count, limit, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give()
            raise

    def give(self) -> None:
        """The turn is over; whoever is next and fits goes on."""
        self.held -= 1
        while self.waiting:
            _, _, limit, turn = self.waiting[0]
            if turn.cancelled():
                heapq.heappop(self.waiting)
            elif self.held < limit:
                heapq.heappop(self.waiting)
                self.held += 1
                turn.set_result(None)
            else:
                break
