"""Windows that were issued and let go, opened again: after a backward step of the clock their time comes once more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from gateway.reading import Reading
from gateway.window.buffer import Buffer
from gateway.window.grid import HOUR_S
from gateway.window.level import Level
from gateway.window.track import HOLD_MS, NAMES, Track

PRELUDE_MS: Final = 900_000  # before the first window that is opened: there its counters begin

Said = Mapping[tuple[str, str, int], tuple[int, int]]


class Reopening(Track):
    """A track whose past can be put back from the journal: `load` its readings, then `reopen` their windows."""

    def lost_from(self, t_ms: int) -> int | None:
        """From when on (UTC ms) windows were let go for which samples of now, `t_ms`, and later are too late.

        None: all are here, up to the end of the hour.
        """
        end = self._grid.window(t_ms, HOUR_S)[1]
        firsts = []
        for level in self._levels:
            first = self._grid.window(t_ms - HOLD_MS, level.top_s)[0]
            if any(level.gone(start) for start in self._starts(level, first, end)):
                firsts.append(first)
                self._now_ms = t_ms
        return min(firsts, default=None)

    def load(self, reading: Reading) -> None:
        """Take a reading that was counted before; of windows that are held it is one of those they have."""
        start = self._grid.window(reading.t_ms, self._levels[0].length_s)[0]
        if self._levels[0].gone(start) and start not in self._rows:
            self._loaded.setdefault(start, Buffer(self._pack)).add(reading)

    def reopen(self, low: int, high: int, *, said: Said) -> None:
        """Put back the windows of [low, high), UTC ms, as they were issued: `said` has their revision and n.

        One that would not hold what was issued stays closed: what comes for it is too late. One that holds more is
        amended.
        """
        for k, level in enumerate(self._levels):
            for start in self._starts(level, low - PRELUDE_MS, high):
                if level.gone(start) and start not in level.held:
                    self._put_back(k, start, low=low, high=high, said=said)
        for start in self._gone(self._loaded.keys() & self._rows.keys(), self._rows_s):
            del self._rows[start]
        self._loaded = {}
        self._wake_ms = float("-inf")

    def _starts(self, level: Level, low: int, high: int) -> Iterator[int]:
        start, end = self._grid.window(low, level.length_s)
        while start < high:
            yield start
            start, end = self._grid.window(end, level.length_s)

    def _put_back(self, k: int, start: int, *, low: int, high: int, said: Said) -> None:
        level, end = self._levels[k], self._grid.window(start, self._levels[k].length_s)[1]
        rev, n = said.get((self.series.id, NAMES[level.length_s], start), (-1, 0)) if level.asked else (0, 0)
        if not k:
            self._measure(start, self._loaded.get(start))
        elif end <= high and any(start <= at < end for at in self._levels[level.child].held):
            self._merge(level, start)
        piece = level.held.get(start)
        if piece is not None:
            self._compact(level, piece)
        if start < low or rev < 0:
            return  # only for what follows it
        if end <= high and n > (0 if piece is None else piece.polls):
            level.held.pop(start, None)
            return
        level.issue(start, self._grid)
        level.revs[start] = rev
        if level.asked and piece is not None and piece.polls > n:
            level.waiting.add(start)
