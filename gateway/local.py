"""The daemon's local unix socket: snapshot, subscribe, read; one JSON object a line, both ways.

Only the owner of the state directory may connect (mode 0600). A slow subscriber loses its oldest lines, counted in
the next one it gets ("lost"); it never holds anybody up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

LINE_MAX: Final = 65536
CLOSE_S: Final = 1.0  # a question in work may end until then
CLIENTS_MAX: Final = 32
BEHIND_MAX: Final = 1000
TAKE_S: Final = 10.0  # within which the asker of a history takes it: only one is in memory at a time
_encode = msgspec.json.Encoder().encode

Answer = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class LocalSocket:
    """Serves plain data: `snapshot` gives the whole picture, `answer` everything else, `publish` feeds subscribers."""

    def __init__(self, path: Path, *, snapshot: Callable[[], Mapping[str, Any]], answer: Answer) -> None:
        self.path = path
        self._snapshot = snapshot
        self._answer = answer
        self._subscribers: dict[_Subscriber, None] = {}
        self._clients: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}
        self._server: asyncio.AbstractServer | None = None
        self._history = asyncio.Lock()

    async def open(self) -> None:
        """Listen. A socket file left by a killed daemon is replaced (the journal's lock says that we are alone)."""
        self.path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, self.path, limit=LINE_MAX)
        finally:
            os.umask(before)

    async def close(self) -> None:
        """Stop listening and let all clients go."""
        if self._server is not None:
            self._server.close()
            for subscriber in list(self._subscribers):
                subscriber.stop()
            for writer in list(self._clients.values()):
                writer.close()  # its reader sees the end, and its task ends by itself
            if tasks := [task for task in self._clients if task is not None]:
                await asyncio.wait(tasks, timeout=CLOSE_S)
            self.path.unlink(missing_ok=True)

    @property
    def watched(self) -> bool:
        """Whether anybody subscribes: without, nothing need be encoded."""
        return bool(self._subscribers)

    def publish(self, line: Mapping[str, Any]) -> None:
        """One line for every subscriber."""
        data = _encode(line) + b"\n"
        for subscriber in self._subscribers:
            subscriber.put(data)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._clients[task] = writer
        try:
            if len(self._clients) > CLIENTS_MAX:
                writer.write(_encode(_refusal("CG-SYS-03", "too many clients on the local socket")) + b"\n")
                return
            while line := await reader.readline():
                await self._one(line, writer)
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # the client went away, or sent a line longer than LINE_MAX: its connection ends here
        finally:
            del self._clients[task]
            writer.close()

    async def _one(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            request = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError as error:
            writer.write(_encode(_refusal("CG-SYS-04", f"not a JSON object: {error}")) + b"\n")
            return
        ask = request.get("ask")
        if ask == "snapshot":
            writer.write(_encode(self._snapshot()) + b"\n")
        elif ask == "subscribe":
            subscriber = _Subscriber()
            self._subscribers[subscriber] = None
            try:
                writer.write(_encode(self._snapshot()) + b"\n")
                await subscriber.run(writer)
            finally:
                del self._subscribers[subscriber]
        elif ask == "history":
            await self._long(request, writer)
        else:
            writer.write(_encode(await self._answer(request)) + b"\n")

    async def _long(self, request: Mapping[str, Any], writer: asyncio.StreamWriter) -> None:
        """A long answer, one after the other. Raises ConnectionError where the asker does not take it."""
        async with self._history:
            writer.write(_encode(await self._answer(request)) + b"\n")
            try:
                await asyncio.wait_for(writer.drain(), TAKE_S)
            except TimeoutError:
                writer.transport.abort()
                raise ConnectionAbortedError("the asker does not read its answer") from None


class _Subscriber:
    def __init__(self) -> None:
        self._lines: deque[bytes] = deque(maxlen=BEHIND_MAX)
        self._lost = 0
        self._wake = asyncio.Event()
        self._stopped = False

    def put(self, line: bytes) -> None:
        self._lost += len(self._lines) == BEHIND_MAX
        self._lines.append(line)
        self._wake.set()

    def stop(self) -> None:
        self._stopped = True
        self._wake.set()

    async def run(self, writer: asyncio.StreamWriter) -> None:
        while not self._stopped:
            await self._wake.wait()
            self._wake.clear()
            if self._lost:
                writer.write(_encode({"lost": self._lost}) + b"\n")
                self._lost = 0
            writer.writelines(self._lines)
            self._lines.clear()
            await writer.drain()


def _refusal(code: str, fact: str) -> dict[str, Any]:
    return {"error": {"code": code, "fact": fact}}


async def ask(path: Path, request: Mapping[str, Any], *, timeout_s: float = 10.0) -> dict[str, Any]:
    """One question to the daemon whose socket is `path`; its answer.

    Raises:
        OSError: no daemon listens there.
        TimeoutError: it did not answer in time.
    """
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_unix_connection(path, limit=1 << 24)
        try:
            writer.write(_encode(request) + b"\n")
            line = await reader.readline()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
    if not line:
        raise ConnectionResetError("the daemon closed the connection")
    return msgspec.json.decode(line, type=dict[str, Any])


async def subscribe(path: Path) -> AsyncIterator[dict[str, Any]]:
    """The snapshot, then every record and health report, until the daemon goes away. Raises `OSError`."""
    reader, writer = await asyncio.open_unix_connection(path, limit=1 << 24)
    try:
        writer.write(_encode({"ask": "subscribe"}) + b"\n")
        while line := await reader.readline():
            yield msgspec.json.decode(line, type=dict[str, Any])
    finally:
        writer.close()
