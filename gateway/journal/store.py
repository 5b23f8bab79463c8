"""The segments on disk: the one being written, those before it, and spare files. Blocking: runs off the event loop.

A file is zeroed once when it is made and recycled afterwards, so that a commit's fdatasync changes no metadata.
A descriptor that failed is closed and never used again; what it should have held is written anew into another segment.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from gateway.journal.disk import Disk, File
from gateway.journal.errors import TooLarge
from gateway.journal.repair import IDENTITY, Opened, write_identity
from gateway.journal.segment import Segment, encode_base, file_name, is_unfinished

SPARES: Final = 4  # more free files than this are given back to the file system
ZEROS_BYTES: Final = 256 * 1024


class Store:
    """Owns the files. `segments` is replaced, never changed, so that a reader in another thread may keep its copy."""

    def __init__(self, disk: Disk, opened: Opened, *, segment_bytes: int, cap_bytes: int, checksum: int) -> None:
        self._disk = disk
        self.segment_bytes, self.cap_bytes = segment_bytes, cap_bytes
        self._uuid, self._checksum, self._generation = opened.uuid, checksum, opened.generation
        self._file: File | None = opened.file
        self._free = self._sound(opened.free)
        self._leaving: tuple[Segment, ...] = tuple(opened.spent)
        self.twins = len(opened.spent)
        self._base = b""
        self._named = False
        self._mutex = threading.Lock()  # `drop` runs on the event loop, the rest in the commit's thread
        self.segments: tuple[Segment, ...] = tuple(opened.segments)
        self.look_again: Callable[[], tuple[Segment, ...]] | None = None  # where another process owns the files
        if self.twins:
            self.release()

    @property
    def used_bytes(self) -> int:
        """What segments take, those included that leave with the next commit; spares are not counted."""
        return sum(segment.size_bytes for segment in (*self.segments, *self._leaving))

    @property
    def full(self) -> bool:
        """Whether the cap allows no further segment; those that leave are not counted, for they make room."""
        return sum(segment.size_bytes for segment in self.segments) + self.segment_bytes > self.cap_bytes

    @property
    def active(self) -> Segment | None:
        """The segment that can be written to, if there is one."""
        return self.segments[-1] if self._file else None

    @property
    def room_bytes(self) -> int:
        """What the active segment still takes."""
        active = self.active
        return active.size_bytes - active.end_bytes - len(self._base) if active else 0

    def rotate(
        self, *, first: int, created: int, preamble: Iterable[tuple[int, bytes]], marks: Mapping[str, bytes]
    ) -> None:
        """Go on in a new segment. Raises OSError (nothing changed but the free files) and TooLarge."""
        segment = Segment("", self._uuid, self._generation + 1, first, created, self.segment_bytes, self._checksum)
        segment.name = file_name(segment.generation)
        base = encode_base(segment, preamble=preamble, marks=marks)
        if len(base) > self.segment_bytes // 2:
            raise TooLarge("preamble", size_bytes=len(base), bound_bytes=self.segment_bytes // 2)
        self._generation += 1
        self.give_up()
        if not self._named:
            with contextlib.suppress(OSError):  # it serves where every header is damaged; the next segment tries again
                self._name_journal()
        self._file, self._base = self._recycle(segment), base
        with self._mutex:
            self.segments = (*self.segments, segment)

    def write(self, data: bytes) -> None:
        """Append to the active segment, durably. After an OSError there is no active segment."""
        if self._file is None:
            raise OSError("no segment to write to")
        active, data = self.segments[-1], self._base + data
        try:
            self._file.write(data, offset=active.end_bytes)
            self._file.sync()
        except OSError:
            self.give_up()
            raise
        active.end_bytes += len(data)
        self._base = b""

    def give_up(self) -> None:
        """Close the active segment; one that never held a commit is thrown away."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
        if self._base:
            self._base = b""
            void = self.segments[-1]
            self.drop(void)
            with contextlib.suppress(OSError):  # else it leaves with the others
                self._disk.remove(void.name)
                self._left(void)

    def drop(self, segment: Segment) -> None:
        """Take a segment off the list; its file goes with the next `release`."""
        with self._mutex:
            self.segments = tuple(other for other in self.segments if other is not segment)
            self._leaving = (*self._leaving, segment)

    def replace(self, old: Segment, new: Segment) -> None:
        """A segment written anew takes the place of the old one, whose file goes with the next `release`."""
        with self._mutex:
            self.segments = tuple(new if one is old else one for one in self.segments)
            self._leaving = (*self._leaving, old)

    def is_free(self, name: str) -> bool:
        """Whether a new file may have this name: none that has yet to leave has it."""
        return all(segment.name != name for segment in self._leaving)

    def moved(self, segment: Segment) -> bool:
        """Whether the owner of these files has taken this one away; then `segments` are those that stand there now.

        In the journal's own process never. Raises OSError where the folder cannot be read.
        """
        if self.look_again is None or segment.name in self._disk.names():
            return False
        self.segments = self.look_again()
        return all(one.name != segment.name for one in self.segments)

    def _left(self, segment: Segment) -> None:
        with self._mutex:
            self._leaving = tuple(other for other in self._leaving if other is not segment)

    def make_room(self) -> bool:
        """Whether a segment may be begun; where the cap says no, files that wait to leave go first."""
        if self._leaving and self.used_bytes + self.segment_bytes > self.cap_bytes:
            self.release()
        return self.used_bytes + self.segment_bytes <= self.cap_bytes

    def release(self) -> None:
        """Files that leave become spares or go; what the disk refuses is tried again after the next commit."""
        while self._leaving:
            segment = self._leaving[0]
            with contextlib.suppress(OSError):
                if self._fit_to_recycle(segment):
                    spare = segment.name.replace(".seg", ".free")
                    self._disk.rename(segment.name, spare)
                    self._free.append(spare)
                else:
                    self._disk.remove(segment.name)
                self._disk.sync_folder()
                self._left(segment)
                continue
            return

    def _fit_to_recycle(self, segment: Segment) -> bool:
        sealed = segment.level or len(self._free) >= SPARES
        return not sealed and _has_size(self._disk, segment.name, self.segment_bytes)

    def prepare(self) -> None:
        """Make the next file ahead, once the present one is half full: zeroing takes long, and a commit should not.

        Where the disk refuses, `rotate` will try again and say so.
        """
        active, spared = self.active, self.used_bytes + self.segment_bytes * (len(self._free) + 1)
        if active and not self._free and active.end_bytes * 2 > active.size_bytes and spared <= self.cap_bytes:
            with contextlib.suppress(OSError):
                self._make_spare()

    def close(self) -> None:
        """Close the file and unlock the folder."""
        self.give_up()
        self._disk.unlock()

    def _sound(self, spares: list[str]) -> list[str]:
        """Of the spare files those of the right size; the others are removed."""
        sound = [name for name in spares if _has_size(self._disk, name, self.segment_bytes)]
        with contextlib.suppress(OSError):
            for name in [*({*spares} - {*sound[:SPARES]}), *filter(is_unfinished, self._disk.names())]:
                self._disk.remove(name)
        return sound[:SPARES]

    def _name_journal(self) -> None:
        if IDENTITY not in self._disk.names():
            write_identity(self._disk, self._uuid)
        self._named = True

    def _spare(self) -> str:
        while True:
            with self._mutex:
                if self._free:
                    return self._free.pop()
            self._make_spare()

    def forgo_spare(self) -> bool:
        """Give a spare file back to a disk that is full; whether there was one."""
        with self._mutex:
            spare = self._free.pop() if self._free else ""
        if spare:
            with contextlib.suppress(OSError):
                self._disk.remove(spare)
                self._disk.sync_folder()
        return bool(spare)

    def _make_spare(self) -> None:
        """A new file of zeros. One that a crash left shorter is found by its size; what it holds is never trusted."""
        name = file_name(self._generation + 1).replace(".seg", ".free")
        file = self._disk.create(name)
        try:
            zeros = bytes(min(ZEROS_BYTES, self.segment_bytes))
            for offset in range(0, self.segment_bytes, len(zeros)):
                file.write(zeros[: self.segment_bytes - offset], offset=offset)
            file.sync()
        except OSError:
            with contextlib.suppress(OSError):
                self._disk.remove(name)
            raise
        finally:
            with contextlib.suppress(OSError):
                file.close()
        self._free.append(name)

    def _recycle(self, segment: Segment) -> File:
        """A spare file with a new header, synced, then under its new name, synced. One that fails is removed."""
        spare = self._spare()
        file = self._disk.open(spare)
        try:
            file.write(segment.header(), offset=0)
            file.sync()
            self._disk.rename(spare, segment.name)
            self._disk.sync_folder()
        except OSError:
            for clean in (file.close, lambda: self._disk.remove(spare), lambda: self._disk.remove(segment.name)):
                with contextlib.suppress(OSError):
                    clean()
            raise
        return file


def _has_size(disk: Disk, name: str, size_bytes: int) -> bool:
    """Whether a file can serve as a segment."""
    with contextlib.suppress(OSError):
        return disk.size(name) == size_bytes
    return False
