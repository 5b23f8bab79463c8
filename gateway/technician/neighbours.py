"""Is it this map? The profile's registers read again in the other word orders and one register off, and compared.

Pure: register bytes in, the reading that makes more values plausible out. A value is plausible inside its expected
range, or, where the profile has none, inside its valid one and away from 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.profile import Row, Where, where
from gateway.catalogue.fault import Fault
from gateway.technician.search_value import FORMATS, ORDERS, SIZE, raw_number

SHIFTS: Final = (0, 1, -1)
ENOUGH: Final = 2
"""A reading must make at least so many values plausible."""
TINY: Final = 1e-30
"""A float below this is no measurement: its words belong to two values."""
Bytes = Mapping[tuple[str, int], bytes]


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read the map: `shift` registers further, with `order` instead of ABCD; how many values fit."""

    shift: int
    order: str
    fits: int
    told: int


def registers(blocks: Iterable[tuple[str, int, bytes]]) -> dict[tuple[str, int], bytes]:
    """Blocks (table, first address, bytes) as single registers."""
    return {(table, first + n): data[2 * n : 2 * n + 2] for table, first, data in blocks for n in range(len(data) // 2)}


def judge(held: Bytes, rows: Sequence[Row]) -> tuple[Reading, list[Reading]]:
    """The profile's own reading, and those that are clearly better, best first; none where its own will do.

    Several are as good where all values fill both of their words: words swapped and words one further then look alike.
    """
    placed = [(row, where(row.read)) for row in rows if row.read and (row.expect or row.valid)]
    own = _read(held, placed, shift=0, order="ABCD")
    others = [_read(held, placed, shift=shift, order=order) for shift in SHIFTS for order in ORDERS]
    most = max(one.fits for one in others)
    if most < max(ENOUGH, 2 * own.fits, own.fits + ENOUGH):
        return own, []
    return own, sorted((one for one in others if one.fits == most), key=lambda one: (one.shift != 0, one.order))[:2]


def _read(held: Bytes, placed: Sequence[tuple[Row, Where]], *, shift: int, order: str) -> Reading:
    fits = told = 0
    for row, at in placed:
        size = SIZE[FORMATS[at.type]] if at.type in FORMATS else at.count
        parts = [held.get((at.table, at.address + shift + n), b"") for n in range(size)]
        if at.type not in FORMATS or any(len(part) != 2 for part in parts):
            continue
        number = raw_number(b"".join(parts), 0, code=FORMATS[at.type], order=_turned(at.order, order))
        told += 1
        if number is not None and at.type[0] == "f" and 0 < abs(number) < TINY:
            fits -= 1  # half of one value beside half of another
        elif number is not None:
            fits += _plausible(row, number * row.scale + row.offset)
    return Reading(shift, order, fits, told)


def _turned(own: str, order: str) -> str:
    """The order that results where the profile's own is already another one."""
    if order == "ABCD":
        return own
    return "ABCD" if order == own else order


def _plausible(row: Row, value: float) -> bool:
    """Whether the value says something for this reading: inside its range, and not the 0 that anything may be."""
    low, high = row.expect or row.valid or (0.0, 0.0)
    small = row.expect is None and abs(value) < 1e-3
    return low <= value <= high and not small


def faults(held: Bytes, rows: Sequence[Row], *, device: str) -> list[Fault]:
    """A word order or a shift that fits better than the profile's, as a fault; none where its own fits."""
    own, better = judge(held, rows)
    told = []
    for best in better:
        args = {"device": device, "fits": str(best.fits), "points": str(best.told)}
        seen = f"{max(0, own.fits)} of {own.told} values are plausible as the profile reads them"
        if best.shift:
            told.append(Fault("CG-DEV-06", {**args, "shift": f"{best.shift:+d}"}, seen=seen))
        else:
            told.append(Fault("CG-DEV-05", {**args, "order": best.order}, seen=seen))
    return told
