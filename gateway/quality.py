"""Quality: plausibility and trust of each value. A check marks, with a reason; it never deletes and never improves.

`Judge.judge` is Reading -> Reading: a list of checks in order, each of which may raise a point's code. The worst wins:
a bad code stands before an uncertain one, and a code that a driver gave is never taken back.
The range of a point (`Point.valid`) is always checked; all else only where a threshold is given.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf, isfinite, nan
from operator import le
from statistics import median
from sys import float_info
from typing import Final

from drivers.points import Point
from drivers.sample import FIRST_BAD, Code
from gateway.calibration import Curve
from gateway.config import options as known
from gateway.crosscheck import Check, Leap, crossed, mark
from gateway.reading import Reading, Series

SILENCES: Final = 3  # periods without an answer after which a device is taken to have been switched off


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What is implausible for one point. None: not checked.

    Attributes:
        valid: [low, high] in the point's unit, in place of the profile's (code `range`).
        stuck_s: unchanged for longer than this, in s, is `stuck`.
        jump_per_s: a change faster than this, in units per s, is `jump` (QARTOD rate of change, strictly above).
        spike: further than this from the median of the last five is `jump`.
    """

    valid: tuple[float, float] | None = None
    stuck_s: float | None = None
    jump_per_s: float | None = None
    spike: float | None = None


@dataclass(frozen=True, slots=True)
class Overrides:
    """Thresholds of one series: by point name, `warmup_s` after it was switched on, and the cross-checks.

    `power_share`: V x I x PF and W of a phase may differ by this share of V x I (0.2 = 20 %) before they are suspect;
    `total_share`: a total and the sum of its parts by this share of the larger; `rated_kw`: the circuit's power.
    `curves`: the calibration of a point.
    """

    points: Mapping[str, Thresholds]
    warmup_s: float = 0.0
    power_share: float | None = None
    total_share: float | None = None
    rated_kw: float | None = None
    curves: Mapping[str, Curve] = field(default_factory=dict)

    @classmethod
    def of(
        cls, series: Series, *, warmup_s: float, options: Mapping[str, float], curves: Mapping[str, Curve] | None = None
    ) -> Overrides:
        """From the profile's `warmup_s` and the device's options: `option_names` tells those that are known here.

        Options that belong to others (a gauge's `sensor_height`) are left alone.
        """
        rules = {point.name: _thresholds(point, options) for point in series.points}
        return cls(
            points={name: rule for name, rule in rules.items() if rule != Thresholds()},
            warmup_s=options.get("warmup_s", warmup_s),
            power_share=options.get("power_share"),
            total_share=options.get("total_share"),
            rated_kw=options.get("rated_kw"),
            curves={point.name: curves[point.name] for point in series.points if point.name in curves}
            if curves
            else {},
        )


def option_names(series: Series) -> frozenset[str]:
    """The device options that this series may have (gateway.config.options)."""
    return known.names(point.name for point in series.points)


def _thresholds(point: Point, options: Mapping[str, float]) -> Thresholds:
    low, high = point.valid or (-inf, inf)
    span = options.get(f"{point.name}_low", low), options.get(f"{point.name}_high", high)
    return Thresholds(
        valid=None if span == (low, high) else span,
        stuck_s=options.get(f"{point.name}_stuck_s"),
        jump_per_s=options.get(f"{point.name}_jump_per_s"),
        spike=options.get(f"{point.name}_spike"),
    )


_NONE: Final = Overrides({})


class Judge:
    """Judges the readings of all series; keeps what the checks need to remember (one value and time per point)."""

    def __init__(self, series: Sequence[Series], overrides: Mapping[str, Overrides] | None = None) -> None:
        given = overrides or {}
        self._judges = {one.id: _SeriesJudge(one, given.get(one.id, _NONE)) for one in series}

    def judge(self, reading: Reading) -> Reading:
        """The reading with its codes raised where a check found something; the same object where none did.

        Raises:
            KeyError: a series that was not named at the start.
        """
        return self._judges[reading.series.id].judge(reading)


class _SeriesJudge:
    """The checks of one series, in order: range of what the device said, calibration, then what is left."""

    __slots__ = ("_checks", "_curves", "_highs", "_lows", "_step", "_turning")

    def __init__(self, series: Series, given: Overrides) -> None:
        spans = [given.points[p.name].valid if p.name in given.points else None for p in series.points]
        limits = [own or point.valid or (-inf, inf) for own, point in zip(spans, series.points, strict=True)]
        self._lows = tuple(max(low, -float_info.max) for low, _ in limits)  # finite, so that inf and NaN fail
        self._highs = tuple(min(high, float_info.max) for _, high in limits)
        checks: list[Check] = []
        if given.warmup_s > 0:
            checks.append(_Warmup(series, given.warmup_s))
        for index, point in enumerate(series.points):
            checks += _checks_of(index, given.points.get(point.name, Thresholds()))
        checks += crossed(series, power_share=given.power_share, total_share=given.total_share)
        leap = Leap.over(series, rated_kw=given.rated_kw)
        self._checks: tuple[Check, ...] = tuple(checks) if leap is None else (*checks, leap)
        self._curves = [(i, given.curves[p.name]) for i, p in enumerate(series.points) if p.name in given.curves]
        self._step = [point.digits for point in series.points]
        self._turning = {index for index, point in enumerate(series.points) if point.name.startswith("wind_direction")}

    def judge(self, reading: Reading) -> Reading:
        """All checks, in order; the range first, in bulk."""
        values = reading.values
        plain = not any(reading.codes) and all(map(le, self._lows, values)) and all(map(le, values, self._highs))
        if plain and not self._checks and not self._curves:
            return reading
        codes = list(reading.codes)
        if not plain:
            self._range(reading, codes)
        if self._curves:
            reading = replace(reading, values=self._calibrated(reading, codes))
        for check in self._checks:
            check(reading, codes)
        found = tuple(codes)
        return reading if found == reading.codes else replace(reading, codes=found)

    def _range(self, reading: Reading, codes: list[int]) -> None:
        """A number that is none is `sentinel`; one outside of the device's range is `range`."""
        for index, (value, low, high) in enumerate(zip(reading.values, self._lows, self._highs, strict=True)):
            if not low <= value <= high and codes[index] < FIRST_BAD:
                codes[index] = int(Code.RANGE if isfinite(value) else Code.SENTINEL)

    def _calibrated(self, reading: Reading, codes: list[int]) -> tuple[float, ...]:
        """True values of what was not rejected; a rejected number stays as the device said it.

        What the certificate does not cover, and what leaves the device's range by it, is `calibration`. A direction
        goes around at 360 deg.
        """
        values = list(reading.values)
        for index, curve in self._curves:
            if codes[index] >= FIRST_BAD:
                continue
            raw = values[index]
            true = round(curve.true(raw), self._step[index])
            if index in self._turning:
                true %= 360.0
            if not isfinite(true):  # a curve that leads beyond all numbers: the raw one stays, and is not believed
                mark(codes, index, code=Code.RANGE)
                continue
            values[index] = true
            if curve.doubted(raw, reading.t_ms) or not self._lows[index] <= true <= self._highs[index]:
                mark(codes, index, code=Code.CALIBRATION)
        return tuple(values)


def _checks_of(index: int, given: Thresholds) -> list[Check]:
    checks: list[Check] = []
    if given.stuck_s is not None:
        checks.append(_Stuck(index, given.stuck_s))
    if given.jump_per_s is not None:
        checks.append(_Jump(index, given.jump_per_s))
    if given.spike is not None:
        checks.append(_Spike(index, given.spike))
    return checks


class _Stuck:
    """Unchanged for longer than `limit_s`."""

    def __init__(self, index: int, limit_s: float) -> None:
        self._index = index
        self._limit_ns = int(limit_s * 1e9)
        self._value = nan
        self._since_ns = 0

    def __call__(self, reading: Reading, codes: list[int]) -> None:
        if codes[self._index] >= FIRST_BAD:
            return
        value = reading.values[self._index]
        if value != self._value:
            self._value, self._since_ns = value, reading.t_mono_ns
        elif reading.t_mono_ns - self._since_ns > self._limit_ns:
            mark(codes, self._index, code=Code.STUCK)


class _Jump:
    """A change from the last value that was not bad faster than `limit` units per s.

    A value that was itself marked counts too: after a step the next value is compared with the new level.
    """

    def __init__(self, index: int, limit: float) -> None:
        self._index = index
        self._limit = limit
        self._last: tuple[float, int] | None = None

    def __call__(self, reading: Reading, codes: list[int]) -> None:
        if codes[self._index] >= FIRST_BAD:
            return
        value, t_ns = reading.values[self._index], reading.t_mono_ns
        if self._last is not None and t_ns > self._last[1]:
            rate = abs(value - self._last[0]) / ((t_ns - self._last[1]) / 1e9)
            if rate > self._limit:
                mark(codes, self._index, code=Code.JUMP)
        self._last = value, t_ns


class _Spike:
    """Away from the median of the last five values that were not bad by more than `limit`, the marked ones with them.

    So a real step is believed after three. Unlike a comparison with both neighbours in time it marks the spike itself,
    at once.
    """

    def __init__(self, index: int, limit: float) -> None:
        self._index = index
        self._limit = limit
        self._last: deque[float] = deque(maxlen=5)

    def __call__(self, reading: Reading, codes: list[int]) -> None:
        if codes[self._index] >= FIRST_BAD:
            return
        value = reading.values[self._index]
        if len(self._last) >= 3 and abs(value - median(self._last)) > self._limit:
            mark(codes, self._index, code=Code.JUMP)
        self._last.append(value)


class _Warmup:
    """The first `limit_s` after the device began to answer, or answered again after a silence."""

    def __init__(self, series: Series, limit_s: float) -> None:
        self._limit_ns = int(limit_s * 1e9)
        self._silence_ns = max(SILENCES * (series.every_ms or 0), 10_000) * 1_000_000
        self._since_ns: int | None = None
        self._last_ns = 0

    def __call__(self, reading: Reading, codes: list[int]) -> None:
        if all(code >= FIRST_BAD for code in codes):
            return
        t_ns = reading.t_mono_ns
        if self._since_ns is None or t_ns - self._last_ns > self._silence_ns:
            self._since_ns = t_ns
        self._last_ns = t_ns
        if t_ns - self._since_ns < self._limit_ns:
            for index in range(len(codes)):
                mark(codes, index, code=Code.WARMUP)
