"""Houston Radar DR500 and SpeedLane: average speed of the targets in view.

Source: the working driver of the Minnesota DOT (mnit-rtmc/iris comm/dr500). 115200 or 9600 8N1. `F3` body CRC `FC`,
with FA, F3 and FC inside sent as FA and the low nibble; CRC-16/XMODEM of the body, low byte first.
The unit follows the radar's variable UN: the variant is `mph`, `kmh`, `fps` or `mps`.
"""

from __future__ import annotations

import re
from typing import Final

from drivers.checksum import crc16_xmodem
from drivers.uart.family import Cut, Facts, Family, judged, junk

HEAD: Final = b"\xf3"
LONGEST: Final = 512
ASK_AVERAGE, AVERAGE = 0x31, 0x32
UNITS: Final = {"mph": "mph", "kmh": "km/h", "fps": "ft/s", "mps": "m/s"}
_ESCAPED: Final = re.compile(rb"\xfa(.)", re.DOTALL)
_SPECIAL: Final = re.compile(rb"[\xfa\xf3\xfc]")


def cut(buffer: bytes) -> Cut | None:
    """From F3 to FC; a raw F3 in between is the start of another packet."""
    if skip := junk(buffer, HEAD):
        return Cut(skip)
    end, again = buffer.find(b"\xfc"), buffer.find(HEAD, 1)
    if again >= 0 and (end < 0 or again < end):
        return Cut(again, reason="broken packet")
    if end < 0:
        return Cut(1, reason="endless") if len(buffer) > LONGEST else None
    inner = _ESCAPED.sub(lambda match: bytes((match[1][0] | 0xF0,)), buffer[1:end])
    good = len(inner) >= 3 and crc16_xmodem(inner[:-2]) == int.from_bytes(inner[-2:], "little")
    return judged(end + 1, good=good)


def decode(frame: bytes, variant: str) -> tuple[Facts, ...]:
    """`average_speed` in the radar's unit, None without a target; other answers say nothing."""
    body = _ESCAPED.sub(lambda match: bytes((match[1][0] | 0xF0,)), frame[1:-1])[:-2]
    if body[0] != AVERAGE or len(body) != 2:
        return ()
    speed = int.from_bytes(body[1:2], signed=True)  # 0 or negative: nobody there
    return (Facts({"average_speed": (speed, UNITS[variant or "mph"]) if speed > 0 else None}),)


def packet(body: bytes) -> bytes:
    """`body` with its CRC, escaped, between F3 and FC."""
    inner = body + crc16_xmodem(body).to_bytes(2, "little")
    return HEAD + _SPECIAL.sub(lambda match: bytes((0xFA, match[0][0] & 0x0F)), inner) + b"\xfc"


def _ask(_unit: int, _count: int) -> bytes:
    return packet(bytes((ASK_AVERAGE,)))


FAMILY: Final = Family(name="houston_radar", cut=cut, decode=decode, ask=_ask)
