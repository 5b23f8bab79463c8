"""The numbers of one series over one window, in a form that merges: pieces of short windows make those of long ones.

All statistics are one numpy call over all points of a series (rows are polls, columns are points).
Excluded values (bad code, not finite) are NaN; sorting puts them last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from drivers.sample import FIRST_BAD, Code
from gateway.reading import Series

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
_ORDER: Final = tuple(sorted((code for code in Code if code), reverse=True))  # worst first
_BIT: Final = np.zeros(256, dtype=np.uint32)
_BIT[list(_ORDER)] = [1 << index for index in range(len(_ORDER))]


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns of a series by the kind of their points; `turning` are directions in degrees (unit-vector means)."""

    count: int
    gauge: Ints
    counter: Ints
    amount: Ints
    state: Ints
    turning: Ints

    @classmethod
    def of(cls, series: Series) -> Layout:
        """The layout of a series' fixed tuple of points."""

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
            turning=np.array(turning, dtype=np.int64),
        )


@dataclass(slots=True)
class Piece:
    """Mergeable numbers of one window. Arrays run over all points (`n`, `mask`, `first`, `last`) or those of a kind.

    Attributes:
        polls: rows that hold at least one counted value.
        slots: distinct `every` slots of these rows: their number, or the rows' times where slots straddle pieces.
        sines, cosines: sums over the turning columns.
        last_ms: when `last` was measured, UTC ms; without meaning where there is no value.
        broken: counters that fell inside the window. `changes`: per state point.
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
    sines: Floats
    cosines: Floats
    sums: Floats
    first: Floats
    last: Floats
    last_ms: Ints
    broken: NDArray[np.bool_]
    changes: Ints
    terms: Floats = field(default_factory=lambda: np.zeros(0))
    ordered: Floats | None = None
    sketch: tuple[Floats, Floats] | None = None


def codes_of(mask: int) -> tuple[int, ...]:
    """The codes of a mask, worst first."""
    return tuple(int(code) for index, code in enumerate(_ORDER) if mask >> index & 1)


def mask_of(codes: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Which codes other than good stand in each column."""
    if not codes.any():
        return np.zeros(codes.shape[1], dtype=np.uint32)
    return np.asarray(np.bitwise_or.reduce(_BIT[codes], axis=0), dtype=np.uint32)


def counted(values: Floats, codes: NDArray[np.uint8]) -> Floats:
    """`values` with NaN where a value must not count: a bad code, or not a finite number. Changes them in place."""
    if codes.any():
        values[codes >= FIRST_BAD] = np.nan
    if not np.isfinite(values).all():
        values[~np.isfinite(values)] = np.nan
    return values


def measure(layout: Layout, rows: Floats, *, mask: NDArray[np.uint32], t_ms: Ints, slots: int | Ints) -> Piece:
    """The piece of `rows` (counted values, in the order they were measured), with their mask, times and slots."""
    there = rows == rows  # noqa: PLR0124 - false for NaN alone, and half the time of isnan
    n = there.sum(axis=0)
    gauge = _take(rows, layout.gauge)
    mean, m2 = _moments(gauge, n[layout.gauge])
    ordered = np.sort(gauge, axis=0)
    turns = np.radians(gauge[:, layout.turning])
    columns = np.arange(rows.shape[1])
    head, tail = there.argmax(axis=0), len(rows) - 1 - there[::-1].argmax(axis=0)
    return Piece(
        polls=int(there.any(axis=1).sum()),
        slots=slots,
        n=n,
        mask=mask,
        mean=mean,
        m2=m2,
        low=ordered[0],
        high=np.take_along_axis(ordered, np.maximum(n[layout.gauge] - 1, 0)[None], axis=0)[0],
        sines=np.nansum(np.sin(turns), axis=0),
        cosines=np.nansum(np.cos(turns), axis=0),
        sums=np.nansum(rows[:, layout.amount], axis=0),
        first=rows[head, columns],
        last=rows[tail, columns],
        last_ms=t_ms[tail],
        broken=_fell(rows[:, layout.counter]),
        changes=_changed(rows[:, layout.state]),
        ordered=ordered,
    )


def _take(rows: Floats, columns: Ints) -> Floats:
    return rows if len(columns) == rows.shape[1] else rows[:, columns]


def _moments(rows: Floats, n: Ints) -> tuple[Floats, Floats]:
    """Mean and sum of squared deviations per column, in two passes (no cancellation); NaN where nothing counted."""
    if n.size and n.min() == len(rows):
        mean = rows.mean(axis=0)
        away = rows - mean
    else:
        there = rows == rows  # noqa: PLR0124
        with np.errstate(invalid="ignore"):
            mean = np.where(there, rows, 0.0).sum(axis=0) / n
        away = np.where(there, rows - mean, 0.0)
    return mean, np.einsum("ij,ij->j", away, away)


def _filled(rows: Floats) -> Floats:
    """Each NaN replaced by the last number above it in its column."""
    index = np.where(np.isnan(rows), 0, np.arange(len(rows))[:, None])
    return rows[np.maximum.accumulate(index, axis=0), np.arange(rows.shape[1])]


def _fell(rows: Floats) -> NDArray[np.bool_]:
    filled = _filled(rows)
    return np.asarray((filled[1:] < filled[:-1]).any(axis=0))


def _changed(rows: Floats) -> Ints:
    filled = _filled(rows)
    before, after = filled[:-1], filled[1:]
    return np.asarray(((after != before) & ~np.isnan(before)).sum(axis=0))


def merge(layout: Layout, parts: Sequence[Piece]) -> Piece:
    """One piece of several that follow each other in time. Exact but for percentiles made of sketches.

    Means and squares are merged as Chan, Golub and LeVeque (1979) do, all parts in one step.
    """
    gauges = np.array([part.n[layout.gauge] for part in parts])
    n = np.array([part.n for part in parts])
    means = np.nan_to_num(np.array([part.mean for part in parts]))
    with np.errstate(invalid="ignore"):
        mean = (gauges * means).sum(axis=0) / gauges.sum(axis=0)
    away = np.where(gauges > 0, means - mean, 0.0)
    lasts = np.array([part.last for part in parts])
    firsts = np.array([part.first for part in parts])
    edges = np.empty((2 * len(parts), layout.count))
    edges[0::2], edges[1::2] = firsts, lasts
    broken = np.array([part.broken for part in parts]).any(axis=0) | _fell(edges[:, layout.counter])
    there = edges == edges  # noqa: PLR0124
    columns = np.arange(layout.count)
    head, tail = there.argmax(axis=0), len(edges) - 1 - there[::-1].argmax(axis=0)
    inside = np.array([part.changes for part in parts]).sum(axis=0)
    return Piece(
        polls=sum(part.polls for part in parts),
        slots=_joined([part.slots for part in parts]),
        n=n.sum(axis=0),
        mask=np.bitwise_or.reduce([part.mask for part in parts]),
        mean=mean,
        m2=np.array([part.m2 for part in parts]).sum(axis=0) + (gauges * away * away).sum(axis=0),
        low=np.fmin.reduce([part.low for part in parts]),
        high=np.fmax.reduce([part.high for part in parts]),
        sines=np.array([part.sines for part in parts]).sum(axis=0),
        cosines=np.array([part.cosines for part in parts]).sum(axis=0),
        sums=np.array([part.sums for part in parts]).sum(axis=0),
        first=edges[head, columns],
        last=edges[tail, columns],
        last_ms=np.array([part.last_ms for part in parts])[tail // 2, columns],
        broken=broken,
        terms=np.array([part.terms for part in parts]).sum(axis=0),
        changes=inside + _changed_between(firsts[:, layout.state], lasts[:, layout.state]),
    )


def _joined(slots: Sequence[int | Ints]) -> int | Ints:
    whole = sum(part for part in slots if isinstance(part, int))
    loose = [part for part in slots if not isinstance(part, int)]
    return np.concatenate(loose) if loose else whole


def _changed_between(firsts: Floats, lasts: Floats) -> Ints:
    """Changes from the last value of one part to the first of the next part that has one."""
    before = _filled(lasts)[:-1]
    after = firsts[1:]
    return np.asarray(((after != before) & ~np.isnan(before) & ~np.isnan(after)).sum(axis=0))
