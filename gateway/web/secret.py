"""A secret in a file of its own: the one way in which the page takes passwords and tokens."""

from __future__ import annotations

from pathlib import Path


def secret_text(path: Path) -> str:
    """What the file holds, without white space around it.

    Raises:
        ValueError: others can read it.
        OSError: we cannot.
    """
    if path.stat().st_mode & 0o077:
        raise ValueError(f"{path} can be read by others; chmod 600 it")
    return path.read_text(encoding="utf-8").strip()
