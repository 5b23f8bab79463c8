"""Credentials that are renewed while a connection stands: files are looked at, and told when they can be used.

A half-written set is not taken up: the files must have stood still between two looks and load. Until then, and where
they do not load, the connection goes on as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from gateway.config import Sink
from gateway.sinks import SinkDown
from gateway.sinks.credentials import Credentials, Files, read

LOOK_S: Final = 5.0
TLS_FILES: Final = ("ca_file", "cert_file", "key_file")
SECRET_FILES: Final = ("token_file", "password_file")

Stamp: TypeAlias = tuple[tuple[int, int, int], ...]
"""Time of change (ns), inode and size of each file that an option names; zeros for one that is not there."""


def stamp(config: Sink, files: Files, *, keys: Sequence[str] = TLS_FILES) -> Stamp:
    """What the files of these options look like now; empty where none is named. Blocking."""
    named = [(key, getattr(config, key)) for key in keys]
    return tuple(_look(files, text, key=key) for key, text in named if text is not None)


def _look(files: Files, text: str, *, key: str) -> tuple[int, int, int]:
    try:
        facts = files.place(text, key).stat()
    except OSError:
        return 0, 0, 0
    return facts.st_mtime_ns, facts.st_ino, facts.st_size


async def renewed(
    config: Sink, files: Files, *, since: Stamp, tls: bool, keys: Sequence[str], tell: Callable[[str], None]
) -> tuple[Credentials, Stamp]:
    """Wait until the files differ from `since` and can be used; what they hold, and their stamp.

    `tell` gets what is wrong with renewed files, and the empty text when that is over.
    """
    last = since
    while True:
        await asyncio.sleep(LOOK_S)
        before, last = last, await asyncio.to_thread(stamp, config, files, keys=keys)
        if last == since:
            tell("")
        elif last == before:
            try:
                return await asyncio.to_thread(read, config, files, tls=tls), last
            except SinkDown as down:
                tell(f"renewed files cannot be used, the old ones still are: {down}")
