"""The shape of a simulated device: bytes in, bytes out, no clock and no port of its own.

Time comes in as `now_s` (Unix seconds, UTC, never falling), so that a test or a replay of history drives a
device as fast as it likes. What a device puts on the wire it also tells its `note`: the ground truth.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

Answers: TypeAlias = list[tuple[float, bytes]]
"""(delay_s, bytes): each leaves the device `delay_s` after the request was heard, or as soon as the line is free."""


@dataclass(frozen=True, slots=True)
class Served:
    """What one answer or frame said, as the bytes say it (after rounding to the wire's format).

    Attributes:
        device: id of the device.
        t_s: Unix time of the measurement, s.
        poll: counter of the device's answers or frames, from 1.
        values: contract point name -> value in the point's unit.
        part: "" for the whole sensor, "lane1" ... for its lanes.
        fault: what was done to the bytes on their way ("" = nothing), or "warmup" for a sensor not yet ready.
    """

    device: str
    t_s: float
    poll: int
    values: Mapping[str, float]
    part: str = ""
    fault: str = ""


class Note(Protocol):
    """Whoever keeps the ground truth."""

    def __call__(self, served: Served, /) -> None:
        """Take down what was served."""


def steady() -> Callable[[], float]:
    """A clock of Unix seconds that never falls: the wall time of now, carried on by the monotonic clock.

    Devices go on when somebody sets the computer's clock back.
    """
    begin_s = time.time() - time.monotonic()
    return lambda: begin_s + time.monotonic()


def forget(_served: Served) -> None:
    """The note of a device that nobody keeps a ground truth of."""


@runtime_checkable
class Simulated(Protocol):
    """What every simulated device has: an id and a place to tell the truth to."""

    note: Note

    @property
    def name(self) -> str:
        """Id of the device."""


@runtime_checkable
class Asked(Simulated, Protocol):
    """A device (or a line of them) that answers requests."""

    def hear(self, data: bytes, now_s: float) -> Answers:
        """Answers to whatever bytes just arrived; empty while a request is incomplete or not for it."""


@runtime_checkable
class Tuned(Simulated, Protocol):
    """A device whose UART changes its speed."""

    def baud_at(self, now_s: float) -> int:
        """The speed that it has now; 0 = that of its line."""


@runtime_checkable
class Speaking(Simulated, Protocol):
    """A device that talks by itself."""

    def speak(self, now_s: float) -> tuple[bytes, float]:
        """The bytes due now (empty when none are), and the Unix time at which to ask again."""
