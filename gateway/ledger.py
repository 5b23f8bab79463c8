"""The ledger of one sink: how many records it selects, how far it is confirmed, and the count of every fate.

Invariant, always: selected = delivered + unheard + sent + dead + sampled + dropped + waiting.
The state is committed with the records themselves (a journal mark), so after any crash both agree.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from gateway.record import Record

MAX_RANGES: Final = 512  # with more, the shipper opens no second lane: ranges grow by at most one send window then
MAX_UNHEARD: Final = 64
FATES: Final = ("delivered", "unheard", "sent", "dead", "sampled", "dropped")


def values_of(record: Record) -> int:
    """About how many values a record carries."""
    values = getattr(record.body, "values", None)
    return 6 if values is None else len(values)


@dataclass(slots=True)
class Ledger:
    """Positions below `low` have their fate; so have those inside `done`, sorted half-open ranges above it.

    `upto` is the journal's next position when the state was marked, `chosen` the fingerprint of the selection then;
    `since` the first position that this sink was ever to have. `unheard` holds the ranges in which records went to a
    broker without a subscriber; of more than MAX_UNHEARD the two nearest become one, which then holds heard ones too.
    In the ranges of `passed` only deferred records (raw and amended ones) may still wait, all others have their fate:
    so a spent budget, with raw waiting between delivered windows for weeks, does not make a range per window.
    `sent_bytes` went out ever; `period_bytes` since `period_ms` (UTC ms, the local start of the budget's period).
    `told`: up to here a gap event has named what `raw_every` left out (gateway.sampling).
    `letters_gone`: of `dead`, those whose letters are not in the journal any more, as far as is known; `newest_letter`:
    the place of the last letter.
    `chosen_from`: from this position on the present selection decided; below, an earlier one did (0: none is known).
    """

    low: int
    selected: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FATES, 0))
    done: list[tuple[int, int]] = field(default_factory=list)
    sent_bytes: int = 0
    upto: int = 0
    chosen: str = ""
    since: int = 0
    unheard: list[tuple[int, int]] = field(default_factory=list)
    unheard_open: bool = False
    passed: list[tuple[int, int]] = field(default_factory=list)
    period_ms: int = 0
    period_bytes: int = 0
    told: int = 0
    letters_gone: int = 0
    newest_letter: int = -1
    chosen_from: int = 0

    @property
    def waiting(self) -> int:
        """Selected records without a fate yet; never negative in a committed state."""
        return self.selected - sum(self.counts.values())

    @property
    def letters(self) -> int:
        """Dead letters that may be sent again: in the journal, and not taken since."""
        return max(0, self.counts["dead"] - self.letters_gone)

    def let_go(self, first: int) -> bool:
        """The journal begins at `first`; whether the last letter has left it just now: there is none any more."""
        gone = self.newest_letter < first and self.letters > 0
        if gone:
            self.letters_gone = self.counts["dead"]
        return gone

    def settled(self, position: int, *, deferred: bool = True) -> bool:
        """Whether this position has its fate already; `deferred` where the record there is raw or amended."""
        if position < self.low or _inside(self.done, position):
            return True
        return not deferred and _inside(self.passed, position)

    def pass_over(self, first: int, end: int, *, keep: Iterable[tuple[int, int]] = ()) -> None:
        """In [first, end) only deferred records may still wait, and none of these has its fate: forget its ranges.

        Those that touch `keep` (positions that can not be read, which nobody will ever finish again) stay.
        """
        first = max(first, self.low)
        if first >= end:
            return
        kept = tuple(keep)
        done: list[tuple[int, int]] = []
        for start, stop in self.done:
            if stop <= first or start >= end or any(start < last and begin < stop for begin, last in kept):
                done.append((start, stop))
            else:
                done += [(a, b) for a, b in ((start, first), (end, stop)) if a < b]
        self.done = done
        self.passed = [pair for pair in self.passed if pair[1] > self.low]
        if self.passed and first <= self.passed[-1][1]:
            first = self.passed.pop()[0]
        self.passed.append((first, end))

    def finish(self, first: int, end: int) -> None:
        """All of [first, end) has its fate: grow `low` or the ranges above it."""
        if not self.done and first <= self.low:
            self.low = max(self.low, end)
            return
        merged: list[tuple[int, int]] = []
        for start, stop in sorted([*self.done, (first, end)]):
            if start <= self.low:
                self.low = max(self.low, stop)
            elif merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
            else:
                merged.append((start, stop))
        self.done = merged

    def ranges_from(self, position: int) -> int:
        """How many ranges of `done` begin at or behind `position`."""
        return len(self.done) - bisect_left(self.done, (position, 0))

    def book(self, position: int, fate: str) -> None:
        """Count a fate; those that nobody heard are remembered by their place."""
        self.counts[fate] += 1
        if fate == "unheard":
            self._note_unheard(position)
        elif fate == "delivered" and self.unheard and position >= self.unheard[-1][1]:
            self.unheard_open = False

    def _note_unheard(self, position: int) -> None:
        ranges = self.unheard
        if self.was_unheard(position):
            return
        if ranges and self.unheard_open and position >= ranges[-1][0]:
            ranges[-1] = (ranges[-1][0], max(ranges[-1][1], position + 1))
            return
        ranges.append((position, position + 1))
        ranges.sort()
        self.unheard_open = ranges[-1][0] == position
        if len(ranges) > MAX_UNHEARD:
            at = min(range(len(ranges) - 1), key=lambda i: ranges[i + 1][0] - ranges[i][1])
            ranges[at : at + 2] = [(ranges[at][0], ranges[at + 1][1])]

    def was_unheard(self, position: int) -> bool:
        """Whether this position went out unheard, as far as the ranges tell."""
        return _inside(self.unheard, position)

    def heard(self, position: int) -> None:
        """An unheard one was sent again, and this time somebody listened."""
        if not self.was_unheard(position) or not self.counts["unheard"]:
            return
        self.counts["unheard"] -= 1
        self.counts["delivered"] += 1
        if not self.counts["unheard"]:
            self.unheard.clear()

    def to_bytes(self) -> bytes:
        """The state for a journal mark."""
        facts = [1, self.low, self.selected, self.counts, self.done, self.sent_bytes, self.upto, self.chosen]
        facts += [self.since, self.unheard, self.unheard_open]
        facts += [[pair for pair in self.passed if pair[1] > self.low], self.period_ms, self.period_bytes, self.told]
        facts += [self.letters_gone, self.newest_letter, self.chosen_from]
        return msgspec.msgpack.encode(facts)

    @classmethod
    def from_bytes(cls, blob: bytes) -> Ledger:
        """The state of a journal mark."""
        _version, low, selected, counts, done, sent_bytes, upto, chosen, *more = msgspec.msgpack.decode(blob)
        known = dict.fromkeys(FATES, 0) | counts
        before = [0, [], False, [], 0, 0, 0, 0, upto - 1, 0]  # of what older marks do not hold
        rest: list[Any] = more[: len(before)] + before[len(more) :]  # a later version's further facts are not ours
        since, unheard, unheard_open, passed, *later = rest
        return cls(
            low, selected, known, _ranges(done), sent_bytes, upto, chosen, since, _ranges(unheard), unheard_open,
            _ranges(passed), *later,
        )  # fmt: skip


def _inside(ranges: list[tuple[int, int]], position: int) -> bool:
    index = bisect_right(ranges, (position, 1 << 62)) - 1
    return index >= 0 and position < ranges[index][1]


def _ranges(pairs: list[list[int]]) -> list[tuple[int, int]]:
    return [(first, end) for first, end in pairs]
