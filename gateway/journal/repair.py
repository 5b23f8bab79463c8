"""Opening: takes stock of the folder, sets aside what is not ours, finds the end of the log. It starts on anything.

Only the headers of all segments and the records of the newest are read, so opening costs the same whatever waits.
Nothing is written but: foreign or unreadable files move to `quarantine/`, and the last group commit is written over
itself and synced, because a process that was killed may have left it in the page cache only (or worse: a failed fsync
of that process has marked the lost pages clean, and a second fsync would say yes).
"""

from __future__ import annotations

import contextlib
import secrets
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gateway.journal import Damage
from gateway.journal.checksum import KINDS
from gateway.journal.disk import Disk, File
from gateway.journal.errors import FutureFormat
from gateway.journal.reader import REFUSALS, damage, load
from gateway.journal.sealed import span_of
from gateway.journal.segment import (
    BASE,
    BLOCK,
    COMMIT,
    ENTRY,
    HEADER_BYTES,
    HOLE,
    MARK,
    PREAMBLE,
    TORN,
    Segment,
    base_count,
    decode_mark,
    generation_of,
    is_segment,
    level_of,
    parse_header,
)

IDENTITY: Final = "identity"
QUARANTINE: Final = "quarantine"
REBUILD_BYTES: Final = 64 << 20  # a larger file without a header is not read into memory


@dataclass(slots=True)
class Opened:
    """What an opening found. `file` is the newest segment where it can be continued, else None.

    `spent`: segments that stand there in two forms; the one that was to go is left out, and may be removed.
    """

    uuid: bytes
    segments: list[Segment]
    free: list[str]
    spent: list[Segment]
    generation: int  # the highest that any file names
    next: int = 0
    file: File | None = None
    marks: dict[str, bytes] = field(default_factory=dict)
    damages: list[Damage] = field(default_factory=list)


@dataclass(slots=True)
class _Tail:
    """What one segment's records tell."""

    next: int
    end_bytes: int = HEADER_BYTES
    batch_bytes: int = HEADER_BYTES  # where the last group commit began
    next_batch: int = HEADER_BYTES  # and where one after it would
    has_base: bool = False
    marks: dict[str, bytes] = field(default_factory=dict)
    damages: list[Damage] = field(default_factory=list)


def take_stock(disk: Disk, *, fresh_uuid: Callable[[], bytes]) -> Opened:
    """Everything that a log needs to go on.

    Raises (before anything is touched):
        FutureFormat: a newer version wrote here; a stray segment of another journal is only set aside.
        OSError: of the folder, or one of `REFUSALS`: what cannot be looked at is not taken for damaged.
    """
    names, newer = disk.names(), list[FutureFormat]()
    heads = {name: _head(disk, name, newer=newer) for name in names if is_segment(name)}
    own = _own_uuid(disk, names, heads=heads)
    for future in newer:
        if own is None or future.uuid == own:
            raise future
    uuid = own or fresh_uuid()
    generations = [generation_of(name) or 0 for name in names] + [s.generation for s in heads.values() if s]
    free = [name for name in names if name.endswith(".free")]
    opened = Opened(uuid, [], free, [], max(generations, default=0))
    _adopt(disk, heads, opened=opened)
    _find_end(disk, opened)
    return opened


def write_identity(disk: Disk, uuid: bytes) -> None:
    """The journal's own id, for the day when every header is damaged: written, synced, renamed, folder synced."""
    file = disk.create(IDENTITY + ".tmp")
    try:
        file.write(uuid + zlib.crc32(uuid).to_bytes(4, "little"), offset=0)
        file.sync()
    finally:
        file.close()
    disk.rename(IDENTITY + ".tmp", IDENTITY)
    disk.sync_folder()


def _head(disk: Disk, name: str, *, newer: list[FutureFormat]) -> Segment | None:
    try:
        return parse_header(name, disk.read(name, offset=0, size=HEADER_BYTES))
    except FutureFormat as future:
        newer.append(future)
    except OSError as refusal:
        if refusal.errno in REFUSALS:
            raise
    return None


def _own_uuid(disk: Disk, names: list[str], *, heads: dict[str, Segment | None]) -> bytes | None:
    """Of the uuids in the headers the one of the identity file, else the most frequent, else the identity file's."""
    stated = None
    if IDENTITY in names:
        with contextlib.suppress(OSError):
            data = disk.read(IDENTITY, offset=0, size=20)
            if len(data) == 20 and zlib.crc32(data[:16]).to_bytes(4, "little") == data[16:]:
                stated = data[:16]
    votes = Counter(head.uuid for head in heads.values() if head)
    if not votes or stated in votes:
        return stated
    return max(votes, key=lambda uuid: votes[uuid])


def _adopt(disk: Disk, heads: dict[str, Segment | None], *, opened: Opened) -> None:
    """Our segments by age; everything else moves aside."""
    ours: dict[int, Segment] = {}
    for name, head in heads.items():
        segment = head or _rebuild(disk, name, opened=opened)
        if segment is None:
            _set_aside(disk, name, opened=opened, reason="header unreadable and no valid record")
        elif segment.uuid != opened.uuid:
            _set_aside(disk, name, opened=opened, reason=f"of another journal, {segment.uuid.hex()}")
        elif segment.generation in ours:
            ours[segment.generation] = _better(disk, ours[segment.generation], segment, opened=opened)
        else:
            ours[segment.generation] = segment
    for _, segment in sorted(ours.items()):
        if opened.segments and segment.first < opened.segments[-1].first:
            _set_aside(disk, segment.name, opened=opened, reason="its positions run backwards")
        else:
            opened.segments.append(segment)


def _better(disk: Disk, twin: Segment, segment: Segment, *, opened: Opened) -> Segment:
    """Of two forms of a segment the lower level, for the other was only about to take its place; of two copies one."""
    first, second = sorted((twin, segment), key=lambda one: (one.rebuilt, one.level))
    named = generation_of(second.name) == second.generation
    if named and (first.rebuilt, first.level) != (second.rebuilt, second.level):
        opened.spent.append(second)
        return first
    worse = twin if generation_of(segment.name) == segment.generation else segment
    _set_aside(disk, worse.name, opened=opened, reason="a second copy of a segment")
    return segment if worse is twin else twin


def _rebuild(disk: Disk, name: str, *, opened: Opened) -> Segment | None:
    """A segment whose header is damaged: name and journal give tag and seed, its records give the rest."""
    generation = generation_of(name)
    if generation is None:
        return None
    with contextlib.suppress(OSError):
        size = disk.size(name)
        if size > REBUILD_BYTES:
            return None
        for checksum in KINDS:
            segment = Segment(
                name, opened.uuid, generation, 0, 0, size, checksum, level=level_of(name), rebuilt=True
            )  # fmt: skip
            data = load(disk, segment, offset=HEADER_BYTES, size=size)
            for found in segment.scan(data, base=HEADER_BYTES, whole=True):
                if found.role not in {HOLE, TORN}:
                    segment.first = found.position
                    opened.damages.append(Damage(name, found.position, found.position - 1, "header damaged, rebuilt"))
                    return segment
    return None


def _set_aside(disk: Disk, name: str, *, opened: Opened, reason: str) -> None:
    """To `quarantine/` under a free name; where the disk refuses, the file stays and is left out."""
    with contextlib.suppress(OSError):
        disk.rename(name, f"{QUARANTINE}/{name}.{secrets.token_hex(4)}")
        disk.sync_folder()
    opened.damages.append(Damage(name, 0, -1, f"set aside: {reason}"))


def _find_end(disk: Disk, opened: Opened) -> None:
    """The next position, the marks, and where to go on writing."""
    marks: list[dict[str, bytes]] = []
    for segment in reversed(opened.segments):
        data = load(disk, segment, offset=HEADER_BYTES, size=segment.size_bytes - HEADER_BYTES)
        tail = _read_tail(segment, data)
        marks.append(tail.marks)
        opened.next = max(opened.next, tail.next)
        opened.damages += tail.damages
        if segment is opened.segments[-1]:
            segment.end_bytes = tail.end_bytes
            whole = len(data) == segment.size_bytes - HEADER_BYTES
            if whole and tail.has_base and not segment.rebuilt and not segment.level:
                opened.file = _settle(disk, segment, tail=tail, data=data)
        if tail.has_base:
            break
    for older in reversed(marks):
        opened.marks.update(older)
    opened.marks = {name: data for name, data in opened.marks.items() if data}


def _read_tail(segment: Segment, data: bytes) -> _Tail:
    tail, expected, heads, hole = _Tail(segment.first), segment.first, 0, False
    for found in segment.scan(data, base=HEADER_BYTES, whole=True):
        if found.role == TORN:
            tail.damages.append(
                Damage(segment.name, expected, expected - 1, "a commit was cut short; it never counted")
            )
            break
        if found.role == HOLE:
            hole = True
            continue
        if hole or found.position > expected:
            tail.damages.append(damage(segment, first=expected, last=found.position - 1))
            hole = False
        expected = max(expected, found.position + (span_of(found) if found.role == BLOCK else found.role == ENTRY))
        tail.end_bytes = found.end
        heads += found.role in {PREAMBLE, MARK} and not tail.has_base
        if found.role == MARK:
            name, value = decode_mark(found.payload)
            tail.marks[name] = value
        elif found.role == BASE:
            tail.has_base = heads == base_count(found)
        elif found.role == COMMIT:
            tail.batch_bytes, tail.next_batch = tail.next_batch, found.end
    tail.next = expected
    return tail


def _settle(disk: Disk, segment: Segment, *, tail: _Tail, data: bytes) -> File | None:
    """Open the newest segment for writing, its last group commit surely on disk; None where the disk refuses."""
    file = None
    try:
        disk.sync_folder()
        file = disk.open(segment.name)
        file.write(data[tail.batch_bytes - HEADER_BYTES : tail.end_bytes - HEADER_BYTES], offset=tail.batch_bytes)
        file.sync()
    except OSError:
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
        return None
    return file
