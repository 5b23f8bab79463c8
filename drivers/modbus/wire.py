"""What the master needs of a wire: one exchange, and word of frames that nobody asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeAlias

from drivers.errors import ReplyError
from drivers.modbus.envelope import EXCEPTIONS, Request
from drivers.modbus.hunt import Frame

SILENT_REQUESTS: Final = 8
"""A TCP connection on which so many requests in a row got no answer is given up: it may be half open."""


class Answer(NamedTuple):
    """An answer that was vouched for.

    The bytes of its registers or bits, the loop time of its first byte (s), and how long after the request had left
    that was (s).
    """

    data: bytes
    t_first_s: float
    reply_s: float


class Refusal(ReplyError):
    """An exception answer of Modbus, before the master has judged whose it is."""

    def __init__(self, code: int, reply_s: float) -> None:
        super().__init__(f"exception {code} ({EXCEPTIONS.get(code, 'unknown')})")
        self.code = code
        self.reply_s = reply_s


Stray: TypeAlias = Callable[[Frame, float], bool]
"""A frame that is not the wanted answer, with its loop time (s); says whether it was somebody's late answer."""


@dataclass(slots=True)
class Tally:
    """Counts of one wire; `WireCounters` shows them frozen."""

    late: int = 0
    foreign: int = 0
    junk_bytes: int = 0
    surplus_bytes: int = 0
    babble: int = 0
    echoes: int = 0
    busy_s: float = 0.0


class Wire(Protocol):
    """One way to exchange requests and answers."""

    tally: Tally
    sent_s: float

    async def open(self) -> None:
        """Open the link. Raises `LinkError`."""

    async def close(self) -> None:
        """Close it."""

    async def look(self) -> None:
        """Take what came since the last exchange, late answers among it. Raises `LinkLost`."""

    def exchange(self, request: Request, *, timeout_s: float, owed: bool) -> Awaitable[Answer]:
        """Send and wait for the answer, at most `timeout_s` after the request has left until its first byte.

        `owed`: an exception answer of this function may belong to an older request (see `drivers.modbus.unit`).

        Raises:
            NoReply, BadFrame, Refusal: as their names say.
            LinkLost: the link is gone.
        """
