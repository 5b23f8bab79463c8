"""The only place that opens the journal's files. Injected, so that a test can lose, tear and refuse its writes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from gateway.journal.lock import Lock


class File(Protocol):
    """One file open for writing. Any method may raise OSError; after that it is closed and never used again."""

    def write(self, data: bytes, *, offset: int) -> None:
        """All of `data` at `offset`; not durable before `sync`."""

    def sync(self) -> None:
        """What was written is durable."""

    def close(self) -> None:
        """Give the descriptor back; syncs nothing."""


class Disk(Protocol):
    """One folder. Names are relative to it; `quarantine/` is its only sub-folder. Any method may raise OSError."""

    def lock(self) -> None:
        """Become the only owner. Raises JournalBusy. Held until `unlock` or the end of the process."""

    def unlock(self) -> None:
        """Give the folder back."""

    def names(self) -> list[str]:
        """Names of the files in the folder."""

    def size(self, name: str) -> int:
        """Bytes of a file."""

    def read(self, name: str, *, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; shorter only at the end of the file."""

    def create(self, name: str) -> File:
        """A new, empty file (replaces one that stands there)."""

    def open(self, name: str) -> File:
        """An existing file, for writing."""

    def rename(self, old: str, new: str) -> None:
        """Atomic; durable after `sync_folder`. Makes the sub-folder of `new`."""

    def remove(self, name: str) -> None:
        """Durable after `sync_folder`."""

    def sync_folder(self) -> None:
        """Creations, renames and removals so far are durable."""


class _RealFile:
    def __init__(self, path: Path, flags: int, *, forget: bool = False) -> None:
        self._fd = os.open(path, flags | os.O_RDWR | os.O_CLOEXEC, 0o640)
        if forget:
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def write(self, data: bytes, *, offset: int) -> None:
        rest = memoryview(data)
        while rest:
            done = os.pwrite(self._fd, rest, offset)
            rest, offset = rest[done:], offset + done

    def sync(self) -> None:
        os.fdatasync(self._fd)  # also the size, where it changed: fdatasync(2)

    def close(self) -> None:
        os.close(self._fd)


class RealDisk:
    """A folder of the file system; it is made where it is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if not folder.is_dir():
            folder.mkdir(parents=True, mode=0o750)
            _sync(folder.parent)
        self._lock = Lock(folder)

    def __str__(self) -> str:
        return str(self._folder)

    def lock(self) -> None:
        """See Disk."""
        self._lock.take()

    def unlock(self) -> None:
        """See Disk."""
        self._lock.release()

    def names(self) -> list[str]:
        """Regular files only: links and folders are not ours."""
        with os.scandir(self._folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))

    def size(self, name: str) -> int:
        """See Disk."""
        return (self._folder / name).stat().st_size

    def read(self, name: str, *, offset: int, size: int) -> bytes:
        """A descriptor per read: none is kept open on a file that may leave."""
        fd = os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.pread(fd, size, offset)
            while data and len(data) < size and (more := os.pread(fd, size - len(data), offset + len(data))):
                data += more
        finally:
            os.close(fd)
        return data

    def create(self, name: str) -> File:
        """Mode 0640."""
        return _RealFile(self._folder / name, os.O_CREAT | os.O_TRUNC)

    def open(self, name: str) -> File:
        """Its clean pages leave the cache, so that a commit dirties 4 KiB and not the 256 of a large write's folio."""
        return _RealFile(self._folder / name, 0, forget=True)

    def rename(self, old: str, new: str) -> None:
        """The target's folder is synced here, the source's by `sync_folder`."""
        target = self._folder / new
        if target.parent != self._folder and not target.parent.is_dir():
            target.parent.mkdir(mode=0o750)
        (self._folder / old).rename(target)
        if target.parent != self._folder:
            _sync(target.parent)

    def remove(self, name: str) -> None:
        """A file that is gone already is no error."""
        (self._folder / name).unlink(missing_ok=True)

    def sync_folder(self) -> None:
        """fsync(2) of the folder."""
        _sync(self._folder)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
