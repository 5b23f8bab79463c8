"""An event loop on virtual time: its clock stands still while anything is ready and jumps to the next timer otherwise.

Hours of bus time pass in seconds. Only for runs without real sockets and threads: something outside that nobody waits
for in real time would be overtaken by the clock.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jump(selectors.DefaultSelector):
    """Never waits: where nothing is ready, time moves on instead."""

    def __init__(self) -> None:
        super().__init__()
        self.jump: Callable[[], None] = lambda: None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("nothing is ready and no timer is set: this would wait for ever")
        self.jump()
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` starts at `start_s` and moves only from timer to timer."""

    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, start_s: float = 1000.0) -> None:
        selector = _Jump()
        super().__init__(selector)
        selector.jump = self.jump
        self._now_s = start_s
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Virtual seconds."""
        return self._now_s

    def jump(self) -> None:
        """To the earliest timer."""
        self._now_s = max(self._now_s, self._scheduled[0].when())


def run(coroutine: Coroutine[Any, Any, T], *, start_s: float = 1000.0) -> T:
    """`asyncio.run` on virtual time."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(start_s)) as runner:
        return runner.run(coroutine)
