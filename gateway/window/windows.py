"""Windows: takes readings, gives the aggregates of windows whose time is over. Knows no clock: the caller says when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from gateway.reading import LENGTHS_S, Aggregate, Reading, Series
from gateway.window.grid import HOUR_S, Grid, levels
from gateway.window.reopened import Reopening, Said
from gateway.window.track import HOLD_MS

_NONE: Final[Mapping[str, Mapping[str, float]]] = {}


class Windows:
    """All windows of all series, half-open [start, end) and aligned to local midnight of `zone` (1d: the local day).

    A reading belongs to the window that holds its `t_ms`, whenever it comes. One for a window that was issued
    already gives an amended aggregate with the next `rev` as long as the window's samples are held (ten minutes
    beyond the longest window up to an hour, and after `1d` as much); later ones are counted in `too_late`.
    A polled series gives windows with n = 0 while nothing comes, from its first reading on.

    After a backward step of the clock a window that was issued is amended when its end has passed again; a window
    that lies more than an hour ahead of `now_ms` is closed at once, and kept until the time comes there. No window is
    issued twice with one `rev`.

    `moduli`: by series id and point name, the modulus of registers where it is known (gateway.window.registers).
    """

    def __init__(
        self,
        series: Sequence[Series],
        lengths: Sequence[str],
        *,
        zone: ZoneInfo,
        grace_ms: int = 2000,
        moduli: Mapping[str, Mapping[str, float]] = _NONE,
    ) -> None:
        asked = frozenset(LENGTHS_S[length] for length in lengths)
        grid = Grid(zone)
        self.grace_ms = grace_ms
        self._grid = grid
        self._lengths_s = sorted(asked)
        self._tracks = {
            one.id: Reopening(
                one,
                steps=levels(lengths, one.every_ms),
                asked=asked,
                grid=grid,
                grace_ms=grace_ms,
                moduli=moduli.get(one.id, {}),
            )
            for one in series
            if asked
        }

    @property
    def too_late(self) -> int:
        """Readings that came when their window's samples were gone."""
        return sum(track.too_late for track in self._tracks.values())

    @property
    def left_out(self) -> int:
        """Amendments of longer windows that could not be made, because their parts were gone."""
        return sum(track.left_out for track in self._tracks.values())

    @property
    def overrun(self) -> int:
        """Readings beyond the number that one base window may hold."""
        return sum(track.overrun for track in self._tracks.values())

    def add(self, reading: Reading) -> None:
        """Take one reading (no windows asked for: it is let go).

        Raises:
            KeyError: a series that was not named at the start.
        """
        if not self._tracks:
            return
        track = self._tracks[reading.series.id]
        if track.low <= reading.t_ms < track.high:
            track.overrun += not track.current.add(reading)
        else:
            track.place(reading)

    def close(self, now_ms: int) -> list[Aggregate]:
        """All aggregates due at `now_ms` (UTC ms): end + grace has passed. Ordered by end, length and series id."""
        found = [aggregate for track in self._tracks.values() for aggregate in track.close(now_ms)]
        found.sort(key=lambda one: (one.end_ms, LENGTHS_S[one.stream], one.series.id, one.start_ms))
        return found

    def stepped(self, now_ms: int) -> None:
        """The clock was stepped to `now_ms` (UTC ms): no windows without readings are issued for the time between."""
        for track in self._tracks.values():
            track.stepped(now_ms)

    def recall_from(self, newest_ms: int) -> int:
        """Start (UTC ms) of the oldest window that could still be issued or amended at `newest_ms`."""
        longest_s = max(self._lengths_s, default=0)
        return self._grid.window(newest_ms - HOLD_MS, longest_s)[0] if longest_s else newest_ms

    def issued(self, key: tuple[str, str, int], rev: int) -> None:
        """The window of a series id, stream and start was issued before a start of the gateway, with this revision.

        -1: not all of its readings were added again, so it can be amended no more.
        """
        series, stream, start = key
        if series in self._tracks:
            self._tracks[series].issued(LENGTHS_S[stream], start, rev=rev)

    def seal(self, from_ms: int) -> None:
        """Windows that began before are not whole: no amendments."""
        for track in self._tracks.values():
            track.seal(from_ms)

    def lost(self, t_ms: int) -> tuple[int, list[tuple[int, int, int]]]:
        """Whether readings of `t_ms` and later, up to the first time of the answer (UTC ms), find their windows let go.

        Then the answer names the hours to be put back with `load` and `reopen`: start, end, and the end of the longest
        window that holds them.
        """
        until = self._grid.window(t_ms, HOUR_S)[1]
        firsts = [first for track in self._tracks.values() if (first := track.lost_from(t_ms)) is not None]
        spans = []
        low = min(firsts, default=until)
        while low < until:
            high = self._grid.window(low, HOUR_S)[1]
            spans.append((low, high, self._grid.window(low, self._lengths_s[-1])[1]))
            low = high
        return until, spans

    def load(self, reading: Reading) -> None:
        """Take a reading that was counted before, for `reopen`."""
        self._tracks[reading.series.id].load(reading)

    def reopen(self, low: int, high: int, *, said: Said) -> None:
        """Put back the windows of [low, high), UTC ms, which were issued and let go, from the readings loaded.

        `said`: by series id, stream and start, the last revision issued and its n.
        """
        for track in self._tracks.values():
            track.reopen(low, high, said=said)

    def next_close_ms(self) -> int | None:
        """The earliest time (UTC ms) at which `close` has something to give; None while nothing waits."""
        due = [at for track in self._tracks.values() if (at := track.next_close_ms()) is not None]
        return min(due, default=None)
