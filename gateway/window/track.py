"""One series on its way through the windows: open buffers, closed pieces, and what was issued already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

import numpy as np

from gateway.reading import LENGTHS_S, Aggregate, Reading, Series
from gateway.window import finish
from gateway.window.buffer import Buffer, Taken
from gateway.window.derived import derived, terms, told
from gateway.window.grid import HOUR_S, Grid, child
from gateway.window.piece import Floats, Ints, Layout, Piece, measure, merge
from gateway.window.quantile import joined, sketch, thinned
from gateway.window.spans import Spans

EXACT_ROWS: Final = 4_096  # windows of more polls take their percentiles from sketches
HOLD_MS: Final = 600_000  # how long after its longest window a sample can still be amended
AHEAD_MS: Final = 3_600_000  # a window that begins later than this is of a clock that was stepped back: closed at once
SILENCE_MS: Final = 86_400_000  # a longer silence between two calls is a step of the clock, not a gap
NAMES: Final = {seconds: name for name, seconds in LENGTHS_S.items()}


@dataclass(slots=True)
class Level:
    """What is known about one length, by the start of each window.

    Attributes:
        asked: whether its aggregates are issued; others are steps between.
        exact: percentiles come from the rows; otherwise from the sketches of the level `child`, which `feeds` it.
        held: closed pieces. before: last values of the adjoining window, from which counters begin.
        waiting: windows with new samples. revs: revisions of those issued. done: all that were ever issued.
        cursor: the next window that is issued empty if nothing comes.
    """

    length_s: int
    asked: bool
    exact: bool
    child: int
    feeds: bool = False
    held: dict[int, Piece] = field(default_factory=dict)
    before: dict[int, Floats] = field(default_factory=dict)
    waiting: set[int] = field(default_factory=set)
    revs: dict[int, int] = field(default_factory=dict)
    done: Spans = field(default_factory=Spans)
    cursor: int | None = None


class Track:
    """The windows of one series. `too_late` and `overrun` count samples that no record holds."""

    def __init__(
        self, series: Series, *, steps: tuple[int, ...], asked: frozenset[int], grid: Grid, grace_ms: int
    ) -> None:
        self.series = series
        self.too_late = 0
        self.overrun = 0
        self._grid = grid
        self._grace_ms = grace_ms
        self._layout = Layout.of(series)
        self._derived = derived(series)
        self._pack = Struct(f"{len(series.points)}d")
        rate_ms = series.every_ms or 1000
        self._levels = [
            Level(
                length_s=length,
                asked=length in asked,
                exact=length * 1000 <= EXACT_ROWS * rate_ms,
                child=child(k, steps) if k else -1,
            )
            for k, length in enumerate(steps)
        ]
        for level in self._levels[1:]:
            self._levels[level.child].feeds |= not level.exact
        self._keep_s = max(level.length_s for level in self._levels if level.length_s <= HOUR_S)
        self._rows_s = max(level.length_s for level in self._levels if level.exact)
        self._rows: dict[int, Taken] = {}
        self._open: dict[int, Buffer] = {}
        self.low = self.high = 0  # the base window that `current` holds; empty when there is none
        self.current = Buffer(self._pack)

    # --- taking readings

    def place(self, reading: Reading) -> None:
        """Add a reading that does not belong to the current base window."""
        start, end = self._grid.window(reading.t_ms, self._levels[0].length_s)
        buffer = self._open.get(start)
        if buffer is None:
            if start not in self._rows and self._levels[0].done.covers(start) and start not in self._levels[0].revs:
                self.too_late += 1
                return
            buffer = self._open[start] = Buffer(self._pack)
            for level in self._levels:
                if level.cursor is None:
                    level.cursor = self._grid.window(reading.t_ms, level.length_s)[0]
        self.low, self.high, self.current = start, end, buffer
        self.overrun += not buffer.add(reading)

    # --- closing

    def close(self, now_ms: int) -> Iterator[Aggregate]:
        """Windows that are due at `now_ms`, and amendments of issued ones whose samples came later."""
        base = self._levels[0]
        for start in sorted(start for start in self._open if self._due(start, base, now_ms)):
            self._measure(start, self._open.pop(start))
            base.waiting.add(start)
            for level in self._levels[1:]:
                level.waiting.add(self._grid.window(start, level.length_s)[0])
            self.low = self.high = 0
        for k, level in enumerate(self._levels):
            for start in sorted(start for start in level.waiting if self._due(start, level, now_ms)):
                level.waiting.discard(start)
                if k:
                    self._merge(k, start)
                yield from self._issue(k, start)
            yield from self._silent(level, now_ms)
        self._prune(now_ms)

    def next_close_ms(self) -> int | None:
        """When `close` has something to do; None while nothing waits."""
        ends = [self._grid.window(start, self._levels[0].length_s)[1] for start in self._open]
        for level in self._levels:
            ends += [self._grid.window(start, level.length_s)[1] for start in level.waiting]
            if level.cursor is not None and self.series.every_ms is not None:
                ends.append(self._grid.window(level.cursor, level.length_s)[1])
        return min(ends) + self._grace_ms if ends else None

    def _due(self, start: int, level: Level, now_ms: int) -> bool:
        return self._grid.window(start, level.length_s)[1] + self._grace_ms <= now_ms or start > now_ms + AHEAD_MS

    def _measure(self, start: int, buffer: Buffer) -> None:
        taken = buffer.taken()
        if start in self._rows:
            taken = self._rows[start].joined(taken)
        self._rows[start] = taken
        every_ms = self.series.every_ms
        slots: int | Ints = 0
        if every_ms is not None:
            slots = np.sort(taken.times[~np.isnan(taken.values).all(axis=1), 0])
            if self._levels[0].length_s * 1000 % every_ms == 0:
                slots = finish.filled(slots, start_ms=start, every_ms=every_ms)
        piece = measure(self._layout, taken.values, taken.mask, slots)
        piece.terms = terms(self._derived, taken.values)
        self._levels[0].held[start] = piece

    def _merge(self, k: int, start: int) -> None:
        level, layout = self._levels[k], self._layout
        end = self._grid.window(start, level.length_s)[1]
        below = self._levels[level.child]
        parts = [below.held[at] for at in sorted(below.held) if start <= at < end]
        piece = merge(layout, parts)
        if level.exact:
            rows = [self._rows[at].values for at in sorted(self._rows) if start <= at < end]
            piece.ordered = np.sort(np.concatenate(rows)[:, layout.gauge], axis=0)
        else:
            piece.sketch = joined([part.sketch for part in parts if part.sketch is not None])
        level.held[start] = piece

    def _issue(self, k: int, start: int) -> Iterator[Aggregate]:
        level = self._levels[k]
        piece = level.held[start]
        rev = level.revs[start] + 1 if start in level.revs else 0
        old = not rev and level.done.covers(start)
        end = self._grid.window(start, level.length_s)[1]
        if not old:
            level.revs[start] = rev
            level.done.add(start, end)
            earlier = level.held.get(self._grid.window(start - 1, level.length_s)[0])
            if earlier is not None:
                level.before[start] = earlier.last
            if level.asked:
                yield self._aggregate(level, start, end)
            later = level.held.get(end)
            if rev and later is not None and end in level.revs and level.before.get(end) is not piece.last:
                level.waiting.add(end)  # its counters began where this window ended
        self._compact(k, piece)

    def _compact(self, k: int, piece: Piece) -> None:
        """Leave a sketch where a longer window needs one, and let the sorted rows go."""
        n = piece.n[self._layout.gauge]
        if not self._levels[k].feeds:
            piece.sketch = None
        elif piece.ordered is not None:
            piece.sketch = sketch(piece.ordered, n)
        elif piece.sketch is not None:
            piece.sketch = thinned(*piece.sketch)
        piece.ordered = None

    def _aggregate(self, level: Level, start: int, end: int) -> Aggregate:
        piece, every_ms = level.held[start], self.series.every_ms
        return Aggregate(
            series=self.series,
            stream=NAMES[level.length_s],
            start_ms=start,
            end_ms=end,
            n=piece.polls,
            coverage=None
            if every_ms is None
            else finish.coverage(piece, start_ms=start, end_ms=end, every_ms=every_ms),
            stats=finish.statistics(self.series, self._layout, piece, level.before.get(start)),
            counts=tuple(piece.n.tolist()),
            codes=finish.codes(piece),
            indicators=told(self._derived, piece.terms) + finish.figures(self.series, self._layout, piece),
            rev=level.revs[start],
        )

    # --- gaps, and letting go

    def _silent(self, level: Level, now_ms: int) -> Iterator[Aggregate]:
        """Windows of a polled series in which nothing came at all: a gap is data."""
        if level.cursor is None or self.series.every_ms is None:
            return
        if not now_ms - SILENCE_MS <= level.cursor <= now_ms + AHEAD_MS:
            level.cursor = self._grid.window(now_ms - self._grace_ms, level.length_s)[0]
        while self._due(level.cursor, level, now_ms):
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

    def _prune(self, now_ms: int) -> None:
        for level in self._levels:
            top_s = self._keep_s if level.length_s < HOUR_S else self._levels[-1].length_s
            known = level.held.keys() | level.revs.keys() | level.before.keys()
            newest = max(level.held, default=0)
            for start in known:
                if self._over(start, top_s, now_ms):
                    level.revs.pop(start, None)
                    level.before.pop(start, None)
                    if start != newest:
                        level.held.pop(start, None)
        for start in [start for start in self._rows if self._over(start, self._rows_s, now_ms)]:
            del self._rows[start]

    def _over(self, start: int, length_s: int, now_ms: int) -> bool:
        """Whether the window of `length_s` that holds `start` can be issued or amended no more."""
        end = self._grid.window(start, length_s)[1]
        return end + HOLD_MS < now_ms or self._grid.window(start, self._levels[-1].length_s)[0] > now_ms + AHEAD_MS
