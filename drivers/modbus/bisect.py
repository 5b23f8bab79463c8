"""Which values of a refused block the device does not have: the block is halved until single values are refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

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
