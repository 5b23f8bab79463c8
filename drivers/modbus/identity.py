"""Who answers there: a profile's fingerprints held against a device, one read each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from drivers.device import Finding
from drivers.modbus.decode import BlockDecoder
from drivers.modbus.plan import Block
from drivers.modbus.wire import Answer
from drivers.profile import Fingerprint, Row, where
from drivers.sample import Code

Fetched: TypeAlias = Answer | Code | None
"""An answer, the code of its failure, or None where the device knows no such address."""


async def hold(fetch: Callable[[Block], Awaitable[Fetched]], mark: Fingerprint) -> Finding:
    """One fingerprint held against what `fetch` reads. Raises what `fetch` raises."""
    place = where(mark.read)
    needed = 0 if mark.text is None else (len(mark.text.encode()) + 1) // 2
    block = Block(place.table, place.address, max(place.count, mark.registers, needed), (0,))
    got = await fetch(block)
    if not isinstance(got, Answer):
        return _unread(mark, got)
    if mark.text is not None:
        text = got.data.decode("latin-1").rstrip("\0 ")
        return Finding(mark.means, holds=text.startswith(mark.text), seen=text)
    values, _ = BlockDecoder(block, [Row(point="", read=mark.read)]).decode(got.data)
    holds = mark.equals is None or values[0] == mark.equals
    if mark.between is not None:
        holds = holds and mark.between[0] <= values[0] <= mark.between[1]
    return Finding(mark.means, holds=holds, seen=f"{values[0]:g}")


async def number_of(fetch: Callable[[Block], Awaitable[Fetched]], mark: Fingerprint) -> Finding:
    """A serial number, as text or hexadecimal; one of nothing but zeros or ones does not hold. Raises as `hold`."""
    place = where(mark.read)
    got = await fetch(Block(place.table, place.address, max(place.count, mark.registers), (0,)))
    if not isinstance(got, Answer):
        return _unread(mark, got)
    text = bytes(byte for byte in got.data if byte).strip()
    told = text.decode("ascii") if text.isascii() and text.decode("ascii").isprintable() else got.data.hex()
    return Finding(mark.means, holds=bool(text.strip(b"\xff")), seen=told, same=True)


def _unread(mark: Fingerprint, got: Code | None) -> Finding:
    return Finding(mark.means, holds=False, seen="refused" if got is None else got.text, read=got is None)
