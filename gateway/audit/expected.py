"""Which records a sink should hold: what the journal still has, the ledger calls settled, and no dead letter names.

What cannot be compared is counted, never left out in silence: see `Expected.unseen`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from gateway.audit.seen import Seen, appended_before
from gateway.booking import defers
from gateway.codec import DEAD, EVENT, RAW, REQUEUED, WINDOW, Codec, UnknownSchema, t_ms_of
from gateway.journal import Entry, Journal
from gateway.ledger import Ledger
from gateway.record import Record
from gateway.selection import Selection

CHUNK_BYTES: Final = 1 << 20
RECORDS: Final = frozenset({RAW, WINDOW, EVENT})
NOTES: Final = frozenset({DEAD, REQUEUED})


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: its place in the journal, the sink that gave it up, why, and the record (None: unreadable)."""

    position: int
    sink: str
    reason: str
    record: Record | None


@dataclass(slots=True)
class Shelf:
    """Everything that a journal held when it was opened, read entry by entry; it may be open for reading only.

    `first`, `end`: its positions then. `unreadable`: records met whose description is gone.
    """

    journal: Journal
    codec: Codec
    unreadable: int = field(default=0, init=False)
    first: int = field(init=False)
    end: int = field(init=False)

    def __post_init__(self) -> None:
        self.first, self.end = self.journal.first, self.journal.next

    def entries(
        self, seen: Seen | None = None, *, start: int = 0, kinds: frozenset[int] | None = None
    ) -> Iterator[Entry]:
        """All entries from `start` on, oldest first; `seen` is told of each, and of the end.

        With `kinds`, others may be left out: that is many times faster where there are few of these.
        """
        at = max(self.first, start)
        while at < self.end:
            entries = self.journal.read(at, limit_bytes=CHUNK_BYTES, kinds=kinds)
            for entry in entries:
                if at <= entry.position < self.end:
                    if seen is not None:
                        seen.step(entry.position)
                    yield entry
            at = max(at, entries[-1].position) + 1 if entries else self.end
        if seen is not None:
            seen.reach(self.end)

    def records(self, seen: Seen | None = None) -> Iterator[tuple[int, Record]]:
        """All records with their position; one whose description is gone is counted in `unreadable`."""
        for entry in self.entries(seen):
            if entry.kind in RECORDS:
                record = self.decoded(entry.kind, entry.payload)
                if record is None:
                    self.unreadable += 1
                else:
                    yield entry.position, record

    def letters(self, *, start: int = 0) -> list[Letter]:
        """Dead letters from this position on that were not delivered since."""
        found: dict[int, Letter] = {}
        for entry in self.entries(start=start, kinds=NOTES):
            if entry.kind == DEAD:
                _version, sink, reason, kind, payload = msgspec.msgpack.decode(entry.payload)
                record = self.decoded(kind, payload) if sink and kind in RECORDS else None
                found[entry.position] = Letter(entry.position, sink, str(reason), record)
            elif entry.kind == REQUEUED:
                found.pop(msgspec.msgpack.decode(entry.payload)[1], None)
        return list(found.values())

    def ledgers(self) -> Mapping[str, Ledger]:
        """The account of each sink as of the last commit."""
        marks = self.journal.marks.items()
        return {name.removeprefix("sink:"): Ledger.from_bytes(blob) for name, blob in marks if name.startswith("sink:")}

    def decoded(self, kind: int, payload: bytes) -> Record | None:
        """The record of an entry; None where its description is gone."""
        try:
            return self.codec.decode(kind, payload)
        except UnknownSchema:
            return None


@dataclass(slots=True)
class Expected:
    """What one sink should hold of the records in [first_ms, end_ms).

    `waiting`, `dead`: those that are not to be expected yet, or never. `reselected`: settled under an earlier selection
    of the sink, so nobody can say whether it was to have them. `before`: positions that had left the journal before;
    where `first_ms` asks for their time, they count as `seen.let_go`.
    """

    shelf: Shelf
    sink: str
    ledger: Ledger
    selection: Selection
    first_ms: int = 0
    end_ms: int = 1 << 62
    earliest_ms: int = field(default=1 << 62, init=False)
    latest_ms: int = field(default=0, init=False)
    waiting: int = field(default=0, init=False)
    dead: int = field(default=0, init=False)
    reselected: int = field(default=0, init=False)
    unreadable: int = field(default=0, init=False)
    before: int = field(default=0, init=False)
    upto: int = field(default=0, init=False)
    seen: Seen = field(init=False)

    def __post_init__(self) -> None:
        journal, since = self.shelf.journal, self.ledger.since
        first = max(since, appended_before(journal, self.first_ms))
        if not self.first_ms:
            first, self.before = max(first, self.shelf.first), max(0, self.shelf.first - since)
        self.seen = Seen(journal, first=first)

    @property
    def unseen(self) -> dict[str, int]:
        """What was not compared, by reason; all 0 where everything was."""
        seen = self.seen
        return {"damaged": seen.damaged, "let_go": seen.let_go, "unreadable": self.unreadable} | {
            "reselected": self.reselected
        }

    @property
    def chosen_from(self) -> int:
        """From this position on the present selection decided; with a config that no daemon has run yet, from none."""
        foreign = self.ledger.chosen not in {"", self.selection.fingerprint}
        return self.shelf.end if foreign else self.ledger.chosen_from

    def records(self) -> Iterator[Record]:
        """In the order of the journal."""
        buried = {_identity(one.record) for one in self.shelf.letters() if one.sink == self.sink and one.record}
        for entry in self.shelf.entries(self.seen):
            record = self._owed(entry)
            if record is None:
                continue
            if not self.ledger.settled(entry.position, deferred=defers(record)):
                self.waiting += 1
            elif entry.position < self.chosen_from:
                self.reselected, self.upto = self.reselected + 1, entry.position + 1
            elif _identity(record) in buried:
                self.dead += 1
            else:
                self.earliest_ms, self.latest_ms = min(self.earliest_ms, record.t_ms), max(self.latest_ms, record.t_ms)
                yield record
        if self.ledger.upto > self.shelf.end:  # the newest file is gone: its marks were read from an older one
            self.seen.damaged += self.ledger.upto - self.shelf.end
            self.seen.upto = self.ledger.upto
        self.upto = max(self.upto, self.seen.upto)

    def _owed(self, entry: Entry) -> Record | None:
        """The record of an entry, where it is of the range and the sink is to have it."""
        if entry.kind not in RECORDS or entry.position < self.ledger.since:
            return None
        if not self.first_ms <= t_ms_of(entry.payload) < self.end_ms:
            return None
        record = self.shelf.decoded(entry.kind, entry.payload)
        if record is None:
            self.unreadable, self.upto = self.unreadable + 1, entry.position + 1
            return None
        return record if self.selection.wants(record) else None


def _identity(record: Record) -> tuple[str, str, int, int]:
    return record.device, record.stream, record.t_ms, record.rev
