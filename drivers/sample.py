"""Sample: what one poll of one device, or one pushed frame, said. The only thing that leaves `drivers`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from math import nan
from typing import Final


class Code(IntEnum):
    """Quality codes, a closed list: 0 good, 1xx uncertain (number usable with care), 2xx bad (not to be believed)."""

    GOOD = 0
    STUCK = 101
    JUMP = 102
    WARMUP = 103
    CORRECTED = 104
    ESTIMATED = 105
    CLOCK = 106
    SUSPECT = 107
    CALIBRATION = 108
    TIMEOUT = 201
    EXCEPTION = 202
    CRC = 203
    RANGE = 204
    SENTINEL = 205
    STALE = 206
    ABSENT = 207
    SENSOR = 208

    @property
    def text(self) -> str:
        """The spelling in records: `u:stuck`, `b:timeout`; `good` for 0."""
        if self is Code.GOOD:
            return "good"
        return f"{'b' if self >= FIRST_BAD else 'u'}:{self.name.lower()}"


FIRST_BAD: Final = 200


@dataclass(frozen=True, slots=True)
class Sample:
    """Values of one poll, pushed frame or event, over the fixed tuple of points of one part of the device.

    Attributes:
        t_mono_ns: event-loop time (monotonic) at the first byte of the first answer, in ns; of the
            deadline where nothing came.
        values: one float per point, in the point's unit; NaN where there is no number at all.
        codes: one `Code` per point; with a bad code the value may hold the rejected number for the archive.
        part: "" for the whole sensor, "lane1" ..., "ch1" ... for its lanes and channels.
    """

    t_mono_ns: int
    values: tuple[float, ...]
    codes: tuple[int, ...]
    part: str = ""

    @classmethod
    def failed(cls, t_mono_ns: int, *, count: int, code: Code) -> Sample:
        """A poll that gave nothing: `count` points, all with the same bad `code`."""
        return cls(t_mono_ns, (nan,) * count, (int(code),) * count)
