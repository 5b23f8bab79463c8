"""Which times were issued already, of every device and stream: asked of the journal, a few minutes at a time.

Only a clock that went backwards asks. The journal may hold millions of entries, and whoever asks holds up the event
loop: so only entries of the minutes in question are looked at. Sealed blocks of other times are skipped by their range,
raw records are known by their head, and an hour that is lived through again is learned in steps.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

from gateway.codec import EVENT, RAW, WINDOW, Codec, UnknownSchema, t_ms_of
from gateway.journal import Entry, Journal
from gateway.record import Record

BEFORE_MS: Final = 60_000  # how far below a time in question the times are learned with it
AHEAD_MS: Final = 300_000  # and above it
SPANS: Final = 8  # learned and kept, the longest ago forgotten: raw time, and the starts of windows of some lengths
_SCHEMA: Final = struct.Struct("<I")  # the first field of a head (gateway.codec)

Key = tuple[str, str]


@dataclass(slots=True)
class _Span:
    """All times that were issued from `low_ms` to `high_ms`, both included."""

    low_ms: int
    high_ms: int
    times: dict[Key, set[int]] = field(default_factory=dict)

    def holds(self, t_ms: int) -> bool:
        return self.low_ms <= t_ms <= self.high_ms

    def add(self, key: Key, t_ms: int) -> None:
        self.times.setdefault(key, set()).add(t_ms)


class Issued:
    """What the journal holds, and what is `add`ed to it since."""

    def __init__(self, journal: Journal, codec: Codec) -> None:
        self._journal = journal
        self._codec = codec
        self._spans: list[_Span] = []
        self._devices: dict[int, str] = {}  # of raw records, by the number of their schema

    def has(self, key: Key, t_ms: int) -> bool:
        """Whether a record of this device and stream with this time was issued."""
        span = next((one for one in self._spans if one.holds(t_ms)), None) or self._learn(t_ms)
        return t_ms in span.times.get(key, ())

    def add(self, record: Record) -> None:
        """A record was issued now."""
        for span in self._spans:
            if span.holds(record.t_ms):
                span.add((record.device, record.stream), record.t_ms)

    def _learn(self, t_ms: int) -> _Span:
        """Look through the journal for the times around `t_ms`; once, not for each record."""
        span = _Span(t_ms - BEFORE_MS, t_ms + AHEAD_MS)
        at = self._journal.seek(span.low_ms - BEFORE_MS)
        within = span.low_ms, span.high_ms
        while entries := self._journal.read(at, limit_bytes=1 << 20, between=within):
            for entry in entries:
                if entry.kind in {RAW, WINDOW, EVENT} and span.holds(t_ms_of(entry.payload)):
                    self._note(entry, span)
            at = entries[-1].position + 1
        self._spans = [*self._spans[1 - SPANS :], span]
        return span

    def _note(self, entry: Entry, span: _Span) -> None:
        t_ms = t_ms_of(entry.payload)
        (number,) = _SCHEMA.unpack_from(entry.payload)
        if entry.kind == RAW and number in self._devices:
            span.add((self._devices[number], "raw"), t_ms)
            return
        try:
            record = self._codec.decode(entry.kind, entry.payload)
        except UnknownSchema:
            return
        if entry.kind == RAW:
            self._devices[number] = record.device
        span.add((record.device, record.stream), t_ms)
