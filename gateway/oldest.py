"""When the oldest record that a sink still waits for was measured: found once, kept until it has its fate."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from gateway.codec import EVENT, RAW, WINDOW, Codec, UnknownSchema, deferred, t_ms_of
from gateway.journal import Journal
from gateway.ledger import Ledger
from gateway.selection import Selection

LOOK_BYTES: Final = 1 << 14  # read at once, from the ledger's low-water mark on


class Oldest:
    """Belongs to one sink. No I/O but reads of the journal."""

    def __init__(self, *, ledger: Ledger, selection: Selection, journal: Journal, codec: Codec) -> None:
        self._ledger = ledger
        self._selection = selection
        self._journal = journal
        self._codec = codec
        self._found: tuple[int, int | None, bool] = (0, None, True)  # place, time, whether it is raw or amended

    def ms(self) -> int | None:
        """Its time (UTC ms); None where none waits, or where a long search has not come to it yet.

        A search goes on where the last one ended, one piece of the journal with each call; mostly nothing is read.
        """
        if self._ledger.waiting <= 0:
            return None
        position, t_ms, later = self._found
        at = max(position, self._ledger.low, self._journal.first)
        if t_ms is None or at != position or self._ledger.settled(position, deferred=later):
            self._found = self._search(at)
        return self._found[1]

    def _search(self, at: int) -> tuple[int, int | None, bool]:
        for entry in self._journal.read(at, limit_bytes=LOOK_BYTES):
            at, later = entry.position + 1, deferred(entry.kind, entry.payload)
            if entry.kind not in {RAW, WINDOW, EVENT} or self._ledger.settled(entry.position, deferred=later):
                continue
            with suppress(UnknownSchema):
                if self._selection.wants(self._codec.decode(entry.kind, entry.payload)):
                    return entry.position, t_ms_of(entry.payload), later
        return at, None, True
