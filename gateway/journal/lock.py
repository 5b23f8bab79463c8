"""One process, one owner: a lock on the folder itself, which the kernel drops when the owner dies (flock(2)).

It needs no file of its own, so it holds on a read-only or full file system too, and leaves nothing stale behind.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from gateway.journal.errors import JournalBusy


class Lock:
    """Exclusive lock of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fd: int | None = None

    def take(self) -> None:
        """Raises JournalBusy where it is taken, OSError where the file system knows no locks."""
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as cause:
            inode = os.fstat(fd).st_ino
            os.close(fd)
            if not isinstance(cause, BlockingIOError):
                raise
            raise JournalBusy(str(self._folder), _owner(inode)) from cause
        self._fd = fd

    def release(self) -> None:
        """Closing the descriptor drops the lock."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def _owner(inode: int) -> int | None:
    """Process id of the holder, from proc_locks(5): `1: FLOCK ADVISORY WRITE 1234 08:01:131 0 EOF`."""
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if len(words) > 5 and words[1] == "FLOCK" and words[5].rsplit(":", 1)[-1] == str(inode):
            return int(words[4])
    return None
