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
from dataclasses import dataclass
from typing import Final

from gateway.clock import rfc3339
from gateway.codec import DEAD, EVENT, RAW, WINDOW, Codec, UnknownSchema
from gateway.journal import Damage, Entry, Journal
from gateway.lanes import Lanes
from gateway.reading import LENGTHS_S, Event
from gateway.record import Record

KEEP_MS: Final = 72 * 3_600_000
SLICE: Final = 500  # entries accounted for before others get a turn
CHUNK_BYTES: Final = 65536
LEVELS: Final = (1, 2, 3)  # raw; windows below a quarter of an hour, and dead letters; all windows
SHORT_S: Final = 900


@dataclass(slots=True)
class _Hole:
    """Records of one device, stream and epoch that were dropped unconfirmed."""

    first_ms: int
    last_ms: int
    first_seq: int
    last_seq: int
    n: int = 0


class Retention:
    """Keeps the journal within its cap. `tell` journals a gap event; `lanes` are those of all sinks, by name."""

    def __init__(
        self,
        *,
        journal: Journal,
        codec: Codec,
        lanes: dict[str, Lanes],
        tell: Callable[[Event], None],
        keep_ms: int = KEEP_MS,
    ) -> None:
        self._journal = journal
        self._codec = codec
        self._lanes = lanes
        self._tell = tell
        self._keep_ms = keep_ms
        self._damages: tuple[Damage, ...] = ()
        self._turn = asyncio.Lock()

    async def enforce(self, now_ms: int) -> int:
        """Drop what must go or may go, and write off what is damaged; returns how often something went."""
        async with self._turn:
            went = 0
            while self._journal.full or self._expired(now_ms):
                oldest = self._journal.oldest_segment()
                if oldest is None:
                    break
                with self._holding():
                    if oldest.last < self._low(oldest.last) or not await self._thin(now_ms):
                        entries = await asyncio.to_thread(self._journal.drop_oldest)
                        await self._account(entries, now_ms)
                if self._journal.first > oldest.first:
                    holes = [(self._low(oldest.last), oldest.last + 1)]
                    await self._write_off(holes, now_ms)  # what stood there and could not be read
                went += 1
            await self._corrupt(now_ms)
            return went

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
        """Let go of the least important of the oldest segment that holds some; false where there is none."""
        for level in LEVELS:
            gone = await asyncio.to_thread(self._journal.thin, level, self._importance)
            if gone is not None:
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
        holes: dict[tuple[str, str, str, str], _Hole] = {}
        for number, entry in enumerate(entries, start=1):
            if number % SLICE == 0:
                await asyncio.sleep(0)
            record = self._record(entry)
            for sink, lanes in self._lanes.items():
                if lanes.dropped(entry.position, record, finish=finish) and record is not None:
                    key = sink, record.device, record.stream, record.epoch
                    hole = holes.setdefault(key, _Hole(record.t_ms, record.t_ms, record.seq, record.seq))
                    hole.first_ms, hole.last_ms = min(hole.first_ms, record.t_ms), max(hole.last_ms, record.t_ms)
                    hole.first_seq, hole.last_seq = min(hole.first_seq, record.seq), max(hole.last_seq, record.seq)
                    hole.n += 1
        for (sink, device, stream, epoch), hole in holes.items():
            self._tell(gap(device, now_ms=now_ms, stream=stream, reason="full", sink=sink, epoch=epoch, hole=hole))


def gap(device: str, *, now_ms: int, stream: str, reason: str, sink: str, epoch: str, hole: _Hole) -> Event:
    """The gap event that names what will never come."""
    return Event(
        device, now_ms, f"gap-{sink}-{device}-{stream}-{epoch}-{hole.first_seq}", "gap", "CG-JRN-04", "info",
        level=2,
        text={
            "en": f"{hole.n} records of {device}/{stream} were dropped before sink {sink} had them",
            "th": f"ข้อมูล {hole.n} รายการของ {device}/{stream} ถูกทิ้งก่อนส่งถึง {sink}",
        },
        body={
            "stream": stream, "reason": reason, "sink": sink, "from": rfc3339(hole.first_ms),
            "to": rfc3339(hole.last_ms), "n": hole.n, "epoch": epoch, "seq": [hole.first_seq, hole.last_seq],
        },
    )  # fmt: skip


def corrupt(holes: list[tuple[int, int]], *, waiting: dict[str, int], now_ms: int) -> Event:
    """The gap event of what a damaged journal lost: positions, and how many records of them each sink still waited for.

    Nobody can tell their streams, times and numbers any more.
    """
    first, end, n = holes[0][0], holes[-1][1], sum(end - first for first, end in holes)
    return Event(
        "_gateway", now_ms, f"gap-corrupt-{first}-{end}", "gap", "CG-JRN-03", "info",
        level=2,
        text={
            "en": f"{n} records of the journal are damaged and were skipped",
            "th": f"ข้ามระเบียนที่เสียหายในเจอร์นัล {n} รายการ",
        },
        body={
            "stream": "*", "reason": "corrupt", "from": None, "to": None, "n": n, "epoch": None, "seq": None,
            "positions": [first, end - 1], "waiting": waiting,
        },
    )  # fmt: skip
