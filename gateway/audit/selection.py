"""Which records a sink should hold: what the journal still has, the ledger calls settled, and no dead letter names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from gateway.booking import defers
from gateway.codec import DEAD, EVENT, RAW, REQUEUED, WINDOW, Codec, UnknownSchema
from gateway.journal import Entry, Journal
from gateway.ledger import Filter, Ledger
from gateway.record import Record

CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: its place in the journal, the sink that gave it up, why, and the record (None: unreadable)."""

    position: int
    sink: str
    reason: str
    record: Record | None


@dataclass(slots=True)
class Shelf:
    """Everything that a journal holds now, read entry by entry. `journal` may be open for reading only."""

    journal: Journal
    codec: Codec
    unreadable: int = field(default=0, init=False)

    def entries(self) -> Iterator[Entry]:
        """All entries, oldest first."""
        at = self.journal.first
        while at < self.journal.next:
            entries = self.journal.read(at, limit_bytes=CHUNK_BYTES)
            if not entries:
                return
            for entry in entries:
                if entry.position >= at:
                    yield entry
            at = max(at, entries[-1].position) + 1

    def records(self) -> Iterator[tuple[int, Record]]:
        """All records with their position; one whose description is gone is counted in `unreadable`."""
        for entry in self.entries():
            if entry.kind in {RAW, WINDOW, EVENT}:
                record = self._decoded(entry.kind, entry.payload)
                if record is None:
                    self.unreadable += 1
                else:
                    yield entry.position, record

    def letters(self) -> list[Letter]:
        """Dead letters that were not delivered since."""
        found: dict[int, Letter] = {}
        for entry in self.entries():
            if entry.kind == DEAD:
                _version, sink, reason, kind, payload = msgspec.msgpack.decode(entry.payload)
                record = self._decoded(kind, payload) if sink and kind in {RAW, WINDOW, EVENT} else None
                found[entry.position] = Letter(entry.position, sink, str(reason), record)
            elif entry.kind == REQUEUED:
                found.pop(msgspec.msgpack.decode(entry.payload)[1], None)
        return list(found.values())

    def ledgers(self) -> Mapping[str, Ledger]:
        """The account of each sink as of the last commit."""
        marks = self.journal.marks.items()
        return {name.removeprefix("sink:"): Ledger.from_bytes(blob) for name, blob in marks if name.startswith("sink:")}

    def _decoded(self, kind: int, payload: bytes) -> Record | None:
        try:
            return self.codec.decode(kind, payload)
        except UnknownSchema:
            return None


@dataclass(slots=True)
class Due:
    """What one sink should hold. `waiting`, `dead`: records in the range that are not to be expected yet, or never."""

    shelf: Shelf
    sink: str
    ledger: Ledger
    chosen: Filter
    first_ms: int = 0
    end_ms: int = 1 << 62
    earliest_ms: int = field(default=1 << 62, init=False)
    latest_ms: int = field(default=0, init=False)
    waiting: int = field(default=0, init=False)
    dead: int = field(default=0, init=False)

    def records(self) -> Iterator[Record]:
        """In the order of the journal."""
        buried = {_identity(one.record) for one in self.shelf.letters() if one.sink == self.sink and one.record}
        for position, record in self.shelf.records():
            if position < self.ledger.since or not self.first_ms <= record.t_ms < self.end_ms:
                continue
            if not self.chosen.selects(record) or self.chosen.thinned(record):
                continue
            if not self.ledger.settled(position, deferred=defers(record)):
                self.waiting += 1
            elif _identity(record) in buried:
                self.dead += 1
            else:
                self.earliest_ms, self.latest_ms = min(self.earliest_ms, record.t_ms), max(self.latest_ms, record.t_ms)
                yield record


def _identity(record: Record) -> tuple[str, str, int, int]:
    return record.device, record.stream, record.t_ms, record.rev
