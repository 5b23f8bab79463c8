"""A journal opened only to look: without the lock, beside its owner or without one, and nothing on the disk changes.

It shows what stood there at the opening. A segment that the owner lets go of or re-writes meanwhile may be told as
missing; a commit that it was just writing may be told as cut short. Whoever needs more opens it again.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

from gateway.journal.disk import Disk, File, RealDisk
from gateway.journal.log import Log, open_journal
from gateway.journal.sealed import Sealer


def open_readonly(folder: Path | Disk, *, sealer: Sealer | None = None) -> Log:
    """The journal of a folder, for `read`, `marks` and the figures; a commit of anything fails, `close` never does.

    Raises FileNotFoundError where there is no such folder, FutureFormat, and OSError where it cannot be listed.
    """
    if isinstance(folder, Path):
        if not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
        folder = RealDisk(folder)
    return open_journal(_Untouched(folder), sealer=sealer)


class _Untouched:
    """A disk that reads and refuses everything else, as a read-only file system does."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.names, self.size, self.read = disk.names, disk.size, disk.read

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
