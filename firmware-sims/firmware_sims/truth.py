"""The ground truth: every value the simulators put on a wire, as JSON lines to score a gateway against."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from firmware_sims.device import Served

FLUSH_S: Final = 0.2
MOST_LINES: Final = 1000


def line(served: Served, mono_s: float) -> str:
    """One JSON line: t (Unix s), mono (s), device, poll, part and fault where there is one, values."""
    said: dict[str, object] = {
        "t": round(served.t_s, 6),
        "mono": round(mono_s, 6),
        "device": served.device,
        "poll": served.poll,
    }
    if served.part:
        said["part"] = served.part
    if served.fault:
        said["fault"] = served.fault
    return json.dumps(said | {"values": dict(served.values)}, separators=(",", ":"))


class Truth:
    """A file of what was served, flushed at least every 0.2 s. A line with `fault` did not reach the reader whole.

    Give `note` to devices and wires; use as `async with Truth(path) as truth`. Without a path nothing is written.
    """

    def __init__(self, path: Path | None, *, mono: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self.mono = mono
        self.count = 0
        self._file: FileIO | None = None
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        if self.path is not None:
            self._file = FileIO(self.path, "a")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._flush()
        if self._file is not None:
            self._file.close()
            self._file = None

    def note(self, served: Served) -> None:
        """Write one line, soon."""
        self.count += 1
        if self._file is None:
            return
        self._lines.append(line(served, self.mono()) + "\n")
        if len(self._lines) >= MOST_LINES:
            self._flush()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._flush)

    def _flush(self) -> None:
        self._timer = None
        if self._file is not None and self._lines:
            self._file.write("".join(self._lines).encode())  # one write: a reader never sees half a line
        self._lines.clear()
