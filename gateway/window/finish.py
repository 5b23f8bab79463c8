"""From a piece to the statistics of a record: per point the numbers of `gateway.reading.STATISTICS`, in that order."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

import numpy as np

from gateway.reading import Series
from gateway.window.piece import Floats, Ints, Layout, Piece, codes_of
from gateway.window.quantile import percentile, weighted

_CALM = 1e-9  # a resultant shorter than this has no direction


def quantile(layout: Layout, piece: Piece, *, shares: tuple[float, ...]) -> Floats:
    """The `shares` (0..1) quantiles of the gauge columns, from sorted rows or from a sketch: one row per share."""
    if piece.ordered is not None:
        return percentile(piece.ordered, layout.of_gauges(piece.n), shares=shares)
    if piece.sketch is not None:
        return np.array([weighted(*piece.sketch, share=share) for share in shares])
    return np.full((len(shares), len(layout.gauge)), nan)


def statistics(series: Series, layout: Layout, *, piece: Piece, before: Piece | None) -> tuple[tuple[float, ...], ...]:
    """Per point, its statistics; () where nothing counted. `before`: the window right before, if any.

    A counter's delta runs from the last value of the window before (where that window adjoins), else from the first
    inside. A counter that fell has rolled over where its modulus is known and the step plausible (registers.py), and
    the delta goes around; else it was reset, and the delta is undefined (NaN): never negative and never a guess. A
    state's changes count the step into the window.
    """
    found: list[tuple[float, ...]] = [()] * len(series.points)
    earlier = None if before is None else before.last
    for columns, rows in (
        (layout.gauge, _gauges(layout, piece)),
        (layout.counter, _counters(series, layout, piece, before)),
        (layout.amount, zip(piece.sums.tolist())),
        (layout.state, _states(layout, piece, earlier)),
    ):
        if len(columns) == len(found):
            found = list(rows)
        else:
            for column, row in zip(columns.tolist(), rows, strict=True):
                found[column] = row
    if piece.n.size and not piece.n.all():
        for column in np.flatnonzero(piece.n == 0).tolist():
            found[column] = ()
    return tuple(found)


def _gauges(layout: Layout, piece: Piece) -> Sequence[tuple[float, ...]]:
    n = layout.of_gauges(piece.n)
    with np.errstate(invalid="ignore", divide="ignore"):
        std = np.where((n > 1) & np.isfinite(piece.m2), np.sqrt(piece.m2 / (n - 1)), nan)
    middle, upper = quantile(layout, piece, shares=(0.5, 0.95))
    rows = [piece.mean, piece.low, piece.high, std, middle, upper]
    if len(layout.turning):
        mean, spread = _directions(piece, n[layout.turning])
        rows = [row.copy() for row in rows]
        for index, row in enumerate(rows):
            row[layout.turning] = mean if index == 0 else spread if index == 3 else nan
    return list(zip(*(row.tolist() for row in rows), strict=True))


def _directions(piece: Piece, n: Ints) -> tuple[Floats, Floats]:
    """Unit-vector mean in [0, 360) deg, and its spread after Yamartino (1984).

    The other statistics of a direction are undefined: smallest, largest and percentiles depend on where zero is.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        sine, cosine = piece.sines / n, piece.cosines / n
    length = np.hypot(sine, cosine)
    mean = np.degrees(np.arctan2(sine, cosine)) % 360.0
    mean[mean >= 360.0] = 0.0
    mean[~(length >= _CALM)] = nan
    away = np.sqrt(np.clip(1.0 - length * length, 0.0, 1.0))
    return mean, np.degrees(np.arcsin(away) * (1.0 + 0.1547 * away**3))


def _counters(series: Series, layout: Layout, piece: Piece, before: Piece | None) -> list[tuple[float, ...]]:
    delta = deltas(layout, piece, before=before)
    digits = (series.points[column].digits + 3 for column in layout.counter.tolist())  # beyond: noise of subtraction
    return [
        (last, round(one, places))
        for last, one, places in zip(piece.last.tolist(), delta.tolist(), digits, strict=False)
    ]


def deltas(layout: Layout, piece: Piece, *, before: Piece | None) -> Floats:
    """What each counter rose by in this window, from the end of the window before; NaN where that is not known."""
    counters = len(layout.counter)
    first, last = piece.first[:counters], piece.last[:counters]
    if before is None:
        return np.where(piece.broken, nan, last - first + piece.turned)
    start = before.last[:counters]
    elapsed_ms = (piece.first_ms - before.last_ms)[:counters]
    reset, turned = layout.registers.falls(start, first, elapsed_ms=elapsed_ms)
    begun = np.where(np.isnan(start), first, start)
    return np.where(piece.broken | reset, nan, last - begun + piece.turned + turned)


def _states(layout: Layout, piece: Piece, before: Floats | None) -> list[tuple[float, ...]]:
    rows: list[tuple[float, ...]] = []
    for k in range(len(layout.state)):
        index = len(layout.counter) + k
        entered = before is not None and before[index] == before[index] and before[index] != piece.first[index]
        rows.append((float(piece.last[index]), float(piece.changes[k]) + float(entered)))
    return rows


def times(layout: Layout, piece: Piece) -> tuple[tuple[int, ...], ...]:
    """Per point, when its smallest and largest value were measured; directions have neither."""
    found: list[tuple[int, ...]] = [()] * layout.count
    pairs = list(zip(piece.low_ms.tolist(), piece.high_ms.tolist(), strict=True))
    for index, column in enumerate(layout.gauge.tolist()):
        if piece.n[column]:
            found[column] = pairs[index]
    for index in layout.turning.tolist():
        found[int(layout.gauge[index])] = ()
    return tuple(found)


def codes(piece: Piece) -> tuple[tuple[int, ...], ...]:
    """Per point, the codes of its inputs that were not good, worst first."""
    if not piece.mask.any():
        return ((),) * len(piece.mask)
    return tuple(map(codes_of, piece.mask.tolist()))


def filled(times: Ints, *, start_ms: int, end_ms: int, every_ms: int) -> int:
    """How many slots of `every_ms` from `start_ms` to `end_ms` hold one of the ascending `times`.

    Slots begin at the window's start, or half a slot before, whichever gives more: polls whose phase lies on the border
    of one division lie amid the slots of the other, and jitter takes none of them away. Never more than there are
    polls, so a missing poll is missing in both.
    """
    into = times - start_ms
    whole = max(1, -(-(end_ms - start_ms) // every_ms))
    return min(whole, max(len(set((at // every_ms).tolist())) for at in (into, into + every_ms // 2)))


def coverage(piece: Piece, *, start_ms: int, end_ms: int, every_ms: int) -> float:
    """Share of the window's slots of `every_ms` that hold a poll with a counted value, 0..1.

    A window shorter than one slot counts as one.
    """
    slots = piece.slots
    many = slots if isinstance(slots, int) else filled(slots, start_ms=start_ms, end_ms=end_ms, every_ms=every_ms)
    return min(1.0, many / max(1.0, (end_ms - start_ms) / every_ms))
