"""A01NYUB, A02YYUW and JSN-SR04 ultrasonic rangers: four bytes `FF hi lo sum`, millimetres, ten a second.

Source: DFRobot A01NYUB and A02YYUW product pages. UART 9600 8N1. `FF` also occurs as data; the sum has eight bits
only, so that a median over a window is what makes a level of these distances.
"""

from __future__ import annotations

from typing import Final

from drivers.checksum import sum8
from drivers.uart.family import Cut, Facts, Family, judged, junk

HEAD: Final = b"\xff"
SIZE: Final = 4
NO_ECHO: Final = (0xFFFD, 0xFFFE)
NEAREST_MM: Final = {"a01": 280, "a02": 30}  # at or below: too close to be measured


def cut(buffer: bytes) -> Cut | None:
    """`FF`, u16, 8-bit sum of the three before it."""
    if skip := junk(buffer, HEAD):
        return Cut(skip)
    if len(buffer) < SIZE:
        return None
    return judged(SIZE, good=sum8(buffer[:3]) == buffer[3])


def decode(frame: bytes, variant: str) -> tuple[Facts, ...]:
    """`distance_mm`, None where there was no echo or the target is too close."""
    raw = int.from_bytes(frame[1:3])
    return (Facts({"distance_mm": None if raw in NO_ECHO or raw <= NEAREST_MM[variant or "a01"] else raw}),)


FAMILY: Final = Family(name="a01nyub", cut=cut, decode=decode)
