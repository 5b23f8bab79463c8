"""The ledger of one sink: what it selects, how far it is confirmed, and the count of every fate.

Invariant, always: selected = delivered + unheard + sent + dead + sampled + dropped + waiting.
The state is committed with the records themselves (a journal mark), so after any crash both agree.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from gateway.config import Sink
from gateway.config.duration import seconds
from gateway.reading import Event
from gateway.record import Record

MAX_RANGES: Final = 512  # with more, the shipper opens no second lane: ranges grow by at most one send window then
MAX_UNHEARD: Final = 64
FATES: Final = ("delivered", "unheard", "sent", "dead", "sampled", "dropped")


class Filter:
    """Which records a sink selects, by stream, device, kind, points and personal data; and how raw is thinned."""

    def __init__(self, sink: Sink, *, personal: frozenset[str]) -> None:
        self._streams = frozenset(sink.streams)
        self._devices = sink.devices
        self._kinds = sink.kinds
        self._personal = personal
        self._raw_every_ms = 0 if sink.raw_every is None else round(seconds(sink.raw_every) * 1000)
        self._points = sink.points
        self._known: dict[tuple[str, str], bool] = {}
        facts = [sorted(sink.streams), sink.devices, sink.kinds, sorted(personal), self._raw_every_ms]
        facts += [sink.points] if sink.points != ("*",) else []
        self.fingerprint = f"{zlib.crc32(msgspec.msgpack.encode(facts)):08x}"

    def selects(self, record: Record) -> bool:
        """Whether the record is this sink's business at all."""
        if record.stream not in self._streams or record.estimated:
            return False
        key = record.device, record.kind
        if key not in self._known:
            self._known[key] = self._device(*key) and self._has_points(record)
        return self._known[key]

    def _has_points(self, record: Record) -> bool:
        """Of a device without any chosen point there is nothing to tell; events are of the whole device."""
        body = record.body
        if isinstance(body, Event) or self._points == ("*",):
            return True
        return any(_matches(point.name, self._points) for point in body.series.points)

    def _device(self, device: str, kind: str) -> bool:
        named = any(pattern == device or device.startswith(pattern + "-") for pattern in self._devices)
        if device in self._personal and not named:
            return False
        return (device == "_gateway" or _matches(device, self._devices)) and (
            kind == "gateway" or _matches(kind, self._kinds)
        )  # fmt: skip

    def thinned(self, record: Record) -> bool:
        """Whether `raw_every` leaves this raw record out: only the poll at the start of each slot goes out."""
        if not self._raw_every_ms or record.stream != "raw" or isinstance(record.body, Event):
            return False
        every_ms = record.body.series.every_ms
        return every_ms is not None and record.t_ms % self._raw_every_ms >= every_ms


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    """The last pattern that fits decides; "!" in front refuses."""
    chosen = False
    for pattern in patterns:
        refuse = pattern.startswith("!")
        if fnmatchcase(name, pattern[refuse:]):
            chosen = not refuse
    return chosen


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
    `size_bytes` went out ever; `period_bytes` since `period_ms` (UTC ms, the local start of the budget's period).
    `told`: up to here a gap event has named what `raw_every` left out (gateway.sampling).
    """

    low: int
    selected: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FATES, 0))
    done: list[tuple[int, int]] = field(default_factory=list)
    size_bytes: int = 0
    upto: int = 0
    chosen: str = ""
    since: int = 0
    unheard: list[tuple[int, int]] = field(default_factory=list)
    unheard_open: bool = False
    passed: list[tuple[int, int]] = field(default_factory=list)
    period_ms: int = 0
    period_bytes: int = 0
    told: int = 0

    @property
    def waiting(self) -> int:
        """Selected records without a fate yet; never negative in a committed state."""
        return self.selected - sum(self.counts.values())

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
        facts = [1, self.low, self.selected, self.counts, self.done, self.size_bytes, self.upto, self.chosen]
        facts += [self.since, self.unheard, self.unheard_open]
        facts += [[pair for pair in self.passed if pair[1] > self.low], self.period_ms, self.period_bytes, self.told]
        return msgspec.msgpack.encode(facts)

    @classmethod
    def from_bytes(cls, blob: bytes) -> Ledger:
        """The state of a journal mark."""
        _version, low, selected, counts, done, size_bytes, upto, chosen, *more = msgspec.msgpack.decode(blob)
        known = dict.fromkeys(FATES, 0) | counts
        rest: list[Any] = more + _BEFORE[len(more) :]
        since, unheard, unheard_open, passed, period_ms, period_bytes, told = rest
        return cls(
            low, selected, known, _ranges(done), size_bytes, upto, chosen, since, _ranges(unheard), unheard_open,
            _ranges(passed), period_ms, period_bytes, told,
        )  # fmt: skip


_BEFORE: Final[list[Any]] = [0, [], False, [], 0, 0, 0]  # of what older marks do not hold


def _inside(ranges: list[tuple[int, int]], position: int) -> bool:
    index = bisect_right(ranges, (position, 1 << 62)) - 1
    return index >= 0 and position < ranges[index][1]


def _ranges(pairs: list[list[int]]) -> list[tuple[int, int]]:
    return [(first, end) for first, end in pairs]
