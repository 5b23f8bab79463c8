"""Loopback TCP ends of simulated devices: Modbus TCP, RTU over TCP, and plain streams of device servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Protocol, Self

from firmware_sims.device import Answers, Note, Served, Simulated, Speaking, forget, steady


class Session(Protocol):
    """The device's side of one connection."""

    def hear(self, data: bytes, now_s: float) -> Answers:
        """Answers to the bytes that just arrived."""


@dataclass
class TcpWire:
    """A listener on `host`:`port` (0 = a free one, `port` then tells which) that gives every connection a session.

    Attributes:
        session: makes the device's side of a connection (`TcpUnits.session`, or `lambda: rtu_line`).
        talker: a pushing device whose frames go to every connection.
        limit: connections beyond this are closed at once, as small devices do.
        muted: takes bytes and never answers (plugs.mute).
        idle_s: a connection without a request for this long is closed.
        note: where the talker's ground truth goes; frames without a connection are marked `nobody`.
    """

    session: Callable[[], Session] | None = None
    talker: Simulated | None = None
    host: str = "127.0.0.1"
    port: int = 0
    limit: int = 4
    idle_s: float = 60.0
    clock: Callable[[], float] = field(default_factory=steady)
    note: Note = forget
    muted: bool = False
    refused: int = 0
    accepted: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set, repr=False)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set, repr=False)
    _timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        if self.talker is not None:
            self.talker.note = self._noted
        await self.replug()
        self._speak()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self.unplug()

    async def replug(self) -> None:
        """Listen (again, on the same port)."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, self.host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def unplug(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    async def cut(self) -> None:
        """Cut every connection, go on listening."""
        for writer in self._writers:
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= self.limit:
            self.refused += 1
            writer.close()
            return
        task = asyncio.current_task()
        if task is None:  # start_server always runs this as a task
            return
        self._tasks.add(task)
        self._writers.add(writer)
        self.accepted += 1
        try:
            await self._converse(reader, writer)
        except (ConnectionError, TimeoutError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = self.session() if self.session is not None else None
        loop = asyncio.get_running_loop()
        while True:
            async with asyncio.timeout(self.idle_s if session is not None else None):
                data = await reader.read(4096)
            if not data:
                return
            for delay_s, answer in session.hear(data, self.clock()) if session is not None and not self.muted else []:
                loop.call_later(delay_s, _put, writer, answer)

    def _speak(self) -> None:
        if not isinstance(self.talker, Speaking):
            return
        now_s = self.clock()
        data, due_s = self.talker.speak(now_s)
        for writer in self._writers if data and not self.muted else ():
            _put(writer, data)
        self._timer = asyncio.get_running_loop().call_later(max(due_s - now_s, 0.0005), self._speak)

    def _noted(self, served: Served) -> None:
        heard = bool(self._writers)
        self.note(served if heard else replace(served, fault=f"{served.fault}+nobody".strip("+")))


def _put(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.is_closing():
        writer.write(data)
