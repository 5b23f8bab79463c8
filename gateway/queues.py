"""What the lanes of a sink hold in memory, and how it goes back to the journal.

While a budget is spent (`_rationed`) the ledger is kept small here: from the position `_apart` on nothing deferred
(raw, amended) has gone out, and all else is in memory or has its fate, so one range of `Ledger.passed` covers it.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from typing import Final

from gateway.booking import Booking, defers
from gateway.codec import Codec
from gateway.journal import Journal
from gateway.ledger import Ledger
from gateway.revisions import identity
from gateway.selection import Selection
from gateway.sinks import Parcel

NEVER: Final = 1 << 20  # no queue comes near it: LIVE_MAX, the window and a chunk of the journal bound them
RANGES_APART: Final = 32  # while rationed, so many ranges are made before they are `passed`


class Queues(Booking):
    """Parcels that wait in memory, by lane; `unsettled` and `_parked` are with the sink or parked for it."""

    def __init__(self, *, ledger: Ledger, selection: Selection, journal: Journal, codec: Codec) -> None:
        super().__init__(ledger=ledger, selection=selection, journal=journal, codec=codec)
        self._live: deque[Parcel] = deque(maxlen=NEVER)
        self._held: deque[Parcel] = deque(maxlen=NEVER)
        self._amended: deque[Parcel] = deque(maxlen=NEVER)
        self._back: deque[Parcel] = deque(maxlen=NEVER)
        self._queued: set[int] = set()
        self._gone: set[int] = set()  # of what is queued here, what the journal let go of
        self._rationed = False
        self._left_behind = False  # parcels were parked, and now wait in the journal for another look
        self._apart = -1  # not rationed, or the row is broken: the next connection begins another

    @property
    def in_hand(self) -> int:
        """Parcels with the sink or parked for it: what its window bounds."""
        return len(self.unsettled) + len(self._parked)

    @property
    def unheard(self) -> int:
        """Records that went out unheard; 0 once the journal holds none of them any more: nobody can replay them."""
        ranges = self.ledger.unheard
        return self.ledger.counts["unheard"] if ranges and ranges[-1][1] > self._journal.first else 0

    def buried(self) -> None:
        """A dead letter was appended just now."""
        self.ledger.newest_letter = self._journal.next - 1

    def letters_left(self) -> bool:
        """Whether the last dead letter has left the journal just now."""
        return self.ledger.let_go(self._journal.first)

    def _queue(self, parcel: Parcel) -> None:
        """Into its live lane; an amended one may come from the backlog, too: the lower revisions stand in front."""
        if parcel.record.rev:
            insort(self._amended, parcel, key=place)
        else:
            (self._live if parcel.record.stream == "raw" else self._held).append(parcel)
        self._queued.add(parcel.position)

    def _take_amended(self, limit: int) -> list[Parcel]:
        """Amended ones that may go: committed, and no other revision of theirs can come after them."""
        if not self._amended or self._left_behind or limit <= 0:
            return []
        out, taken, kept = self._out(), list[Parcel](), list[Parcel]()
        for parcel in self._amended:
            key, early = identity(parcel.record), parcel.position >= self._journal.committed
            (kept if early or key in out or len(taken) >= limit else taken).append(parcel)
            out.add(key)
        self._amended = deque(kept, maxlen=NEVER)
        return taken

    def _out(self) -> set[tuple[str, str, int]]:
        """Identities of what is with the sink or parked."""
        return {identity(record) for hand in (self.unsettled, self._parked) for record in hand.values()}

    def _ahead(self) -> set[tuple[str, str, int]]:
        """And of what is about to go again, or waits for one of these: a higher revision goes behind them all."""
        return self._out() | {identity(one.record) for lane in (self._live, self._amended) for one in lane}

    def _amended_may_go(self) -> bool:
        """Whether `_take_amended` would give one."""
        if not self._amended or self._left_behind or self._amended[0].position >= self._journal.committed:
            return False
        out, committed = self._out(), self._journal.committed
        return any(identity(one.record) not in out for one in self._amended if one.position < committed)

    def _pass_over(self) -> None:
        """Tell the ledger up to where all but the deferred have their fate."""
        if self._apart < 0:
            return
        out = [position for each in (self.unsettled, self._parked) for position in each if not defers(each[position])]
        out += [parcel.position for lane in (self._live, self._held) for parcel in lane]
        end = min((position for position in out if position >= self._apart), default=self._journal.next)
        holes = ((damage.first, damage.last + 1) for damage in self._journal.damages)
        self.ledger.pass_over(self._apart, end, keep=holes)

    def _give_up(self, *, out: bool = False) -> None:
        """All that is queued (and with `out` what the sink has) waits in the journal; that may break the row."""
        if self._apart >= 0:
            self._pass_over()
            left = [*self.unsettled.values(), *self._parked.values()] if out else []
            if self._held or self._live or not all(map(defers, left)):
                self._apart = -1
        self._empty()

    def _shed(self) -> None:
        """The budget is spent: what is not live, or is deferred, waits in the journal from now on."""
        kept = [[parcel for parcel in lane if not defers(parcel.record)] for lane in (self._live, self._held)]
        gone = self._gone
        self._empty()
        for lane, parcels in zip((self._live, self._held), kept, strict=True):
            lane.extend(parcels)
            self._queued.update(parcel.position for parcel in parcels)
        self._gone = gone & self._queued

    def _empty(self) -> None:
        for lane in (self._live, self._held, self._amended, self._back):
            lane.clear()
        self._queued = set()
        self._gone = set()


def place(parcel: Parcel) -> int:
    """Its position in the journal."""
    return parcel.position
