"""What a pass over the journal did not see: positions that cannot be read, and such that were let go of."""

from __future__ import annotations

from gateway.journal import Journal

SLACK_MS = 3_600_000  # the clock may have been ahead by this much when a segment was begun


class Seen:
    """Fed with every position that was read, in order; counts those between, from position `first` on.

    `damaged` were there and cannot be read; `let_go`: the journal gave them up (its cap, or while this pass ran).
    `upto`: all that is missing lies below.
    """

    def __init__(self, journal: Journal, *, first: int) -> None:
        self.damaged = 0
        self.let_go = 0
        self.upto = 0
        self._journal = journal
        self._next = first

    def step(self, position: int) -> None:
        """This one was read."""
        self.reach(position)
        self._next = max(self._next, position + 1)

    def reach(self, end: int) -> None:
        """The pass is at `end`: what was not read below is missing."""
        first = self._next
        if end <= first:
            return
        if self._unreadable(first, end):
            self.damaged += end - first
        else:
            self.let_go += end - first
        self._next = self.upto = end

    def _unreadable(self, first: int, end: int) -> bool:
        """Whether damage tells of these. A file set aside has no positions: it may have held what the oldest lacks."""
        oldest = self._journal.first
        for damage in self._journal.damages:
            if damage.first < end and first <= damage.last:
                return True
            if (damage.first, damage.last) == (0, -1) and end <= oldest:
                return True
        return False


def appended_before(journal: Journal, stamp_ms: int) -> int:
    """A position below which everything was appended before this time, with an hour for the clock; 0: not known."""
    oldest = journal.oldest_segment()
    if oldest is None or not 0 < oldest.created < stamp_ms - SLACK_MS:
        return 0
    return journal.seek(stamp_ms - SLACK_MS)


def time_after(journal: Journal, position: int, *, upto_ms: int) -> int | None:
    """The first time (UTC ms) from which on nothing below `position` can matter; None where it is not before `upto_ms`.

    Bisected: `appended_before` rises with its time.
    """
    low, high = 0, upto_ms
    if appended_before(journal, high) < position:
        return None
    while low < high:
        middle = (low + high) // 2
        if appended_before(journal, middle) < position:
            low = middle + 1
        else:
            high = middle
    return low
