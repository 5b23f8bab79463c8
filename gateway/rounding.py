"""Values as their points show them: each rounded to its digits, to the bit as `round` does, many at a time.

Scaled to whole numbers and back: n / 10^digits is the double nearest to the decimal number, which is what `round`
gives, wherever it is clear which n is meant. Where one value is too near a tie, or too large, `round` decides for all.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import hypot
from typing import Final

import numpy as np

from gateway.reading import Series

MANY: Final = 16  # fewer are quicker one by one
LARGE: Final = 1e9  # up to this the product is true to 1e-7
SQUARE: Final = LARGE * LARGE
SANE: Final = 1e140  # below it nothing here overflows: neither the product nor its square
CLEAR: Final = 0.5 - 1e-6  # further from the whole number than this may be a tie
DIGITS_MAX: Final = 9


class Rounding:
    """Rounds the values of one series; `digits` has one entry per point."""

    def __init__(self, digits: Sequence[int]) -> None:
        self._digits = tuple(digits)
        usual = len(self._digits) >= MANY and all(0 <= one <= DIGITS_MAX for one in self._digits)
        self._scale = np.array([10.0**one for one in self._digits]) if usual else None
        self._pack = struct.Struct(f"{len(self._digits)}d").pack

    def __call__(self, values: Sequence[float]) -> tuple[float, ...]:
        """The values, rounded. NaN and infinity stay what they are."""
        if self._scale is None or not hypot(*values) < SANE:  # NaN is not below anything
            return tuple(map(round, values, self._digits))
        scaled = np.frombuffer(self._pack(*values)) * self._scale  # a third of what np.array(values) takes
        whole = np.rint(scaled)
        off = np.abs(scaled - whole)
        # One dot product bounds them all: no number is larger than the root of the sum of the squares.
        if not (whole.dot(whole) < SQUARE and off[off.argmax()] < CLEAR):
            return tuple(map(round, values, self._digits))
        found: list[float] = (whole / self._scale).tolist()
        return tuple(found)


class Rounded:
    """The same for all series, each by the digits of its points."""

    def __init__(self) -> None:
        self._known: dict[Series, Rounding] = {}

    def __call__(self, series: Series, values: Sequence[float]) -> tuple[float, ...]:
        """The values of one reading of `series`, rounded."""
        found = self._known.get(series)
        if found is None:
            found = self._known[series] = Rounding([point.digits for point in series.points])
        return found(values)
