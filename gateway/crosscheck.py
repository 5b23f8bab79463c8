"""Cross-checks: points of one reading against each other, and registers against the time between two readings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import nan
from typing import Final, TypeAlias

from drivers.sample import FIRST_BAD, Code
from gateway.reading import Reading, Series
from gateway.rises import ceiling, fastest

Check: TypeAlias = Callable[[Reading, list[int]], None]
"""check(reading, codes): may raise codes in place with `mark`. Checks with a memory are called once per reading."""
PARTICLES: Final = ("pm1", "pm2_5", "pm4", "pm10")  # each size class holds the ones before it
PHASES: Final = ("_l1", "_l2", "_l3")
ADDITIVE: Final = ("power_active", "power_reactive", "energy_import", "energy_export", "energy_total")
BACK: Final = 0.9  # of a fall: a step that makes good so much of it is a return
CLASSES: Final = tuple(f"vehicle_count_c{number}" for number in range(1, 9))


def mark(codes: list[int], index: int, *, code: int) -> None:
    """Raise a code; the worst stands."""
    codes[index] = max(codes[index], code)


def crossed(series: Series, *, power_share: float | None, total_share: float | None) -> list[Check]:
    """Checks of points against each other: particles always, power and totals where a share is given."""
    place = {point.name: index for index, point in enumerate(series.points)}
    sizes = [place[name] for name in PARTICLES if name in place]
    checks: list[Check] = [_nested(small, large) for small, large in pairwise(sizes)]
    if power_share is not None:
        for suffix in ("", *PHASES):
            names = [name + suffix for name in ("voltage", "current", "power_factor", "power_active")]
            if all(name in place for name in names):
                checks.append(_powered([place[name] for name in names], power_share))
    if total_share is not None:
        for base in ADDITIVE:
            names = [base, *(base + phase for phase in PHASES)]
            if all(name in place for name in names):
                checks.append(_total([place[name] for name in names], total_share, at_most=False))
        classes = [place[name] for name in CLASSES if name in place]
        if "vehicle_count" in place and classes:
            checks.append(_total([place["vehicle_count"], *classes], total_share, at_most=True))
    return checks


def _nested(small: int, large: int) -> Check:
    """A smaller size class cannot weigh more than a larger one that holds it."""

    def check(reading: Reading, codes: list[int]) -> None:
        if reading.values[small] > reading.values[large] and max(codes[small], codes[large]) < FIRST_BAD:
            mark(codes, small, code=Code.SUSPECT)
            mark(codes, large, code=Code.SUSPECT)

    return check


def _powered(columns: list[int], share: float) -> Check:
    """V x I x PF against W of one phase; the sign of the power factor is a matter of convention."""

    def check(reading: Reading, codes: list[int]) -> None:
        if max(codes[column] for column in columns) >= FIRST_BAD:
            return
        volts, amperes, factor, watts = (reading.values[column] for column in columns)
        if abs(abs(volts * amperes * factor) - abs(watts)) > share * abs(volts * amperes):
            for column in columns:
                mark(codes, column, code=Code.SUSPECT)

    return check


def _total(columns: list[int], share: float, *, at_most: bool) -> Check:
    """A total (the first column) against the sum of its parts.

    `at_most`: parts may sum to less, as vehicles that no class takes.
    """

    def check(reading: Reading, codes: list[int]) -> None:
        if max(codes[column] for column in columns) >= FIRST_BAD:
            return
        total, *parts = (reading.values[column] for column in columns)
        away = sum(parts) - total if at_most else abs(sum(parts) - total)
        if away > share * max(abs(total), *map(abs, parts)):
            for column in columns:
                mark(codes, column, code=Code.SUSPECT)

    return check


class Leap:
    """Registers that rose faster than they can: a meter that was replaced or set; the value after it is believed.

    So too a register that comes back in one step from a fall: a meter that read 0 while it booted. Such a rise may be
    slow enough for the register, and is no energy.
    """

    def __init__(self, columns: Sequence[tuple[int, float]]) -> None:
        self._rows = [(place, index, per_s, ceiling(per_s, 0.0)) for place, (index, per_s) in enumerate(columns)]
        self._last = [nan] * len(self._rows)
        self._then_ms = [0] * len(self._rows)
        self._fallen: dict[int, tuple[float, float]] = {}  # by place: from which value, and how low since

    @classmethod
    def over(cls, series: Series, *, rated_kw: float | None) -> Leap | None:
        """The check of a series' counters; None where it has none of which a fastest rise is known."""
        found = []
        for index, point in enumerate(series.points):
            per_s = fastest(point, rated_kw=rated_kw) if point.kind == "counter" else None
            if per_s is not None:
                found.append((index, per_s))
        return cls(found) if found else None

    def __call__(self, reading: Reading, codes: list[int]) -> None:
        """Mark `jump` the value in which a register has leapt."""
        last, values, t_ms, fallen = self._last, reading.values, reading.t_ms, self._fallen
        for place, index, per_s, least in self._rows:
            if codes[index] < FIRST_BAD:
                value = values[index]
                rise = value - last[place]  # NaN for the first
                if (rise < 0 or place in fallen) and self._returned(place, value):
                    mark(codes, index, code=Code.JUMP)
                if rise > least and rise > ceiling(per_s, (t_ms - self._then_ms[place]) / 1000):
                    mark(codes, index, code=Code.JUMP)
                last[place] = value
                self._then_ms[place] = t_ms

    def _returned(self, place: int, value: float) -> bool:
        """Note a fall, or whether this step makes good for one; a register that has climbed back forgets its fall."""
        last = self._last[place]
        high, low = self._fallen.get(place, (last, last))
        if value < last:
            self._fallen[place] = high, min(low, value)
            return False
        back = BACK * (high - low)
        if value - low >= back:
            del self._fallen[place]
        return value - last >= back
