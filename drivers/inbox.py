"""What has arrived on a link and nobody has read yet: bounded, with the time of its first byte."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from drivers.alarm import SHORT_S, Alarm
from drivers.errors import LinkLost

LIMIT_BYTES: Final = 16384


class Inbox:
    """Bytes between the event loop's callback and the one task that owns the link.

    Holds at most `LIMIT_BYTES`; of more, the oldest are thrown away and counted in `overrun_bytes`, because a line
    that talks faster than it is read holds nothing worth keeping. With an `alarm` short waits end to the microsecond.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, alarm: Alarm | None = None) -> None:
        self._alarm = alarm if alarm is not None and alarm.works else None
        self.overrun_bytes = 0
        self._loop = loop
        self._data = bytearray()
        self._t_first_s = 0.0
        self._lost: LinkLost | None = None
        self._waiter: asyncio.Future[None] | None = None

    def put(self, data: bytes) -> None:
        """`data` has arrived now; nothing, if it is empty."""
        if not data:
            return
        if not self._data:
            self._t_first_s = self._loop.time()
        self._data += data
        surplus = len(self._data) - LIMIT_BYTES
        if surplus > 0:
            del self._data[:surplus]
            self.overrun_bytes += surplus
        self._wake()

    def lose(self, lost: LinkLost) -> None:
        """The link is gone: whoever reads gets what is left, then `lost`. The first loss counts."""
        if self._lost is None:
            self._lost = lost
            self._wake()

    @property
    def lost(self) -> LinkLost | None:
        """Why the link is gone, if it is."""
        return self._lost

    def take(self) -> tuple[bytes, float]:
        """Everything that is here, with the loop time of its first byte; `(b"", now)` if there is nothing."""
        if not self._data:
            return b"", self._loop.time()
        data = bytes(self._data)
        self._data.clear()
        return data, self._t_first_s

    async def read(self, timeout_s: float) -> tuple[bytes, float]:
        """As `Link.read`. Raises `LinkLost`."""
        if not self._data and self._lost is None and timeout_s > 0:
            self._waiter = self._loop.create_future()
            stop = self._wake_in(timeout_s)
            try:
                await self._waiter
            finally:
                self._waiter = None
                stop()
        if not self._data and self._lost is not None:
            raise LinkLost(self._lost.fact, endpoint=self._lost.endpoint)
        return self.take()

    def _wake_in(self, wait_s: float) -> Callable[[], None]:
        """Wake the reader then; returns what calls that off."""
        if self._alarm is None or wait_s > SHORT_S:
            return self._loop.call_later(wait_s, self._wake).cancel
        self._alarm.set(wait_s, self._wake)
        return self._alarm.stop

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
