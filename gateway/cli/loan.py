"""Work on a wire that the daemon, where it runs and owns it, lends: never two masters.

The loan is short and made longer while the work goes on, so that a tool that dies gives the wire back soon. Where the
daemon refuses to make it longer, the work ends. A daemon that starts meanwhile is asked at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gateway.catalogue.fault import EXIT_AGAIN, Fault, Trouble

if TYPE_CHECKING:
    from gateway.cli.face import Face
    from gateway.cli.target import Target

LEASE_S: Final = 30.0
RENEW_S: Final = 8.0
ABSENT_S: Final = 0.5
ANSWER_S: Final = 12.0
T = TypeVar("T")


def borrowed(face: Face, wire: Target, *, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The result of `work` while the daemon keeps off the wire.

    Raises:
        Trouble: the daemon did not lend it, or not for as long as the work took (exit 75).
    """
    from gateway.cli.socket import path

    return asyncio.run(_borrowed(_Loan(path(face), wire), work))


async def _borrowed(loan: _Loan, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    await loan.take()
    task = asyncio.ensure_future(work())
    keeper = asyncio.ensure_future(loan.keep())
    try:
        await asyncio.wait((task, keeper), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        await keeper  # it ends by a refusal alone
        return await task
    finally:
        for one in (task, keeper):
            one.cancel()
        await asyncio.gather(task, keeper, return_exceptions=True)
        await loan.give_back()


class _Loan:
    """What was lent to this tool: a token, and whether a daemon answered at all."""

    def __init__(self, where: Path, wire: Target) -> None:
        self._where, self._wire, self._token = where, wire, ""
        self._there = False

    async def take(self) -> None:
        """Ask for the wire, or for more time. Raises Trouble: it was refused."""
        try:
            answer = await self._ask(LEASE_S)
        except PermissionError:
            if self._wire.bus:
                raise
            self._there = False  # a port of one's own beside somebody else's daemon
        except (OSError, TimeoutError):
            self._there, self._token = False, ""  # a daemon that comes back knows nothing of this loan
        else:
            self._there = True
            if "error" in answer:
                told = answer["error"]
                fault = Fault(str(told.get("code", "CG-BUS-19")), {"bus": self._wire.name}, fact=str(told.get("fact")))
                raise Trouble([fault], exit_code=EXIT_AGAIN)
            self._token = str(answer.get("token", ""))

    async def keep(self) -> None:
        """Make the loan longer in time, for ever. Raises Trouble: it was refused."""
        while True:
            await asyncio.sleep(RENEW_S if self._there else ABSENT_S)
            await self.take()

    async def give_back(self) -> None:
        """The wire is the daemon's again; where it does not hear this, it will be when the loan is over."""
        if self._token:
            with contextlib.suppress(OSError, TimeoutError):
                await self._ask(0.0)

    async def _ask(self, for_s: float) -> dict[str, Any]:
        from gateway.local import ask

        wire = self._wire
        endpoint = wire.port or f"{wire.host}:{wire.tcp_port}"
        request = {"ask": "lend", "bus": wire.bus, "endpoint": endpoint, "for_s": for_s, "token": self._token}
        return await ask(self._where, request, timeout_s=ANSWER_S)
