"""After a start: open windows and rolling figures, rebuilt from what the journal holds of the hours before.

Readings go through the windows again in the order in which they were journaled; windows that the journal holds already
are not issued again. Aggregates go to the figures. All in slices, beside the polling: whoever takes new readings
journals them meanwhile and leaves them to the recall, which ends where the journal ends.

Memory: what the windows need anyway, and a few numbers per window of the time looked at. Time: `reach_ms` of journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

import msgspec

from gateway.codec import RAW, WINDOW, Codec, UnknownSchema
from gateway.journal import Entry, Journal
from gateway.reading import Aggregate, Reading, Series
from gateway.record import Record

MARK: Final = "recall"
NOTE_MS: Final = 900_000  # how often the journal's position is noted with its time
KEEP_MS: Final = 50 * 3_600_000
KEEP: Final = 512
PRELUDE_MS: Final = 900_000  # before the first whole window: there its counters begin
CLOSE_MS: Final = 1000
AHEAD_MS: Final = 3_600_000  # a window that ended later than this after the last record is of a clock that was stepped
ENTRIES_MAX: Final = 4_000_000  # looked at, at most: 25 hours of 40 records a second
FIRST_NS: Final = -(1 << 62)  # recalled readings were measured before all others, in the order of the journal
SLICE_BYTES: Final = 32_768

Key = tuple[str, str, int]


class Windows(Protocol):
    """What is filled again (gateway.window)."""

    grace_ms: int

    def add(self, reading: Reading) -> None:
        """Take one judged reading."""

    def close(self, now_ms: int) -> list[Aggregate]:
        """The windows that are complete by now."""

    def recall_from(self, newest_ms: int) -> int:
        """Start (UTC ms) of the oldest window that can still be issued or amended when it is `newest_ms`."""

    def issued(self, key: Key, rev: int) -> None:
        """A window was issued before, with this revision (-1: its readings are not all here, it is never amended)."""

    def seal(self, from_ms: int) -> None:
        """No window that began before is ever amended."""


class Index:
    """Where the journal stood at what time: pairs of position and UTC ms, every quarter of an hour, kept as a mark."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._pairs = pairs_of(journal.marks)

    def note(self, now_ms: int) -> None:
        """Called with trusted time, as often as one likes."""
        if self._pairs and 0 <= now_ms - self._pairs[-1][1] < NOTE_MS:
            return
        kept = [pair for pair in self._pairs if pair[0] >= self._journal.first and abs(now_ms - pair[1]) <= KEEP_MS]
        self._pairs = [*kept[-KEEP:], (self._journal.next, now_ms)]
        self._journal.mark(MARK, msgspec.msgpack.encode([1, self._pairs]))


def pairs_of(marks: Mapping[str, bytes]) -> list[tuple[int, int]]:
    """Positions and times (UTC ms) of the mark."""
    blob = marks.get(MARK)
    return [] if blob is None else [(at, t_ms) for at, t_ms in msgspec.msgpack.decode(blob)[1]]


def _position(pairs: list[tuple[int, int]], t_ms: int, *, last: int) -> int:
    """The earliest position from which on something of `t_ms` or later may stand, whatever the clock did."""
    at = 0
    for position, then_ms in pairs:
        if then_ms > t_ms:
            return at
        at = position
    return at if pairs else last


def _meaning(series: Series) -> list[tuple[str, str, str]]:
    return [(point.name, point.unit, point.kind) for point in series.points]


@dataclass(frozen=True, slots=True)
class _Issued:
    """A window record of the journal: its revision and how much it counted."""

    rev: int
    n: int
    values: int

    @classmethod
    def of(cls, body: Aggregate) -> _Issued:
        return cls(body.rev, body.n, sum(body.counts))

    def holds(self, other: _Issued) -> bool:
        return self.n >= other.n and self.values >= other.values


class Recall:
    """One walk through the journal. `note` takes aggregates for figures; `reach_ms` is how far back these look.

    `record` is told of each window record, so that an amendment can name the first issue.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        codec: Codec,
        series: Iterable[Series],
        windows: Windows,
        note: Callable[[Aggregate], None],
        reach_ms: int,
    ) -> None:
        self.readings = self.aggregates = 0
        self.record: Callable[[Record], None] = lambda _record: None
        self._journal = journal
        self._codec = codec
        self._series = {one.id: one for one in series}
        self._twins: dict[Series, Series | None] = {}
        self._windows = windows
        self._note = note
        pairs = pairs_of(journal.marks)
        newest_ms = max((t_ms for _, t_ms in pairs[-1:]), default=0)
        self._from_ms = windows.recall_from(newest_ms)
        raw = _position(pairs, self._from_ms - PRELUDE_MS, last=journal.first)
        low = max(journal.first, journal.next - ENTRIES_MAX)
        self._raw_at = max(raw, low)
        self._whole_ms: int | None = None if raw < low else 0  # windows from then on have all their readings
        self._at = max(min(raw, _position(pairs, newest_ms - reach_ms, last=journal.first)), low)
        self._now_ms = 0
        self._issued: dict[Key, _Issued] = {}
        self._pending: dict[Key, Aggregate] = {}

    def read(self) -> list[Entry]:
        """The next slice of the journal; may run in any thread (a sealed segment takes a while to open)."""
        return self._journal.read(self._at, limit_bytes=SLICE_BYTES)

    def step(self, entries: list[Entry]) -> list[Aggregate] | None:
        """Take the slice that was read. None: there is more; else it is over, and these windows were never issued."""
        entries = entries or self.read()  # something may have come since it was read
        self._at = entries[-1].position + 1 if entries else self._journal.next  # first: no fault is met twice
        for entry in entries:
            if entry.kind == WINDOW or (entry.kind == RAW and entry.position >= self._raw_at):
                self._take(entry.kind, entry.payload)
        return None if self._at < self._journal.next else self._end()

    def _take(self, kind: int, payload: bytes) -> None:
        try:
            record = self._codec.decode(kind, payload)
        except UnknownSchema:
            return  # of a series of which nobody can tell what its numbers mean
        body = record.body
        if isinstance(body, Reading):
            series = self._twin(body.series)
            if not record.estimated and series is not None and series.every_ms == body.series.every_ms:
                self._reading(replace(body, series=series, t_mono_ns=FIRST_NS + self.readings))
        elif isinstance(body, Aggregate):
            self._aggregate(record, body)

    def _twin(self, then: Series) -> Series | None:
        """The series of now that has the points of the one journaled; None where the config has changed."""
        if then not in self._twins:
            now = self._series.get(then.id)
            self._twins[then] = now if now is not None and _meaning(now) == _meaning(then) else None
        return self._twins[then]

    def _reading(self, body: Reading) -> None:
        if self._whole_ms is None:
            self._whole_ms = body.t_ms
        self._windows.add(body)
        self.readings += 1
        if not 0 <= body.t_ms - self._now_ms < CLOSE_MS:
            self._now_ms = body.t_ms
            self._close(body.t_ms)

    def _close(self, now_ms: int) -> None:
        for aggregate in self._windows.close(now_ms):
            key = aggregate.series.id, aggregate.stream, aggregate.start_ms
            known = self._issued.get(key)
            if aggregate.start_ms >= self._from_ms and (known is None or not known.holds(_Issued.of(aggregate))):
                self._pending[key] = aggregate

    def _aggregate(self, record: Record, body: Aggregate) -> None:
        series = self._twin(body.series)
        if series is None:
            return
        self.aggregates += 1
        self._note(replace(body, series=series))
        if not record.estimated:
            self.record(record)
            if 0 < body.end_ms + self._windows.grace_ms - self._now_ms <= AHEAD_MS:
                self._now_ms = body.end_ms + self._windows.grace_ms
                self._close(self._now_ms)
            key = record.device, record.stream, record.t_ms
            if record.t_ms < self._from_ms:
                self._windows.issued(key, -1)
                return
            said = _Issued.of(body)
            if key not in self._issued or self._issued[key].rev <= said.rev:
                self._issued[key] = said
            if key in self._pending and said.holds(_Issued.of(self._pending[key])):
                del self._pending[key]

    def _end(self) -> list[Aggregate]:
        found = []
        for key, aggregate in self._pending.items():
            known = self._issued.get(key)
            found.append(replace(aggregate, rev=0 if known is None else known.rev + 1))
            self._issued[key] = _Issued.of(found[-1])
        self._pending = {}
        whole_ms = self._whole_ms or 0
        for key, said in self._issued.items():
            self._windows.issued(key, said.rev if key[2] >= whole_ms else -1)
        self._windows.seal(self._from_ms)
        found.sort(key=lambda one: one.end_ms)  # stable: within one end they stand as the windows gave them
        return found
