"""One series on its way through the windows: open buffers, closed pieces, and what was issued already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import inf
from struct import Struct
from typing import Final

import numpy as np

from gateway.reading import LENGTHS_S, Aggregate, Indicator, Reading, Series
from gateway.window import finish
from gateway.window.buffer import Buffer, Taken
from gateway.window.derived import BLOCK_MS, demand, derived, speed_p85, terms, told
from gateway.window.grid import HOUR_S, Grid
from gateway.window.level import Level, levels_of
from gateway.window.merge import merge
from gateway.window.piece import Layout, Piece, measure
from gateway.window.quantile import joined, sketch, thinned

EXACT_ROWS: Final = 4_096  # windows of more polls, and the day, take their percentiles from sketches
EVENT_MS: Final = 1_000  # for that, streams of events are taken to bring one a second
HOLD_MS: Final = 600_000  # how long after its longest window a sample can still be amended
HELD: Final = 2_048  # windows of one length, while the clock keeps stepping
AHEAD_KEPT: Final = 256  # windows of one length that a clock running ahead has left
AHEAD_MS: Final = 3_600_000  # a window that begins later than this is of a clock that was stepped back: closed at once
SILENCE_MS: Final = 86_400_000  # a longer silence between two calls is a step of the clock, not a gap
NAMES: Final = {seconds: name for name, seconds in LENGTHS_S.items()}


class Track:
    """The windows of one series.

    `too_late` and `overrun` count samples that no record holds, `left_out` longer windows that could not be amended.
    """

    def __init__(
        self,
        series: Series,
        *,
        steps: tuple[int, ...],
        asked: frozenset[int],
        grid: Grid,
        grace_ms: int,
        moduli: Mapping[str, float],
    ) -> None:
        self.series = series
        self.too_late = 0
        self.overrun = 0
        self.left_out = 0
        self._grid = grid
        self._grace_ms = grace_ms
        self._layout = Layout.of(series, moduli)
        self._derived = derived(series)
        self._pack = Struct(f"{len(series.points)}d")
        self._scale = np.array([10.0**point.digits for point in series.points])
        self._levels = levels_of(steps, asked, exact_s=EXACT_ROWS * (series.every_ms or EVENT_MS) / 1000)
        self._rows_s = max(level.length_s for level in self._levels if level.exact)
        self._rows: dict[int, Taken] = {}
        self._loaded: dict[int, Buffer] = {}  # what is put back (reopened.py)
        self._open: dict[int, Buffer] = {}
        self._wake_ms = inf  # nothing is due before
        self._now_ms = 0
        self._stepped_ms = -HOLD_MS - 1
        self.low = self.high = 0  # the base window that `current` holds; empty when there is none
        self.current = Buffer(self._pack)

    # --- taking readings

    def place(self, reading: Reading) -> None:
        """Add a reading that does not belong to the current base window."""
        base = self._levels[0]
        start, end = self._grid.window(reading.t_ms, base.length_s)
        buffer = self._open.get(start)
        if buffer is None:
            if base.gone(start):
                self.too_late += 1
                return
            buffer = self._open[start] = Buffer(self._pack)
            ahead = max(self._open) > start + AHEAD_MS
            self._wake_ms = -inf if ahead else min(self._wake_ms, end + self._grace_ms)
            for level in self._levels:
                if level.cursor is None:
                    level.cursor = self._grid.window(reading.t_ms, level.length_s)[0]
        self.low, self.high, self.current = start, end, buffer
        self.overrun += not buffer.add(reading)

    # --- closing

    def close(self, now_ms: int) -> Iterator[Aggregate]:
        """Windows that are due at `now_ms`, and amendments of issued ones whose samples came later."""
        stepped_back = now_ms < self._now_ms
        self._now_ms = now_ms
        if now_ms < self._wake_ms and not stepped_back:
            return
        base = self._levels[0]
        for start in sorted(start for start in self._open if self._due(start, base)):
            self._measure(start, self._open.pop(start))
            for level in self._levels:
                level.waiting.add(self._grid.window(start, level.length_s)[0])
            self.low = self.high = 0
        for k, level in enumerate(self._levels):
            while due := [start for start in level.waiting if self._due(start, level)]:
                start = min(due)
                level.waiting.discard(start)
                yield from self._issue(k, start)
            yield from self._silent(level)
        self._prune()
        self._wake_ms = self.next_close_ms() or inf

    def next_close_ms(self) -> int | None:
        """When `close` has something to do; None while nothing waits."""
        ends = [self._grid.window(start, self._levels[0].length_s)[1] for start in self._open]
        for level in self._levels:
            ends += [self._grid.window(start, level.length_s)[1] for start in level.waiting]
            if level.cursor is not None and self.series.every_ms is not None:
                ends.append(self._grid.window(level.cursor, level.length_s)[1])
        return min(ends) + self._grace_ms if ends else None

    def _due(self, start: int, level: Level) -> bool:
        over = self._grid.window(start, level.length_s)[1] + self._grace_ms <= self._now_ms
        return over or start > self._now_ms + AHEAD_MS

    def _measure(self, start: int, buffer: Buffer | None = None) -> None:
        """The piece of a base window, from its buffer and what is held of it."""
        rows = self._rows.get(start)
        if buffer is not None:
            rows = buffer.taken() if rows is None else rows.joined(buffer.taken())
        if rows is None:
            return
        self._rows[start] = rows
        values, t_ms, every_ms = rows.values, rows.times[:, 0], self.series.every_ms
        with np.errstate(over="ignore"):  # absurd numbers of a sensor without a range: their figures are undefined
            piece = measure(self._layout, values, mask=rows.mask, t_ms=t_ms)
            piece.terms = terms(self._derived, values)
        if every_ms is None or isinstance(piece.slots, int):
            piece.slots = 0
        elif self._levels[0].length_s * 1000 % every_ms == 0:
            end = self._grid.window(start, self._levels[0].length_s)[1]
            piece.slots = finish.filled(piece.slots, start_ms=start, end_ms=end, every_ms=every_ms)
        self._levels[0].held[start] = piece
        if len(self._levels) > 1:
            rows.packed(self._scale)

    def _parts(self, level: Level, start: int) -> list[Piece]:
        end, below = self._grid.window(start, level.length_s)[1], self._levels[level.child]
        return [below.held[at] for at in sorted(below.held) if start <= at < end]

    def _merge(self, level: Level, start: int) -> None:
        """The piece of a longer window, from those of the level below."""
        end = self._grid.window(start, level.length_s)[1]
        parts = self._parts(level, start)
        piece = level.held[start] = merge(self._layout, parts)
        if level.exact:
            rows = [self._rows[at].values[:, self._layout.gauge] for at in sorted(self._rows) if start <= at < end]
            piece.ordered = np.sort(np.concatenate(rows), axis=0)
        else:
            piece.sketch = joined([part.sketch for part in parts if part.sketch is not None])

    def _issue(self, k: int, start: int) -> Iterator[Aggregate]:
        level = self._levels[k]
        rerun = k and start in level.revs and self._over(start, self._levels[level.child].top_s)
        if level.gone(start) or rerun or (k and not self._parts(level, start)):  # or its pieces are gone
            self.left_out += 1
            return
        if k:
            self._merge(level, start)
        elif level.held[start].ordered is None:
            self._measure(start)
        piece = level.held[start]
        level.issue(start, self._grid)
        end = self._grid.window(start, level.length_s)[1]
        if level.asked:
            yield self._aggregate(level, start, end)
        later = level.before.get(end)
        if later is not None and later is not piece and end in level.revs and self._ends_otherwise(later, piece):
            level.waiting.add(end)  # its counters began where this window ended before
        self._compact(level, piece)

    @staticmethod
    def _ends_otherwise(one: Piece, other: Piece) -> bool:
        return not np.array_equal(one.last, other.last, equal_nan=True)

    def _compact(self, level: Level, piece: Piece) -> None:
        """Leave a sketch where a longer window needs one, and let the sorted rows go."""
        if not level.feeds:
            piece.sketch = None
        elif piece.ordered is not None:
            piece.sketch = sketch(piece.ordered, piece.n[self._layout.gauge])
        elif piece.sketch is not None:
            piece.sketch = thinned(*piece.sketch)
        piece.ordered = None

    def _aggregate(self, level: Level, start: int, end: int) -> Aggregate:
        piece, before, every_ms = level.held[start], level.before.get(start), self.series.every_ms
        return Aggregate(
            series=self.series,
            stream=NAMES[level.length_s],
            start_ms=start,
            end_ms=end,
            n=piece.polls,
            coverage=None
            if every_ms is None
            else finish.coverage(piece, start_ms=start, end_ms=end, every_ms=every_ms),
            stats=finish.statistics(self.series, self._layout, piece=piece, before=before),
            counts=tuple(piece.n.tolist()),
            codes=finish.codes(piece),
            indicators=self._figures(piece, before, end - start, end),
            rev=level.revs[start],
            times=finish.times(self._layout, piece) if level.length_s >= HOUR_S else (),
        )

    def _figures(self, piece: Piece, before: Piece | None, length_ms: int, end_ms: int) -> tuple[Indicator, ...]:
        found = told(self._derived, piece.terms) + speed_p85(self.series, self._layout, piece=piece)
        return found + (
            demand(self.series, self._layout, piece=piece, before=before, end_ms=end_ms)
            if length_ms == BLOCK_MS
            else ()
        )

    # --- after a step, and after a start

    def stepped(self, now_ms: int) -> None:
        """The clock was stepped to `now_ms`: the time between is no silence."""
        self._stepped_ms, self._wake_ms = now_ms, -inf
        for level in self._levels:
            if level.cursor is not None:
                level.cursor = self._grid.window(now_ms, level.length_s)[0]

    def issued(self, length_s: int, start: int, *, rev: int) -> None:
        """A window was issued before the start of the gateway, with this revision (-1: to be amended no more)."""
        for level in self._levels:
            if level.length_s == length_s:
                level.done.add(start, self._grid.window(start, length_s)[1])
                if rev < 0:
                    level.revs.pop(start, None)
                elif start in level.revs:
                    level.revs[start] = rev

    def seal(self, from_ms: int) -> None:
        """Windows that began before are not whole here: whatever comes for them is too late."""
        for level in self._levels:
            level.seal(from_ms, self._grid)

    # --- gaps, and letting go

    def _silent(self, level: Level) -> Iterator[Aggregate]:
        """Windows of a polled series in which nothing came at all: a gap is data."""
        if level.cursor is None or self.series.every_ms is None:
            return
        if not self._now_ms - SILENCE_MS - level.length_s * 1000 <= level.cursor <= self._now_ms + AHEAD_MS:
            level.cursor = self._grid.window(self._now_ms, level.length_s)[0]
        while self._due(level.cursor, level):
            start, end = self._grid.window(level.cursor, level.length_s)
            level.cursor = end
            if level.done.covers(start):
                continue
            level.revs[start] = 0
            level.done.add(start, end)
            if level.asked:
                yield self._nothing(level, start, end)

    def _nothing(self, level: Level, start: int, end: int) -> Aggregate:
        many = len(self.series.points)
        return Aggregate(
            series=self.series,
            stream=NAMES[level.length_s],
            start_ms=start,
            end_ms=end,
            n=0,
            coverage=0.0,
            stats=((),) * many,
            counts=(0,) * many,
            codes=((),) * many,
        )

    def _prune(self) -> None:
        """Let go of what can be issued or amended no more; after a step only once the clock has gone on for a while.

        A clock that was wrong may come back to where it was. What it left ahead waits for the time to come there.
        """
        calm = abs(self._now_ms - self._stepped_ms) > HOLD_MS
        if not calm and all(len(level.revs) <= HELD for level in self._levels):
            return
        for level in self._levels:
            level.forget(self._gone(level.held.keys() | level.revs.keys() | level.before.keys(), level.top_s))
        for start in self._gone(self._rows.keys(), self._rows_s):
            del self._rows[start]

    def _gone(self, starts: Iterable[int], length_s: int) -> set[int]:
        """Those whose window of `length_s` is over, and of those ahead all but the nearest."""
        starts = set(starts)
        ahead = sorted(start for start in starts if self._grid.window(start, length_s)[0] > self._now_ms + AHEAD_MS)
        return {start for start in starts if self._over(start, length_s)} | set(ahead[AHEAD_KEPT:])

    def _over(self, start: int, length_s: int) -> bool:
        """Whether the window of `length_s` that holds `start` can be issued or amended no more."""
        return self._grid.window(start, length_s)[1] + HOLD_MS < self._now_ms
