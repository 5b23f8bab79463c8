r"""Icoms TMA radar, ASCII output: `+072 km/h` CR LF for each vehicle; the sign is the direction.

Source: Icoms TMA manual (ASCII mode; the encoded mode is not read). No checksum: a line counts only between two line
ends, so that the tail of `+172 km/h` is never a 72.
"""

from __future__ import annotations

import re
from typing import Final

from drivers.uart.family import Cut, Facts, Family, junk

HEAD: Final = b"\n"
LONGEST: Final = 80
_LINE: Final = re.compile(rb"\n([+-]\d{3}) ?(km/h|mph)\r?(?=\n)")


def cut(buffer: bytes) -> Cut | None:
    """A line end, sign, three digits, unit, and the next line end."""
    if skip := junk(buffer, HEAD):
        return Cut(skip)
    end = buffer.find(HEAD, 1)
    if end < 0:
        return Cut(1) if len(buffer) > LONGEST else None
    match = _LINE.match(buffer)
    return Cut(match.end(), frame=True) if match else Cut(end)


def decode(frame: bytes, _variant: str) -> tuple[Facts, ...]:
    """Speed with its unit, and the direction: 1 towards the radar, -1 away."""
    text = frame.decode("ascii").strip()
    speed = int(text[:4])
    direction = 1 if text[0] == "+" else -1
    return (Facts({"event_speed": (abs(speed), text[4:].strip()), "direction": direction}),)


FAMILY: Final = Family(name="icoms", cut=cut, decode=decode)
