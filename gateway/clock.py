"""Time: the only file that reads wall time. Schedules, timeouts and ages use monotonic time; records use UTC ms."""

from __future__ import annotations

import ctypes
import os
import time
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol

BUILD_MS: Final = 1_790_000_000_000  # 2026-09-22: no honest clock is earlier than the product
HORIZON_MS: Final = BUILD_MS + 20 * 365 * 86_400_000  # nor 20 years later
_ASK_AGAIN_NS: Final = 1_000_000_000  # the kernel is asked at most once a second
RTC_APART_MS: Final = 2000
_STA_UNSYNC: Final = 0x0040
_STA_NANO: Final = 0x2000
_TIME_ERROR: Final = 5
RTC: Final = Path("/sys/class/rtc")
SYNCHRONISED: Final = Path("/run/citygate-clock/synchronised")


class Clock(Protocol):
    """What the gateway asks about time."""

    def mono_ns(self) -> int:
        """Monotonic time in ns, on the same base as the event loop's `time()`."""

    def asleep_ns(self) -> int:
        """For how long the machine slept in this boot: monotonic time stands still meanwhile."""

    def wall_ms(self) -> int:
        """The operating system's UTC in ms, trusted or not."""

    def trusted(self) -> bool:
        """Whether `wall_ms` may stamp records: synchronised as `[clock] trust` asks, and inside the sanity window."""


class SystemClock:
    """The machine's clock, believed as `trust` says.

    "kernel": synchronised, or set by a battery clock at boot; "rtc": a hardware clock shows the same time; "system".
    """

    def __init__(self, trust: str) -> None:
        self._trust = trust
        self._asked_ns = -_ASK_AGAIN_NS
        self._synchronised = False

    def mono_ns(self) -> int:
        """CLOCK_MONOTONIC in ns; asyncio's loop runs on the same clock."""
        return time.monotonic_ns()

    def asleep_ns(self) -> int:
        """CLOCK_BOOTTIME, which counts sleep too, less CLOCK_MONOTONIC; read in this order it is never too much."""
        boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return max(0, boot_ns - time.monotonic_ns())

    def wall_ms(self) -> int:
        """UTC in ms."""
        return time.time_ns() // 1_000_000

    def trusted(self) -> bool:
        """Inside the sanity window, and where `trust` is "kernel" synchronised once since the start, or set at boot.

        A kernel that loses its time servers says so after some hours; the clock runs on as true as it was, and
        whatever steps it is seen.
        """
        if not BUILD_MS <= self.wall_ms() <= HORIZON_MS:
            return False
        if self._trust == "system" or self._synchronised:
            return True
        now_ns = time.monotonic_ns()
        if now_ns - self._asked_ns >= _ASK_AGAIN_NS:
            self._asked_ns = now_ns
            self._synchronised = rtc_agrees(self.wall_ms()) if self._trust == "rtc" else _disciplined()
        return self._synchronised


class FakeClock:
    """A clock that tests and the history replay turn by hand."""

    def __init__(self, *, wall_ms: int, mono_ns: int = 0, trust: bool = True) -> None:
        self.offset_ms = wall_ms - mono_ns // 1_000_000
        self.now_ns = mono_ns
        self.trust = trust
        self.slept_ns = 0

    def mono_ns(self) -> int:
        """The time it was turned to, in ns."""
        return self.now_ns

    def asleep_ns(self) -> int:
        """As it was told; whoever lets it sleep moves `offset_ms` too."""
        return self.slept_ns

    def wall_ms(self) -> int:
        """UTC in ms, moving with `now_ns`; `offset_ms` is stepped by tests."""
        return self.offset_ms + self.now_ns // 1_000_000

    def trusted(self) -> bool:
        """As it was told."""
        return self.trust


class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("rest", ctypes.c_long * 3),
        ("status", ctypes.c_int),
        ("more", ctypes.c_byte * 256),
    )


def kernel_synchronised() -> bool:
    """Whether the kernel says that its clock is disciplined (adjtimex(2): state not TIME_ERROR, STA_UNSYNC clear).

    Where that may not be asked, `SYNCHRONISED` says that it was in this boot (citygate-clock.service).
    """
    timex = _Timex(modes=0)
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (AttributeError, OSError):
        return False
    if state == -1:  # the service's sandbox forbids even asking
        return SYNCHRONISED.exists()
    return state != _TIME_ERROR and not timex.status & _STA_UNSYNC


def kernel_offset_s() -> float | None:
    """How far the kernel's clock still is from its time servers' (adjtimex(2): offset); None where nobody knows."""
    timex = _Timex(modes=0)
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (AttributeError, OSError):
        return None
    if state in {-1, _TIME_ERROR} or timex.status & _STA_UNSYNC:
        return None
    return float(timex.offset) / (1e9 if timex.status & _STA_NANO else 1e6)


def _disciplined() -> bool:
    return kernel_synchronised() or set_by_battery()


def rtc_agrees(wall_ms: int, clocks: Path = RTC) -> bool:
    """Whether a hardware clock (sysfs: `since_epoch`, whole seconds UTC) and the system's are at most 2 s apart."""
    for path in clocks.glob("rtc*/since_epoch"):
        try:
            if abs(int(path.read_text(encoding="ascii")) * 1000 - wall_ms) <= RTC_APART_MS:
                return True
        except (OSError, ValueError):
            continue
    return False


def set_by_battery(clocks: Path = RTC) -> bool:
    """Whether the kernel took its time at boot from a hardware clock (sysfs: `hctosys` of one of them is 1).

    A hardware clock without a battery begins in 1970 or 2000: the sanity window keeps it out.
    """
    try:
        return any(path.read_text(encoding="ascii").strip() == "1" for path in clocks.glob("rtc*/hctosys"))
    except OSError:
        return False


def stamp_ms(clock: Clock) -> int:
    """UTC in ms where it is trusted, else 0: not known."""
    return clock.wall_ms() if clock.trusted() else 0


def boot_id() -> str:
    """The kernel's id of this boot, or of this process where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"pid-{os.getpid()}"


@lru_cache(maxsize=1024)
def _second(t_s: int) -> str:
    return datetime.fromtimestamp(t_s, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")


def rfc3339(t_ms: int) -> str:
    """UTC ms as RFC 3339 with three decimals and Z, the only spelling of a time that leaves the gateway."""
    t_s, rest_ms = divmod(t_ms, 1000)
    return f"{_second(t_s)}.{rest_ms:03d}Z"
