"""Sending again what has its fate already: after a broker lost data, or when dead letters may go now.

A replay is asked for, not remembered: after a restart it is asked for again. It takes the room that live and backlog
leave, keeps the journal's order, and gives every record with the identity it had. The ledger does not count it twice:
an unheard record that is heard now, or a dead letter that is taken, changes its fate; all others keep theirs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from gateway.codec import DEAD, EVENT, RAW, REQUEUED, WINDOW, Codec, UnknownSchema, deferred, t_ms_of
from gateway.journal import Journal
from gateway.ledger import Filter, Ledger
from gateway.record import Record
from gateway.sinks import Fate, Parcel

CHUNK_BYTES: Final = 65536
TRIES: Final = 3
KEPT: Final = 1 << 20


@dataclass(slots=True)
class Order:
    """What to send again: records of [from_ms, to_ms) (UTC), of them only the unheard; or dead letters by position."""

    from_ms: int = 0
    to_ms: int = 0
    unheard: bool = False
    letters: tuple[int, ...] = ()
    found: int = 0
    fates: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    done: bool = False


class Replay:
    """Belongs to one sink. Synchronous; no I/O but reads of the journal. `note` appends an entry of a kind to it."""

    def __init__(
        self,
        *,
        journal: Journal,
        codec: Codec,
        ledger: Ledger,
        chosen: Filter,
        note: Callable[[int, bytes], None] = lambda _kind, _payload: None,
    ) -> None:
        self.order: Order | None = None
        self._note = note
        self._journal, self._codec, self._ledger, self._chosen = journal, codec, ledger, chosen
        self._queue: deque[Parcel] = deque(maxlen=KEPT)
        self._out: dict[int, Parcel] = {}
        self._tries: dict[int, int] = {}
        self._at = self._end = 0

    @property
    def in_hand(self) -> int:
        """Parcels that are with the sink."""
        return len(self._out)

    def begin(self, order: Order) -> None:
        """Start anew with this order; what an earlier one still had to send is forgotten."""
        self.order = order
        self._queue.clear()
        self._tries.clear()
        self._at, self._end = self._journal.first, 0 if order.letters else self._journal.committed
        for position in order.letters:
            self._letter(position)

    def next(self, room: int) -> list[Parcel]:
        """Up to `room` parcels, in order; [] where there is nothing (any more)."""
        if self.order is None or self.order.done:
            return []
        while len(self._queue) < room and self._at < self._end:
            self._read(self.order)
        taken = [self._queue.popleft() for _ in range(min(room, len(self._queue)))]
        self._out.update({parcel.position: parcel for parcel in taken})
        self.order.done = not (self._out or self._queue or self._at < self._end)
        return taken

    def _read(self, order: Order) -> None:
        entries = self._journal.read(self._at, limit_bytes=CHUNK_BYTES)
        if not entries:
            self._at = self._end
        for entry in entries:
            self._at = max(self._at, entry.position + 1)
            if entry.position >= self._end or entry.kind not in {RAW, WINDOW, EVENT}:
                continue
            later = deferred(entry.kind, entry.payload)
            if not order.from_ms <= t_ms_of(entry.payload) < order.to_ms:
                continue
            if not self._ledger.settled(entry.position, deferred=later):
                continue
            if order.unheard and not self._ledger.was_unheard(entry.position):
                continue
            record = self._record(entry.kind, entry.payload)
            if record is not None and self._chosen.selects(record) and not self._chosen.thinned(record):
                self._enqueue(order, Parcel(entry.position, replace(record, late=True)))

    def _letter(self, position: int) -> None:
        for entry in self._journal.read(position, limit_bytes=1):
            if entry.position == position and entry.kind == DEAD and self.order is not None:
                _version, _sink, _reason, kind, payload = msgspec.msgpack.decode(entry.payload)
                record = self._record(kind, payload)
                if record is not None:
                    self._enqueue(self.order, Parcel(position, replace(record, late=True)))

    def _enqueue(self, order: Order, parcel: Parcel) -> None:
        order.found += 1
        self._queue.append(parcel)

    def _record(self, kind: int, payload: bytes) -> Record | None:
        try:
            return self._codec.decode(kind, payload)
        except UnknownSchema:
            return None

    def settle(self, position: int, *, fate: Fate, reason: str) -> bool:
        """Book what became of a parcel of ours; false where it is none."""
        parcel = self._out.pop(position, None)
        if parcel is None or self.order is None:
            return False
        if fate is Fate.AGAIN and self._tries.get(position, 0) < TRIES:
            self._tries[position] = self._tries.get(position, 0) + 1
            self._queue.append(parcel)
            return True
        order = self.order
        order.fates[fate.value] = order.fates.get(fate.value, 0) + 1
        if reason and len(order.reasons) < 10:
            order.reasons[reason] = order.reasons.get(reason, 0) + 1
        self._rebook(order, position, fate)
        order.done = not (self._out or self._queue or self._at < self._end)
        return True

    def _rebook(self, order: Order, position: int, fate: Fate) -> None:
        if order.letters and fate in {Fate.DELIVERED, Fate.UNHEARD, Fate.SENT}:
            self._note(REQUEUED, msgspec.msgpack.encode([1, position]))
            counts = self._ledger.counts
            counts["dead"] -= 1
            counts[fate.value] += 1
        elif fate is Fate.DELIVERED and not order.letters:
            self._ledger.heard(position)

    def abandon(self) -> None:
        """The connection is gone: what is out goes again, in front, in its order."""
        self._queue.extendleft(sorted(self._out.values(), key=_place, reverse=True))
        self._out.clear()


def _place(parcel: Parcel) -> int:
    return parcel.position


def progress(order: Order) -> dict[str, object]:
    """How far an order is, as plain data for the local socket."""
    return {"found": order.found, "fates": order.fates, "reasons": order.reasons, "done": order.done}
