"""A journal opened only to look: without the lock, beside its owner or without one, and nothing on the disk changes.

It shows what stood there at the opening, up to `next` of that moment. A segment that the owner seals, thins or lets go
of meanwhile is looked for again: what still stands there is read from its new file, and `first` rises over what does
not. A commit that it was just writing may be told as cut short. Whoever needs more opens it again.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final, NoReturn

from gateway.journal.disk import Disk, File, RealDisk
from gateway.journal.log import Log, open_journal
from gateway.journal.sealed import Sealer

LOOKS: Final = 20  # at a folder whose files move while they are listed


def open_readonly(folder: Path | Disk, *, sealer: Sealer | None = None) -> Log:
    """The journal of a folder, for `read`, `marks` and the figures; a commit of anything fails, `close` never does.

    Raises FileNotFoundError where there is no such folder, FutureFormat, and OSError where it cannot be listed or its
    files never stand still.
    """
    if isinstance(folder, Path):
        if not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
        folder = RealDisk(folder)
    disk = _Untouched(folder)
    log = _opened(disk, sealer=sealer)
    log.renew_with(lambda: _opened(disk, sealer=sealer))
    return log


def _opened(disk: _Untouched, *, sealer: Sealer | None) -> Log:
    """One look at the folder, while which no file of it came, went or was renamed."""
    for _ in range(LOOKS):
        before, disk.vanished = disk.names(), False
        try:
            log = open_journal(disk, sealer=sealer)
        except FileNotFoundError:
            continue
        if not disk.vanished and disk.names() == before:
            return log
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), f"{disk}")


class _Untouched:
    """A disk that reads and refuses everything else, as a read-only file system does.

    `vanished`: a file was gone when it was to be read.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.vanished = False
        self.names = disk.names

    def __str__(self) -> str:
        return f"{self._disk}"

    def size(self, name: str) -> int:
        """See Disk."""
        try:
            return self._disk.size(name)
        except FileNotFoundError:
            self.vanished = True
            raise

    def read(self, name: str, *, offset: int, size: int) -> bytes:
        """See Disk."""
        try:
            return self._disk.read(name, offset=offset, size=size)
        except FileNotFoundError:
            self.vanished = True
            raise

    def lock(self) -> None:
        """None is taken."""

    def unlock(self) -> None:
        """None is held."""

    def create(self, name: str) -> File:
        """Refused."""
        _refuse(name)

    def open(self, name: str) -> File:
        """Refused."""
        _refuse(name)

    def rename(self, old: str, _new: str) -> None:
        """Refused."""
        _refuse(old)

    def remove(self, name: str) -> None:
        """Refused."""
        _refuse(name)

    def sync_folder(self) -> None:
        """Refused."""
        _refuse("")


def _refuse(name: str) -> NoReturn:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), name)
