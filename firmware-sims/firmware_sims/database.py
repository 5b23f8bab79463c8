"""A small InfluxDB for tests: takes line protocol over HTTP (v1, v2 and v3 paths), keeps it, answers pings.

It is a simulator: it stores lines as text and understands only the simplest of Flux (`firmware_sims.flux`), which it
answers at `/api/v2/query` in annotated CSV. No other query, no retention, no users.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import deque
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from firmware_sims.flux import Refused, answer

MAX_BODY_BYTES: Final = 32 << 20
MAX_HEAD_BYTES: Final = 65536


@dataclass
class Database:
    """`async with Database() as database:` listens on `port`; `lines` are the accepted lines, oldest first.

    `status` is what a write is answered with (204 = taken; anything else refuses and keeps nothing).
    """

    port: int = 0
    status: int = 204
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=200_000), repr=False)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set, repr=False)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set, repr=False)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen (again, on the same port)."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=MAX_HEAD_BYTES)
            self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and cut every connection; what was taken stays."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:  # start_server always runs this as a task
            return
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, EOFError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the other side went away or speaks no HTTP
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        size = int(headers.get("content-length", 0))
        if size > MAX_BODY_BYTES:
            return False
        body = await reader.readexactly(size)
        status, kind, reply = 204, b"", b""
        if method == "POST":
            text = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
            status, kind, reply = self._posted(path, text.decode())
        writer.write(b"HTTP/1.1 %d -\r\n%sContent-Length: %d\r\n\r\n%s" % (status, kind, len(reply), reply))
        await writer.drain()
        return headers.get("connection", "").lower() != "close"

    def _posted(self, path: str, text: str) -> tuple[int, bytes, bytes]:
        """Status, header of the type, and body of the answer to a POST."""
        form = b"Content-Type: application/json\r\n"
        if self.status != 204:
            return self.status, form, b'{"error":"refused by the script of the test"}'
        if "query" in path:
            try:
                found = answer(self.lines, json.loads(text)["query"])
            except (Refused, ValueError, KeyError) as error:
                return 400, form, json.dumps({"code": "invalid", "message": str(error)}).encode()
            return 200, b"Content-Type: text/csv; charset=utf-8\r\n", found.encode()
        if "write" in path:
            self.lines.extend(line for line in text.splitlines() if line)
        return 204, b"", b""
