"""What keeps a sink's ledger true to the journal: after a start, after damage, after entries were let go of.

The invariant of `gateway.ledger` holds after each method. Counting reads all that waits, so `count` works on a frozen
copy of the ledger and may run in a thread, beside deliveries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gateway.codec import EVENT, RAW, WINDOW, Codec, UnknownSchema, deferred
from gateway.journal import Journal
from gateway.ledger import Ledger
from gateway.record import Record
from gateway.selection import Selection

COUNT_BYTES = 1 << 18  # read at once while counting
COUNT_NOW = 20_000  # entries that a start waits for; more are counted beside the deliveries (gateway.retention)


def defers(record: Record) -> bool:
    """Whether the record waits while the budget is spent; as `gateway.codec.deferred` tells of an entry."""
    return record.stream == "raw" or record.rev > 0


class Booking:
    """The ledger of one sink, its selection, and what is in the sink's hands."""

    def __init__(self, *, ledger: Ledger, selection: Selection, journal: Journal, codec: Codec) -> None:
        self.ledger = ledger
        self.unsettled: dict[int, Record] = {}
        self._parked: dict[int, Record] = {}
        self._selection = selection
        self._journal = journal
        self._codec = codec
        self.uncounted: tuple[Ledger, int] | None = None  # as it was, and what was taken for selected until it is known
        self._unreadable = False  # an entry whose schema is gone was met since the ledger was last balanced

    def _wanted(self, kind: int, payload: bytes) -> Record | None:
        if kind not in {RAW, WINDOW, EVENT}:
            return None
        try:
            record = self._codec.decode(kind, payload)
        except UnknownSchema:
            self._unreadable = True
            return None
        return record if self._selection.wants(record) else None

    def _book_unreadable(self) -> None:
        """Entries without a schema say nothing of their stream: those that had been selected are what is missing."""
        if self.uncounted is not None:
            return  # `selected` is a guess until then: the next look books them
        missing = max(0, self.ledger.waiting - self._count(self.ledger.low))
        self.ledger.counts["dead"] += missing
        self.ledger.letters_gone += missing  # there is no letter of what cannot be read
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
        lost = record is not None and self._selection.wants(record)
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
        selected; what the journal no longer holds is dropped; another selection in the config is counted anew, and
        noted: nobody can say of what was settled before whether this sink was to have it.
        """
        ledger, journal = self.ledger, self._journal
        if ledger.chosen != self._selection.fingerprint:
            ledger.chosen_from = journal.next
            self.recount()
            return 0
        ledger.selected += self._count(max(ledger.upto, journal.first))
        if journal.reverted:
            ledger.selected = sum(ledger.counts.values()) + self._count(ledger.low)
        return self.write_off((ledger.low, journal.first)) if ledger.low < journal.first else 0

    def recount(self) -> None:
        """Count `selected` anew from the journal: for a sink that starts at the oldest, or whose selection changed.

        Where that is long, everything is taken for selected at first; `tally` the `uncounted` and `book_counted`.
        """
        ledger, journal = self.ledger, self._journal
        ledger.finish(ledger.low, journal.first)
        fates, far = sum(ledger.counts.values()), journal.next - ledger.low
        if far > COUNT_NOW:
            ledger.selected = fates + far
            self.uncounted = self.strike(()), far
        else:
            ledger.selected = fates + self._count(ledger.low)

    def book_counted(self, count: int) -> None:
        """So many of the `uncounted` are selected."""
        if self.uncounted is not None:
            self.ledger.selected += count - self.uncounted[1]
            self.uncounted = None

    def _count(self, start: int, *, frozen: Ledger | None = None) -> int:
        """Selected records without a fate from `start` on. Reads all of it."""
        count, at = 0, start
        while at >= 0:
            found, at = self.tally(at, frozen=frozen)
            count += found
        return count

    def tally(self, at: int, *, frozen: Ledger | None = None) -> tuple[int, int]:
        """Selected records without a fate in the next slice from `at` on, and where to go on (-1: that was the end).

        Of the ledger as it is, or of a frozen one below its `upto`; then in any thread.
        """
        ledger = frozen or self.ledger
        end, count = ledger.upto if frozen else self._journal.next, 0
        at = max(at, self._journal.first)
        entries = self._journal.read(at, limit_bytes=COUNT_BYTES) if at < end else []
        for entry in entries:
            if entry.position < end and not ledger.settled(
                entry.position, deferred=deferred(entry.kind, entry.payload)
            ):
                count += self._wanted(entry.kind, entry.payload) is not None
        return count, entries[-1].position + 1 if entries else -1

    def state_bytes(self) -> bytes:
        """The ledger for a journal mark, with the place and the selection that it speaks of."""
        self.ledger.upto = self._journal.next
        self.ledger.chosen = "" if self.uncounted else self._selection.fingerprint  # "": a start counts again
        return self.ledger.to_bytes()
