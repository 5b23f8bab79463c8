"""Secret files: `$CREDENTIALS_DIRECTORY/NAME` first, else beside the file that names them, closed to everybody else.

A secret is read when it is needed and never kept in the config tree, its hash, a message or a log.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from gateway.catalogue import Fault

SIZE_CAP_BYTES: Final = 64 * 1024
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def place(name: str, beside: Path) -> Path:
    """The file that `name` means in the config file `beside`; whether it exists is not asked."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if folder and "/" not in name:
        credential = Path(folder) / name
        if credential.exists():
            return credential
    return beside.parent / name


def fault(name: str, beside: Path, *, private: bool) -> Fault | None:
    """What is wrong with the file (existence, kind, mode, emptiness), or None. Opens nothing."""
    path = place(name, beside)
    try:
        status = path.stat()
    except OSError as error:
        return Fault("CG-CFG-22", {"path": str(path), "why": error.strerror or str(error)})
    if not stat.S_ISREG(status.st_mode):
        return Fault("CG-CFG-22", {"path": str(path), "why": "not a regular file"})
    credential = path.parent == Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nowhere"))
    if private and not credential and status.st_mode & _OTHERS:
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        return Fault("CG-CFG-23", {"path": str(path), "mode": mode}, do=f"chmod 600 {path}")
    if status.st_size == 0 or status.st_size > SIZE_CAP_BYTES:
        return Fault("CG-CFG-45", {"path": str(path), "size": str(status.st_size)})
    return None


def text(name: str, beside: Path) -> str:
    """The secret in the file, one trailing line end taken off.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not UTF-8 text of one line.
    """
    raw = place(name, beside).read_bytes()[:SIZE_CAP_BYTES]
    secret = raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
    if not secret or "\n" in secret or "\0" in secret:
        raise ValueError("a secret is one line of text")
    return secret
