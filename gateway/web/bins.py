"""The sparkline's 24 hours: 96 quarter-hours of one point; an empty one is a gap and stays one."""

from __future__ import annotations

from array import array
from math import isnan, nan
from typing import Any, Final

COUNT: Final = 96
STEP_MS: Final = 900_000


class Bins:
    """A ring of means. Times are UTC ms; what is older than 24 h before the newest bin is ignored."""

    __slots__ = ("_counts", "_n", "_sum", "_values", "last")

    def __init__(self) -> None:
        self._values = array("d", [nan] * COUNT)
        self._counts: array[int] | None = None  # means mixed into each bin, where there are any
        self.last = -1  # number of the newest bin since 1970; -1 before the first
        self._sum, self._n = 0.0, 0

    def add(self, t_ms: int, value: float) -> None:
        """One reading: its bin gets the mean of what was added. After a backward step of the clock later bins end."""
        at = max(0, t_ms // STEP_MS)
        if at > self.last:
            self._forward(at)
        elif at < self.last:
            self._back(at)
        self._sum, self._n = self._sum + value, self._n + 1
        self._values[at % COUNT] = self._sum / self._n

    def put(self, t_ms: int, value: float | None) -> None:
        """The mean of one whole quarter-hour, which replaces what was added."""
        at = t_ms // STEP_MS
        if value is None or at <= self.last - COUNT:
            return
        if at > self.last:
            self._forward(at)
        self._values[at % COUNT] = value

    def mix(self, t_ms: int, value: float | None) -> None:
        """The mean of a part of a quarter-hour: its bin gets the mean of such means, in whatever order they come."""
        at = t_ms // STEP_MS
        if value is None or at <= self.last - COUNT:
            return
        if at > self.last:
            self._forward(at)
        if self._counts is None:
            self._counts = array("H", bytes(2 * COUNT))
        slot = at % COUNT
        before = self._values[slot]
        n = 0 if isnan(before) else self._counts[slot]
        self._counts[slot] = n + 1
        self._values[slot] = value if not n else before + (value - before) / (n + 1)

    def _forward(self, at: int) -> None:
        for number in range(max(self.last + 1, at - COUNT + 1), at + 1):
            self._values[number % COUNT] = nan
        self.last, self._sum, self._n = at, 0.0, 0

    def _back(self, at: int) -> None:
        for number in range(at + 1, min(self.last, at + COUNT) + 1):
            self._values[number % COUNT] = nan
        self.last, self._sum, self._n = at, 0.0, 0

    def shown(self) -> dict[str, Any] | None:
        """`{"t": end of the newest bin in ms, "step": ms, "y": [oldest ... newest]}`, null where there is a gap."""
        if self.last < 0:
            return None
        values = [self._values[number % COUNT] for number in range(self.last - COUNT + 1, self.last + 1)]
        y = [None if isnan(value) else float(f"{value:.5g}") for value in values]
        return {"t": (self.last + 1) * STEP_MS, "step": STEP_MS, "y": y}
