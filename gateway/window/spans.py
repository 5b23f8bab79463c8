"""A bounded set of half-open spans of time: which windows were issued, long after the windows themselves are gone."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

LIMIT: Final = 4096  # each step of the clock may leave one


class Spans:
    """Disjoint spans [low, high), ascending. Adding one that adjoins is cheap; the oldest go beyond `LIMIT`."""

    __slots__ = ("_highs", "_lows")

    def __init__(self) -> None:
        self._lows: list[int] = []
        self._highs: list[int] = []

    def add(self, low: int, high: int) -> None:
        """Add [low, high), which overlaps none of those held or equals a part of one."""
        at = bisect_right(self._lows, low)
        if at and low <= self._highs[at - 1]:
            self._highs[at - 1] = max(self._highs[at - 1], high)
            at -= 1
        else:
            self._lows.insert(at, low)
            self._highs.insert(at, high)
        if at + 1 < len(self._lows) and self._lows[at + 1] <= self._highs[at]:
            self._highs[at] = max(self._highs[at], self._highs.pop(at + 1))
            del self._lows[at + 1]
        if len(self._lows) > LIMIT:
            del self._lows[0], self._highs[0]

    def covers(self, at_ms: int) -> bool:
        """Whether a span holds `at_ms`."""
        at = bisect_right(self._lows, at_ms)
        return bool(at) and at_ms < self._highs[at - 1]
