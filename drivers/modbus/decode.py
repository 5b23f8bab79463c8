"""Block bytes to values: one precompiled struct per block, word orders by one permutation, sentinels before scaling.

Range checks are not made here; the quality room makes them. A value is the point's number, or NaN with code `sentinel`
where the device says "not available" (a listed raw number, NaN or infinity).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from math import isfinite, nan
from operator import add, itemgetter, mul
from typing import Final

from drivers.errors import ProfileError
from drivers.modbus.envelope import BIT_TABLES
from drivers.modbus.plan import Block
from drivers.profile import ORDERS, Row, Where, where
from drivers.sample import Code

_FORMAT: Final = {"u16": "H", "s16": "h", "u32": "I", "s32": "i", "u64": "Q", "s64": "q", "f32": "f", "f64": "d"}
_GOOD: Final = int(Code.GOOD)
_SENTINEL: Final = int(Code.SENTINEL)


def pf4q(raw: float) -> float:
    """Schneider's four-quadrant power factor: above 1 means 2 - raw, below -1 means -2 - raw (devices.md 5.2)."""
    if raw > 1:
        return 2 - raw
    return -2 - raw if raw < -1 else raw


def level_unit(raw: float) -> float:
    """Metres from the four registers unit, decimals, value, zero of a level transmitter (devices.md 7.3), read as one.

    NaN where the unit is no length (a pressure needs the density of the liquid) or the decimals are impossible.
    """
    unit, decimals, value, _zero = struct.unpack(">HHhH", int(raw).to_bytes(8, "big"))
    metre = {1: 100.0, 2: 1000.0}.get(unit)
    return nan if metre is None or decimals > 3 else value / 10**decimals / metre


VIA: Final[dict[str, Callable[[float], float]]] = {"pf4q": pf4q, "level_unit": level_unit}


class BlockDecoder:
    """Decodes the answers of one block.

    Args:
        block: the read; `rows`: the rows of all its values, in the order of `block.values`.

    Raises:
        ProfileError: a row does not lie in the block, or names an unknown conversion.
    """

    def __init__(self, block: Block, rows: Sequence[Row]) -> None:
        wheres = [where(row.read or "") for row in rows]
        for place in wheres:
            inside = block.address <= place.address and place.address + place.count <= block.address + block.count
            if place.table != block.table or not inside:
                raise ProfileError(f"{place.table} {place.address} does not lie in {block}")
        self._offsets = [place.address - block.address for place in wheres]
        self._bits = block.table in BIT_TABLES
        self._gather: Callable[[bytes], tuple[int, ...]] | None = None
        formats = [_FORMAT.get(place.type, "H") for place in wheres]
        padded = None if self._bits else _padded(wheres, self._offsets, size_bytes=block.data_bytes)
        if padded is None and not self._bits:
            self._gather = itemgetter(*_positions(wheres, self._offsets))
        self._unpack = struct.Struct(padded or ">" + "".join(formats)).unpack
        self._scales = [row.scale for row in rows]
        self._shifts = [row.offset for row in rows] if any(row.offset for row in rows) else None
        self._scaled = any(scale != 1.0 for scale in self._scales) or self._shifts is not None
        self._floats = all(place.type in {"f32", "f64"} for place in wheres)
        self._special = [
            (n, frozenset(row.sentinel), _via(row)) for n, row in enumerate(rows) if row.sentinel or row.via
        ]
        self.good = (_GOOD,) * len(rows)

    def decode(self, data: bytes) -> tuple[tuple[float, ...], tuple[int, ...]]:
        """Values and quality codes, one per row."""
        raw: Sequence[float]
        if self._bits:
            raw = [float(data[offset >> 3] >> (offset & 7) & 1) for offset in self._offsets]
        else:
            raw = self._unpack(data if self._gather is None else bytes(self._gather(data)))
        if self._special or not isfinite(sum(raw)):
            return self._carefully(raw)
        if self._scaled:
            return self._scale(raw), self.good
        return (tuple(raw) if self._floats else tuple(map(float, raw))), self.good

    def _scale(self, raw: Sequence[float]) -> tuple[float, ...]:
        scaled = map(mul, raw, self._scales)
        return tuple(scaled) if self._shifts is None else tuple(map(add, scaled, self._shifts))

    def _carefully(self, raw: Sequence[float]) -> tuple[tuple[float, ...], tuple[int, ...]]:
        values = list(map(float, raw))
        codes = list(self.good)
        for n, value in enumerate(values):
            if not isfinite(value):
                values[n], codes[n] = nan, _SENTINEL
        for n, sentinels, via in self._special:
            if values[n] in sentinels:
                values[n], codes[n] = nan, _SENTINEL
            elif via is not None:
                values[n] = via(values[n])
                codes[n] = _GOOD if isfinite(values[n]) else _SENTINEL
        return self._scale(values), tuple(codes)


def _padded(wheres: Sequence[Where], offsets: Sequence[int], *, size_bytes: int) -> str | None:
    """A struct format with pad bytes for the holes; None where words are swapped or values not in rising order."""
    parts, at = [">"], 0
    for place, offset in zip(wheres, offsets, strict=True):
        if place.order != ORDERS[0] or 2 * offset < at:
            return None
        parts += [f"{2 * offset - at}x", _FORMAT[place.type]]
        at = 2 * (offset + place.count)
    return "".join(parts) + f"{size_bytes - at}x"


def _positions(wheres: Sequence[Where], offsets: Sequence[int]) -> list[int]:
    """For each byte of the values, most significant first, its place in the block (devices.md 2.6)."""
    positions: list[int] = []
    for place, offset in zip(wheres, offsets, strict=True):
        words = [[2 * (offset + word), 2 * (offset + word) + 1] for word in range(place.count)]
        if place.order in {"CDAB", "DCBA"}:
            words.reverse()
        if place.order in {"BADC", "DCBA"}:
            words = [[low, high] for high, low in words]
        positions += [byte for word in words for byte in word]
    return positions


def _via(row: Row) -> Callable[[float], float] | None:
    if row.via is None:
        return None
    try:
        return VIA[row.via]
    except KeyError:
        raise ProfileError(f"no conversion is called {row.via!r}; there are {sorted(VIA)}") from None
