"""One piece of several: the numbers of a long window from those of the short ones in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gateway.window.piece import Floats, Ints, Layout, Piece, latest

_Number = TypeVar("_Number", np.float64, np.int64)


def merge(layout: Layout, parts: Sequence[Piece]) -> Piece:
    """One piece of several that follow each other in time. Exact but for percentiles made of sketches.

    Means and squares are merged as Chan, Golub and LeVeque (1979) do, all parts in one step.
    """
    n = np.array([part.n for part in parts])
    gauges = n[:, layout.gauge]
    means = np.nan_to_num(np.array([part.mean for part in parts]))
    with np.errstate(invalid="ignore"):
        mean = (gauges * means).sum(axis=0) / gauges.sum(axis=0)
    away = np.where(gauges > 0, means - mean, 0.0)
    firsts, lasts = np.array([part.first for part in parts]), np.array([part.last for part in parts])
    first_times, last_times = np.array([part.first_ms for part in parts]), np.array([part.last_ms for part in parts])
    counters, columns = len(layout.counter), np.arange(len(layout.running))
    newest = latest(lasts)
    before, before_ms = lasts[newest, columns][:-1], last_times[newest, columns][:-1]
    elapsed_ms = (first_times[1:] - before_ms)[:, :counters]
    broken, turned = layout.registers.falls(before[:, :counters], firsts[1:, :counters], elapsed_ms=elapsed_ms)
    head = (~np.isnan(firsts)).argmax(axis=0)
    lows, highs = np.array([part.low for part in parts]), np.array([part.high for part in parts])
    low, high = np.fmin.reduce(lows), np.fmax.reduce(highs)
    return Piece(
        polls=sum(part.polls for part in parts),
        slots=_joined([part.slots for part in parts]),
        n=n.sum(axis=0),
        mask=np.bitwise_or.reduce([part.mask for part in parts]),
        mean=mean,
        m2=_added([part.m2 for part in parts]) + (gauges * away * away).sum(axis=0),
        low=low,
        high=high,
        low_ms=_when(lows == low, [part.low_ms for part in parts]),
        high_ms=_when(highs == high, [part.high_ms for part in parts]),
        sines=_added([part.sines for part in parts]),
        cosines=_added([part.cosines for part in parts]),
        sums=_added([part.sums for part in parts]),
        first=firsts[head, columns],
        last=lasts[newest[-1], columns],
        first_ms=first_times[head, columns],
        last_ms=last_times[newest[-1], columns],
        broken=_any([part.broken for part in parts], broken),
        turned=_added([part.turned for part in parts]) + turned.sum(axis=0),
        terms=_added([part.terms for part in parts]),
        changes=_added([part.changes for part in parts])
        + _changed_between(before[:, counters:], firsts[1:, counters:]),
    )


def _when(there: NDArray[np.bool_], times: Sequence[Ints]) -> Ints:
    """For each column, the time in its first row that is so."""
    return np.asarray(np.array(times)[there.argmax(axis=0), np.arange(there.shape[1])])


def _added(rows: Sequence[NDArray[_Number]]) -> NDArray[_Number]:
    return np.asarray(np.array(rows).sum(axis=0))


def _any(rows: Sequence[NDArray[np.bool_]], more: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(np.concatenate((np.array(rows), more)).any(axis=0))


def _joined(slots: Sequence[int | Ints]) -> int | Ints:
    whole = sum(part for part in slots if isinstance(part, int))
    loose = [part for part in slots if not isinstance(part, int)]
    return np.concatenate(loose) if loose else whole


def _changed_between(before: Floats, after: Floats) -> Ints:
    """Changes from the last value of the parts before to the first of the next part that has one."""
    return np.asarray(((after != before) & ~np.isnan(before) & ~np.isnan(after)).sum(axis=0))
