"""One segment's layout, all little-endian: a header of 64 bytes, then records back to back, then left-over bytes.

Header: magic 8 | format u16 | checksum kind u8 | level u8 | uuid 16 | generation u64 | first position u64 |
created i64 | size u32 | 0 u32 | CRC-32 (zlib's, whatever the kind) of the 60 bytes before. Magic, format and CRC keep
their places in every later format, so that a newer one is known as such and damage is not taken for it. `level` is 0 in
a segment as it was written, 1 in a sealed one that holds all of it; one more for each importance that was let go of.

Record: tag u32 | CRC u32 | length u32 | position u64 | kind u16 | role u8 | 0 u8 | payload. The CRC covers all after
itself and is seeded with the segment's uuid and generation: bytes left over from the file's earlier life, or from
another journal, are never records. The tag only helps to find the next record behind damage; when it is damaged itself,
nothing is lost.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gateway.journal import Entry
from gateway.journal.checksum import KINDS, Extend, extender
from gateway.journal.errors import FutureFormat

FORMAT: Final = 2  # 1: no sealed segments
MAGIC: Final = b"CGJRNL\r\n"
_GENERATION: Final = re.compile("[0-7][0-9a-f]{15}")  # the next one must fit into the header's 8 bytes too
_HEADER: Final = struct.Struct("<8sHBB16sQQqI4x")  # the second B: level
_U32: Final = struct.Struct("<I")
HEADER_BYTES: Final = _HEADER.size + _U32.size
_RECORD: Final = struct.Struct("<IIIQHBB")
_COVERED: Final = struct.Struct("<IQHBB")
RECORD_BYTES: Final = _RECORD.size
KIND_MAX: Final = 0xFFFF

# Roles. Marks, BASE and COMMIT carry, as their position, the one that the next entry gets.
HOLE: Final = 0  # only in what `scan` yields: bytes that are no record, with a valid one behind them
ENTRY: Final = 1
PREAMBLE: Final = 2
MARK: Final = 3
BASE: Final = 4  # ends preamble and marks at the head of a segment; payload: their number, u32
COMMIT: Final = 5  # ends one group commit
BLOCK: Final = 7  # many entries, sealed (gateway.journal.sealed); position: of the first it stands for
TORN: Final = 6  # only in what `scan` yields: a record begun and not finished, with nothing valid behind it


class Found(NamedTuple):
    """One thing met by `scan`: a record, a hole or a torn end, over the bytes [offset, end) of the file."""

    role: int
    kind: int
    position: int
    payload: bytes
    offset: int
    end: int


@dataclass(slots=True)
class Segment:
    """One file of the log. `end_bytes` is where its next record goes; it is known of the newest segment only."""

    name: str
    uuid: bytes
    generation: int
    first: int
    created: int
    size_bytes: int
    checksum: int
    end_bytes: int = HEADER_BYTES
    level: int = 0
    rebuilt: bool = False
    tag: bytes = field(init=False)
    seed: int = field(init=False)
    extend: Extend = field(init=False)

    def __post_init__(self) -> None:
        identity = self.uuid + self.generation.to_bytes(8, "little")
        self.extend = extender(self.checksum)
        self.seed = self.extend(0, b"seed" + identity)
        self.tag = zlib.crc32(b"tag" + identity).to_bytes(4, "little")

    def header(self) -> bytes:
        """The 64 bytes that the file begins with."""
        head = _HEADER.pack(
            MAGIC, FORMAT, self.checksum, self.level, self.uuid,
            self.generation, self.first, self.created, self.size_bytes,
        )  # fmt: skip
        return head + _U32.pack(zlib.crc32(head))

    def record(self, role: int, *, kind: int, position: int, payload: bytes) -> bytes:
        """One record's bytes."""
        covered = _COVERED.pack(len(payload), position, kind, role, 0) + payload
        return self.tag + _U32.pack(self.extend(self.seed, covered)) + covered

    def scan(self, data: bytes, *, base: int, whole: bool) -> Iterator[Found]:
        """What stands in `data`, the file's bytes from offset `base` on.

        With `whole`, `data` reaches to the end of the segment, and damage is skipped up to the next valid record.
        Else it ends at the first thing that is not a valid record: damage, the log's end, or the edge of `data`.
        """
        at, size, extend, seed = 0, len(data), self.extend, self.seed
        while at + RECORD_BYTES <= size:
            _, crc, length, position, kind, role, _ = _RECORD.unpack_from(data, at)
            end = at + RECORD_BYTES + length
            if end <= size and extend(seed, data[at + 8 : end]) == crc:
                yield Found(role, kind, position, data[at + RECORD_BYTES : end], base + at, base + end)
                at = end
                continue
            if not whole:
                return
            after = self._resync(data, at + 1)
            if after < 0:
                break
            yield Found(HOLE, 0, 0, b"", base + at, base + after)
            at = after
        if whole and data[at : at + 4] == self.tag:
            yield Found(TORN, 0, 0, b"", base + at, base + size)

    def _resync(self, data: bytes, start: int) -> int:
        """Offset of the next valid record at or after `start`, or -1."""
        at = data.find(self.tag, start)
        while at >= 0:
            if at + RECORD_BYTES <= len(data):
                _, crc, length, *_ = _RECORD.unpack_from(data, at)
                end = at + RECORD_BYTES + length
                if end <= len(data) and self.extend(self.seed, data[at + 8 : end]) == crc:
                    return at
            at = data.find(self.tag, at + 1)
        return -1


def file_name(generation: int, level: int = 0) -> str:
    """Name of a segment's file: sorts by age. No two contents ever have the same name."""
    return f"{generation:016x}.{f'sl{level}' if level else 'seg'}"


def is_segment(name: str) -> bool:
    """Whether a name is one of a segment's file, as written or sealed."""
    _, _, suffix = name.rpartition(".")
    return suffix == "seg" or (len(suffix) == 3 and suffix[:2] == "sl" and suffix[2].isdigit())


def is_unfinished(name: str) -> bool:
    """Whether a name is that of a sealed file that was being written."""
    return name.endswith(".new") and is_segment(name.removesuffix(".new"))


def level_of(name: str) -> int:
    """Level that a segment's name tells."""
    return int(name[-1]) if name[-1:].isdigit() else 0


def generation_of(name: str) -> int | None:
    """Generation that a name tells, or None for a foreign name."""
    stem, _, suffix = name.partition(".")
    if not _GENERATION.fullmatch(stem) or not (suffix == "free" or is_segment("." + suffix)):
        return None
    return int(stem, 16)


def parse_header(name: str, data: bytes) -> Segment | None:
    """The segment that a file's first 64 bytes tell of, or None where they are damaged.

    Raises FutureFormat for an intact header of a newer format; magic, version and uuid stand where they do now in all
    formats to come.
    """
    if len(data) < HEADER_BYTES or data[:8] != MAGIC:
        return None
    if zlib.crc32(data[: _HEADER.size]) != _U32.unpack_from(data, _HEADER.size)[0]:
        return None
    _, version, checksum, level, uuid, generation, first, created, size_bytes = _HEADER.unpack_from(data)
    if version > FORMAT:
        raise FutureFormat(name, version=version, known=FORMAT, uuid=uuid)
    if checksum not in KINDS:
        return None
    return Segment(name, uuid, generation, first, created, size_bytes, checksum, level=level)


def encode_base(segment: Segment, *, preamble: Iterable[tuple[int, bytes]], marks: Mapping[str, bytes]) -> bytes:
    """Head of a new segment: the preamble, every mark, and the record that says how many these were."""
    blobs = [segment.record(PREAMBLE, kind=k, position=segment.first, payload=p) for k, p in preamble]
    blobs += [encode_mark(segment, name, data=data, position=segment.first) for name, data in marks.items()]
    count = _U32.pack(len(blobs))
    return b"".join(blobs) + segment.record(BASE, kind=0, position=segment.first, payload=count)


def encode_mark(segment: Segment, name: str, *, data: bytes, position: int) -> bytes:
    """One mark; `position` is the one that the next entry gets, so that no surviving mark is ahead of the log."""
    label = name.encode()
    return segment.record(MARK, kind=0, position=position, payload=bytes((len(label),)) + label + data)


def decode_mark(payload: bytes) -> tuple[str, bytes]:
    """Name and data of a mark's payload."""
    cut = 1 + payload[0]
    return payload[1:cut].decode(), payload[cut:]


def encode_entry(segment: Segment, entry: Entry) -> bytes:
    """One entry's record."""
    return segment.record(ENTRY, kind=entry.kind, position=entry.position, payload=entry.payload)


def encode_commit(segment: Segment, entries: Iterable[Entry], *, marks: Mapping[str, bytes], end: int) -> bytes:
    """One group commit: entries, marks, and the note that ends it; `end` is the position that the next entry gets."""
    blobs = [encode_entry(segment, entry) for entry in entries]
    blobs += [encode_mark(segment, name, data=data, position=end) for name, data in marks.items()]
    return b"".join(blobs) + segment.record(COMMIT, kind=0, position=end, payload=b"")


def base_count(found: Found) -> int:
    """How many records stood before a BASE."""
    return int(_U32.unpack(found.payload)[0])
