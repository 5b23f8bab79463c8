"""Blocks cut in two: where a block is refused, and where the device still owes an answer of the block's length."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Final

from drivers.modbus.envelope import BIT_TABLES
from drivers.modbus.identity import Fetched
from drivers.modbus.plan import Block, Cost, plan
from drivers.modbus.wire import Answer
from drivers.profile import Limits, Where

_ONE_READ: Final = Cost(1.0, 0.0)


async def bisect(
    values: tuple[int, ...],
    bad: set[int],
    *,
    wheres: Sequence[Where],
    limits: Limits,
    fetch: Callable[[Block], Awaitable[Fetched]],
) -> bool:
    """Add to `bad` those of `values` (indices of `wheres`) that are refused alone; false if an answer failed otherwise.

    Raises what `fetch` raises.
    """
    whole = plan([wheres[n] for n in values], limits, price=_ONE_READ)
    if len(values) == 1 or len(whole) == 1:
        got = await fetch(whole[0])
        if isinstance(got, Answer):
            return True
        if got is not None:
            return False
        if len(values) == 1:
            bad.add(values[0])
            return True
    half = len(values) // 2
    first = await bisect(values[:half], bad, wheres=wheres, limits=limits, fetch=fetch)
    return first and await bisect(values[half:], bad, wheres=wheres, limits=limits, fetch=fetch)


def apart(refused: int, wheres: Sequence[Where], *, bad: Collection[int]) -> Where | None:
    """Where a refused value lies, unless a value that is read shares its registers."""
    place = wheres[refused]
    for n, other in enumerate(wheres):
        elsewhere = other.address >= place.address + place.count or place.address >= other.address + other.count
        if n not in bad and other.table == place.table and not elsewhere:
            return None
    return place


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
