"""After a backward step of the clock: windows that were let go are put back from the journal before they are amended.

As the clock comes to an hour whose windows were issued and let go, the readings of that hour are read from the journal
once more, hour by hour, in slices beside the polling; new readings wait in the journal meanwhile, as in a recall.
Memory: the rows of one hour, and a few numbers per window.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Final, Protocol

from gateway.codec import RAW, WINDOW, Codec, UnknownSchema
from gateway.journal import Entry, Journal
from gateway.numbers import Numbers
from gateway.reading import Aggregate, Reading, Series
from gateway.recall import FIRST_NS, NOTE_MS, PRELUDE_MS, SLICE_BYTES, pairs_of
from gateway.record import Record

PLACES: Final = 4096  # each step of the clock leaves one or two
NEAR_MS: Final = 300_000  # half of how long windows are held: so far back nothing is lost

Span = tuple[int, int, int]


class Windows(Protocol):
    """Statistics on clock-aligned windows (gateway.window)."""

    def add(self, reading: Reading) -> None:
        """Take one judged reading."""

    def close(self, now_ms: int) -> list[Aggregate]:
        """The windows that are complete by now."""

    def stepped(self, now_ms: int) -> None:
        """The clock was stepped to now."""

    def lost(self, t_ms: int) -> tuple[int, list[Span]]:
        """Until when this answer holds, and the spans (start, end, end of the longest window) to be put back."""

    def load(self, reading: Reading) -> None:
        """Take a reading that was counted before."""

    def reopen(self, low: int, high: int, *, said: dict[tuple[str, str, int], tuple[int, int]]) -> None:
        """Put back the windows of a span from the readings loaded, as issued with these revisions and n."""


class Places:
    """Where in the journal records of what time stand: from a note on those of its time and up to `NOTE_MS` more."""

    def __init__(self, pairs: Iterable[tuple[int, int]]) -> None:
        self._pairs = deque(pairs, maxlen=PLACES)

    def note(self, position: int, t_ms: int) -> None:
        """A record of this time is at this position."""
        if not self._pairs or not 0 <= t_ms - self._pairs[-1][1] < NOTE_MS:
            self._pairs.append((position, t_ms))

    def ranges(self, low_ms: int, high_ms: int, *, upto: int) -> Iterator[tuple[int, int]]:
        """Positions [first, end) below `upto` where records of [low, high) may stand."""
        pairs = [*self._pairs, (upto, 0)]
        for (first, t_ms), (end, _) in pairwise(pairs):
            if low_ms - 2 * NOTE_MS < t_ms < high_ms + NOTE_MS and first < min(end, upto):
                yield first, min(end, upto)


class Revisits:
    """Tells, before each reading, whether the windows of its hour must be put back first."""

    def __init__(
        self, *, journal: Journal, codec: Codec, series: Iterable[Series], windows: Windows, numbers: Numbers
    ) -> None:
        self._journal = journal
        self._codec = codec
        self._series = {one.id: one for one in series}
        self._windows = windows
        self._numbers = numbers
        pairs = pairs_of(journal.marks)
        self._readings, self._aggregates = Places(pairs), Places(pairs)
        self._top_ms = self._until_ms = -(1 << 62)

    def heard(self, position: int, record: Record | None) -> None:
        """A record is in the journal."""
        if record is not None and isinstance(record.body, Reading):
            self._readings.note(position, record.t_ms)
        elif record is not None and isinstance(record.body, Aggregate):
            self._aggregates.note(position, record.body.end_ms)

    def due(self, reading: Reading, now_ms: int) -> Revisit | None:
        """What must be walked through before the windows may take this reading, which is not in the journal yet.

        Nothing for one of long ago: the clock is not there again, it is just late.
        """
        if reading.t_ms < now_ms - NEAR_MS:
            return None
        if self._top_ms - NEAR_MS <= reading.t_ms < self._until_ms:
            self._top_ms = max(self._top_ms, reading.t_ms)
            return None
        self._top_ms = reading.t_ms
        self._until_ms, spans = self._windows.lost(reading.t_ms)
        return Revisit(self, spans, mono_ns=reading.t_mono_ns) if spans else None

    def ranges(self, span: Span, *, upto: int) -> list[tuple[int, int]]:
        """Where in the journal what belongs to the windows of a span stands; ascending, apart."""
        low, high, longest = span
        found = [*self._readings.ranges(low - PRELUDE_MS, high, upto=upto)]
        found += self._aggregates.ranges(low, high + 1, upto=upto)
        found += self._aggregates.ranges(longest, longest + 1, upto=upto)
        apart: list[tuple[int, int]] = []
        for first, end in sorted(found):
            if apart and first <= apart[-1][1]:
                apart[-1] = apart[-1][0], max(end, apart[-1][1])
            else:
                apart.append((first, end))
        return apart

    def slice_at(self, position: int) -> list[Entry]:
        """A slice of the journal."""
        return self._journal.read(position, limit_bytes=SLICE_BYTES)

    @property
    def end(self) -> int:
        """Where the journal ends now."""
        return self._journal.next

    def decoded(self, entry: Entry) -> Record | None:
        """A reading or aggregate of a series that still has these points."""
        if entry.kind not in {RAW, WINDOW}:
            return None
        try:
            record = self._codec.decode(entry.kind, entry.payload)
        except UnknownSchema:
            return None
        body = record.body
        if record.estimated or not isinstance(body, Reading | Aggregate):
            return None
        series = self._series.get(body.series.id)
        if series is None or (body.series != series and body.series.points != series.points):
            return None
        return replace(record, body=replace(body, series=series))

    def first_issue(self, record: Record) -> None:
        """An amendment of this record may follow: it gets the same number."""
        self._numbers.first_issue(record)

    @property
    def windows(self) -> Windows:
        """What is put back."""
        return self._windows


class Revisit:
    """One walk through the spans, and then to the end of the journal. Used as `gateway.recall.Recall` is."""

    def __init__(self, place: Revisits, spans: list[Span], *, mono_ns: int) -> None:
        self._place = place
        self._spans = list(spans)
        self._mono_ns = mono_ns  # what comes from now on was measured after all that windows hold
        self._live = place.end
        self._count = 0
        self._span: Span | None = None
        self._ranges: list[tuple[int, int]] = []
        self._at = self._end = 0
        self._said: dict[tuple[str, str, int], tuple[int, int]] = {}

    def read(self) -> list[Entry]:
        """The next slice of the journal; may run in any thread."""
        return self._place.slice_at(self._at) if self._at < self._end else []

    def step(self, entries: list[Entry]) -> list[Aggregate] | None:
        """Take the slice that was read. None: there is more."""
        entries = entries or self.read()
        self._at = min(entries[-1].position + 1, self._end) if entries else self._end  # first: no fault is met twice
        for entry in entries:
            record = self._place.decoded(entry) if entry.position < self._end else None
            if record is not None:
                self._take(record)
        if self._at < self._end:
            return None
        return self._next()

    def _take(self, record: Record) -> None:
        body = record.body
        self._count += 1
        if isinstance(body, Aggregate):
            key = record.device, record.stream, record.t_ms
            if key not in self._said or self._said[key][0] <= record.rev:
                self._said[key] = record.rev, body.n
            self._place.first_issue(record)
        elif isinstance(body, Reading) and self._span is None:
            self._place.windows.add(replace(body, t_mono_ns=self._mono_ns + self._count))
        elif isinstance(body, Reading) and self._span is not None:
            low, high, _ = self._span
            if low - PRELUDE_MS <= body.t_ms < high:
                self._place.windows.load(replace(body, t_mono_ns=FIRST_NS + self._count))

    def _next(self) -> list[Aggregate] | None:
        """Go on with the next stretch of the journal; a list when there is none."""
        if not self._ranges and self._span is not None:
            self._place.windows.reopen(self._span[0], self._span[1], said=self._said)
            self._said, self._span = {}, None
        if not self._ranges and self._spans:
            self._span = self._spans.pop(0)
            self._ranges = self._place.ranges(self._span, upto=self._live)
        if self._ranges:
            self._at, self._end = self._ranges.pop(0)
            return None
        if self._span is not None:  # nothing of it stands in the journal any more
            return None
        if self._end < self._live or self._at < self._place.end:
            self._at, self._end = max(self._at, self._live), self._place.end
            return None if self._at < self._end else []
        return []
