"""Reads entries back: in chunks, from where the last read ended, past damage, and says what it had to skip."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Final

from gateway.journal import Damage, Entry
from gateway.journal.disk import Disk
from gateway.journal.sealed import Range, Sealer, entries_of, expanded, may_hold, range_of, span_of
from gateway.journal.segment import BLOCK, ENTRY, HEADER_BYTES, HOLE, PREAMBLE, TORN, Found, Segment

CHUNK_BYTES: Final = 64 * 1024
BLOCK_BYTES: Final = 4096
HINTS: Final = 32  # readers that can go on without a search
BLOCKS: Final = 3  # unsealed blocks kept, for readers in small steps

REFUSALS: Final = frozenset({errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""What says nothing of the file: no permission (a restored copy belongs to root), no descriptor or memory left."""


def load(disk: Disk, segment: Segment, *, offset: int, size: int) -> bytes:
    """Bytes of a segment's file; a block that the disk cannot read stands as zeros.

    Raises FileNotFoundError, and any OSError of `REFUSALS`: then nobody has looked at the bytes.
    """
    try:
        return disk.read(segment.name, offset=offset, size=size)
    except FileNotFoundError:
        raise
    except OSError as refusal:
        if refusal.errno in REFUSALS:
            raise
        blocks, at, end = [], offset, offset + size
        while at < end:
            want = min(BLOCK_BYTES - at % BLOCK_BYTES, end - at)
            try:
                blocks.append(disk.read(segment.name, offset=at, size=want))
            except FileNotFoundError:
                raise
            except OSError as refusal:
                if refusal.errno in REFUSALS:
                    raise
                blocks.append(bytes(want))
            at += want
        return b"".join(blocks)


class Reader:
    """Reads segments one after the other. Safe in any thread: it shares only its bounded memory of offsets."""

    def __init__(self, disk: Disk, sealer: Sealer | None = None) -> None:
        self._disk = disk
        self._sealer = sealer
        self._hints: dict[tuple[str, int], int] = {}  # (file, position) -> offset of the record that holds it
        self._blocks: dict[tuple[str, int], list[Entry]] = {}  # (file, offset) -> what a block held

    def read(
        self,
        segment: Segment,
        start: int,
        *,
        before: int,
        room: int,
        between: Range | None = None,
        kinds: frozenset[int] | None = None,
    ) -> tuple[list[Entry], int, list[Damage]]:
        """Entries [start, before) of one segment, until their payloads reach `room` bytes (at least one entry).

        Returns them, the position to go on from, and the damage met on the way. The segment's preamble comes first
        where `start` is the segment's first position; it carries that position. `between`, `kinds`: see `Log.read`.
        """
        if segment.first >= before:
            return [], max(start, before), []
        out, walk = [], _Walk(segment, before)
        solid, room = False, max(room, 1)
        found_all = self._records(segment, self._begin(segment, start, walk), room=room)
        for found in self._unsealed(segment, found_all, start=start, between=between, kinds=kinds):
            if found.role == PREAMBLE and start <= segment.first:
                out.append(Entry(segment.first, found.kind, found.payload))
            if not walk.step(found):
                continue
            if found.position >= start:
                if not solid and start > segment.first:  # it may ask for the same position again and again
                    self._remember(segment, found.position, found.offset)
                out.append(Entry(found.position, found.kind, found.payload))
                room, solid = room - len(found.payload), True
            if room <= 0 or walk.expected >= before:
                self._remember(segment, walk.expected, found.end)
                break
        else:
            walk.finish()
        return (out if solid else []), max(walk.expected, start), walk.damages

    def everything(self, segment: Segment) -> Iterator[Found]:
        """All records of a segment, blocks followed by their entries; what a re-writing needs."""
        found_all = self._records(segment, HEADER_BYTES, room=CHUNK_BYTES)
        return self._unsealed(segment, found_all, start=segment.first, between=None)

    def context(self, segment: Segment, start: int, *, kinds: frozenset[int]) -> list[Entry]:
        """The preamble of a segment and its entries before `start` of the preamble's kinds or of `kinds`."""
        out: list[Entry] = []
        for found in self.everything(segment):
            if found.role == PREAMBLE:
                kinds |= {found.kind}
                out.append(Entry(segment.first, found.kind, found.payload))
            elif found.role == ENTRY and found.position >= start:
                break
            elif found.role == ENTRY and found.kind in kinds:
                out.append(Entry(found.position, found.kind, found.payload))
        return out

    def _unsealed(
        self,
        segment: Segment,
        records: Iterator[Found],
        *,
        start: int,
        between: Range | None,
        kinds: frozenset[int] | None = None,
    ) -> Iterator[Found]:
        """The records; a block that holds something wanted is followed by its entries, or is a hole where it cannot."""
        for found in records:
            if found.role != BLOCK or found.position + span_of(found) <= start or not _overlap(found, between):
                yield found
                continue
            if kinds is not None and not may_hold(found, kinds, sealer=self._sealer):
                yield found
                continue
            try:
                entries = self._entries(segment, found)
            except ValueError:
                yield found._replace(role=HOLE)
                continue
            yield found
            yield from expanded(found, entries)

    def _entries(self, segment: Segment, found: Found) -> list[Entry]:
        key = segment.name, found.offset
        entries = self._blocks.get(key)
        if entries is None:
            entries = entries_of(found, self._sealer)
            kept = list(self._blocks.items())[1 - BLOCKS :]
            self._blocks = {**dict(kept), key: entries}
        return entries

    def _records(self, segment: Segment, offset: int, *, room: int) -> Iterator[Found]:
        """Everything from `offset` to the end of the file, read in chunks; past damage at once to the end."""
        size, whole = max(CHUNK_BYTES, room + room // 4), False
        while offset < segment.size_bytes:
            rest = segment.size_bytes - offset
            want = rest if whole else min(size, rest)
            data = load(self._disk, segment, offset=offset, size=want)
            whole = want == rest or len(data) < want
            at = offset
            for found in segment.scan(data, base=offset, whole=whole):
                yield found
                at = found.end
            if whole:
                return
            whole, offset = at == offset, at

    def _begin(self, segment: Segment, start: int, walk: _Walk) -> int:
        """Offset to start at: where an earlier read left off, else the segment's first record."""
        offset = self._hints.get((segment.name, start))
        if offset is None:
            return HEADER_BYTES
        walk.expected = start
        return offset

    def _remember(self, segment: Segment, position: int, offset: int) -> None:
        hints = dict(self._hints)
        hints.pop((segment.name, position), None)
        while len(hints) >= HINTS:
            del hints[next(iter(hints))]
        hints[segment.name, position] = offset
        self._hints = hints


def _overlap(found: Found, between: Range | None) -> bool:
    low, high = range_of(found)
    return between is None or (low <= between[1] and between[0] <= high)


class _Walk:
    """The positions of one segment in order: which record is the next entry, and what is missing between.

    Positions below `_covered` belong to the block that was met last: what it does not hold was let go of.
    """

    def __init__(self, segment: Segment, before: int) -> None:
        self.expected = segment.first
        self.damages: list[Damage] = []
        self._segment, self._before, self._hole, self._covered = segment, before, False, 0

    def step(self, found: Found) -> bool:
        """Whether this is an entry to give out."""
        if found.role == ENTRY and found.position < self._covered:
            return self._inside(found)
        self.expected = max(self.expected, self._covered)
        if found.role in {HOLE, TORN}:
            self._hole = True
            return False
        position = min(found.position, self._before)
        if self._hole or position > self.expected:
            self.damages.append(damage(self._segment, first=self.expected, last=position - 1))
            self._hole, self.expected = False, max(self.expected, position)
        if found.role == BLOCK:
            self._covered = found.position + span_of(found)
        if found.role != ENTRY or not self.expected <= found.position < self._before:
            return False
        self.expected = found.position + 1
        return True

    def _inside(self, found: Found) -> bool:
        wanted = self.expected <= found.position < self._before
        if wanted:
            self.expected = found.position + 1
        if found.end > found.offset:  # the block's last
            self.expected = max(self.expected, self._covered)
        return wanted

    def finish(self) -> None:
        """The segment has ended: what is still missing is gone."""
        self.expected = max(self.expected, self._covered)
        if self.expected < self._before:
            self.damages.append(damage(self._segment, first=self.expected, last=self._before - 1))
        self.expected = self._before


def damage(segment: Segment, *, first: int, last: int) -> Damage:
    """What a hole cost: positions [first, last], or none where last < first."""
    what = "records damaged or missing" if last >= first else "no entry lost: a mark, a note or the preamble is damaged"
    return Damage(segment.name, first, last, what)
