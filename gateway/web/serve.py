"""The server: one uvicorn on one loop, with caps on connections and on slow requests, gone within 2 s of SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import resource
import secrets
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.clock import Clock, SystemClock
from gateway.web.app import Extras, Pages
from gateway.web.door import PARK_MAX, Door, Place, Places, listening
from gateway.web.guard import Guard, Rules
from gateway.web.picture import Picture
from gateway.web.secret import secret_text
from gateway.web.source import Source
from gateway.web.stream import Stream

CONNECTIONS_MAX: Final = 512
PEER_MAX: Final = 256  # of one peer: room for all open pages behind one proxy, and half for the others
REQUEST_S: Final = 6.0
KEEP_S: Final = 5
NEXT_S: Final = KEEP_S + REQUEST_S
STUCK_S: Final = 30
SPARE: Final = 64  # file descriptors for all that is no connection
NICE: Final = 15  # whatever the world asks of the page, the gateway's polls go first
HEADERS_MAX: Final = 16_384
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen. `hosts`: further names that the page is called by; `secret`: sha256 of "user:password"."""

    address: str = "127.0.0.1"
    port: int = 8080
    hosts: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    secret: bytes = b""
    extras: Extras = field(default_factory=Extras)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.address in {"127.0.0.1", "::1", "localhost"}

    def faults(self) -> list[str]:
        """What forbids listening there: beyond loopback TLS and credentials are needed, both."""
        if self.loopback:
            return []
        missing = [] if self.certificate and self.key else ["TLS (--certificate and --key)"]
        return missing + ([] if self.secret else ["credentials (--password-file)"])


def secret_of(path: Path) -> bytes:
    """The digest of a password file: one line "user:password", readable by its owner alone.

    Raises:
        ValueError: others can read it, or it holds no such line.
    """
    line = secret_text(path)
    user, colon, password = line.partition(":")
    if not (user and colon and len(password) >= 12) or "\n" in line:
        raise ValueError(f"{path} must hold one line user:password, the password of 12 characters or more")
    return hashlib.sha256(line.encode()).digest()


class Protocol(H11Protocol):
    """HTTP/1.1 that lets nobody hold a connection without asking something whole, and taking the answer.

    A request is whole `REQUEST_S` after the connection began, and `NEXT_S` after the answer before it; an answer of
    which nothing is taken for `STUCK_S` is given up.
    """

    def __init__(self, place: Place, **named: Any) -> None:
        """`place` is given back when the connection is lost."""
        super().__init__(**named)
        self._place = place

    def connection_made(self, transport: Any) -> None:
        """It begins now."""
        super().connection_made(transport)
        self._until_s, self._unsent, self._stuck = self.loop.time() + REQUEST_S, 0, 0
        self._look = self.loop.call_later(REQUEST_S, self._drop_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._place.leave()
        self._look.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """The next request has its own time."""
        self._until_s = self.loop.time() + NEXT_S
        super().on_response_complete()

    def _drop_slow(self) -> None:
        """Look at it every second from its first `REQUEST_S` on."""
        unsent = self.transport.get_write_buffer_size()
        self._stuck = self._stuck + 1 if unsent and unsent >= self._unsent else 0
        self._unsent = unsent
        cycle = getattr(self, "cycle", None)
        waits = not unsent and (cycle is None or cycle.response_complete or cycle.more_body)
        if self._stuck > STUCK_S or (waits and self.loop.time() >= self._until_s):
            self.transport.abort()
            return
        self._look = self.loop.call_later(1.0, self._drop_slow)


class Server(uvicorn.Server):
    """uvicorn behind a door of our own; ends the open streams before uvicorn waits for them."""

    stream: Stream | None = None
    door: Door | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the door at `sockets`; uvicorn itself listens to none."""
        self.door = Door(
            self._protocol,
            places=Places(most=CONNECTIONS_MAX, of_peer=PEER_MAX),
            tls=self.config.ssl,
            parking=_descriptors() - CONNECTIONS_MAX - SPARE,
        )
        self.door.open(sockets or ())
        self.servers = []
        self.started = True

    def _protocol(self, place: Place) -> Protocol:
        return Protocol(place, config=self.config, server_state=self.server_state, app_state={})

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the door, then let go who is in."""
        if self.door is not None:
            self.door.close()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end the process with exit code 0 (uvicorn would raise them again at its end)."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        yield
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    def stop(self) -> None:
        """Let the pages go, then end."""
        if self.stream is not None:
            self.stream.end()
        self.should_exit = True


def _descriptors() -> int:
    """How many files we may hold open, after asking for room for all places and all who are parked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + PARK_MAX + SPARE
    if 0 <= soft < wanted:
        room = wanted if hard < 0 else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):  # a sandbox may forbid it; there LimitNOFILE does the same
            resource.setrlimit(resource.RLIMIT_NOFILE, (room, hard))
            return room
    return wanted if soft < 0 else soft


def make(source: Source, listen: Listen, *, clock: Clock | None = None) -> tuple[Server, Picture, Stream]:
    """The server and what it shows; nothing runs yet."""
    clock = clock or SystemClock("system")
    picture = Picture(clock.wall_ms)
    stream = Stream(picture, clock=clock, mark=secrets.token_hex(4), tick_s=source.tick_s)
    pages = Pages(picture=picture, source=source, stream=stream, clock=clock, extras=listen.extras)
    hosts = LOOPBACK | {listen.address.lower()} | {host.lower() for host in listen.hosts}
    rules = Rules(hosts, listen.port, secure=listen.certificate is not None, secret=listen.secret)
    guard = Guard(pages.app(), rules, mono_s=lambda: clock.mono_ns() / 1e9)
    pages.guard_counts = lambda: guard.refused
    config = uvicorn.Config(
        guard,
        host=listen.address,
        port=listen.port,
        http=Protocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_S,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=HEADERS_MAX,
        ssl_certfile=listen.certificate,
        ssl_keyfile=listen.key,
    )
    server = Server(config)
    server.stream = stream
    return server, picture, stream


async def serve(source: Source, listen: Listen) -> None:
    """Serve until SIGTERM or SIGINT. Raises `OSError` where the address cannot be had."""
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    with contextlib.suppress(OSError):  # a unit's sandbox may forbid it; there CPUWeight does the same
        os.nice(NICE)
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # its awakening interrupts nobody's work
    sockets = listening(listen.address, listen.port)
    server, picture, stream = make(source, listen)
    tasks = [
        asyncio.create_task(source.run(picture), name="source"),
        asyncio.create_task(stream.run(), name="stream"),
        asyncio.create_task(server.serve(sockets), name="http"),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
