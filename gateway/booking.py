"""What keeps a sink's ledger true to the journal: after a start, after damage, after entries were let go of.

The invariant of `gateway.ledger` holds after each method. Counting reads all that waits, so `count` works on a frozen
copy of the ledger and may run in a thread, beside deliveries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gateway.codec import EVENT, RAW, WINDOW, Codec, UnknownSchema, deferred
from gateway.journal import Journal
from gateway.ledger import Filter, Ledger
from gateway.record import Record

COUNT_BYTES = 1 << 18  # read at once while counting


def defers(record: Record) -> bool:
    """Whether the record waits while the budget is spent; as `gateway.codec.deferred` tells of an entry."""
    return record.stream == "raw" or record.rev > 0


class Booking:
    """The ledger of one sink, its selection, and what is in the sink's hands."""

    def __init__(self, *, ledger: Ledger, chosen: Filter, journal: Journal, codec: Codec) -> None:
        self.ledger = ledger
        self.unsettled: dict[int, Record] = {}
        self._parked: dict[int, Record] = {}
        self._filter = chosen
        self._journal = journal
        self._codec = codec
        self._unreadable = False  # an entry whose schema is gone was met since the ledger was last balanced

    def _wanted(self, kind: int, payload: bytes) -> Record | None:
        if kind not in {RAW, WINDOW, EVENT}:
            return None
        try:
            record = self._codec.decode(kind, payload)
        except UnknownSchema:
            self._unreadable = True
            return None
        return record if self._filter.selects(record) and not self._filter.thinned(record) else None

    def _book_unreadable(self) -> None:
        """Entries without a schema say nothing of their stream: those that had been selected are what is missing."""
        self.ledger.counts["dead"] += max(0, self.ledger.waiting - self._count(self.ledger.low))
        self._unreadable = False

    def dropped(self, position: int, record: Record | None, *, finish: bool = True) -> bool:
        """The journal lets go of this entry; true where this sink selected it and never had it.

        Without `finish` its place is not booked: of a thinned segment these would be thousands of ranges. Whoever
        reads past it will find it gone.
        """
        if self.ledger.settled(position, deferred=record is None or defers(record)):
            if finish and self.ledger.passed:
                self.ledger.finish(position, position + 1)
            return False
        self.unsettled.pop(position, None)
        self._parked.pop(position, None)
        lost = record is not None and self._filter.selects(record) and not self._filter.thinned(record)
        self.ledger.counts["dropped"] += lost
        if finish:
            self.ledger.finish(position, position + 1)
        return lost

    def strike(self, holes: Iterable[tuple[int, int]]) -> Ledger:
        """These [first, end) will never be read: they have their fate. Returns the ledger as it is now, to `count`."""
        for first, end in holes:
            self.ledger.finish(first, end)
            for position in [p for p in (*self.unsettled, *self._parked) if first <= p < end]:
                self.unsettled.pop(position, None)
                self._parked.pop(position, None)
        ledger = self.ledger
        return replace(ledger, done=list(ledger.done), passed=list(ledger.passed), upto=self._journal.next)

    def count(self, frozen: Ledger) -> int:
        """Selected records without a fate in a frozen ledger, below its `upto`. Reads all of them; in any thread."""
        return self._count(frozen.low, frozen=frozen)

    def write_off(self, *holes: tuple[int, int]) -> int:
        """What cannot be read in these [first, end) is dropped; returns how many it was. Reads all that waits."""
        before = self.ledger.waiting
        frozen = self.strike(holes)
        return self.book_lost(before - self.count(frozen))

    def book_lost(self, lost: int) -> int:
        """So many of those that waited are not there any more."""
        self.ledger.counts["dropped"] += max(0, lost)
        return max(0, lost)

    def resume(self) -> int:
        """After a start: agree with the journal as it is. Returns how many selected records it has lost meanwhile.

        Entries behind the mark (a torn commit keeps them; a sink that was away never saw them) are counted as
        selected; what the journal no longer holds is dropped; another selection in the config is counted anew.
        """
        ledger, journal = self.ledger, self._journal
        if ledger.chosen != self._filter.fingerprint:
            self.recount()
            return 0
        ledger.selected += self._count(max(ledger.upto, journal.first))
        if journal.reverted:
            ledger.selected = sum(ledger.counts.values()) + self._count(ledger.low)
        return self.write_off((ledger.low, journal.first)) if ledger.low < journal.first else 0

    def recount(self) -> None:
        """Count `selected` anew from the journal: for a sink that starts at the oldest, or whose selection changed."""
        self.ledger.finish(self.ledger.low, self._journal.first)
        self.ledger.selected = sum(self.ledger.counts.values()) + self._count(self.ledger.low)

    def _count(self, start: int, *, frozen: Ledger | None = None) -> int:
        """Selected records without a fate from `start` on. Reads all of it."""
        ledger = frozen or self.ledger
        end = ledger.upto if frozen else self._journal.next
        count, at = 0, max(start, self._journal.first)
        while at < end and (entries := self._journal.read(at, limit_bytes=COUNT_BYTES)):
            for entry in entries:
                if entry.position < end and not ledger.settled(
                    entry.position, deferred=deferred(entry.kind, entry.payload)
                ):
                    count += self._wanted(entry.kind, entry.payload) is not None
            at = entries[-1].position + 1
        return count

    def state_bytes(self) -> bytes:
        """The ledger for a journal mark, with the place and the selection that it speaks of."""
        self.ledger.upto = self._journal.next
        self.ledger.chosen = self._filter.fingerprint
        return self.ledger.to_bytes()
