"""Links: the way to a wire. Ports and connections to devices are opened here and in `serial_port.py`, nowhere else.

`SerialLink` (a port), `TcpLink` (a connection) and `CallLink` (a function, for replays and tests) follow `Link`. The
latter two also follow `DirectLink`, which hands bytes over without a waiting task in between: Modbus TCP lives on it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias, runtime_checkable

from drivers.errors import LinkLost
from drivers.inbox import Inbox
from drivers.line import LineSettings, line
from drivers.serial_port import SerialLink

__all__ = ["CallLink", "DirectLink", "LineSettings", "Link", "SerialLink", "TcpLink", "Tunable", "line"]

STUCK_S: Final = 5.0
_RECEIVE_BYTES: Final = 4096
_UNSENT_BYTES: Final = 65536
OnData: TypeAlias = Callable[[bytes], None]
OnLost: TypeAlias = Callable[[LinkLost], None]


class Link(Protocol):
    """An open way to a wire: bytes out, bytes in, with the time of their arrival.

    One task owns a link. Times are event-loop time (`loop.time()`), so a test may run on virtual time.
    """

    endpoint: str

    async def open(self) -> None:
        """Open and lock it. Raises `LinkBusy`, `LinkLost`."""

    async def write(self, data: bytes) -> None:
        """Hand all of `data` to the line and return when it has left this process. Raises `LinkLost`."""

    async def read(self, timeout_s: float) -> tuple[bytes, float]:
        """Whatever has arrived, at least one byte, with the loop time of its first byte.

        Returns `(b"", now)` when `timeout_s` passes in silence. Raises `LinkLost`.
        """

    def flush(self) -> bytes:
        """Bytes that arrived and nobody read, now thrown away; returned so that they can be counted."""

    async def close(self) -> None:
        """Close it; harmless when it is not open."""


@runtime_checkable
class Tunable(Link, Protocol):
    """A link whose speed can change while it is open (IEC 62056-21 mode C)."""

    line: LineSettings

    async def retune(self, baud: int) -> None:
        """Go on at another speed once everything written has left; the next `open` returns to `line`.

        Raises:
            LinkLost: the port is gone.
            LinkError: it cannot have this speed.
        """


class DirectLink(Link, Protocol):
    """A link that can call its user instead of being read."""

    def listen(self, *, on_data: OnData, on_lost: OnLost) -> None:
        """From now on arrivals go to `on_data` at once and the end of the link to `on_lost`, instead of `read`."""

    def send(self, data: bytes) -> None:
        """As `write`, without waiting. Raises `LinkLost`."""


class TcpLink:
    """A TCP connection to a device or device server; the gateway is always the client. Implements `DirectLink`.

    Args:
        host: name or address.
        port: TCP port.
        connect_timeout_s: how long `open` waits for the peer.
    """

    def __init__(self, host: str, port: int, *, connect_timeout_s: float = 5.0) -> None:
        self.endpoint = f"{host}:{port}"
        self.connect_timeout_s = connect_timeout_s
        self._address = (host, port)
        self._receiver: _Receiver | None = None

    async def open(self) -> None:
        """Connect. Raises `LinkLost` when the peer is away, refuses, or does not answer in time."""
        await self.close()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.connect_timeout_s):
                _, self._receiver = await loop.create_connection(
                    lambda: _Receiver(Inbox(loop), self.endpoint), *self._address
                )
        except TimeoutError:
            raise LinkLost(f"no connection within {self.connect_timeout_s:g} s", endpoint=self.endpoint) from None
        except OSError as error:
            raise LinkLost(error.strerror or str(error), endpoint=self.endpoint) from None

    def listen(self, *, on_data: OnData, on_lost: OnLost) -> None:
        """As `DirectLink.listen`; to be called after every `open`."""
        receiver = self._live()
        receiver.on_data, receiver.on_lost = on_data, on_lost
        early, _ = receiver.inbox.take()
        if early:
            on_data(early)

    def send(self, data: bytes) -> None:
        """Queue `data` for the peer. Raises `LinkLost`, also when the peer takes nothing any more."""
        receiver = self._receiver
        if receiver is None or receiver.ended:
            receiver = self._live()
        transport = receiver.transport
        if transport is None or transport.is_closing():
            raise LinkLost("the connection is closing", endpoint=self.endpoint)
        if receiver.stuck and transport.get_write_buffer_size() > _UNSENT_BYTES:
            transport.abort()
            raise LinkLost("the peer takes no more bytes", endpoint=self.endpoint)
        transport.write(data)

    async def write(self, data: bytes) -> None:
        """Send `data` and wait until the kernel has it. Raises `LinkLost`."""
        self.send(data)
        await self._live().sent()

    async def read(self, timeout_s: float) -> tuple[bytes, float]:
        """As `Link.read`. Raises `LinkLost`."""
        if self._receiver is None:
            raise LinkLost("not connected", endpoint=self.endpoint)
        return await self._receiver.inbox.read(timeout_s)

    def flush(self) -> bytes:
        """As `Link.flush`."""
        return b"" if self._receiver is None else self._receiver.inbox.take()[0]

    async def close(self) -> None:
        """Close the connection at once; harmless when closed."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None and receiver.transport is not None:
            receiver.transport.abort()
            await receiver.closed.wait()

    def _live(self) -> _Receiver:
        if self._receiver is None:
            raise LinkLost("not connected", endpoint=self.endpoint)
        if self._receiver.inbox.lost is not None:
            raise LinkLost(self._receiver.inbox.lost.fact, endpoint=self.endpoint)
        return self._receiver


class _Receiver(asyncio.BufferedProtocol):
    """Receives into one small buffer: asyncio's own 256 KiB buffer doubles the cost of a short answer."""

    def __init__(self, inbox: Inbox, endpoint: str) -> None:
        self.inbox = inbox
        self.on_data: OnData = inbox.put
        self.on_lost: OnLost | None = None
        self.transport: asyncio.Transport | None = None
        self.stuck = False
        self.ended = False
        self.closed = asyncio.Event()
        self._endpoint = endpoint
        self._view = memoryview(bytearray(_RECEIVE_BYTES))
        self._flowing = asyncio.Event()
        self._flowing.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Small packets go at once; a peer that vanished without a word is noticed after about a minute."""
        if isinstance(transport, asyncio.Transport):
            self.transport = transport
            transport.set_write_buffer_limits(high=0)
        peer: socket.socket | None = transport.get_extra_info("socket")
        if peer is not None:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Asyncio asks where to put what arrives."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Asyncio has put `nbytes` there."""
        self.on_data(bytes(self._view[:nbytes]))

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer closed, reset, or we aborted."""
        lost = LinkLost("the peer closed the connection" if exc is None else str(exc), endpoint=self._endpoint)
        self.inbox.lose(lost)
        self.ended = True
        if self.on_lost is not None:
            self.on_lost(lost)
        self._flowing.set()
        self.closed.set()

    def pause_writing(self) -> None:
        """The kernel's buffer is full."""
        self.stuck = True
        self._flowing.clear()

    def resume_writing(self) -> None:
        """It has taken everything."""
        self.stuck = False
        self._flowing.set()

    async def sent(self) -> None:
        """Wait until the kernel has everything. Raises `LinkLost`."""
        if not self.stuck:
            return
        try:
            async with asyncio.timeout(STUCK_S):
                await self._flowing.wait()
        except TimeoutError:
            raise LinkLost(f"the peer took no bytes for {STUCK_S:g} s", endpoint=self._endpoint) from None
        if self.inbox.lost is not None:
            raise LinkLost(self.inbox.lost.fact, endpoint=self._endpoint)


class CallLink:
    """A wire that is a function: each write is answered at once with `answer(request)`. Implements `DirectLink`.

    No I/O and no delay; an empty answer is silence, and silence lasts as long as the reader's timeout.
    """

    def __init__(self, answer: Callable[[bytes], bytes], endpoint: str = "memory") -> None:
        self.endpoint = endpoint
        self._answer = answer
        self._inbox: Inbox | None = None
        self._on_data: OnData | None = None

    async def open(self) -> None:
        """Start with nothing to read."""
        self._inbox = Inbox(asyncio.get_running_loop())

    def listen(self, *, on_data: OnData, on_lost: OnLost) -> None:
        """As `DirectLink.listen`; this link is never lost."""
        self._on_data = on_data

    def send(self, data: bytes) -> None:
        """Ask the function; its answer arrives at once (by `listen`: in the loop's next turn)."""
        inbox = self._live()
        answer = self._answer(data)
        if self._on_data is None:
            inbox.put(answer)
        elif answer:
            asyncio.get_running_loop().call_soon(self._on_data, answer)

    async def write(self, data: bytes) -> None:
        """As `send`."""
        self.send(data)

    async def read(self, timeout_s: float) -> tuple[bytes, float]:
        """As `Link.read`."""
        return await self._live().read(timeout_s)

    def flush(self) -> bytes:
        """As `Link.flush`."""
        return self._live().take()[0]

    async def close(self) -> None:
        """Forget everything."""
        self._inbox = None
        self._on_data = None

    def _live(self) -> Inbox:
        if self._inbox is None:
            raise LinkLost("not open", endpoint=self.endpoint)
        return self._inbox
