"""The ground truth: every value the simulators put on a wire, as JSON lines to score a gateway against."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TextIO

from firmware_sims.device import Served

FLUSH_S: Final = 0.2


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
        self._file: TextIO | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        if self.path is not None:
            self._file = self.path.open("a", encoding="utf-8")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._file is not None:
            self._file.close()
            self._file = None

    def note(self, served: Served) -> None:
        """Write one line, soon."""
        self.count += 1
        if self._file is None:
            return
        self._file.write(line(served, self.mono()) + "\n")
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._flush)

    def _flush(self) -> None:
        self._timer = None
        if self._file is not None:
            self._file.flush()
