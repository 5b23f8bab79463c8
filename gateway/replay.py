"""Sending again what has its fate already: after a broker lost data, or when dead letters may go now.

A replay is asked for, not remembered: after a restart it is asked for again. It takes the room that live and backlog
leave, keeps the journal's order, and gives every record with the identity it had. The ledger does not count it twice:
an unheard record that is heard now, or a dead letter that is taken, changes its fate; all others keep theirs.

Invariants:
1. One order at a time: a parcel that is out belongs to `order`, and what becomes of it is booked by that order.
2. No record goes out while a higher revision of it is known (`superseded`): the platform keeps what comes last.
3. A letter is given only to the sink that refused it, and taken once.
4. One call reads at most `READ_BYTES` of the journal. Windows that may have been amended wait in memory, at most
   `WEIGHED`, until the journal behind them was read.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import msgspec

from gateway.codec import DEAD, EVENT, RAW, REQUEUED, WINDOW, Codec, UnknownSchema, deferred, t_ms_of
from gateway.journal import Entry, Journal
from gateway.ledger import Ledger
from gateway.order import Order, OrderGoesOn, count
from gateway.queues import place
from gateway.reading import LENGTHS_S
from gateway.record import Record
from gateway.revisions import Revisions
from gateway.selection import Selection
from gateway.sinks import Fate, Parcel

READ_BYTES: Final = 131_072
LETTERS: Final = 32  # read in one call
WEIGHED: Final = 4000
AGAIN_S: Final = 5.0  # "not now" is tried again after that, for ten minutes
TRIES: Final = 120
KEPT: Final = 1 << 20
ORDERS: Final = 8  # finished ones, whose account can still be asked for
REASONS: Final = 10
TAKEN: Final = frozenset({Fate.DELIVERED, Fate.UNHEARD, Fate.SENT})
SUPERSEDED: Final = "superseded"


class Replay:
    """Belongs to one sink. Synchronous; no I/O but reads of the journal. `note` appends an entry of a kind to it."""

    def __init__(
        self,
        sink: str,
        *,
        journal: Journal,
        codec: Codec,
        ledger: Ledger,
        selection: Selection,
        note: Callable[[int, bytes], None] = lambda _kind, _payload: None,
    ) -> None:
        self.orders: deque[Order] = deque(maxlen=ORDERS)
        self._sink, self._note = sink, note
        self._journal, self._codec, self._ledger, self._selection = journal, codec, ledger, selection
        self._queue: deque[Parcel] = deque(maxlen=KEPT)
        self._out: dict[int, Parcel] = {}
        self._tries: dict[int, int] = {}
        self._letters: deque[int] = deque(maxlen=KEPT)
        self._windows: list[Parcel] = []  # that may have been amended since: held until the journal was read
        self._parked: list[Parcel] = []  # the sink said "not now"
        self._again_s: float | None = None
        self._stopped = False
        self._taken: set[int] = set()  # letters that went since the start; the journal has a note of each
        self._revisions = Revisions()
        self._at = self._end = 0
        self._resume = -1  # where records are picked again, after the journal was read for higher revisions

    @property
    def order(self) -> Order | None:
        """The last one that was given."""
        return self.orders[-1] if self.orders else None

    @property
    def in_hand(self) -> int:
        """Parcels that are with the sink."""
        return len(self._out)

    @property
    def active(self) -> bool:
        """Whether an order is not done yet."""
        return bool(self.orders) and not self.orders[-1].done

    @property
    def reading(self) -> bool:
        """Whether `next` has more to read, although it may have given nothing."""
        return self.active and bool(self._letters or self._windows or self._at < self._end)

    def begin(self, order: Order) -> Order:
        """Start with this order; it gets a number.

        Raises:
            OrderGoesOn: the one before it is not done.
        """
        if self.active:
            raise OrderGoesOn(f"order {self.orders[-1].number} of sink {self._sink} goes on")
        order.number = self.orders[-1].number + 1 if self.orders else 1
        self.orders.append(order)
        for memory in (self._queue, self._tries, self._windows):
            memory.clear()
        self._revisions = Revisions()
        self._stopped, self._resume = False, -1
        self._letters = deque(dict.fromkeys(order.letters), maxlen=KEPT)
        self._at = self._journal.seek(order.from_ms)
        self._end = 0 if order.letters else self._journal.committed
        return order

    def stop(self) -> None:
        """End the order; what is out is still booked, and not tried again."""
        self._stopped = True
        for memory in (self._queue, self._letters, self._windows, self._parked):
            memory.clear()
        self._end, self._resume = 0, -1
        self._look_done()

    def amended(self, record: Record) -> None:
        """A higher revision of a record was journaled: the lower ones go out no more."""
        self._revisions.went(record)

    def next(self, room: int, now_s: float) -> list[Parcel]:
        """Up to `room` parcels, in order; [] where there is nothing (now: see `reading`). `now_s`: loop time."""
        if not self.active:
            return []
        order = self.orders[-1]
        self._unpark(now_s)
        if len(self._queue) < room:
            self._read(order)
        taken: list[Parcel] = []
        while self._queue and len(taken) < room:
            parcel = self._queue.popleft()
            if self._revisions.superseded(parcel.record):
                count(order.fates, SUPERSEDED)
                self._shelve(order, parcel.position)
                continue
            taken.append(parcel)
            self._revisions.went(parcel.record)
        self._out.update({parcel.position: parcel for parcel in taken})
        self._look_done()
        return taken

    def _unpark(self, now_s: float) -> None:
        """What was not taken goes again some seconds later, in front of all that is behind it in the journal."""
        if self._parked and self._again_s is None:
            self._again_s = now_s + AGAIN_S
        elif self._again_s is not None and now_s >= self._again_s:
            for parcel in self._parked:
                insort(self._queue, parcel, key=place)
            self._parked.clear()
            self._again_s = None

    def _shelve(self, order: Order, position: int) -> None:
        """A letter that nobody needs any more: it stays one of the dead, and is on the list no longer."""
        if order.letters:
            self._taken.add(position)
            self._note(REQUEUED, msgspec.msgpack.encode([1, position]))
            self._ledger.letters_gone += 1

    def _look_done(self) -> None:
        if self.orders:
            self.orders[-1].done = not (self._out or self._queue or self._parked or self.reading)

    def _read(self, order: Order) -> None:
        """One slice: of the letters, then of the journal behind them where windows are among them; or of the range."""
        if self._letters and self._at >= self._end and len(self._windows) < WEIGHED:
            self._read_letters(order)
            return
        entries = self._journal.read(self._at, limit_bytes=READ_BYTES) if self._at < self._end else []
        for entry in entries:
            self._at = max(self._at, entry.position + 1)
            if order.letters or order.unheard:
                self._revisions.weigh(entry, letter=self._refused(entry), record=self._amended(entry))
            if not order.letters and self._resume < 0 and entry.position < self._end:
                self._pick(order, entry)
                if len(self._windows) >= WEIGHED:
                    self._resume = self._at
        if not entries:
            self._at = self._end
        if self._windows and self._at >= self._end:
            self._settle_windows()
            if self._resume >= 0:
                self._at, self._resume = self._resume, -1

    def _read_letters(self, order: Order) -> None:
        for _ in range(min(LETTERS, len(self._letters))):
            self._letter(order, self._letters.popleft())
        if self._windows and (not self._letters or len(self._windows) >= WEIGHED):
            self._at = self._journal.seek(min(parcel.record.t_ms for parcel in self._windows))
            self._end = self._journal.committed

    def _pick(self, order: Order, entry: Entry) -> None:
        """Queue the record of an entry that the order is for."""
        if entry.kind not in {RAW, WINDOW, EVENT} or not order.from_ms <= t_ms_of(entry.payload) < order.to_ms:
            return
        if not self._ledger.settled(entry.position, deferred=deferred(entry.kind, entry.payload)):
            return
        if order.unheard and not self._ledger.was_unheard(entry.position):
            return
        record = self._record(entry.kind, entry.payload)
        if record is not None and self._selection.wants(record):
            order.found += 1
            # One that was heard is not in an order of unheard ones, and may be the higher revision of one that is.
            queue = self._windows if order.unheard and record.stream in LENGTHS_S else self._queue
            queue.append(Parcel(entry.position, replace(record, late=True)))

    def _letter(self, order: Order, position: int) -> None:
        for entry in self._journal.read(position, limit_bytes=1):
            letter = self._refused(entry) if entry.position == position else None
            if letter is not None and position not in self._taken:
                order.found += 1
                queue = self._windows if letter.stream in LENGTHS_S else self._queue
                queue.append(Parcel(position, replace(letter, late=True)))

    def _refused(self, entry: Entry) -> Record | None:
        """The record of a dead letter of this sink; None for any other entry."""
        if entry.kind != DEAD:
            return None
        _version, sink, _reason, kind, payload = msgspec.msgpack.decode(entry.payload)
        return self._record(kind, payload) if sink == self._sink else None

    def _amended(self, entry: Entry) -> Record | None:
        """The amended record of an entry that this sink wants; None for any other entry."""
        if entry.kind != WINDOW or not deferred(WINDOW, entry.payload):
            return None
        record = self._record(WINDOW, entry.payload)
        return record if record is not None and self._selection.wants(record) else None

    def _settle_windows(self) -> None:
        """All was read: the windows may go, but those of which the platform holds a higher revision."""
        self._revisions.decide([parcel.record for parcel in self._windows])
        self._queue.extend(self._windows)
        self._windows.clear()

    def _record(self, kind: int, payload: bytes) -> Record | None:
        try:
            return self._codec.decode(kind, payload)
        except UnknownSchema:
            return None

    def settle(self, position: int, *, fate: Fate, reason: str) -> bool:
        """Book what became of a parcel; false where it is none of ours."""
        parcel = self._out.pop(position, None)
        if parcel is None:
            return False
        order = self.orders[-1]
        if fate is Fate.AGAIN and self._tries.get(position, 0) < TRIES and not self._stopped:
            self._tries[position] = self._tries.get(position, 0) + 1
            self._parked.append(parcel)
            return True
        count(order.fates, fate.value)
        if reason and (reason in order.reasons or len(order.reasons) < REASONS):
            count(order.reasons, reason)
        self._rebook(order, position, fate)
        self._look_done()
        return True

    def _rebook(self, order: Order, position: int, fate: Fate) -> None:
        if order.letters and fate in TAKEN:
            self._taken.add(position)
            self._note(REQUEUED, msgspec.msgpack.encode([1, position]))
            counts = self._ledger.counts
            if counts["dead"]:  # one letter, one of the dead: never less than none
                counts["dead"] -= 1
                counts[fate.value] += 1
        elif fate is Fate.DELIVERED and not order.letters:
            self._ledger.heard(position)

    def abandon(self) -> None:
        """The connection is gone: what is out goes again, in front, in its order; of a stopped order nothing does."""
        if not self._stopped:
            self._queue.extendleft(sorted(self._out.values(), key=place, reverse=True))
        self._out.clear()
        self._look_done()
