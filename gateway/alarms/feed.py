"""Feeds: from readings or windows to the one number that an alarm watches. None: this says nothing about it."""

from __future__ import annotations

from collections import deque
from math import isfinite
from typing import Final

from drivers.sample import FIRST_BAD, Code
from gateway.indicators.energy import forecast_demand_kw
from gateway.reading import LENGTHS_S, Aggregate, Reading, Series
from gateway.rises import ceiling, fastest

BINS: Final = 60
BLOCK_S: Final = 900
FROM_S: Final = 180  # of a block: before, its forecast is mostly guess
EDGE_S: Final = 60  # a block whose first register reading came later is not forecast
REGISTERS: Final = ("energy_import", "energy_total")


class PointFeed:
    """A point's value, where it is good or uncertain: an alarm that waits for certainty would miss the flood."""

    def __init__(self, series: Series, point: str) -> None:
        self._index = [one.name for one in series.points].index(point)

    def reading(self, reading: Reading) -> float | None:
        """The value of this reading."""
        value = reading.values[self._index]
        return value if reading.codes[self._index] < FIRST_BAD and isfinite(value) else None


class FigureFeed:
    """A city figure of the windows: of `stream`, or of the shortest windows that carry it."""

    def __init__(self, figure: str, stream: str | None) -> None:
        self._figure = figure
        self._length_s = None if stream is None else LENGTHS_S[stream]
        self._fixed = stream is not None

    def aggregate(self, aggregate: Aggregate) -> float | None:
        """The figure of this window."""
        value = next((one.value for one in aggregate.indicators if one.name == self._figure), None)
        length_s = LENGTHS_S[aggregate.stream]
        if value is None or not isfinite(value):
            return None
        if not self._fixed:
            self._length_s = min(length_s, self._length_s or length_s)
        return value if length_s == self._length_s else None


class Change:
    """How far a number rose (`sign` 1) or fell (-1) within `within_s`.

    Means of sixtieths of that time are compared, the newest with the lowest (or highest): single values are noise.
    Time without values is left out; before half of `within_s` has been seen there is no change to tell.
    """

    def __init__(self, sign: int, within_s: float) -> None:
        self._sign = sign
        self._bin_s = within_s / BINS
        self._bins: deque[tuple[int, float, int]] = deque(maxlen=BINS + 1)  # number of the bin, sum, count

    def change(self, value: float, t_s: float) -> float | None:
        """With one more value: the change in the direction that is watched."""
        at = int(t_s // self._bin_s)
        while self._bins and (self._bins[0][0] < at - BINS or self._bins[-1][0] > at):
            self._bins.popleft()
        if self._bins and self._bins[-1][0] == at:
            _, total, count = self._bins.pop()
            self._bins.append((at, total + value, count + 1))
        else:
            self._bins.append((at, value, 1))
        if at - self._bins[0][0] < BINS // 2:
            return None
        means = [self._sign * total / count for _, total, count in self._bins]
        return means[-1] - min(means)


class DemandFeed:
    """The forecast of the running 15-minute block in kW: (kWh so far + present kW x hours left) x 4.

    Blocks are clock-aligned. None before minute 3, without the register of the block's start, or after a register
    that fell or leapt in it. `ended` is true once, when a new block has begun.
    """

    def __init__(self, series: Series, *, rated_kw: float | None) -> None:
        names = [point.name for point in series.points]
        register = next(name for name in REGISTERS if name in names)
        self._register, self._power = names.index(register), names.index("power_active")
        self._per_s = fastest(series.points[self._register], rated_kw=rated_kw)
        self._block = -1
        self._begun: float | None = None
        self._last: tuple[float, int] | None = None
        self.ended = False

    def reading(self, reading: Reading) -> float | None:
        """The forecast with this reading."""
        if max(reading.codes[self._register], reading.codes[self._power]) >= FIRST_BAD:
            return None
        kwh, watts, t_ms = reading.values[self._register], reading.values[self._power], reading.t_ms
        block, into_ms = divmod(t_ms, BLOCK_S * 1000)
        before, self._last = self._last, (kwh, t_ms)
        broken = before is not None and self._leapt(before, kwh, t_ms)
        broken |= reading.codes[self._register] == Code.JUMP  # it came back from a fall
        if block != self._block:
            self.ended = self._block >= 0
            self._block, self._begun = block, self._edge(before, kwh, into_ms)
        if broken:
            self._begun = None
        if self._begun is None or into_ms < FROM_S * 1000:
            return None
        return forecast_demand_kw(kwh - self._begun, kw=watts / 1000, into_s=into_ms / 1000, block_s=BLOCK_S)

    def over(self, since_ms: int, now_ms: int) -> bool:
        """Whether the block that was forecast at `since_ms` or later has ended, with a minute for late readings."""
        block = max(self._block, since_ms // (BLOCK_S * 1000))
        return now_ms >= ((block + 1) * BLOCK_S + EDGE_S) * 1000

    def _leapt(self, before: tuple[float, int], kwh: float, t_ms: int) -> bool:
        rise = kwh - before[0]
        return rise < 0 or (self._per_s is not None and rise > ceiling(self._per_s, (t_ms - before[1]) / 1000))

    def _edge(self, before: tuple[float, int] | None, kwh: float, into_ms: int) -> float | None:
        """The register at the block's start: between the readings on both sides of it, or read soon behind it."""
        start_ms = self._block * BLOCK_S * 1000
        if before is not None and start_ms - before[1] <= EDGE_S * 1000:
            share = (start_ms - before[1]) / (start_ms + into_ms - before[1])
            return before[0] + (kwh - before[0]) * share
        return kwh if into_ms <= EDGE_S * 1000 else None
