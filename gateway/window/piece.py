"""The numbers of one series over one window, in a form that merges: pieces of short windows make those of long ones.

All statistics are one numpy call over all points of a series (rows are polls, columns are points).
Excluded values (bad code, not finite) are NaN; sorting puts them last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from drivers.sample import FIRST_BAD, Code
from gateway.reading import Series
from gateway.window.registers import Registers

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
_EMPTY: Final[Floats] = np.zeros(0)
_ORDER: Final = tuple(sorted((code for code in Code if code), reverse=True))  # worst first
_JUMPED: Final = 1 << _ORDER.index(Code.JUMP)


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns of a series by the kind of their points.

    `running` are counters and then states, of which the first and last value matter; `turning` counts within the
    gauges: directions in degrees, which have unit-vector means.
    """

    count: int
    gauge: Ints
    counter: Ints
    amount: Ints
    state: Ints
    running: Ints
    turning: Ints
    registers: Registers

    def of_gauges(self, row: Ints) -> Ints:
        """The gauges' part of a row over all points."""
        return row if len(self.gauge) == self.count else row[self.gauge]

    @classmethod
    def of(cls, series: Series, moduli: Mapping[str, float]) -> Layout:
        """The layout of a series' fixed tuple of points; `moduli` of its counters, where they are known."""

        def columns(kind: str) -> Ints:
            return np.array([i for i, p in enumerate(series.points) if p.kind == kind], dtype=np.int64)

        gauge = columns("gauge")
        turning = [k for k, i in enumerate(gauge) if series.points[i].name.startswith("wind_direction")]
        return cls(
            count=len(series.points),
            gauge=gauge,
            counter=columns("counter"),
            amount=columns("count"),
            state=columns("state"),
            running=np.concatenate((columns("counter"), columns("state"))),
            turning=np.array(turning, dtype=np.int64),
            registers=Registers.of([point for point in series.points if point.kind == "counter"], moduli),
        )


@dataclass(slots=True)
class Piece:
    """Mergeable numbers of one window. `n` and `mask` run over all points, other arrays over those of a kind.

    Attributes:
        polls: rows that hold at least one counted value.
        slots: distinct `every` slots of these rows: their number, or the rows' times where slots straddle pieces.
        mean, m2, low, high: of the gauges; m2 is the sum of squared deviations.
        low_ms, high_ms: when the smallest and the largest were measured first, UTC ms; without meaning where there are
            none.
        sines, cosines: sums over the turning columns.
        sums: of the amounts. first, last: of the running columns.
        first_ms, last_ms: when these were measured, UTC ms; without meaning where there is no value.
        broken: counters that were reset or leapt inside the window. turned: what rollovers inside it add.
        changes: of the states.
        terms: sums for figures that need rows (gateway.window.derived).
        ordered: the gauge columns sorted, NaN last; dropped once the percentiles are taken.
        sketch: order statistics and their weights, where a longer window is too long for exact percentiles.
    """

    polls: int
    slots: int | Ints
    n: Ints
    mask: NDArray[np.uint32]
    mean: Floats
    m2: Floats
    low: Floats
    high: Floats
    low_ms: Ints
    high_ms: Ints
    sines: Floats
    cosines: Floats
    sums: Floats
    first: Floats
    last: Floats
    first_ms: Ints
    last_ms: Ints
    broken: NDArray[np.bool_]
    turned: Floats
    changes: Ints
    terms: Floats = field(default_factory=lambda: np.zeros(0))
    ordered: Floats | None = None
    sketch: tuple[Floats, Floats] | None = None


@cache
def codes_of(mask: int) -> tuple[int, ...]:
    """The codes of a mask, worst first."""
    return tuple(int(code) for index, code in enumerate(_ORDER) if mask >> index & 1)


def mask_of(codes: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Which codes other than good stand in each column."""
    mask = np.zeros(codes.shape[1], dtype=np.uint32)
    there = codes.tobytes()
    for index, code in enumerate(_ORDER):
        if code in there:
            mask[(codes == code).any(axis=0)] |= 1 << index
    return mask


def counted(values: Floats, codes: NDArray[np.uint8]) -> Floats:
    """`values` with NaN where a value must not count: a bad code, or not a finite number. Changes them in place."""
    out = ~np.isfinite(values)
    if codes.any():
        out |= codes >= FIRST_BAD
    if out.any():
        np.copyto(values, np.nan, where=out)
    return values


def measure(layout: Layout, rows: Floats, *, mask: NDArray[np.uint32], t_ms: Ints) -> Piece:
    """The piece of `rows` (counted values, in the order they were measured), with their mask and times.

    `slots` holds the times of all rows that gave a value.
    """
    there = rows == rows  # noqa: PLR0124 - false for NaN alone, and half the time of isnan
    whole = bool(there.all())
    n = np.full(layout.count, len(rows)) if whole else there.sum(axis=0)
    polled = there.any(axis=1)
    gauge = rows if len(layout.gauge) == layout.count else rows[:, layout.gauge]
    mean, m2 = _moments(gauge, layout.of_gauges(n), whole=whole)
    ordered = np.sort(gauge, axis=0)
    low = ordered[0].copy()  # a view would hold all rows
    high = ordered[np.maximum(layout.of_gauges(n) - 1, 0), np.arange(ordered.shape[1])]
    turns = np.radians(gauge[:, layout.turning])
    first, last, first_ms, last_ms = _ends(rows[:, layout.running], t_ms)
    broken, turned = _fell(layout, rows[:, layout.counter], t_ms)
    broken |= (mask[layout.counter] & _JUMPED) != 0  # it was judged with a longer memory than this window's
    return Piece(
        polls=int(polled.sum()),
        slots=t_ms[polled],
        n=n,
        mask=mask,
        mean=mean,
        m2=m2,
        low=low,
        high=high,
        low_ms=t_ms[(gauge == low).argmax(axis=0)],
        high_ms=t_ms[(gauge == high).argmax(axis=0)],
        sines=_summed(np.sin(turns)),
        cosines=_summed(np.cos(turns)),
        sums=_summed(rows[:, layout.amount]),
        first=first,
        last=last,
        first_ms=first_ms,
        last_ms=last_ms,
        broken=broken,
        turned=turned,
        changes=_changed(rows[:, layout.state]),
        ordered=ordered,
    )


def _moments(rows: Floats, n: Ints, *, whole: bool) -> tuple[Floats, Floats]:
    """Mean and sum of squared deviations per column, in two passes (no cancellation); NaN where nothing counted."""
    if whole:
        mean = rows.mean(axis=0)
        away = rows - mean
    else:
        none = np.isnan(rows)
        away = np.where(none, 0.0, rows)
        with np.errstate(invalid="ignore"):
            mean = away.sum(axis=0) / n
        away -= mean
        np.copyto(away, 0.0, where=none)
    return mean, np.einsum("ij,ij->j", away, away)


def _summed(rows: Floats) -> Floats:
    return np.asarray(np.nansum(rows, axis=0)) if rows.shape[1] else _EMPTY


def _ends(rows: Floats, t_ms: Ints) -> tuple[Floats, Floats, Ints, Ints]:
    """First and last number of each column, and their times; NaN where there is none."""
    if not rows.shape[1]:
        none = _EMPTY.astype(np.int64)
        return _EMPTY, _EMPTY, none, none
    there = ~np.isnan(rows)
    columns = np.arange(rows.shape[1])
    head, tail = there.argmax(axis=0), len(rows) - 1 - there[::-1].argmax(axis=0)
    return rows[head, columns], rows[tail, columns], t_ms[head], t_ms[tail]


def latest(rows: Floats) -> Ints:
    """For each place, the row of the last number at it or above it in its column (row 0 where there is none)."""
    index = np.where(np.isnan(rows), 0, np.arange(len(rows))[:, None])
    return np.asarray(np.maximum.accumulate(index, axis=0))


def _filled(rows: Floats) -> Floats:
    """Each NaN replaced by the last number above it in its column."""
    return rows[latest(rows), np.arange(rows.shape[1])]


def _fell(layout: Layout, rows: Floats, t_ms: Ints) -> tuple[NDArray[np.bool_], Floats]:
    """Whether each counter was reset within these rows, and what its rollovers add."""
    if not rows.shape[1]:
        return _EMPTY.astype(np.bool_), _EMPTY
    index = latest(rows)
    filled, times = rows[index, np.arange(rows.shape[1])], t_ms[index]
    broken, turned = layout.registers.falls(filled[:-1], filled[1:], elapsed_ms=times[1:] - times[:-1])
    return np.asarray(broken.any(axis=0)), np.asarray(turned.sum(axis=0))


def _changed(rows: Floats) -> Ints:
    if not rows.shape[1]:
        return _EMPTY.astype(np.int64)
    filled = _filled(rows)
    before, after = filled[:-1], filled[1:]
    return np.asarray(((after != before) & ~np.isnan(before)).sum(axis=0))
