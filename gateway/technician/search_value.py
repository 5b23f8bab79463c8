"""Which register, type, word order and scale show a value that stands on a device's display.

Pure: register bytes in, ranked candidates out. A display rounds; so a raw number fits where, scaled, it rounds to the
displayed digits. Rank: how many bits of evidence the fit carries (a float that fits four digits says more than a small
integer), then the plainer reading (no unusual scale or word order), then what a known profile says about the register.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Final

SCALES: Final = (1.0, 0.1, 0.01, 0.001, 10.0, 100.0, 1000.0)
FORMATS: Final = {"u16": "H", "s16": "h", "f32": "f", "u32": "I", "s32": "i", "f64": "d", "u64": "Q", "s64": "q"}
ORDERS: Final = ("ABCD", "CDAB", "BADC", "DCBA")
SIZE: Final = {"H": 1, "h": 1, "f": 2, "I": 2, "i": 2, "d": 4, "Q": 4, "q": 4}
_PLAIN: Final = {scale: rank for rank, scale in enumerate((1.0, 0.1, 0.01, 0.001, 1000.0, 100.0, 10.0))}


@dataclass(frozen=True, slots=True)
class Place:
    """A reading that shows the value: `read` in the grammar of profiles; `value` = raw x scale."""

    table: str
    address: int
    type: str
    order: str
    scale: float
    value: float
    known: str = ""

    @property
    def read(self) -> str:
        """As a profile's row writes it."""
        order = "" if self.order == "ABCD" or self.type in {"u16", "s16"} else f" {self.order}"
        return f"{self.table} 0x{self.address:04X} {self.type}{order}"


def places(
    blocks: Iterable[tuple[str, int, bytes]],
    value: float,
    *,
    tolerance: float,
    known: Mapping[tuple[str, int, str, str], tuple[str, float]],
) -> list[Place]:
    """All readings of `blocks` (table, first address, register bytes) within `tolerance` of `value`, best first.

    `known`: (table, address, type, order) -> (point, scale) of the device's profile.
    """
    found: dict[tuple[str, int, str, str, float], Place] = {}
    for table, first, data in blocks:
        for offset in range(len(data) // 2):
            for kind, code in FORMATS.items():
                for order in ORDERS if SIZE[code] > 1 else ORDERS[:1]:
                    raw = raw_number(data, offset, code=code, order=order)
                    if raw is None or not _sensible(raw, kind):
                        continue
                    point, own = known.get((table, first + offset, kind, order), ("", 0.0))
                    for scale in {*SCALES, own} - {0.0}:
                        if abs(raw * scale - value) <= tolerance:
                            mark = point if scale == own else ""
                            place = Place(table, first + offset, kind, order, scale, raw * scale, mark)
                            found[table, first + offset, kind, order, scale] = place
    return sorted(found.values(), key=lambda place: _rank(place, value))


def raw_number(data: bytes, offset: int, *, code: str, order: str) -> float | None:
    """The number at register `offset` of `data` as struct format `code` in a word order; None where it is none."""
    part = data[2 * offset : 2 * (offset + SIZE[code])]
    if len(part) < 2 * SIZE[code]:
        return None
    words = [part[at : at + 2] for at in range(0, len(part), 2)]
    if order in {"CDAB", "DCBA"}:
        words.reverse()
    if order in {"BADC", "DCBA"}:
        words = [word[::-1] for word in words]
    value: float = struct.unpack(f">{code}", b"".join(words))[0]
    return float(value) if isfinite(value) else None


def _sensible(raw: float, kind: str) -> bool:
    """Whether the number is one that a device means: not zero, and no float that is only bits."""
    return raw != 0 and (kind[0] != "f" or 1e-6 < abs(raw) < 1e12)


def _rank(place: Place, value: float) -> tuple[int, float, int, int, int, float, int]:
    """A known point; then floats, whose fit is no accident; few wide integers; plain orders and scales; the fit."""
    wide = place.type in {"u64", "s64", "f64"}
    signed = place.type[0] == "s" and place.value > 0
    is_float = place.type[0] == "f"
    odd = ORDERS.index(place.order) + 4 * (place.order in {"BADC", "DCBA"})
    fit = abs(place.value - value) / (abs(value) or 1.0)
    return (not place.known, 0.0 if is_float else 1.0, wide, odd, _PLAIN.get(place.scale, 9), fit, signed)
