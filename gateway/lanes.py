"""The two lanes of a sink: which parcel goes next. Synchronous; no I/O but reads of the journal.

The live lane gets records as they are appended (`offer`); raw at once, the rest after its commit (`committed`).
The backlog lane reads the journal from the ledger's low-water mark, oldest first. A short backlog goes first and
strictly in order (the live lane stays shut until it is done); a long one runs beside live, up to where live began.
What is handed out and not settled stands in `unsettled`; `abandon` gives everything back to the journal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from gateway.codec import EVENT, RAW, WINDOW, Codec, UnknownSchema
from gateway.journal import Journal
from gateway.ledger import MAX_RANGES, Filter, Ledger
from gateway.record import Record
from gateway.sinks import Fate, Parcel

LIVE_MAX: Final = 2000  # records held in memory for the live lane; beyond, they wait in the journal
CHUNK_BYTES: Final = 65536
FIRST_RATE: Final = 30_000.0  # values/s that an unknown sink is trusted with (design truth 4)
SHORT_S: Final = 2.0


class Lanes:
    """Feeds one sink from the journal and from memory, and books every fate."""

    def __init__(self, *, ledger: Ledger, chosen: Filter, journal: Journal, codec: Codec) -> None:
        self.ledger = ledger
        self.unsettled: dict[int, Record] = {}
        self.rate = FIRST_RATE  # values/s that the sink last sustained
        self.values_per_record = 10.0
        self.unreadable: Callable[[int, str], None] = lambda _position, _reason: None
        self._filter = chosen
        self._journal = journal
        self._codec = codec
        self._live: deque[Parcel] = deque(maxlen=LIVE_MAX + 1)
        self._held: deque[Parcel] = deque(maxlen=LIVE_MAX + 1)
        self._back: deque[Parcel] = deque(maxlen=4 * LIVE_MAX)
        self._open = False
        self._live_from = 0
        self._scan = 0

    @property
    def state(self) -> str:
        """Either `shut` (no connection), `catching-up` (backlog first), `both` (backlog beside live) or `live`."""
        if not self._open:
            return "shut" if self._scan < 0 else "catching-up"
        return "live" if self._scan >= self._live_from and not self._back else "both"

    def offer(self, position: int, record: Record | None) -> None:
        """A record was appended (None: an entry that is no sink's business). Books what this sink leaves out."""
        if record is None or not self._filter.selects(record):
            self.ledger.finish(position, position + 1)
            return
        self.ledger.selected += 1
        self.values_per_record += 0.01 * (_values(record) - self.values_per_record)
        if self._filter.thinned(record):
            self.ledger.counts["sampled"] += 1
            self.ledger.finish(position, position + 1)
        elif self._open:
            self._enqueue(Parcel(position, record))

    def _enqueue(self, parcel: Parcel) -> None:
        lane = self._live if parcel.record.stream == "raw" else self._held
        lane.append(parcel)
        if len(lane) > LIVE_MAX:  # the sink is slower than life: what is in memory goes back to the journal
            self._live.clear()
            self._held.clear()
            self.begin()

    def begin(self) -> None:
        """A connection stands: a short backlog first, a long one beside live."""
        self._back.clear()
        self._scan = self.ledger.low
        short = self.ledger.waiting * self.values_per_record <= SHORT_S * self.rate
        self._open = not short and len(self.ledger.done) < MAX_RANGES
        self._live_from = self._journal.next

    def abandon(self) -> None:
        """The connection is gone: everything without a fate waits in the journal again."""
        self.unsettled.clear()
        self._live.clear()
        self._held.clear()
        self._back.clear()
        self._open = False
        self._scan = -1

    def live(self, limit: int) -> list[Parcel]:
        """Up to `limit` parcels of the live lane, in order; held ones join once they are committed."""
        while self._held and self._held[0].position < self._journal.committed:
            self._live.append(self._held.popleft())
        taken = [self._live.popleft() for _ in range(min(limit, len(self._live)))]
        self.unsettled.update((parcel.position, parcel.record) for parcel in taken)
        return taken

    @property
    def live_waiting(self) -> int:
        """Parcels that `live` could give out now."""
        return len(self._live) + (bool(self._held) and self._held[0].position < self._journal.committed)

    def backlog(self, limit: int) -> list[Parcel]:
        """Up to `limit` parcels of the backlog lane, oldest first; opens the live lane when the backlog is done."""
        while not self._back and self._advance():
            pass
        taken = [self._back.popleft() for _ in range(min(limit, len(self._back)))]
        self.unsettled.update((parcel.position, parcel.record) for parcel in taken)
        return taken

    def _advance(self) -> bool:
        """Read one chunk further; false where the lane's end is reached."""
        if self._scan < 0:
            return False
        end = self._live_from if self._open else self._journal.committed
        if self._scan >= min(end, self._journal.committed):
            if not self._open and len(self.ledger.done) < MAX_RANGES:
                self._go_live()
            return False
        entries = self._journal.read(self._scan, limit_bytes=CHUNK_BYTES)
        if not entries:
            return False
        for entry in entries:
            if entry.position >= min(end, self._journal.committed):
                self._scan = entry.position
                return True
            self._consider(entry.position, entry.kind, entry.payload)
            self._scan = entry.position + 1
        return True

    def _go_live(self) -> None:
        self._open = True
        self._live_from = self._scan
        for entry in self._journal.read(self._scan, limit_bytes=1 << 30) if self._scan < self._journal.next else ():
            if not self._open:
                break  # more than the live lane holds: it shut itself again
            if entry.kind in {RAW, WINDOW, EVENT} and not self._taken(entry.position):
                record = self._codec.decode(entry.kind, entry.payload)
                if self._filter.selects(record) and not self._filter.thinned(record):
                    self._enqueue(Parcel(entry.position, record))

    def _taken(self, position: int) -> bool:
        return self.ledger.settled(position) or position in self.unsettled

    def _consider(self, position: int, kind: int, payload: bytes) -> None:
        if self._taken(position):
            return
        if kind not in {RAW, WINDOW, EVENT}:
            self.ledger.finish(position, position + 1)
            return
        try:
            record = self._codec.decode(kind, payload)
        except UnknownSchema as error:
            self.ledger.counts["dead"] += 1
            self.ledger.finish(position, position + 1)
            self.unreadable(position, str(error))
            return
        if self._filter.selects(record) and not self._filter.thinned(record):
            self._back.append(Parcel(position, replace(record, late=True)))
        else:
            self.ledger.finish(position, position + 1)

    def settle(self, position: int, fate: Fate) -> Record | None:
        """Book a fate; returns the record, or None where it was not out. AGAIN puts it back to the head of live."""
        record = self.unsettled.pop(position, None)
        if record is None:
            return None
        if fate is not Fate.AGAIN:
            self.ledger.counts[fate.value] += 1
            self.ledger.finish(position, position + 1)
        return record

    def again(self, parcel: Parcel) -> None:
        """Hand out a parcel once more (its wait is over), unless the connection was lost meanwhile."""
        if self._scan >= 0 and not self.ledger.settled(parcel.position):
            self._live.appendleft(parcel)

    def dropped(self, position: int, record: Record | None) -> bool:
        """The journal lets go of this entry; true where this sink selected it and never had it."""
        if self.ledger.settled(position):
            return False
        self.unsettled.pop(position, None)
        lost = record is not None and self._filter.selects(record) and not self._filter.thinned(record)
        self.ledger.counts["dropped"] += lost
        self.ledger.finish(position, position + 1)
        return lost

    def recount(self) -> None:
        """Count `selected` anew from the journal: for a sink that starts at the oldest, or whose selection changed."""
        waiting = 0
        at = max(self.ledger.low, self._journal.first)
        while entries := self._journal.read(at, limit_bytes=1 << 20):
            for entry in entries:
                if entry.kind in {RAW, WINDOW, EVENT} and not self.ledger.settled(entry.position):
                    record = self._codec.decode(entry.kind, entry.payload)
                    waiting += self._filter.selects(record) and not self._filter.thinned(record)
            at = entries[-1].position + 1
        self.ledger.selected = sum(self.ledger.counts.values()) + waiting


def _values(record: Record) -> int:
    values = getattr(record.body, "values", None)
    return 6 if values is None else len(values)
