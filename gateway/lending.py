"""A wire lent to a technician's tool: its owner lets go of it, and takes it back when the time is over.

Never two masters on a wire: the tool asks through the local socket, the owner closes the link before it says yes. Each
loan has a token of its own: only who holds it makes the loan longer or gives it back.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from drivers.errors import LinkBusy

LONGEST_S: Final = 3600.0
RESOLVE_S: Final = 2.0


class Loan:
    """Whether a wire is lent, until when (loop time), and the work that has to stop for it."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._token = ""
        self._until_s = 0.0
        self._work: asyncio.Future[None] | None = None

    @property
    def lent(self) -> bool:
        """Whether a tool has the wire now."""
        return asyncio.get_running_loop().time() < self._until_s

    async def lend(self, for_s: float, *, token: str = "") -> str:
        """Stop the owner's work for `for_s` seconds, at most an hour; the token of this loan.

        With the `token` of a loan, that loan lasts `for_s` from now on; 0 gives the wire back.
        Raises `LinkBusy`: somebody else has the wire, or this token's loan is over (the owner may work).
        """
        mine = self.lent and bool(token) and token == self._token
        if for_s <= 0:
            self._until_s = 0.0 if mine else self._until_s
            return token
        if not mine and (token or self.lent):
            fact = "lent to a technician's tool" if self.lent else "this loan is over"
            raise LinkBusy(fact, endpoint=self._endpoint)
        self._token = token or secrets.token_hex(8)
        self._until_s = asyncio.get_running_loop().time() + min(for_s, LONGEST_S)
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait([self._work])
        return self._token

    def check(self) -> None:
        """Raises `LinkBusy` while the wire is lent."""
        if self.lent:
            raise LinkBusy("lent to a technician's tool", endpoint=self._endpoint)

    async def work(self, serve: Callable[[], Awaitable[None]]) -> None:
        """Run `serve` until it ends or the wire is lent. Raises `LinkBusy` then, and what `serve` raises."""
        self.check()  # it may have been lent while the link was being opened
        task = self._work = asyncio.ensure_future(serve())
        try:
            await asyncio.wait([task])
        finally:
            self._work = None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if task.cancelled():
            self.check()
        task.result()


async def same(one: str, other: str) -> bool:
    """Whether two endpoints (a port's path, or HOST:PORT) are one: links are followed, names of hosts looked up."""
    if one == other:
        return True
    if "/" in (one[:1], other[:1]):
        return one[:1] == other[:1] and _real(one) == _real(other)
    (host, _colon, port), (host_2, _colon, port_2) = one.rpartition(":"), other.rpartition(":")
    return port == port_2 and bool(await _addresses(host) & await _addresses(host_2))


def _real(port: str) -> Path:
    return Path(port).resolve()


async def _addresses(host: str) -> set[str]:
    """The addresses of a host; its name alone where nobody can tell them."""
    look = asyncio.get_running_loop().getaddrinfo(host, None)
    try:
        return {str(found[4][0]) for found in await asyncio.wait_for(look, RESOLVE_S)}
    except (OSError, UnicodeError, TimeoutError):
        return {host}
