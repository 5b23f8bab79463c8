"""All segments and the memory behind them as one: read across them, let go of the oldest, write them anew sealed.

Blocking; every method may run in any thread. One segment is written anew or dropped at a time (`writing`).
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from itertools import pairwise
from typing import Final

from gateway.journal import Damage, Entry, Oldest
from gateway.journal.disk import Disk
from gateway.journal.errors import NotYet
from gateway.journal.memory import Memory
from gateway.journal.reader import Reader
from gateway.journal.rewrite import WHOLE, Importance, rewrite
from gateway.journal.sealed import Range, Sealer
from gateway.journal.segment import Segment, file_name
from gateway.journal.store import Store

DAMAGES: Final = 1000  # told one by one; more are counted into the last


class Shelf:
    """See `Log`, whose methods these are."""

    def __init__(self, disk: Disk, store: Store, memory: Memory, *, sealer: Sealer | None) -> None:
        self.damages: tuple[Damage, ...] = ()
        self.writing = threading.Lock()
        self._disk, self._store, self._memory, self._sealer = disk, store, memory, sealer
        self._reader = Reader(disk, sealer)
        self._noting = threading.Lock()
        self._left_alone: frozenset[int] = frozenset()  # generations that cannot be written anew

    @property
    def first(self) -> int:
        """Oldest position that can still be read."""
        committed, segments = self._memory.committed, self._store.segments  # in this order: a commit may come between
        return segments[0].first if segments else committed

    def read(self, start: int, *, limit_bytes: int, between: Range | None, kinds: frozenset[int] | None) -> list[Entry]:
        """See Log.read."""
        out: list[Entry] = []
        position, room = start, max(limit_bytes, 1)
        while room > 0:
            position = max(position, self.first)
            entries, end = self._memory.read(position, room)
            segments = self._store.segments  # after `end`: what left memory meanwhile is in them
            if position >= end or not segments:
                return out + entries
            segment, before = _holder(segments, position, before=end)
            entries, position = self._read_segment(
                segment, position, before=before, room=room, between=between, kinds=kinds
            )
            out += entries
            room -= sum(len(entry.payload) for entry in entries)
        return out

    def _read_segment(
        self,
        segment: Segment,
        start: int,
        *,
        before: int,
        room: int,
        between: Range | None = None,
        kinds: frozenset[int] | None = None,
    ) -> tuple[list[Entry], int]:
        try:
            entries, position, damages = self._reader.read(
                segment, start, before=before, room=room, between=between, kinds=kinds
            )
        except FileNotFoundError:
            entries, position = [], before
            damages = [Damage(segment.name, max(start, segment.first), before - 1, "file missing")]
        if damages and self._store.moved(segment):
            return [], start
        if not any(one is segment for one in self._store.segments):
            return [], start  # dropped or written anew meanwhile: what was met may be another life of the file
        with self._noting:
            self._note(damages)
        return entries, position

    def _note(self, damages: list[Damage]) -> None:
        known = {(damage.segment, damage.first, damage.last) for damage in self.damages}
        for damage in damages:
            if (damage.segment, damage.first, damage.last) in known:
                continue
            if len(self.damages) < DAMAGES:
                self.damages = (*self.damages, damage)
            else:
                first, last = min(self.damages[-1].first, damage.first), max(self.damages[-1].last, damage.last)
                self.damages = (
                    *self.damages[:-1],
                    Damage(damage.segment, first, last, "and more, not told one by one"),
                )

    def seek(self, stamp: int) -> int:
        """See Log.seek. Where stamps run backwards (a clock was set) or one is 0 (not known), it stops there."""
        at = self.first
        for one, following in pairwise(self._store.segments):
            if not (one.created <= following.created < stamp and following.created):
                break
            at = following.first
        return at

    def context(self, start: int, *, kinds: frozenset[int]) -> list[Entry]:
        """See Log.context."""
        segments = self._store.segments
        if not segments or start < segments[0].first:
            return []
        segment, _ = _holder(segments, start, before=self._memory.next)
        return self._reader.context(segment, start, kinds=kinds)

    def oldest(self) -> Oldest | None:
        """See Log.oldest_segment."""
        segments = self._store.segments
        if len(segments) < 2:
            return None
        return Oldest(segments[0].first, segments[1].first - 1, segments[0].created, segments[1].created)

    def drop_oldest(self) -> tuple[Entry, ...]:
        """See Log.drop_oldest."""
        with self.writing:
            segments = self._store.segments
            if len(segments) < 2:
                return ()
            oldest, out, at = segments[0], list[Entry](), segments[0].first
            while at < segments[1].first:
                entries, at = self._read_segment(oldest, at, before=segments[1].first, room=self._store.segment_bytes)
                out += entries
            self._store.drop(oldest)
            return tuple(out)

    def seal_next(self) -> bool:
        """See Log.seal."""
        try:
            return self._rewrite_first(WHOLE, _all_alike) is not None
        except NotYet:
            return False

    def thin(self, level: int, importance: Importance) -> tuple[Entry, ...] | None:
        """See Log.thin."""
        gone = self._rewrite_first(WHOLE + level, importance)
        return None if gone is None else tuple(gone)

    def _rewrite_first(self, level: int, importance: Importance) -> list[Entry] | None:
        """The oldest segment below a level brought to it; what went, or None where none can be. Raises NotYet."""
        with self.writing:
            for segment, following in pairwise(self._store.segments):
                if segment.level >= level or segment.generation in self._left_alone:
                    continue
                if not self._store.is_free(file_name(segment.generation, level)):
                    raise NotYet("its name is still that of a file which leaves with the next commit")
                if level > WHOLE and following.first > self._memory.first:
                    raise NotYet("readers would still find in memory what it lets go of")
                gone = self._rewrite(segment, following.first, level=level, importance=importance)
                if gone is not None or segment.generation not in self._left_alone:
                    return gone
        return None

    def _rewrite(self, segment: Segment, end: int, *, level: int, importance: Importance) -> list[Entry] | None:
        """What the segment no longer holds; None where it stays as it is.

        A full disk gets the journal's spare files back before it may say no to a thinner file. Raises NotYet.
        """
        if self._sealer is None:
            return None
        while True:
            try:
                done = rewrite(
                    self._disk,
                    segment,
                    reader=self._reader,
                    end=end,
                    level=level,
                    importance=importance,
                    sealer=self._sealer,
                )
                break
            except OSError as refusal:
                if level == WHOLE or not self._store.forgo_spare():
                    raise NotYet(f"the disk does not take it: {refusal}") from None
        if done is None:
            self._left_alone |= {segment.generation}
            return None
        new, gone = done
        self._store.replace(segment, new)
        return gone


def _all_alike(_entry: Entry) -> int:
    return 0


def _holder(segments: tuple[Segment, ...], position: int, *, before: int) -> tuple[Segment, int]:
    """The segment that holds a position, and the position before which it ends."""
    at = max(bisect_right(segments, position, key=lambda segment: segment.first) - 1, 0)
    return segments[at], min(segments[at + 1].first, before) if at + 1 < len(segments) else before
