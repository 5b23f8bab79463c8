"""The gateway's journal: opened with what seals it, kept sealed, or only looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway.columns import Columns
from gateway.journal.log import Log, open_journal
from gateway.journal.readonly import open_readonly

CAP_BYTES: Final = 1 << 30
PAUSE_S: Final = 0.05  # after each block of 128 KiB: sealing takes a few per cent of a core at most
LOOK_S: Final = 60.0


def open_archive(folder: Path, *, cap_bytes: int = CAP_BYTES, stamp: Callable[[], int] = lambda: 0) -> Log:
    """The journal, to write and to read. Blocking. Raises what `open_journal` does."""
    return open_journal(folder, cap_bytes=cap_bytes, stamp=stamp, sealer=Columns(PAUSE_S))


def look(folder: Path) -> Log:
    """The journal as it stands there now, beside its owner or without one. Raises what `open_readonly` does."""
    return open_readonly(folder, sealer=Columns())


async def keep_sealed(journal: Log) -> None:
    """Seal every segment soon after it is full, one at a time; for ever."""
    while True:
        if not await journal.seal():
            await asyncio.sleep(LOOK_S)
