"""Names what `raw_every` leaves out of a sink: one gap event of reason `sampling` per device, epoch and hour.

The tallies are in memory. `Ledger.told` is the position up to which they were told, and is committed with the events;
at a start what the journal holds behind it is counted again, so that no number is lost by a crash.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.clock import rfc3339
from gateway.codec import RAW, Codec, UnknownSchema
from gateway.journal import Journal
from gateway.ledger import Ledger
from gateway.reading import Event
from gateway.record import Record
from gateway.selection import Selection

HOUR_MS: Final = 3_600_000
CHUNK_BYTES: Final = 1 << 18


@dataclass(slots=True)
class _Tally:
    """Raw records of one device and epoch that were left out."""

    first: Record
    last: Record
    n: int = 1


class Sampling:
    """Belongs to one sink with `raw_every`. `tell` journals an event, `now_ms` is the wall clock (UTC ms)."""

    def __init__(self, name: str, *, ledger: Ledger, tell: Callable[[Event], None], now_ms: Callable[[], int]) -> None:
        self.name = name
        self._ledger = ledger
        self._tell = tell
        self._now_ms = now_ms
        self._tallies: dict[tuple[str, str], _Tally] = {}
        self._until_ms = 0  # the end of the hour in which the first of the tallies was taken

    def note(self, record: Record) -> None:
        """This record was left out."""
        tally = self._tallies.get((record.device, record.epoch))
        if tally is not None:
            tally.last, tally.n = record, tally.n + 1
            return
        if not self._tallies:
            self._until_ms = record.t_ms - record.t_ms % HOUR_MS + HOUR_MS
        self._tallies[record.device, record.epoch] = _Tally(record, record)

    def recall(self, journal: Journal, codec: Codec, *, selection: Selection) -> None:
        """After a start: what the journal holds of the records that were left out and not told yet.

        Of another selection nobody can tell what it left out: with a new one the account begins where the journal ends.
        """
        if self._ledger.chosen != selection.fingerprint:
            self._ledger.told = journal.next
            return
        at = max(self._ledger.told, self._ledger.since, journal.first)
        while entries := journal.read(at, limit_bytes=CHUNK_BYTES):
            at = entries[-1].position + 1
            for entry in entries:
                if entry.kind == RAW:
                    try:
                        record = codec.decode(RAW, entry.payload)
                    except UnknownSchema:
                        continue
                    if selection.selects(record) and selection.thinned(record):
                        self.note(record)

    def tell(self, upto: int) -> None:
        """Once the hour is over; `upto` is the journal's next position. Never from within an append."""
        if not self._tallies:
            self._ledger.told = upto
            return
        now_ms = self._now_ms()
        if now_ms < self._until_ms <= now_ms + HOUR_MS:  # a hour that is far ahead was taken by a clock that erred
            return
        tallies, self._tallies = self._tallies, {}
        self._ledger.told = upto
        for (device, _epoch), tally in tallies.items():
            self._tell(_gap(device, now_ms, sink=self.name, tally=tally))


def _gap(device: str, now_ms: int, *, sink: str, tally: _Tally) -> Event:
    first, last, n = tally.first, tally.last, tally.n
    return Event(
        device, now_ms, f"sampling-{sink}-{device}-{first.epoch}-{first.seq}", "gap", "CG-SNK-03", "info",
        text={
            "en": f"{n} raw records of {device} were left out of sink {sink} by raw_every",
            "th": f"ข้อมูลดิบ {n} รายการของ {device} ไม่ได้ส่งไป {sink} ตาม raw_every",
        },
        body={
            "stream": "raw", "reason": "sampling", "sink": sink, "from": rfc3339(first.t_ms), "to": rfc3339(last.t_ms),
            "n": n, "epoch": first.epoch, "seq": [first.seq, last.seq],
        },
    )  # fmt: skip
