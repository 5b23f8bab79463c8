"""File sink: records as JSON lines, line protocol or CSV, appended and synced before they count as delivered.

A line that was cut off (a full disk, a power cut) was never confirmed and comes again: it is taken away, for a number
that was cut in the middle is a wrong number. Whole lines that were written but not confirmed (a kill before the sync
has ended) stand twice then, with the same identity.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from gateway.config import Sink as Options
from gateway.record import Record
from gateway.sinks import UNFIT, Fate, Parcel, Settle, SinkDown, Site
from gateway.sinks.line_protocol import LineProtocol
from gateway.sinks.payload import Payload
from gateway.sinks.table import HEADER, Table

ROTATE_BYTES: Final = 64_000_000
KEPT_FILES: Final = 8
TAIL_BYTES: Final = 1 << 20  # no line of ours is nearly as long


class FileSink:
    """Appends to `path`; at 64 MB it becomes `path.1`, that `path.2` ..., the ninth is removed."""

    window = 2000
    linger_s = 1.0

    def __init__(self, name: str, *, config: Options, site: Site, rotate_bytes: int = ROTATE_BYTES) -> None:
        if config.path is None:
            raise ValueError(f"sink.{name}: a file sink needs `path`")
        self._path = Path(config.path)
        self._write = _writer(config, site)
        self._header = HEADER if config.format == "csv" else b""
        self._rotate_bytes = rotate_bytes
        self._settle: Settle = lambda _position, _fate, _reason: None
        self._fd = -1
        self._work: asyncio.Future[None] | None = None
        self.sent_bytes = 0
        self._down: SinkDown | None = SinkDown("not open", code="CG-SNK-02")

    async def open(self, settle: Settle) -> None:
        """Open for appending, behind the last whole line."""
        self._settle = settle
        await self._blocking(self._open)
        self._down = None

    async def send(self, parcels: Sequence[Parcel]) -> None:
        """Write all lines in one go, sync, and settle."""
        if self._down is not None:
            raise self._down
        lines: list[bytes] = []
        fates: list[tuple[int, Fate, str]] = []
        for parcel in parcels:
            try:
                lines.append(self._write(parcel.record))
                fates.append((parcel.position, Fate.DELIVERED, ""))
            except UNFIT as error:
                fates.append((parcel.position, Fate.DEAD, f"it cannot be encoded: {error}"))
        data = b"".join(text + b"\n" for text in lines)
        self.sent_bytes += len(data)
        await self._blocking(lambda: self._append(data))
        for fate in fates:
            self._settle(*fate)

    async def health(self, report: Mapping[str, object]) -> None:
        """Not written."""

    async def close(self) -> None:
        """Close the file, after a write that was given up half-way has ended in its thread."""
        work, self._work = self._work, None
        if work is not None and not work.done():
            await asyncio.wait({work})
            work.exception()
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)
        self._down = self._down or SinkDown("closed", code="CG-SNK-02")

    def down(self) -> SinkDown | None:
        """Why writing ended, or None."""
        return self._down

    async def _blocking(self, work: Callable[[], None]) -> None:
        try:
            self._work = asyncio.get_running_loop().run_in_executor(None, work)
            await asyncio.shield(self._work)
        except OSError as error:
            self._down = SinkDown(f"{self._path}: {error.strerror or error}", code="CG-SNK-02")
            raise self._down from None

    def _open(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
        self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        whole = self._whole()
        if whole < os.fstat(self._fd).st_size:
            os.ftruncate(self._fd, whole)
        if not whole and self._header:
            self._put(self._header)

    def _whole(self) -> int:
        """Bytes up to the end of the last whole line."""
        size_bytes = os.fstat(self._fd).st_size
        if not size_bytes:
            return 0
        start = max(0, size_bytes - TAIL_BYTES)
        end = os.pread(self._fd, size_bytes - start, start).rfind(b"\n") + 1
        if start and not end:
            raise OSError(None, "its last line is too long to be one of ours")
        return start + end

    def _append(self, data: bytes) -> None:
        size_bytes = os.fstat(self._fd).st_size
        if size_bytes and size_bytes + len(data) > self._rotate_bytes:
            self._rotate()
        self._put(data)

    def _put(self, data: bytes) -> None:
        """All of `data`, synced; or nothing of it, as far as the disk allows."""
        size_bytes = os.fstat(self._fd).st_size
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
            os.fdatasync(self._fd)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._fd, size_bytes)
            raise

    def _rotate(self) -> None:
        for number in range(KEPT_FILES - 1, -1, -1):
            old = self._path if number == 0 else Path(f"{self._path}.{number}")
            if old.exists():
                old.replace(f"{self._path}.{number + 1}")
        Path(f"{self._path}.{KEPT_FILES}").unlink(missing_ok=True)
        self._open()


def _writer(config: Options, site: Site) -> Callable[[Record], bytes]:
    if config.format == "lp":
        lines = LineProtocol(site, points=config.points, rev_tag=config.rev_tag)
        return lambda record: lines.encode(record).encode()
    if config.format == "csv":
        return Table(config.points).encode
    if config.format != "jsonl":
        raise ValueError(f"format = {config.format!r} is not one that is appended to")
    payload = Payload(config.points)
    encode = msgspec.json.Encoder().encode

    def jsonl(record: Record) -> bytes:
        place = {"city": site.city, "gateway": site.gateway, "device": record.device, "stream": record.stream}
        return encode(place | payload.form(record))

    return jsonl
