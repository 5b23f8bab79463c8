"""The segments on disk: the one being written, those before it, and spare files. Blocking: runs off the event loop.

A file is zeroed once when it is made and recycled afterwards, so that a commit's fdatasync changes no metadata.
A descriptor that failed is closed and never used again; what it should have held is written anew into another segment.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping
from typing import Final

from gateway.journal.disk import Disk, File
from gateway.journal.errors import TooLarge
from gateway.journal.repair import IDENTITY, Opened, write_identity
from gateway.journal.segment import Segment, encode_base, file_name

SPARES: Final = 4  # more free files than this are given back to the file system
ZEROS_BYTES: Final = 256 * 1024


class Store:
    """Owns the files. `segments` is replaced, never changed, so that a reader in another thread may keep its copy."""

    def __init__(self, disk: Disk, opened: Opened, *, segment_bytes: int, cap_bytes: int, checksum: int) -> None:
        self._disk = disk
        self._uuid, self._checksum, self._generation = opened.uuid, checksum, opened.generation
        self._file: File | None = opened.file
        self._free = list(opened.free)
        self._leaving: tuple[Segment, ...] = ()
        self._base = b""
        self._named = False
        self._mutex = threading.Lock()  # `drop` runs on the event loop, the rest in the commit's thread
        self.segment_bytes, self.cap_bytes = segment_bytes, cap_bytes
        self.segments: tuple[Segment, ...] = tuple(opened.segments)

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
            self._name_journal()
        file = self._recycle(segment) or self._make(segment)
        self._file, self._base = file, base
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
            self.drop(self.segments[-1])

    def drop(self, segment: Segment) -> None:
        """Take a segment off the list; its file goes with the next `release`."""
        with self._mutex:
            self.segments = tuple(other for other in self.segments if other is not segment)
            self._leaving = (*self._leaving, segment)

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
                if len(self._free) < SPARES and segment.size_bytes == self.segment_bytes and not segment.rebuilt:
                    spare = segment.name.replace(".seg", ".free")
                    self._disk.rename(segment.name, spare)
                    self._free.append(spare)
                else:
                    self._disk.remove(segment.name)
                self._disk.sync_folder()
                with self._mutex:
                    self._leaving = self._leaving[1:]
                continue
            return

    def close(self) -> None:
        """Close the file and unlock the folder."""
        self.give_up()
        self._disk.unlock()

    def _name_journal(self) -> None:
        if IDENTITY not in self._disk.names():
            write_identity(self._disk, self._uuid)
        self._named = True

    def _recycle(self, segment: Segment) -> File | None:
        """A spare file with a new header under its new name. A spare that fails is removed."""
        while self._free:
            spare = self._free.pop()
            file = None
            try:
                if self._disk.size(spare) == segment.size_bytes:
                    file = self._disk.open(spare)
                    file.write(segment.header(), offset=0)
                    file.sync()
                    self._disk.rename(spare, segment.name)
                    self._disk.sync_folder()
                    return file
            except OSError:
                if file is not None:
                    with contextlib.suppress(OSError):
                        file.close()
            with contextlib.suppress(OSError):
                self._disk.remove(spare)
        return None

    def _make(self, segment: Segment) -> File:
        """A new file: header and zeros, synced, then its name, synced."""
        draft = "new.tmp"
        file = self._disk.create(draft)
        try:
            zeros = bytes(min(ZEROS_BYTES, segment.size_bytes))
            for offset in range(0, segment.size_bytes, len(zeros)):
                file.write(zeros[: segment.size_bytes - offset], offset=offset)
            file.write(segment.header(), offset=0)
            file.sync()
            self._disk.rename(draft, segment.name)
            self._disk.sync_folder()
        except OSError:
            with contextlib.suppress(OSError):
                file.close()
            with contextlib.suppress(OSError):
                self._disk.remove(draft)
            raise
        return file
