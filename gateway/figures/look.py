"""Looking into an aggregate: a statistic of a point by name, or nothing where there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Final

from gateway.indicators.air import complete
from gateway.reading import STATISTICS, Aggregate, Indicator, Series

DIGITS: Final = 6  # of a figure: what is beyond them is the noise of binary arithmetic
NEEDED: Final = 0.75  # of a window: below it no figure is given (Directive 2008/50/EC annex VII)


class Look:
    """Where the points of a series stand."""

    def __init__(self, series: Series) -> None:
        self.series = series
        self._place: Mapping[str, int] = {point.name: index for index, point in enumerate(series.points)}

    def has(self, *points: str) -> bool:
        """Whether the series has all these points."""
        return all(point in self._place for point in points)

    def first(self, points: Sequence[str]) -> str | None:
        """The first of these points that the series has."""
        return next((point for point in points if point in self._place), None)

    def stat(self, aggregate: Aggregate, point: str, *, name: str) -> float | None:
        """A statistic of a point; None where the point, its values or the statistic is missing."""
        index = self._place.get(point)
        if index is None or not aggregate.stats[index]:
            return None
        value = aggregate.stats[index][STATISTICS[self.series.points[index].kind].index(name)]
        return value if isfinite(value) else None

    def counted(self, aggregate: Aggregate, point: str) -> int:
        """How many values of a point entered."""
        index = self._place.get(point)
        return 0 if index is None else aggregate.counts[index]

    def coverage(self, aggregate: Aggregate, point: str) -> float:
        """Share of the window in which this point had a counted value; 1 for streams of events."""
        if aggregate.coverage is None:
            return 1.0
        index = self._place.get(point)
        if index is None or not aggregate.n:
            return 0.0
        return aggregate.coverage * min(1.0, aggregate.counts[index] / aggregate.n)

    def whole(self, aggregate: Aggregate, point: str, *, name: str) -> float | None:
        """As `stat`, and None too where less than 75 % of the window is covered."""
        covered = complete(round(self.coverage(aggregate, point) * 10_000), 10_000, share=NEEDED)
        return self.stat(aggregate, point, name=name) if covered else None


def told(
    name: str, value: float, *, rule: str, level: int | None = None, span: str = "", coverage: float | None = None
) -> Indicator:
    """A figure, rounded to `DIGITS`."""
    return Indicator(name, round(value, DIGITS), rule, level, span, None if coverage is None else round(coverage, 4))
