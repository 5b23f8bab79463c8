"""Quirks of register maps: what a firmware, a filling of gaps or a live scale factor does to correct answers.

| quirk | does |
|---|---|
| swapped | the words of each value change places (a firmware with another order) |
| shifted | every register one higher (numbers counted from 1) |
| invalid | the largest number that each type can hold, NaN for floats |
| racing | counters pass 65,535 between any two requests: who reads a value in two reads it torn |
| scale_change | SunSpec: the scale factors move by one from request to request, the raw numbers with them |
| scale_absent | SunSpec: scale factors "not implemented"; the raw numbers beside them mean nothing |
| zero_holes, refused_holes | registers that do not exist read 0; or make the whole read exception 2 |
| short_reads | exception 2 for more than eight registers at a time |
| hostile | names and serial numbers that would break a topic, a tag, a path or a page |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Final

from firmware_sims.registers import ILLEGAL_ADDRESS, Cell, RegisterUnit

NAMES: Final = (
    "swapped", "shifted", "invalid", "racing", "scale_change", "scale_absent", "zero_holes", "refused_holes",
    "short_reads", "hostile",
)  # fmt: skip
HOSTILE: Final = "+/#$SYS/../a,b=c \n\x00'\"<script>"
_SHORT: Final = 8
_TURN: Final = 65_536.0


def change(unit: RegisterUnit, name: str) -> Callable[[], None]:
    """Give a unit one of `NAMES` from now on; the result heals it."""
    before = {key: getattr(unit, key) for key in ("cells", "source", "hole", "max_registers", "over", "constants")}
    identity = unit.identity

    def heal() -> None:
        for key, value in before.items():
            setattr(unit, key, value)
        unit.identity = identity

    _CHANGES[name](unit)
    return heal


def _shifted(unit: RegisterUnit) -> None:
    unit.cells = [replace(cell, address=cell.address + 1, truth=False) for cell in unit.cells]


def _swapped(unit: RegisterUnit) -> None:
    unit.cells = [replace(cell, low_first=not cell.low_first, truth=False) for cell in unit.cells]


def _invalid(unit: RegisterUnit) -> None:
    unit.cells = [replace(cell, key="", absent=_largest(cell), truth=False) for cell in unit.cells]


def _largest(cell: Cell) -> bytes:
    """Wire bytes of the type's largest number; those of a quiet NaN for floats."""
    if cell.type.startswith("f"):
        return b""
    return (b"\xff" if cell.type.startswith("u") else b"\x7f") + b"\xff" * (2 * cell.count - 1)


def _racing(unit: RegisterUnit) -> None:
    source, steps = unit.source, cycle((_TURN - 1, _TURN))
    scales = {cell.key: cell.scale for cell in unit.cells if cell.key.startswith("energy") and cell.count > 1}

    def racing(now_s: float) -> Mapping[str, float | None]:
        raw = next(steps)
        return {**source(now_s), **{key: raw * scale for key, scale in scales.items()}}

    unit.source = racing


def _factors(cells: Sequence[Cell]) -> dict[int, str]:
    """Key of the scale factor (or "") of each cell's place: a SunSpec group stands in front of its factor."""
    found, key = {}, ""
    for cell in sorted(cells, key=lambda each: -each.address):
        if cell.key.startswith("="):
            key = cell.key if cell.type == "s16" else ""
        elif key:
            found[cell.address] = key
    return found


def _scale_change(unit: RegisterUnit) -> None:
    source, factors = unit.source, _factors(unit.cells)
    usual = list(unit.cells)
    other = [replace(cell, scale=cell.scale * 10) if cell.address in factors else cell for cell in usual]
    groups = set(factors.values())

    def moving(now_s: float) -> Mapping[str, float | None]:
        """The factors of this request; the next one meets the other cells."""
        up = unit.cells is other
        unit.cells = usual if up else other
        now = source(now_s)
        return {**now, **{key: (now[key] or 0.0) + up for key in groups}}

    unit.source = moving


def _scale_absent(unit: RegisterUnit) -> None:
    source, factors = unit.source, _factors(unit.cells)
    unit.cells = [replace(cell, truth=False) if cell.address in factors else cell for cell in unit.cells]
    unit.source = lambda now_s: {**source(now_s), **dict.fromkeys(factors.values())}


def _holes(unit: RegisterUnit, filling: bytes | None) -> None:
    unit.hole = filling


def _short(unit: RegisterUnit) -> None:
    unit.max_registers, unit.over = _SHORT, ILLEGAL_ADDRESS


def _hostile(unit: RegisterUnit) -> None:
    letters = cycle(HOSTILE.encode())
    unit.identity = (HOSTILE,) * len(unit.identity)
    unit.constants = {
        at: bytes([next(letters), next(letters)]) if _is_text(word) else word for at, word in unit.constants.items()
    }


def _is_text(word: bytes) -> bool:
    return 0x20 < word[0] < 0x7F and (not word[1] or 0x20 <= word[1] < 0x7F)


_CHANGES: Final[dict[str, Callable[[RegisterUnit], None]]] = {
    "swapped": _swapped,
    "shifted": _shifted,
    "invalid": _invalid,
    "racing": _racing,
    "scale_change": _scale_change,
    "scale_absent": _scale_absent,
    "zero_holes": lambda unit: _holes(unit, b"\0\0"),
    "refused_holes": lambda unit: _holes(unit, None),
    "short_reads": _short,
    "hostile": _hostile,
}
