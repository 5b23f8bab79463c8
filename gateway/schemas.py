"""Which descriptions of series the journal keeps: those of the present config, and those that its entries may need.

A description is a mark of about 0.5 kB, and marks are carried from segment to segment. When the config drops a series
or changes it, its description is retired at that position of the journal and leaves when everything before that
position has left. More of them than `MARKS_BYTES` move together into an entry of kind SCHEMAS: it lies behind all that
needs it, so the journal keeps it for long enough, and a reader that meets an unknown number looks there.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Final

import msgspec

from gateway.codec import SCHEMA_MARK, SCHEMAS, Codec
from gateway.journal import Journal
from gateway.journal.errors import JournalFull
from gateway.reading import Series

MARK: Final = "retired"
MARKS_BYTES: Final = 32 << 10  # of retired descriptions; with more, the oldest move into an entry
BUNDLE: Final = 64  # descriptions in one entry


class Schemas:
    """Keeps the marks of descriptions few. `fit` at the start, `prune` before each commit."""

    def __init__(self, *, journal: Journal, codec: Codec) -> None:
        self._journal = journal
        self._codec = codec
        self._moving: dict[int, tuple[int, ...]] = {}  # position of an entry -> numbers whose marks go once it is safe
        blob = journal.marks.get(MARK)
        _version, retired, bundles = (1, {}, []) if blob is None else msgspec.msgpack.decode(blob, strict=False)
        self._retired: dict[int, int] = {int(number): end for number, end in retired.items()}
        self._bundles: list[tuple[int, int]] = [(position, end) for position, end in bundles]
        self._where: dict[int, int] = {}
        self._indexed: set[int] = set()
        self._loaded: tuple[int, dict[int, bytes]] = (-1, {})
        codec.find = self._find

    def fit(self, series: Iterable[Series]) -> None:
        """The present config's series are described; all others that have a mark are retired from here on."""
        names = dict(self._codec.schema_marks(one) for one in series)
        present = {_number(name) for name in names}
        for name in self._journal.marks:
            if name.startswith(SCHEMA_MARK) and _number(name) not in present:
                self._retired.setdefault(_number(name), self._journal.next)
        self._retired = {number: end for number, end in self._retired.items() if number not in present}
        self._codec.retired = set(self._retired)
        self._save()
        self.prune()
        for name, blob in names.items():
            self._journal.mark(name, blob)

    def prune(self) -> None:
        """Forget what nothing needs any more, and move what is too much; called before each commit."""
        if not (self._retired or self._bundles or self._moving or self._codec.revived):
            return
        before = len(self._retired), len(self._bundles)
        self._finish_moves()
        self._revive()
        first = self._journal.first
        for number in [number for number, end in self._retired.items() if end <= first]:
            self._journal.mark(_name(number), b"")
            del self._retired[number]
        self._bundles = [(position, end) for position, end in self._bundles if end > first]
        sizes = {number: len(self._journal.marks.get(_name(number), b"")) for number in self._retired}
        if not self._moving and sum(sizes.values()) > MARKS_BYTES:
            self._move()
        if before != (len(self._retired), len(self._bundles)):
            self._save()

    def _revive(self) -> None:
        """Old series that were written again (dead letters, held samples) are needed for longer, and as marks."""
        if self._codec.revived:
            for number in self._codec.revived:
                blob = None if number in self._retired else self._find(number)
                if blob is not None:
                    self._journal.mark(_name(number), blob)
                self._retired[number] = self._journal.next
            moving = {number for numbers in self._moving.values() for number in numbers}
            if moving & self._codec.revived:
                self._moving.clear()  # their marks stay
            self._codec.revived.clear()
            self._save()

    def _finish_moves(self) -> None:
        """Marks go only after the entry that replaces them is on disk, for a torn commit may keep any part of it."""
        for position in [position for position in self._moving if position < self._journal.committed]:
            for number in self._moving.pop(position):
                if self._retired.pop(number, None) is not None:
                    self._journal.mark(_name(number), b"")

    def _move(self) -> None:
        """The oldest retired descriptions into one entry."""
        numbers = tuple(sorted(self._retired, key=self._retired.__getitem__)[:BUNDLE])
        kept = {number: self._journal.marks.get(_name(number)) for number in numbers}
        facts = {number: zlib.decompress(blob) for number, blob in kept.items() if blob}
        try:
            position = self._journal.append(SCHEMAS, zlib.compress(msgspec.msgpack.encode(facts)))
        except JournalFull:
            return  # the next commit's call tries again
        self._moving[position] = numbers
        self._bundles.append((position, position))

    def _save(self) -> None:
        self._journal.mark(MARK, msgspec.msgpack.encode([1, self._retired, self._bundles]))

    def _find(self, number: int) -> bytes | None:
        """The description that was moved into an entry, compressed as a mark is; None where there is none."""
        if number not in self._loaded[1]:
            for position, _end in self._bundles:
                if position not in self._indexed:
                    self._indexed.add(position)
                    self._where |= dict.fromkeys(self._bundle(position), position)
            if number in self._where:
                self._loaded = self._where[number], self._bundle(self._where[number])
        blob = self._loaded[1].get(number)
        return None if blob is None else zlib.compress(blob)

    def _bundle(self, position: int) -> dict[int, bytes]:
        if position == self._loaded[0]:
            return self._loaded[1]
        for entry in self._journal.read(position, limit_bytes=1):
            if entry.position == position and entry.kind == SCHEMAS:
                return msgspec.msgpack.decode(zlib.decompress(entry.payload), type=dict[int, bytes])
        return {}


def codec_of(journal: Journal) -> Codec:
    """A codec that reads every record of this journal; writes nothing."""
    codec = Codec(journal.marks)
    Schemas(journal=journal, codec=codec)
    return codec


def _name(number: int) -> str:
    return f"{SCHEMA_MARK}{number:08x}"


def _number(name: str) -> int:
    return int(name.removeprefix(SCHEMA_MARK), 16)
