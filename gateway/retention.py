"""What leaves the journal, and the account of it: confirmed history after its time; when full, the least important.

A full journal lets go first of what every sink had, the oldest first; then of raw readings, then of short windows and
dead letters, then of the other windows, each time from the oldest segment that still holds some; then of the oldest.

Whatever is dropped before every sink had it is counted per sink and named by a gap event with exact ranges. So is what
the journal can no longer read: it is `dropped` in the ledger of each sink that had not had it, for a reason `corrupt`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec

from gateway.codec import DEAD, EVENT, RAW, UNDATED, WINDOW, Codec, UnknownSchema
from gateway.gaps import Hole, Whose, corrupt, gap, widen
from gateway.journal import Damage, Entry, Journal
from gateway.journal.errors import NotYet
from gateway.lanes import Lanes
from gateway.reading import LENGTHS_S, Event
from gateway.record import Record

KEEP_MS: Final = 72 * 3_600_000
SLICE: Final = 500  # entries accounted for before others get a turn
CHUNK_BYTES: Final = 65536
PUT_OFF: Final = 5  # so many commits are waited for before a whole segment goes, its important records too
LEVELS: Final = (1, 2, 3)  # raw; windows below a quarter of an hour, and dead letters; all windows
SHORT_S: Final = 900


class Retention:
    """Keeps the journal within its cap. `tell` journals a gap event; `lanes` are those of all sinks, by name.

    `let_go(position)` says whether a sample that went was still to be dated.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        codec: Codec,
        lanes: dict[str, Lanes],
        tell: Callable[[Event], None],
        let_go: Callable[[int], bool] = lambda _position: False,
        keep_ms: int = KEEP_MS,
    ) -> None:
        self._journal = journal
        self._codec = codec
        self._lanes = lanes
        self._tell = tell
        self._let_go = let_go
        self._keep_ms = keep_ms
        self._damages: tuple[Damage, ...] = ()
        self._turn = asyncio.Lock()
        self._put_off = 0

    async def enforce(self, now_ms: int) -> int:
        """Drop what must go or may go, and write off what is damaged; returns how often something went."""
        async with self._turn:
            await self._count()
            went = 0
            while self._journal.full or self._expired(now_ms):
                oldest = self._journal.oldest_segment()
                if oldest is None:
                    break
                try:
                    with self._holding():
                        if oldest.last < self._low(oldest.last) or not await self._thin(now_ms):
                            entries = await asyncio.to_thread(self._journal.drop_oldest)
                            await self._account(entries, now_ms)
                except NotYet:
                    break  # after the next commit; memory takes what comes until then
                if self._journal.first > oldest.first:
                    holes = [(self._low(oldest.last), oldest.last + 1)]
                    await self._write_off(holes, now_ms)  # what stood there and could not be read
                went += 1
            await self._corrupt(now_ms)
            return went

    async def _count(self) -> None:
        """What a start left uncounted, before anything goes."""
        for lanes in self._lanes.values():
            if lanes.uncounted is not None:
                frozen, count = lanes.uncounted[0], 0
                at = frozen.low
                while at >= 0:
                    found, at = await asyncio.to_thread(lanes.tally, at, frozen=frozen)
                    count += found
                lanes.book_counted(count)

    @contextmanager
    def _holding(self) -> Iterator[None]:
        """Between the going of entries and their account no lane takes their places for booked."""
        for lanes in self._lanes.values():
            lanes.hold_gaps()
        try:
            yield
        finally:
            for lanes in self._lanes.values():
                lanes.release_gaps()

    def _low(self, otherwise: int) -> int:
        """All sinks have had what stands below."""
        return min((lanes.ledger.low for lanes in self._lanes.values()), default=otherwise)

    async def _thin(self, now_ms: int) -> bool:
        """Let go of the least important of the oldest segment that holds some; false where there is none.

        Raises:
            NotYet: there may be some soon. Only so often in a row, for a journal must not stand still.
        """
        for level in LEVELS:
            try:
                gone = await asyncio.to_thread(self._journal.thin, level, self._importance)
            except NotYet:
                self._put_off += 1
                if self._put_off <= PUT_OFF:
                    raise
                return False
            if gone is not None:
                self._put_off = 0
                await self._account(gone, now_ms, finish=False)
                return True
        return False

    def _importance(self, entry: Entry) -> int:
        """0 goes first; 3 only with its whole segment."""
        if entry.kind == RAW:
            return 0
        if entry.kind != WINDOW:
            return 1 if entry.kind == DEAD else 3
        record = self._record(entry)
        return 1 if record is None or LENGTHS_S.get(record.stream, 0) < SHORT_S else 2

    def _expired(self, now_ms: int) -> bool:
        """Whether the oldest segment is confirmed by every sink and older than the retention time."""
        low, oldest = self._low(self._journal.next), self._journal.oldest_segment()
        if oldest is None or oldest.last >= low or not oldest.ended:  # 0: its clock was not trusted; the cap takes it
            return False
        return now_ms - oldest.ended > self._keep_ms

    async def _corrupt(self, now_ms: int) -> None:
        """Write off what the journal could not read since the last call (`damages` is a new tuple after new ones)."""
        known, self._damages = self._damages, self._journal.damages
        if known is self._damages:
            return
        low = self._low(self._journal.next)
        fresh = sorted({(damage.first, damage.last + 1) for damage in set(self._damages) - set(known)})
        holes = [hole for first, end in fresh if first < end > low for hole in self._holes(first, end)]
        if holes:
            await self._write_off(holes, now_ms)

    def _holes(self, at: int, end: int) -> Iterator[tuple[int, int]]:
        """The half-open ranges of [at, end) that cannot be read: many damages are told as one that spans them all."""
        while at < end:
            entries = self._journal.read(at, limit_bytes=CHUNK_BYTES)
            for entry in entries:
                if entry.position > at:
                    yield at, min(entry.position, end)
                at = max(at, entry.position + 1)
                if at >= end:
                    return
            if not entries:
                yield at, end
                return

    async def _write_off(self, holes: list[tuple[int, int]], now_ms: int) -> None:
        """Positions that will never come have their fate, and are told where a sink had wanted some of them."""
        lost = dict.fromkeys(self._lanes, 0)
        for sink, lanes in self._lanes.items():
            open_ = [(first, end) for first, end in holes if max(first, lanes.ledger.low) < end]
            if open_:
                before, frozen = lanes.ledger.waiting, lanes.strike(open_)
                lost[sink] = lanes.book_lost(before - await asyncio.to_thread(lanes.count, frozen))
        if any(lost.values()):
            self._tell(corrupt(holes, waiting=lost, now_ms=now_ms))

    def _record(self, entry: Entry) -> Record | None:
        if entry.kind not in {RAW, WINDOW, EVENT}:
            return None
        try:
            return self._codec.decode(entry.kind, entry.payload)
        except UnknownSchema:
            return None

    async def _account(self, entries: Sequence[Entry], now_ms: int, *, finish: bool = True) -> None:
        """Book what went, and tell it: records by sink, dead letters of a sink, samples that were never dated."""
        holes: dict[Whose, Hole] = {}
        for number, entry in enumerate(entries, start=1):
            if number % SLICE == 0:
                await asyncio.sleep(0)
            record = self._record(entry)
            for sink, lanes in self._lanes.items():
                if lanes.dropped(entry.position, record, finish=finish) and record is not None:
                    widen(holes, Whose("records", sink, record.device, record.stream, record.epoch), record=record)
            if entry.kind == DEAD:
                self._letter(entry, holes)
            elif entry.kind == UNDATED and self._let_go(entry.position):
                device, stream = self._held(entry)
                holes.setdefault(Whose("samples", "*", device, stream, None), Hole()).n += 1
        for whose, hole in holes.items():
            self._tell(gap(whose, hole, now_ms=now_ms))

    def _letter(self, entry: Entry, holes: dict[Whose, Hole]) -> None:
        _version, sink, _reason, kind, payload = msgspec.msgpack.decode(entry.payload)
        record = self._record(Entry(entry.position, kind, payload))
        if record is not None:
            widen(holes, Whose("letters", sink, record.device, record.stream, record.epoch), record=record)

    def _held(self, entry: Entry) -> tuple[str, str]:
        """Device and stream of a held sample or event."""
        try:
            what = self._codec.held(entry.payload)[2]
        except UnknownSchema:
            return "_gateway", "raw"
        return (what.device, "event") if isinstance(what, Event) else (what[0].id, "raw")
