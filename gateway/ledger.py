"""The ledger of one sink: what it selects, how far it is confirmed, and the count of every fate.

Invariant, always: selected = delivered + unheard + sent + dead + sampled + dropped + waiting.
The state is committed with the records themselves (a journal mark), so after any crash both agree.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from gateway.config import Sink
from gateway.config.duration import seconds
from gateway.reading import Event
from gateway.record import Record

MAX_RANGES: Final = 512  # with more, the shipper opens no second lane: ranges grow by at most one send window then
MAX_UNHEARD: Final = 64
FATES: Final = ("delivered", "unheard", "sent", "dead", "sampled", "dropped")


class Filter:
    """Which records a sink selects, by stream, device, kind and personal data; and how raw is thinned."""

    def __init__(self, sink: Sink, *, personal: frozenset[str]) -> None:
        self._streams = frozenset(sink.streams)
        self._devices = sink.devices
        self._kinds = sink.kinds
        self._personal = personal
        self._raw_every_ms = 0 if sink.raw_every is None else round(seconds(sink.raw_every) * 1000)
        self._known: dict[tuple[str, str], bool] = {}
        facts = [sorted(sink.streams), sink.devices, sink.kinds, sorted(personal), self._raw_every_ms]
        self.fingerprint = f"{zlib.crc32(msgspec.msgpack.encode(facts)):08x}"

    def selects(self, record: Record) -> bool:
        """Whether the record is this sink's business at all."""
        if record.stream not in self._streams or record.estimated:
            return False
        key = record.device, record.kind
        if key not in self._known:
            self._known[key] = self._device(*key)
        return self._known[key]

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

    @property
    def waiting(self) -> int:
        """Selected records without a fate yet; never negative in a committed state."""
        return self.selected - sum(self.counts.values())

    def settled(self, position: int) -> bool:
        """Whether this position has its fate already."""
        if position < self.low:
            return True
        index = bisect_right(self.done, (position, 1 << 62)) - 1
        return index >= 0 and position < self.done[index][1]

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
        index = bisect_right(self.unheard, (position, 1 << 62)) - 1
        return index >= 0 and position < self.unheard[index][1]

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
        return msgspec.msgpack.encode(facts)

    @classmethod
    def from_bytes(cls, blob: bytes) -> Ledger:
        """The state of a journal mark."""
        _version, low, selected, counts, done, size_bytes, upto, chosen, *more = msgspec.msgpack.decode(blob)
        known = dict.fromkeys(FATES, 0) | counts
        since, unheard, unheard_open = more or (0, [], False)
        return cls(
            low, selected, known, _ranges(done), size_bytes, upto, chosen, since, _ranges(unheard), unheard_open
        )  # fmt: skip


def _ranges(pairs: list[list[int]]) -> list[tuple[int, int]]:
    return [(first, end) for first, end in pairs]
