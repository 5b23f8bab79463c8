"""What leaves the journal, and the account of it: confirmed history after its time, and, when full, the oldest.

Whatever is dropped before every sink had it is counted per sink and named by a gap event with exact ranges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.clock import rfc3339
from gateway.codec import EVENT, RAW, WINDOW, Codec, UnknownSchema
from gateway.journal import Entry, Journal
from gateway.lanes import Lanes
from gateway.reading import Event
from gateway.record import Record

KEEP_MS: Final = 72 * 3_600_000


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

    def enforce(self, now_ms: int) -> int:
        """Drop what must go or may go; returns how many segments went."""
        went = 0
        while self._journal.full or self._expired(now_ms):
            entries = self._journal.drop_oldest()
            if not entries:
                break
            went += 1
            self._account(entries, now_ms)
        return went

    def _expired(self, now_ms: int) -> bool:
        """Whether the oldest segment is confirmed by every sink and older than the retention time."""
        low = min((lanes.ledger.low for lanes in self._lanes.values()), default=self._journal.next)
        oldest = self._journal.oldest_segment()
        return oldest is not None and oldest.last < low and now_ms - self._newest_ms(oldest.last) > self._keep_ms

    def _newest_ms(self, position: int) -> int:
        for entry in reversed(self._journal.read(position, limit_bytes=1)):
            record = self._record(entry)
            if record is not None:
                return record.t_ms
        return 1 << 62

    def _record(self, entry: Entry) -> Record | None:
        if entry.kind not in {RAW, WINDOW, EVENT}:
            return None
        try:
            return self._codec.decode(entry.kind, entry.payload)
        except UnknownSchema:
            return None

    def _account(self, entries: Sequence[Entry], now_ms: int) -> None:
        holes: dict[tuple[str, str, str, str], _Hole] = {}
        for entry in entries:
            record = self._record(entry)
            for sink, lanes in self._lanes.items():
                if lanes.dropped(entry.position, record) and record is not None:
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
