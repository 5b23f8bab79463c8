"""What is known about the windows of one length, by the start of each window."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.window.grid import HOUR_S, Grid, child
from gateway.window.piece import Piece
from gateway.window.spans import Spans


@dataclass(slots=True)
class Level:
    """The windows of one length of one series.

    Attributes:
        asked: whether its aggregates are issued; others are steps between.
        top_s: length of the window until whose end (and a while longer) pieces are held and can be amended.
        exact: percentiles come from the rows; otherwise from the sketches of the level `child`, which `feeds` it.
        held: closed pieces. before: the adjoining piece from which a window's counters begin.
        waiting: windows with new samples. revs: revisions of those issued. done: all that were ever issued.
        cursor: the next window that is issued empty if nothing comes.
    """

    length_s: int
    asked: bool
    exact: bool
    child: int
    top_s: int
    feeds: bool = False
    held: dict[int, Piece] = field(default_factory=dict)
    before: dict[int, Piece] = field(default_factory=dict)
    waiting: set[int] = field(default_factory=set)
    revs: dict[int, int] = field(default_factory=dict)
    done: Spans = field(default_factory=Spans)
    cursor: int | None = None

    def gone(self, start: int) -> bool:
        """Whether the window at `start` was issued, too long ago to be amended."""
        return start not in self.revs and self.done.covers(start)

    def issue(self, start: int, grid: Grid) -> None:
        """Note that the window at `start` is issued now, with its revision and the piece that it adjoins."""
        self.revs[start] = self.revs.get(start, -1) + 1
        self.done.add(start, grid.window(start, self.length_s)[1])
        earlier = self.held.get(grid.window(start - 1, self.length_s)[0])
        if earlier is not None:
            self.before[start] = earlier

    def seal(self, from_ms: int, grid: Grid) -> None:
        """Take all windows that began before `from_ms` for issued, too long ago to be amended."""
        known = self.held.keys() | self.waiting | self.revs.keys()
        for start in sorted(start for start in known if start < from_ms):
            self.done.add(start, grid.window(start, self.length_s)[1])
            self.waiting.discard(start)
            self.revs.pop(start, None)

    def forget(self, starts: set[int]) -> None:
        """Let go of windows that can change no more; the newest stays, the next one's counters begin there."""
        newest = max(self.held, default=None)
        for start in starts:
            self.revs.pop(start, None)
            self.before.pop(start, None)
            if start != newest:
                self.held.pop(start, None)


def levels_of(steps: tuple[int, ...], asked: frozenset[int], *, exact_s: float) -> list[Level]:
    """The levels of a series, the shortest first; percentiles are exact up to `exact_s` seconds, at most an hour."""
    short_s = max(length for length in steps if length <= HOUR_S)
    found = [
        Level(
            length_s=length,
            asked=length in asked,
            exact=length <= min(exact_s, HOUR_S) or not k,
            child=child(k, steps) if k else -1,
            top_s=short_s if length < HOUR_S else steps[-1],
        )
        for k, length in enumerate(steps)
    ]
    for level in found[1:]:
        found[level.child].feeds |= not level.exact
    return found
