"""The audit itself: expected records gathered per series and range, each range read back and compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from gateway.audit import Key, Reader, Row
from gateway.audit.compare import Finding, Tally, compare
from gateway.record import Record

SPAN_MS: Final = {"raw": 2 * 3_600_000}
LONG_SPAN_MS: Final = 24 * 3_600_000
KEPT_ROWS: Final = 200_000  # with more in memory, the oldest ranges are compared before the rest is read


@dataclass(slots=True)
class Verdict:
    """What an audit found."""

    tallies: dict[Key, Tally] = field(default_factory=dict)
    findings: int = 0
    unspeakable: int = 0  # records of which the peer can hold nothing

    @property
    def sound(self) -> bool:
        """Whether every record is where it should be."""
        return all(tally.sound for tally in self.tallies.values())


class Audit:
    """Compares what `reader` gives with the records that it is told of; `tell` gets every finding."""

    def __init__(self, reader: Reader, *, tell: Callable[[Finding], None], within_ms: tuple[int, int]) -> None:
        self.verdict = Verdict()
        self._reader = reader
        self._tell = tell
        self._within = within_ms
        self._ranges: dict[tuple[Key, int], dict[tuple[int, int], Row]] = defaultdict(dict)
        self._rows = 0

    def run(self, records: Iterable[Record]) -> Verdict:
        """All of them. Blocking. Raises `Unreadable` where the peer cannot be read."""
        for record in records:
            row = self._reader.expected(record)
            if row is None:
                self.verdict.unspeakable += 1
                continue
            self._keep(Key(record.device, record.stream), row)
            if self._rows > KEPT_ROWS:
                self._close(len(self._ranges) // 2 + 1)
        self._close(len(self._ranges))
        return self.verdict

    def _keep(self, key: Key, row: Row) -> None:
        span_ms = SPAN_MS.get(key.stream, LONG_SPAN_MS)
        kept = self._ranges[key, row.t_ms // span_ms * span_ms]
        place = row.t_ms, 0 if self._reader.overwrites else row.rev
        before = kept.get(place)
        if before is not None and self._reader.overwrites:
            # The fields of all revisions lie over one another; the highest is on top.
            low, high = sorted((before, row), key=lambda one: one.rev)
            row = Row(row.t_ms, high.rev, {**low.fields, **high.fields})
        self._rows += before is None
        kept[place] = row

    def _close(self, count: int) -> None:
        for key, start_ms in sorted(self._ranges, key=lambda place: place[1])[:count]:
            kept = self._ranges.pop((key, start_ms))
            self._rows -= len(kept)
            end_ms = start_ms + SPAN_MS.get(key.stream, LONG_SPAN_MS)
            first_ms, end_ms = max(start_ms, self._within[0]), min(end_ms, self._within[1])
            rows = [Row(row.t_ms, 0, row.fields) if self._reader.overwrites else row for row in kept.values()]
            tally = self.verdict.tallies.setdefault(key, Tally(key))
            held = self._reader.rows(key, first_ms=first_ms, end_ms=end_ms)
            found = compare(tally, rows, found=held, tolerance=self._reader.tolerance)
            self.verdict.findings += len(found)
            for finding in found:
                self._tell(finding)
