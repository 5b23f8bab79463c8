r"""Optical Scientific ORG-815 rain gauge: asked with `A`, it answers `R- 0.25 001.234`.

Source: the working driver of the Minnesota DOT (mnit-rtmc/iris comm/org815). Columns 0 and 1: kind and strength of what
falls (R rain, S snow, P precipitation; two blanks: nothing; `**` starting up; `ER` fault), 3 to 6 the rate in mm/h, 8
to 14 the accumulation in mm; dashes where there is no number. No checksum: a line that is not exactly so is rejected.
"""

from __future__ import annotations

import re
from typing import Final

from drivers.errors import BadFrame
from drivers.uart.family import Cut, Facts, Family, Value

SIZE: Final = 15
_LINE: Final = re.compile(
    rb"([RSP][-+ ]|  |\*\*|ER) ( {0,2}\d{1,3}\.\d{1,2}| {0,3}\d{1,4}|----) (\d{3}\.\d{3}|---\.---)"
)
_HEAD: Final = re.compile(rb"[RSP][-+ ]|  |\*\*|ER")
_HEADS: Final = b"RSP *E"


def cut(buffer: bytes) -> Cut | None:
    """Fifteen characters in their columns."""
    start = next((at for at, byte in enumerate(buffer) if byte in _HEADS), len(buffer))
    if start:
        return Cut(start)
    if len(buffer) < SIZE:
        return None if len(buffer) < 2 or _HEAD.match(buffer) else Cut(1)
    if _LINE.fullmatch(buffer[:SIZE]):
        return Cut(SIZE, frame=True)
    return Cut(SIZE, reason="layout") if _HEAD.match(buffer) else Cut(1)


def decode(frame: bytes, _variant: str) -> tuple[Facts, ...]:
    """Condition, rate (mm/h) and accumulation (mm); None where the gauge prints dashes."""
    match = _LINE.fullmatch(frame)
    if match is None:
        raise BadFrame("not a line of the gauge", seen=frame)
    condition, rate, total = (part.decode("ascii") for part in match.groups())
    fields: dict[str, Value] = {
        "condition": condition,
        "rate_mm_h": None if "-" in rate else float(rate),
        "accumulation_mm": None if "-" in total else float(total),
    }
    return (Facts(fields, warming=condition == "**", fault="the gauge reports ER" if condition == "ER" else ""),)


def _ask(_unit: int, _count: int) -> bytes:
    return b"A"


FAMILY: Final = Family(name="org_815", cut=cut, decode=decode, ask=_ask)
