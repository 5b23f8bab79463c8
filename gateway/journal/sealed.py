"""Sealed segments: the same entries at the same positions, in blocks that a `Sealer` made small.

A sealed file is one write: header, preamble, marks, BASE, blocks, COMMIT. It is complete before it gets its name, so
nothing of it is ever half there. The blocks' spans cover all positions of the segment without a hole; a position inside
a span that the block does not hold was let go of on purpose (`level` of the header says how far that went).

BLOCK: low i64 | high i64 | span u32 | count u32 | size of places u32 | places | blob. `low` and `high` are the sealer's
opaque range of the block (times). `places` is empty where count = span, else the deflated u32 offsets of the entries
held, from the record's position on.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from gateway.journal import Entry
from gateway.journal.segment import BLOCK, COMMIT, ENTRY, HEADER_BYTES, Found, Segment, encode_base

_BLOCK: Final = struct.Struct("<qqIII")
Item = tuple[int, bytes]
Range = tuple[int, int]


class Sealer(Protocol):
    """What makes a block small; injected, for the journal does not know what a payload means."""

    @property
    def block_bytes(self) -> int:
        """Payload bytes of one block: what a damaged byte of a sealed segment may cost."""

    def seal(self, items: Sequence[Item]) -> bytes:
        """Entries (kind, payload), in order, as one blob."""

    def unseal(self, blob: bytes) -> Sequence[Item]:
        """The same entries, byte for byte. Raises ValueError for a blob that it did not make."""

    def kinds(self, blob: bytes) -> frozenset[int]:
        """Of the entries in it, without making them. Raises ValueError for a blob that it did not make."""

    def span(self, items: Sequence[Item]) -> Range:
        """Lowest and highest opaque number (time) of what the entries tell of; low > high where of none."""


class Block(NamedTuple):
    """One block, still sealed."""

    first: int
    span: int
    low: int
    high: int
    places: Sequence[int]
    blob: bytes


def decode_block(found: Found) -> Block:
    """The block of a BLOCK record. Raises ValueError for one that is no such thing."""
    try:
        low, high, span, count, size = _BLOCK.unpack_from(found.payload)
        at = _BLOCK.size
        places = _offsets(zlib.decompress(found.payload[at : at + size])) if size else range(count)
    except (struct.error, zlib.error) as error:
        raise ValueError(f"block at {found.offset}: {error}") from None
    if len(places) != count or count > span:
        raise ValueError(f"block at {found.offset}: {len(places)} places for {count} entries in {span}")
    return Block(found.position, span, low, high, places, found.payload[at + size :])


def span_of(found: Found) -> int:
    """How many positions a BLOCK record stands for, without looking at them."""
    span: int = _BLOCK.unpack_from(found.payload)[2] if len(found.payload) >= _BLOCK.size else 0
    return span


def range_of(found: Found) -> Range:
    """The opaque range of a BLOCK record."""
    low, high, *_ = _BLOCK.unpack_from(found.payload) if len(found.payload) >= _BLOCK.size else (0, -1)
    return low, high


def may_hold(found: Found, kinds: frozenset[int], *, sealer: Sealer | None) -> bool:
    """Whether a BLOCK record holds an entry of these kinds; true where nobody can say."""
    try:
        return sealer is None or bool(kinds & sealer.kinds(decode_block(found).blob))
    except ValueError:
        return True


def entries_of(found: Found, sealer: Sealer | None) -> list[Entry]:
    """The entries of a BLOCK record. Raises ValueError where they cannot be had."""
    block = decode_block(found)
    if sealer is None:
        raise ValueError("sealed, and nobody here can unseal it")
    items = sealer.unseal(block.blob)
    if len(items) != len(block.places):
        raise ValueError(f"{len(items)} entries in a block of {len(block.places)}")
    return [Entry(block.first + place, *item) for place, item in zip(block.places, items, strict=True)]


def _offsets(data: bytes) -> Sequence[int]:
    return struct.unpack(f"<{len(data) // 4}I", data)


def encode_sealed(
    segment: Segment,
    *,
    preamble: Iterable[Item],
    marks: Mapping[str, bytes],
    entries: Iterable[Entry],
    end: int,
    sealer: Sealer,
) -> bytes:
    """The whole file of a sealed segment [first, end); sets its size. ValueError where it would not read back."""
    blobs = [encode_base(segment, preamble=preamble, marks=marks)]
    at = segment.first
    for group in _groups(entries, sealer.block_bytes):
        stop = end if group.last else group.entries[-1].position + 1
        blobs.append(_block(segment, group.entries, first=at, span=stop - at, sealer=sealer))
        at = stop
    blobs.append(segment.record(COMMIT, kind=0, position=end, payload=b""))
    body = b"".join(blobs)
    segment.size_bytes = segment.end_bytes = HEADER_BYTES + len(body)
    return segment.header() + body


class _Group(NamedTuple):
    entries: list[Entry]
    last: bool


def _groups(entries: Iterable[Entry], block_bytes: int) -> Iterator[_Group]:
    group: list[Entry] = []
    size = 0
    for entry in entries:
        if size >= block_bytes:
            yield _Group(group, last=False)
            group, size = [], 0
        group.append(entry)
        size += len(entry.payload)
    yield _Group(group, last=True)


def _block(segment: Segment, entries: list[Entry], *, first: int, span: int, sealer: Sealer) -> bytes:
    items = [(entry.kind, entry.payload) for entry in entries]
    blob = sealer.seal(items)
    if list(sealer.unseal(blob)) != items:
        raise ValueError(f"the sealer does not give back positions {first} to {first + span - 1}")
    places = b""
    if len(entries) != span:
        offsets = array("I", (entry.position - first for entry in entries))
        places = zlib.compress(struct.pack(f"<{len(offsets)}I", *offsets), 9)
    low, high = sealer.span(items)
    head = _BLOCK.pack(low, high, span, len(entries), len(places))
    return segment.record(BLOCK, kind=0, position=first, payload=head + places + blob)


def expanded(found: Found, entries: Sequence[Entry]) -> Iterator[Found]:
    """A block's entries as records; all but the last end where the block begins, so that a reader comes back to it."""
    last = len(entries) - 1
    for number, entry in enumerate(entries):
        end = found.end if number == last else found.offset
        yield Found(ENTRY, entry.kind, entry.position, entry.payload, found.offset, end)
