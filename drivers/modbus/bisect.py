"""Blocks cut in two: where a block is refused, and where the device still owes an answer of the block's length."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from drivers.modbus.envelope import BIT_TABLES
from drivers.modbus.identity import Fetched
from drivers.modbus.plan import Block, Cost, plan
from drivers.modbus.wire import Answer
from drivers.profile import Limits, Where

FAILURES: Final = 3
_ONE_READ: Final = Cost(1.0, 0.0)


class Search:
    """Which values of refused blocks are refused alone: halved, a few reads in each poll, lest others wait for it.

    `bad` are those found so far, as indices of `wheres`.
    """

    def __init__(self, blocks: Sequence[Block], *, wheres: Sequence[Where], limits: Limits) -> None:
        self.bad: set[int] = set()
        self._wheres = wheres
        self._limits = limits
        self._open = [block.values for block in reversed(blocks)]
        self._failures = 0

    @property
    def failed(self) -> bool:
        """Too many reads failed otherwise than by a refusal: nothing can be said."""
        return self._failures >= FAILURES

    async def go_on(self, fetch: Callable[[Block], Awaitable[Fetched]], *, until_s: float) -> bool:
        """Read until `until_s` (loop time); true once all is known. Raises what `fetch` raises."""
        loop = asyncio.get_running_loop()
        while self._open and loop.time() < until_s:
            values = self._open[-1]
            whole = plan([self._wheres[n] for n in values], self._limits, price=_ONE_READ)
            got = await fetch(whole[0]) if len(whole) == 1 else None
            if not isinstance(got, Answer | None):
                self._failures += 1
                return False
            self._open.pop()
            if got is None and len(values) > 1:
                half = len(values) // 2
                self._open += [values[half:], values[:half]]
            elif got is None:
                self.bad.add(values[0])
        return not self._open


def narrowed(limits: Limits, found: Collection[int], *, wheres: Sequence[Where], all_bad: Collection[int]) -> Limits:
    """The limits once `found` are known to be refused: do not read across them; where there are none, read no holes.

    Every value that is not in `all_bad` can still be read, at least alone.
    """
    if not found:
        return msgspec.structs.replace(limits, hole=False)
    good = [_span(where, limits) for n, where in enumerate(wheres) if n not in all_bad]
    spans = [(wheres[n].table, wheres[n].address, wheres[n].address + wheres[n].count) for n in sorted(found)]
    apart = tuple(
        (table, begin, end - 1)
        for table, begin, end in spans
        if not any(other == table and first < end and begin < last for other, first, last in good)
    )
    return msgspec.structs.replace(limits, no_go=(*limits.no_go, *apart))


def _span(where: Where, limits: Limits) -> tuple[str, int, int]:
    """The registers that a read of one value covers: table, begin, end."""
    begin, end = where.address, where.address + where.count
    even = limits.even_start and where.table not in BIT_TABLES
    return (where.table, begin - begin % 2, end + end % 2) if even else (where.table, begin, end)


def cuts(block: Block, wheres: Sequence[Where], *, limits: Limits) -> Iterator[tuple[Block, Block]]:
    """The ways to read a block of registers in two: between its values, at even addresses if need be.

    None where reads must not be parted (`retry` false), and none of bits.
    """
    if block.table in BIT_TABLES or not limits.retry:
        return
    for count in range(1, block.count):
        address = block.address + count
        inside = any(wheres[n].address < address < wheres[n].address + wheres[n].count for n in block.values)
        if not inside and not (limits.even_start and address % 2):
            yield replace(block, count=count), replace(block, address=address, count=block.count - count)
