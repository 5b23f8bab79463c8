"""The door: connections are counted and paced before anything is made for them.

A page costs its machine little, but strangers who come back each time they are dropped cost an accept each time. So:
- `PER_S` connections a second are taken, after a burst of `BURST`; beyond, nothing is accepted for `PAUSE_S` and the
  kernel refuses what does not fit into `BACKLOG`, without waking us;
- who finds all places taken is parked: held as a bare socket, of which nothing is read and which nothing watches, and
  closed after `PARK_S`. A stranger who waits for an answer waits there, instead of coming back each second;
- where `PARK_MAX` are parked, the next is closed at once and the door with it, for `PAUSE_S`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

PER_S: Final = 200.0
BURST: Final = 512.0
AT_ONCE: Final = 32  # of one awakening: the loop's other work comes between
BACKLOG: Final = 128
PAUSE_S: Final = 0.2
PARK_S: Final = 6.0
PARK_MAX: Final = 1024
LOOK_S: Final = 0.25
HANDSHAKE_S: Final = 6.0


class Bucket:
    """Tokens: `per_s` each second, at most `burst`. Times are seconds of a clock that does not step."""

    def __init__(self, *, per_s: float, burst: float) -> None:
        self._per_s, self._burst = per_s, burst
        self._room, self._at_s = burst, 0.0

    def ready(self, now_s: float) -> bool:
        """Whether one may pass now."""
        self._room = min(self._burst, self._room + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        return self._room >= 1.0

    def spend(self) -> None:
        """One has passed."""
        self._room -= 1.0


class Place:
    """The right of one connection to be there, until it leaves."""

    __slots__ = ("_peer", "_places")

    def __init__(self, places: Places, peer: str) -> None:
        self._places: Places | None = places
        self._peer = peer

    def leave(self) -> None:
        """Give it back; a second time gives nothing."""
        if self._places is not None:
            self._places.back(self._peer)
            self._places = None


class Places:
    """How many there are, in all and for one peer."""

    def __init__(self, *, most: int, of_peer: int) -> None:
        self.taken = 0
        self._most, self._of_peer = most, of_peer
        self._peers: Counter[str] = Counter()

    def enter(self, peer: str) -> Place | None:
        """A place; None where they are all taken."""
        if self.taken >= self._most or self._peers[peer] >= self._of_peer:
            return None
        self.taken += 1
        self._peers[peer] += 1
        return Place(self, peer)

    def back(self, peer: str) -> None:
        """One place is free again."""
        self.taken -= 1
        self._peers[peer] -= 1
        if not self._peers[peer]:
            del self._peers[peer]


Make: TypeAlias = Callable[[Place], asyncio.Protocol]


def listening(host: str, port: int) -> list[socket.socket]:
    """A listening socket for each address of `host`. Raises `OSError` where one cannot be had."""
    with contextlib.ExitStack() as undo:
        found = []
        for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            made = undo.enter_context(socket.create_server(address, family=family, backlog=BACKLOG))
            made.setblocking(False)
            found.append(made)
        undo.pop_all()
    return found


class Door:
    """Takes connections from listening sockets; one that finds a place gets the protocol that `make` makes of it.

    The protocol gives its place back when its connection is lost. `parking`: bare sockets held at once, at most.
    """

    def __init__(
        self, make: Make, *, places: Places, tls: ssl.SSLContext | None = None, parking: int = PARK_MAX
    ) -> None:
        self.parked: deque[tuple[float, socket.socket]] = deque(maxlen=PARK_MAX)
        self._make, self._places, self._tls, self._parking = make, places, tls, min(parking, PARK_MAX)
        self._loop = asyncio.get_running_loop()
        self._bucket = Bucket(per_s=PER_S, burst=BURST)
        self._sockets: Sequence[socket.socket] = ()
        self._entering: set[asyncio.Task[None]] = set()
        self._resuming: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None

    def open(self, sockets: Sequence[socket.socket]) -> None:
        """Take in whoever comes."""
        self._sockets = sockets
        self._resume()

    def close(self) -> None:
        """Take in nobody any more; who is parked or not yet in is let go. The sockets of `open` stay open."""
        for one in self._sockets:
            self._loop.remove_reader(one)
        for timer in (self._resuming, self._looking):
            if timer is not None:
                timer.cancel()
        for task in self._entering:
            task.cancel()
        while self.parked:
            self.parked.popleft()[1].close()

    def _resume(self) -> None:
        for one in self._sockets:
            self._loop.add_reader(one, self._take, one)

    def _pause(self) -> None:
        for one in self._sockets:
            self._loop.remove_reader(one)
        self._resuming = self._loop.call_later(PAUSE_S, self._resume)

    def _take(self, door: socket.socket) -> None:
        """Those who stand at this socket, a few at once."""
        for _ in range(AT_ONCE):
            if not self._bucket.ready(self._loop.time()):
                self._pause()
                return
            try:
                guest, address = door.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no descriptor, no memory: soon there may be
                self._pause()
                return
            self._bucket.spend()
            place = self._places.enter(str(address[0]))
            if place is not None:
                self._let_in(guest, place)
            elif not self._park(guest):
                self._pause()
                return

    def _let_in(self, guest: socket.socket, place: Place) -> None:
        guest.setblocking(False)
        task = self._loop.create_task(self._enter(guest, place))
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)

    async def _enter(self, guest: socket.socket, place: Place) -> None:
        """Over TLS the protocol begins after the handshake, and the place is taken before it."""
        within_s = HANDSHAKE_S if self._tls else None
        begun = False
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._make(place), guest, ssl=self._tls, ssl_handshake_timeout=within_s
            )
            begun = True
        except OSError:  # it spoke no TLS, was too slow, or went away
            pass
        finally:
            if not begun:
                place.leave()

    def _park(self, guest: socket.socket) -> bool:
        """Hold it for a while; False where there is no room, and it is closed."""
        if len(self.parked) >= self._parking:
            guest.close()
            return False
        self.parked.append((self._loop.time() + PARK_S, guest))
        if self._looking is None:
            self._looking = self._loop.call_later(LOOK_S, self._look)
        return True

    def _look(self) -> None:
        """Close those who were parked long enough."""
        now_s = self._loop.time()
        while self.parked and self.parked[0][0] <= now_s:
            self.parked.popleft()[1].close()
        self._looking = self._loop.call_later(LOOK_S, self._look) if self.parked else None
