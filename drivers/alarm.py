"""A timer finer than the event loop's: epoll counts whole milliseconds, the silence of a fast Modbus line is 1.75 ms.

Linux' timerfd counts nanoseconds and is watched like any other descriptor (timerfd_create(2)). Python has it from 3.13
on; before that the C library is called. Where there is none, the loop's own timer is as good as it gets.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

_CLOCK_MONOTONIC: Final = 1
_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC  # TFD_NONBLOCK and TFD_CLOEXEC have the same values
SHORT_S: Final = 0.05
"""Waits up to this long are worth the finer timer."""


class _Times(ctypes.Structure):
    """`struct itimerspec`: no interval, then seconds and nanoseconds until it rings; all 0 stops it."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class Alarm:
    """One timer with one listener at a time: `set` it, `stop` it, `close` it with its owner."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ring: Callable[[], None] = lambda: None
        self._loop = loop
        self._libc = ctypes.CDLL(None, use_errno=True)
        create = getattr(self._libc, "timerfd_create", None)
        self._fd: int = -1 if create is None else create(_CLOCK_MONOTONIC, _FLAGS)
        if self._fd >= 0:
            loop.add_reader(self._fd, self._rang)

    @property
    def works(self) -> bool:
        """Whether this system has such a timer."""
        return self._fd >= 0

    def set(self, wait_s: float, ring: Callable[[], None]) -> None:
        """Call `ring` once, `wait_s` from now (more than 0); a new time replaces an older one."""
        self._ring = ring
        self._settime(max(1, round(wait_s * 1e9)))

    def stop(self) -> None:
        """It does not ring any more."""
        self._ring = lambda: None
        self._settime(0)

    def close(self) -> None:
        """Give the descriptor back; harmless when closed."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _settime(self, wait_ns: int) -> None:
        if self._fd >= 0:
            times = _Times(0, 0, *divmod(wait_ns, 1_000_000_000))
            self._libc.timerfd_settime(self._fd, 0, ctypes.byref(times), None)

    def _rang(self) -> None:
        with suppress(BlockingIOError):  # stopped in the same turn of the loop
            os.read(self._fd, 8)
            self._ring()
