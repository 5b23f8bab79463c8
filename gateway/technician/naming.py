"""Who answers there: the fingerprints of all profiles held against a unit, each register read once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from drivers.modbus.envelope import Request, build
from drivers.modbus.identity import Fetched, hold
from drivers.modbus.plan import Block
from drivers.modbus.wire import Answer
from drivers.profile import Profile, load, shipped
from drivers.sample import Code
from gateway.technician.ask import Heard

Asker = Callable[[Request], Awaitable[Heard]]


@dataclass(frozen=True, slots=True)
class Name:
    """A profile that may be the unit's: how many of its fingerprints held, of how many."""

    profile: str
    held: int
    checks: int


def known() -> list[Profile]:
    """The Modbus profiles that can be told apart by fingerprints, those with the most checks first."""
    found = [load(name) for name in shipped()]
    with_marks = [one for one in found if one.speaks == "modbus" and one.fingerprint]
    return sorted(with_marks, key=lambda one: -len(one.fingerprint))


async def names(ask: Asker, unit: int, *, profiles: Iterable[Profile], tries: int = 2) -> list[Name]:
    """The profiles whose fingerprints all hold, those with the most checks first; models of one maker may share them.

    Raises:
        LinkError: the wire is gone.
    """
    read: dict[tuple[str, int, int], Fetched] = {}

    async def fetch(block: Block) -> Fetched:
        key = (block.table, block.address, block.count)
        if key not in read:
            read[key] = await _fetched(ask, unit, block, tries=tries)
        return read[key]

    fitting = []
    for profile in profiles:
        held = 0
        for mark in profile.fingerprint:
            if not (await hold(fetch, mark)).holds:
                break
            held += 1
        if held == len(profile.fingerprint):
            fitting.append(Name(profile.id, held, len(profile.fingerprint)))
    return [name for name in fitting if name.held == fitting[0].held]


async def _fetched(ask: Asker, unit: int, block: Block, *, tries: int) -> Fetched:
    request = build(unit, block.table, address=block.address, count=block.count)
    for _try in range(tries):
        heard = await ask(request)
        if heard.data is not None:
            return Answer(heard.data, 0.0, heard.reply_s)
        if heard.code:
            return None
    return Code.TIMEOUT
