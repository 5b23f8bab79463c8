"""Percentiles: linear interpolation between order statistics (type 7 of Hyndman and Fan 1996, as numpy's default).

Exact from sorted rows. For windows too long to keep, each part leaves `SKETCH` order statistics: the one at rank
(i + 1/2) n / SKETCH stands for n / SKETCH samples, so a rank is off by at most 1 / (2 SKETCH) = 0.8 % of the samples
for every step of merging; parts with no more than `SKETCH` samples stay exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Sketch: TypeAlias = tuple[Floats, Floats]
SKETCH: Final = 64


def percentile(ordered: Floats, n: Ints, *, shares: Sequence[float]) -> Floats:
    """The `shares` (0..1) quantiles of the columns of `ordered` (sorted, NaN last, `n` numbers); NaN where n is 0."""
    last = np.maximum(n - 1, 0)
    place = last * np.array(shares)[:, None]
    low = place.astype(np.int64)
    high = np.minimum(low + 1, last)
    columns = np.arange(ordered.shape[1])
    below = ordered[low, columns]
    return np.asarray(below + (ordered[high, columns] - below) * (place - low))


def sketch(ordered: Floats, n: Ints) -> Sketch:
    """Order statistics of sorted columns, and how many samples each stands for (0 beside NaN)."""
    if len(ordered) <= SKETCH:
        return ordered, (ordered == ordered).astype(np.float64)  # noqa: PLR0124 - as in `measure`
    ranks = np.arange(SKETCH)[:, None]
    few = n <= SKETCH
    places = np.where(few, ranks, (ranks + 0.5) * n / SKETCH).astype(np.int64)
    values = np.take_along_axis(ordered, places, axis=0)
    weights = np.where(few, ranks < n, n / SKETCH)
    return values, weights


def joined(parts: Sequence[Sketch]) -> Sketch:
    """Several sketches as one, values ascending in each column, NaN last."""
    values = np.concatenate([part[0] for part in parts])
    weights = np.concatenate([part[1] for part in parts])
    order = np.argsort(values, axis=0, kind="stable")
    return np.take_along_axis(values, order, axis=0), np.take_along_axis(weights, order, axis=0)


def weighted(values: Floats, weights: Floats, *, share: float) -> Floats:
    """The quantile of each column of a joined sketch; type 7 where all weights are 1.

    A value of weight w stands in the middle of its w ranks; between two of them it is interpolated.
    """
    upto = np.cumsum(weights, axis=0)
    total = upto[-1]
    centre = np.where(weights > 0, upto - (weights + 1) / 2, np.inf)
    place = np.maximum(total - 1, 0) * share
    last = np.maximum((weights > 0).sum(axis=0) - 1, 0)
    low = np.clip((centre <= place).sum(axis=0) - 1, 0, last)
    high = np.minimum(low + 1, last)
    columns = np.arange(values.shape[1])
    below = values[low, columns]
    with np.errstate(invalid="ignore"):
        span = np.where(high > low, centre[high, columns] - centre[low, columns], 1.0)
        part = np.clip((place - centre[low, columns]) / span, 0.0, 1.0)
        return np.asarray(np.where(total > 0, below + (values[high, columns] - below) * part, np.nan))


def thinned(values: Floats, weights: Floats) -> Sketch:
    """A joined sketch reduced to `SKETCH` rows."""
    if len(values) <= SKETCH:
        return values, weights
    total = weights.sum(axis=0)
    upto = np.cumsum(weights, axis=0)
    last = np.maximum((weights > 0).sum(axis=0) - 1, 0)
    wanted = (np.arange(SKETCH)[:, None] + 0.5) * total / SKETCH
    places = np.array([(upto <= row).sum(axis=0) for row in wanted])
    picked = np.take_along_axis(values, np.minimum(places, last), axis=0)
    return picked, np.broadcast_to(total / SKETCH, picked.shape)
