"""Where the readings of one base window wait: packed as they come, eight bytes a value and one a code."""

from __future__ import annotations

from array import array
from struct import Struct
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gateway.reading import Reading
from gateway.window.piece import Floats, Ints, counted, mask_of

Packed: TypeAlias = "NDArray[np.int32] | Floats"
LIMIT_ROWS: Final = 6_000  # per base window: 100 a second where it is a minute; more are counted, not kept
_NOTHING: Final = np.iinfo(np.int32).min


class Buffer:
    """Rows of one base window of one series. `add` costs about 2 us for 60 values; nothing is boxed afterwards."""

    __slots__ = ("_codes", "_pack", "_times", "_values", "rows")

    def __init__(self, pack: Struct) -> None:
        self._pack = pack.pack
        self._values = bytearray()
        self._codes = bytearray()
        self._times = array("q")
        self.rows = 0

    def add(self, reading: Reading) -> bool:
        """Keep one reading; false where the window is full."""
        if self.rows >= LIMIT_ROWS:
            return False
        self._values += self._pack(*reading.values)
        self._codes += bytes(reading.codes)
        self._times.extend((reading.t_ms, reading.t_mono_ns))
        self.rows += 1
        return True

    def taken(self) -> Taken:
        """The rows as arrays, in the order they came."""
        times = np.array(self._times, dtype=np.int64).reshape(self.rows, 2)
        values = np.frombuffer(self._values, dtype=np.float64).reshape(self.rows, -1)
        codes = np.frombuffer(self._codes, dtype=np.uint8).reshape(self.rows, -1)
        return Taken(counted(values, codes), mask_of(codes), times)


class Taken:
    """Rows of one base window as arrays: counted values, the mask of codes, and (t_ms, t_mono_ns) of each row.

    Rows stand in the order in which they were measured, by monotonic time.
    """

    __slots__ = ("_scale", "_values", "mask", "times")

    def __init__(self, values: Floats, mask: NDArray[np.uint32], times: Ints) -> None:
        mono = times[:, 1]
        if (mono[1:] < mono[:-1]).any():
            order = np.argsort(mono, kind="stable")
            values, times = values[order], times[order]
        self._values: Packed = values
        self._scale: Floats | None = None
        self.mask = mask
        self.times = times

    @property
    def values(self) -> Floats:
        """The counted values, NaN where a value does not count."""
        if self._scale is None:
            return np.asarray(self._values, dtype=np.float64)
        found = self._values / self._scale
        found[self._values == _NOTHING] = np.nan
        return found

    def packed(self, scale: Floats) -> None:
        """Halve the memory where it costs nothing: whole numbers of steps of 1 / `scale` that give back each value.

        A value that was rounded to its point's digits is such a whole number, and dividing it is exact again.
        """
        values = self.values
        with np.errstate(invalid="ignore"):
            steps = np.rint(values * scale)
            fits = np.abs(steps) < -float(_NOTHING)
            same = fits & (steps / scale == values)
        nothing = np.isnan(values)
        if (same | nothing).all():
            self._values = np.where(nothing, float(_NOTHING), steps).astype(np.int32)
            self._scale = scale

    def joined(self, other: Taken) -> Taken:
        """Both, in order."""
        return Taken(
            np.concatenate((self.values, other.values)),
            self.mask | other.mask,
            np.concatenate((self.times, other.times)),
        )
