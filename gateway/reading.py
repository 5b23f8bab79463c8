"""The currency above the drivers: Series, Reading, Aggregate, Event. No dicts on the hot path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from drivers.points import Point

STATISTICS: Final[Mapping[str, tuple[str, ...]]] = {
    "gauge": ("mean", "min", "max", "std", "p50", "p95"),
    "counter": ("last", "delta"),
    "count": ("sum",),
    "state": ("last", "changes"),
}
LENGTHS_S: Final[Mapping[str, int]] = {
    "5s": 5, "10s": 10, "1m": 60, "5m": 300, "10m": 600, "15m": 900, "30m": 1800, "1h": 3600, "1d": 86400,
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """An outside device: `{device}`, `{device}-lane1` ...; the fixed tuple of points that its readings carry.

    `every_ms` is the period of its slots (polls, or pushed frames by the profile's nominal interval);
    None for a stream of events. `device` is the configured device that it belongs to.
    """

    id: str
    device: str
    kind: str
    points: tuple[Point, ...]
    every_ms: int | None
    part: str = ""
    profile: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """One poll (or one event) of one series, stamped. Times: UTC in ms, and loop time (monotonic) in ns.

    `values` and `codes` run in the order of `series.points`; values are rounded to the points' digits. `t_err_s` is
    given where the time is only known to lie so far around `t_ms`.
    """

    series: Series
    t_ms: int
    t_mono_ns: int
    values: tuple[float, ...]
    codes: tuple[int, ...]
    t_err_s: float | None = None


@dataclass(frozen=True, slots=True)
class Indicator:
    """A city figure over the record's window (or `span`), by a named rule."""

    name: str
    value: float
    rule: str
    level: int | None = None
    span: str = ""
    coverage: float | None = None


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Statistics of one window of one series, [start, end) in UTC ms.

    Attributes:
        n: polls in the window that gave at least one good or uncertain value.
        coverage: share of the window's slots that hold such a poll, 0..1; None for event streams.
        stats: per point, the numbers of `STATISTICS[point.kind]` in that order; () where no value counted;
            NaN where one is undefined.
        counts: per point, how many good or uncertain values entered.
        codes: per point, the codes of inputs that were not good, worst first.
        times: per point, when the smallest and the largest value of a gauge were measured (the first time, UTC ms);
            () where there are none, and for all other kinds.
    """

    series: Series
    stream: str
    start_ms: int
    end_ms: int
    n: int
    coverage: float | None
    stats: tuple[tuple[float, ...], ...]
    counts: tuple[int, ...]
    codes: tuple[tuple[int, ...], ...]
    indicators: tuple[Indicator, ...] = ()
    rev: int = 0
    times: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened: alarm, gap, clock, link, config or sink. `body` holds the fields of its type."""

    device: str
    t_ms: int
    id: str
    type: str
    code: str
    state: str
    level: int = 1
    text: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, object] = field(default_factory=dict)
