"""The two lanes of a sink: which parcel goes next. Synchronous; no I/O but reads of the journal.

The live lane gets records as they are appended (`offer`); raw at once, the rest after its commit. The backlog lane
reads the journal from the ledger's low-water mark, oldest first. A short backlog goes first and strictly in order (the
live lane stays shut until it is done); a long one runs beside live, up to where live began.

Invariants:
1. A position is in one place: with its fate (ledger), with the sink (`unsettled`), parked (`_parked`), queued in memory
   (`_queued`), or waiting in the journal, where the backlog lane finds it. Whatever leaves memory waits in the journal.
2. What the sink holds and what is parked are both in its hands: `in_hand` never exceeds its window.
3. Nothing that has its fate is handed out; an amended record overtakes neither the backlog nor a lower revision of it.
4. While rationed (the budget is spent) only new windows and events are handed out. Raw, amended records and the backlog
   wait in the journal; the ledger stays as small as ever, since what went out between them is `passed`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from gateway.booking import defers
from gateway.codec import Codec, deferred
from gateway.journal import Journal
from gateway.ledger import MAX_RANGES, Ledger, values_of
from gateway.oldest import Oldest
from gateway.queues import RANGES_APART, Queues
from gateway.record import Record
from gateway.revisions import identity
from gateway.selection import Selection
from gateway.sinks import Fate, Parcel

LIVE_MAX: Final = 2000  # records held in memory for the live lane; beyond, they wait in the journal
CHUNK_BYTES: Final = 65536
FIRST_RATE: Final = 30_000.0  # values/s that an unknown sink is trusted with (design truth 4)
SHORT_S: Final = 2.0


class Lanes(Queues):
    """Feeds one sink from the journal and from memory, and books every fate."""

    def __init__(self, *, ledger: Ledger, selection: Selection, journal: Journal, codec: Codec) -> None:
        super().__init__(ledger=ledger, selection=selection, journal=journal, codec=codec)
        self.left_out: Callable[[Record], None] = lambda _record: None  # told of each that `raw_every` leaves out
        self.oldest = Oldest(ledger=ledger, selection=selection, journal=journal, codec=codec)
        self.rate = FIRST_RATE  # values/s that the sink last sustained
        self.values_per_record = 10.0
        self._gaps: list[tuple[int, int]] | None = None
        self._open = False
        self._live_from = 0
        self._scan = -1

    @property
    def state(self) -> str:
        """Either `shut` (no connection), `catching-up` (backlog first), `both` (backlog beside live) or `live`."""
        if not self._open:
            return "shut" if self._scan < 0 else "catching-up"
        return "live" if self._caught_up else "both"

    @property
    def _caught_up(self) -> bool:
        return self._scan >= self._live_from and not self._back

    @property
    def live_waiting(self) -> int:
        """Parcels that `live` could give out now."""
        committed = self._journal.committed
        held = bool(self._held) and self._held[0].position < committed
        return len(self._live) + held or int(self._caught_up and self._amended_may_go())

    @property
    def idle(self) -> bool:
        """Nothing waits here, and nothing in the journal but what comes with its next commit. Asked at every fate."""
        return self._open and self._caught_up and not (self._live or self._amended or self.live_waiting)

    def offer(self, position: int, record: Record | None) -> None:
        """A record was appended (None: an entry that is no sink's business). Books what this sink leaves out."""
        if record is None or not self._selection.selects(record):
            self._leave_out(position)
            return
        self.ledger.selected += 1
        self.values_per_record += 0.01 * (values_of(record) - self.values_per_record)
        if self._selection.thinned(record):
            self.ledger.book(position, "sampled")
            self.left_out(record)
            self._leave_out(position)
        elif self._rationed and (not self._open or defers(record)):
            self._apart = self._apart if defers(record) else -1
        elif self._open:
            self._enqueue(Parcel(position, record))

    def _leave_out(self, position: int) -> None:
        """Not for this sink. A range of its own would be one for each such entry while others wait: reading finds it.

        Only an open lane is not read over again.
        """
        ledger = self.ledger
        if (self._open and not self._rationed) or position <= (ledger.done[-1][1] if ledger.done else ledger.low):
            ledger.finish(position, position + 1)

    def _enqueue(self, parcel: Parcel) -> None:
        self._queue(parcel)
        if len(self._queued) > LIVE_MAX:  # the sink is slower than life: all of it goes back to the journal
            self.begin()

    def begin(self) -> None:
        """A connection stands, or memory was given up: a short backlog first, a long one beside live."""
        self._give_up()
        self._left_behind = False
        self._scan = self.ledger.low
        short = self.ledger.waiting * self.values_per_record <= SHORT_S * self.rate
        self._open = (not short or self._rationed) and len(self.ledger.done) < MAX_RANGES
        self._live_from = self._journal.next
        if self._rationed and self._apart < 0:
            self._apart = self._live_from

    def abandon(self) -> None:
        """The connection is gone: everything without a fate waits in the journal again."""
        self._give_up(out=True)
        self.unsettled.clear()
        self._parked.clear()
        self._open = False
        self._scan = -1

    def ration(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """The budget is spent, or there is one again."""
        if on == self._rationed:
            return
        if not on:
            self._pass_over()
        self._rationed, self._apart = on, -1
        if on and self._open:
            self._shed()
            self._scan, self._live_from = self.ledger.low, self._journal.next
            self._apart = self._live_from
        elif self._scan >= 0:
            self.begin()

    def live(self, limit: int) -> list[Parcel]:
        """Up to `limit` parcels of the live lane, in order; held ones once they are committed."""
        taken: list[Parcel] = []
        while self._held and self._held[0].position < self._journal.committed and len(taken) < limit:
            self._hand_out(self._held.popleft(), taken)
        while self._live and len(taken) < limit:
            self._hand_out(self._live.popleft(), taken)
        for amended in self._take_amended(limit - len(taken)) if self._caught_up else ():
            self._hand_out(amended, taken)
        return taken

    def backlog(self, limit: int) -> list[Parcel]:
        """Up to `limit` parcels of the backlog lane, oldest first; opens the live lane when the backlog is done."""
        while not self._rationed and not self._back and self._advance():
            pass
        taken, ahead = list[Parcel](), self._ahead() if any(one.record.rev for one in self._back) else None
        while self._back and len(taken) < limit:
            parcel = self._back.popleft()
            if ahead is not None and parcel.record.rev and (self._left_behind or identity(parcel.record) in ahead):
                self._enqueue(parcel)
            else:
                self._hand_out(parcel, taken)
            if ahead is not None:
                ahead.add(identity(parcel.record))
        return taken

    def _hand_out(self, parcel: Parcel, taken: list[Parcel]) -> None:
        self._queued.discard(parcel.position)
        if parcel.position in self._gone:
            self._gone.discard(parcel.position)
        elif not self._elsewhere(parcel.position, deferred=defers(parcel.record)):
            self.unsettled[parcel.position] = parcel.record
            taken.append(parcel)

    def _elsewhere(self, position: int, *, deferred: bool) -> bool:
        """It has its fate, or is with the sink, parked or queued already."""
        here = position in self.unsettled or position in self._parked or position in self._queued
        return here or self.ledger.settled(position, deferred=deferred)

    def _advance(self) -> bool:
        """Read one chunk further; false where the lane's end is reached."""
        if self._scan < 0:
            return False
        end = min(self._live_from, self._journal.committed) if self._open else self._journal.committed
        if self._scan >= end:
            if self._unreadable:
                self._book_unreadable()
            if not self._open and len(self.ledger.done) < MAX_RANGES:
                self._go_live()
            return False
        entries = self._journal.read(self._scan, limit_bytes=CHUNK_BYTES)
        for entry in entries:
            if entry.position >= end:
                self._scan = end
                return True
            if entry.position > self._scan:
                self._pass(self._scan, entry.position)
            record = self._undone(entry.position, entry.kind, payload=entry.payload)
            if record is not None:
                self._back.append(Parcel(entry.position, replace(record, late=True)))
            self._scan = entry.position + 1
        if not entries:
            self._scan = end
        return True

    def _pass(self, first: int, end: int) -> None:
        """Nothing stands at [first, end) any more: let go of and booked, or damaged and yet to be written off."""
        if self._gaps is not None:
            self._gaps.append((first, end))
        elif not any(damage.first < end and first <= damage.last for damage in self._journal.damages):
            self.ledger.finish(first, end)

    def hold_gaps(self) -> None:
        """The journal lets go of entries now: until `release_gaps`, what is missing is not taken as booked."""
        self._gaps = []

    def release_gaps(self) -> None:
        """All of it has been told by `dropped`."""
        gaps, self._gaps = self._gaps or [], None
        for first, end in gaps:
            self._pass(first, end)

    def dropped(self, position: int, record: Record | None, *, finish: bool = True) -> bool:
        """See Booking; what waits here in memory is not handed out any more."""
        if not finish and (position in self._queued or (self._back and position <= self._back[-1].position)):
            self._gone.add(position)
        return super().dropped(position, record, finish=finish)

    def _go_live(self) -> None:
        """The backlog is done up to the last commit; the little behind it goes into the live lane, then life."""
        self._open = True
        self._live_from = self._scan
        if self._scan < self._journal.next:
            for entry in self._journal.read(self._scan, limit_bytes=1 << 30):
                record = self._undone(entry.position, entry.kind, payload=entry.payload)
                if record is not None:
                    self._enqueue(Parcel(entry.position, record))
                if not self._caught_up:
                    return  # more than memory holds: `_enqueue` began anew

    def _undone(self, position: int, kind: int, *, payload: bytes) -> Record | None:
        """The record of an entry that this sink still has to get; None (and booked) for any other entry."""
        later = deferred(kind, payload)
        if self._elsewhere(position, deferred=later):
            if not later:
                self._finish_passed(position)
            return None
        record = self._wanted(kind, payload)
        if record is None and not self.ledger.settled(position):
            self.ledger.finish(position, position + 1)
        return record

    def _finish_passed(self, position: int) -> None:
        """Reading on, what was passed over is booked as all else, so that `low` can follow."""
        if not self.ledger.settled(position) and self.ledger.settled(position, deferred=False):
            self.ledger.finish(position, position + 1)

    def settle(self, position: int, fate: Fate) -> Record | None:
        """Book a fate; returns the record, or None where it was not out. AGAIN parks it."""
        record = self.unsettled.pop(position, None)
        if record is None:
            return None
        if fate is Fate.AGAIN:
            self._parked[position] = record
        else:
            self.ledger.book(position, fate.value)
            self.ledger.finish(position, position + 1)
            if self._rationed and self._apart >= 0 and self.ledger.ranges_from(self._apart) > RANGES_APART:
                self._pass_over()
        return record

    def unpark(self, position: int) -> bool:
        """A parked parcel's wait is over: it is handed out once more, first of all. False where it is gone."""
        record = self._parked.pop(position, None)
        if record is None or self.ledger.settled(position, deferred=defers(record)) or self._scan < 0:
            return False
        if self._rationed and defers(record):
            return True  # it waits in the journal with the others of its kind
        self._live.appendleft(Parcel(position, record))
        self._queued.add(position)
        return True

    def forget_parked(self) -> int:
        """Too many are parked: they wait in the journal until `rescan`. Returns how many."""
        count = len(self._parked)
        if self._apart >= 0 and not all(map(defers, self._parked.values())):
            self._pass_over()
            self._apart = self._journal.next
        self._parked.clear()
        self._left_behind = True
        return count

    def rescan(self) -> bool:
        """Look through the journal again for what was left there, beside the live lane; false where it is too early."""
        if self._scan < 0 or self._rationed:
            return True  # the next connection, or the next budget, begins with such a look
        if not self._open or not self._caught_up:
            return False
        self._scan = self.ledger.low
        self._live_from = self._journal.next
        self._left_behind = False
        return True
