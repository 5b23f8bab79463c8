r"""MaxBotix ultrasonic rangers with serial output: HRXL/HRLV (`R1234` CR, mm) and XL (`R123` CR, cm).

Sources: MaxBotix HRXL-MaxSonar-WR and XL-MaxSonar-WR data sheets. 9600 8N1, transmit only,
6 to 10 lines a second, no checksum.
The variant fixes the number of digits, so that a lost digit is a rejected line and not another distance. The largest
value means "no target". A stray 0xFF between characters is dropped (seen on RS-232 variants).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from drivers.errors import BadFrame
from drivers.uart.family import Cut, Facts, Family, junk

HEAD: Final = b"R"
_LINE: Final = re.compile(rb"R((?:\xff*\d){3,4})\xff*(?: ?P([01]))?\r")
_PART: Final = re.compile(rb"R[\xff\d]{0,12}(?: ?P?[01]?)?")


class Model(NamedTuple):
    """Digits of a reading, millimetres per unit, and the readings that mean "no target"."""

    digits: int
    mm: int
    none: tuple[int, ...]


MODELS: Final = {
    "hrxl-5m": Model(4, 1, (5000,)),
    "hrxl-10m": Model(4, 1, (9999,)),
    "xl": Model(3, 10, (0, 765)),
    "xl-10m": Model(4, 10, (0, 1068)),
}


def cut(buffer: bytes) -> Cut | None:
    """`R`, three or four digits, CR; every other text (the banner after power-on) is junk."""
    if skip := junk(buffer, HEAD):
        return Cut(skip)
    if found := _LINE.match(buffer):
        return Cut(found.end(), frame=True)
    begun = _PART.match(buffer)
    size = begun.end() if begun else 1
    if size == len(buffer) and size < 16:
        return None
    return Cut(size, reason="layout") if size > 1 else Cut(1)


def decode(frame: bytes, variant: str) -> tuple[Facts, ...]:
    """`distance_mm`, None where there was no target; `proximity` where the model tells it."""
    model = MODELS[variant or "hrxl-5m"]
    line = _LINE.match(frame)
    digits = line[1].replace(b"\xff", b"") if line else b""
    if line is None or len(digits) != model.digits:
        raise BadFrame(f"{len(digits)} digits, but a {variant or 'hrxl-5m'} sends {model.digits}", seen=frame)
    raw = int(digits)
    return (Facts({"distance_mm": None if raw in model.none else raw * model.mm, "proximity": int(line[2] or 0)}),)


FAMILY: Final = Family(name="maxbotix", cut=cut, decode=decode)
