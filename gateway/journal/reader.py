"""Reads entries back: in chunks, from where the last read ended, past damage, and says what it had to skip."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.journal import Damage, Entry
from gateway.journal.disk import Disk
from gateway.journal.segment import ENTRY, HEADER_BYTES, HOLE, PREAMBLE, TORN, Found, Segment

CHUNK_BYTES: Final = 64 * 1024
BLOCK_BYTES: Final = 4096
HINTS: Final = 32  # readers that can go on without a search


def load(disk: Disk, segment: Segment, *, offset: int, size: int) -> bytes:
    """Bytes of a segment's file; a block that the disk cannot read stands as zeros. Raises FileNotFoundError."""
    try:
        return disk.read(segment.name, offset=offset, size=size)
    except FileNotFoundError:
        raise
    except OSError:
        blocks, at, end = [], offset, offset + size
        while at < end:
            want = min(BLOCK_BYTES - at % BLOCK_BYTES, end - at)
            try:
                blocks.append(disk.read(segment.name, offset=at, size=want))
            except FileNotFoundError:
                raise
            except OSError:
                blocks.append(bytes(want))
            at += want
        return b"".join(blocks)


class Reader:
    """Reads segments one after the other. Safe in any thread: it shares only its bounded memory of offsets."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._hints: dict[tuple[int, int], int] = {}  # (generation, position) -> offset of that position's record

    def read(self, segment: Segment, start: int, *, before: int, room: int) -> tuple[list[Entry], int, list[Damage]]:
        """Entries [start, before) of one segment, until their payloads reach `room` bytes (at least one entry).

        Returns them, the position to go on from, and the damage met on the way. The segment's preamble comes first
        where `start` is the segment's first position; it carries that position.
        """
        if segment.first >= before:
            return [], max(start, before), []
        out, walk = [], _Walk(segment, before)
        solid, room = False, max(room, 1)
        for found in self._records(segment, self._begin(segment, start, walk), room=room):
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

    def context(self, segment: Segment, start: int, *, kinds: frozenset[int]) -> list[Entry]:
        """The preamble of a segment and its entries before `start` of the preamble's kinds or of `kinds`."""
        out: list[Entry] = []
        for found in self._records(segment, HEADER_BYTES, room=segment.size_bytes):
            if found.role == PREAMBLE:
                kinds |= {found.kind}
                out.append(Entry(segment.first, found.kind, found.payload))
            elif found.role == ENTRY and found.position >= start:
                break
            elif found.role == ENTRY and found.kind in kinds:
                out.append(Entry(found.position, found.kind, found.payload))
        return out

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
        offset = self._hints.get((segment.generation, start))
        if offset is None:
            return HEADER_BYTES
        walk.expected = start
        return offset

    def _remember(self, segment: Segment, position: int, offset: int) -> None:
        hints = dict(self._hints)
        hints.pop((segment.generation, position), None)
        while len(hints) >= HINTS:
            del hints[next(iter(hints))]
        hints[segment.generation, position] = offset
        self._hints = hints


class _Walk:
    """The positions of one segment in order: which record is the next entry, and what is missing between."""

    def __init__(self, segment: Segment, before: int) -> None:
        self.expected = segment.first
        self.damages: list[Damage] = []
        self._segment, self._before, self._hole = segment, before, False

    def step(self, found: Found) -> bool:
        """Whether this is an entry to give out."""
        if found.role in {HOLE, TORN}:
            self._hole = True
            return False
        position = min(found.position, self._before)
        if self._hole or position > self.expected:
            self.damages.append(damage(self._segment, first=self.expected, last=position - 1))
            self._hole, self.expected = False, max(self.expected, position)
        if found.role != ENTRY or not self.expected <= found.position < self._before:
            return False
        self.expected = found.position + 1
        return True

    def finish(self) -> None:
        """The segment has ended: what is still missing is gone."""
        if self.expected < self._before:
            self.damages.append(damage(self._segment, first=self.expected, last=self._before - 1))
        self.expected = self._before


def damage(segment: Segment, *, first: int, last: int) -> Damage:
    """What a hole cost: positions [first, last], or none where last < first."""
    what = "records damaged or missing" if last >= first else "no entry lost: a mark, a note or the preamble is damaged"
    return Damage(segment.name, first, last, what)
