"""A wire lent to a technician's tool: its owner lets go of it, and takes it back when the time is over.

Never two masters on a wire: the tool asks through the local socket, the owner closes the link before it says yes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from drivers.errors import LinkBusy

LONGEST_S: Final = 3600.0


class Loan:
    """Whether a wire is lent, until when (loop time), and the work that has to stop for it."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._until_s = 0.0
        self._work: asyncio.Future[None] | None = None

    @property
    def lent(self) -> bool:
        """Whether a tool has the wire now."""
        return asyncio.get_running_loop().time() < self._until_s

    async def lend(self, for_s: float) -> None:
        """Stop the owner's work for `for_s` seconds, at most an hour; 0 gives the wire back."""
        self._until_s = asyncio.get_running_loop().time() + min(for_s, LONGEST_S) if for_s > 0 else 0.0
        if for_s > 0 and self._work is not None:
            self._work.cancel()
            await asyncio.wait([self._work])

    def check(self) -> None:
        """Raises `LinkBusy` while the wire is lent."""
        if self.lent:
            raise LinkBusy("lent to a technician's tool", endpoint=self._endpoint)

    async def work(self, serve: Callable[[], Awaitable[None]]) -> None:
        """Run `serve` until it ends or the wire is lent. Raises `LinkBusy` then, and what `serve` raises."""
        self.check()  # it may have been lent while the link was being opened
        task = self._work = asyncio.ensure_future(serve())
        try:
            await asyncio.wait([task])
        finally:
            self._work = None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if task.cancelled():
            self.check()
        task.result()
