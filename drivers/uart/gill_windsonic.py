"""Gill WindSonic ultrasonic anemometer, ASCII polar string: `STX Q,229,002.74,M,00, ETX 16`.

Source: Gill WindSonic user manual 1405-PS-0019, section "message format". 9600 8N1, one to four strings a second.
Checksum: exclusive or of the bytes between STX and ETX, two hex digits. The direction is empty below 0.05 m/s.
"""

from __future__ import annotations

import re
from typing import Final

from drivers.checksum import xor8
from drivers.errors import BadFrame
from drivers.uart.family import Cut, Facts, Family, Value, judged, junk

STX: Final = b"\x02"
LONGEST: Final = 80
UNITS: Final = {"M": "m/s", "N": "knots", "P": "mph", "K": "km/h", "F": "ft/min"}
TO_MPS: Final = {"M": 1.0, "N": 0.514444, "P": 0.44704, "K": 1 / 3.6, "F": 0.00508}
STATUS: Final = {"01": "axis 1", "02": "axis 2", "04": "both axes", "08": "settings memory", "09": "program memory"}
_STRING: Final = re.compile(r"([A-Z0-9]),(\d{3})?,\+?(\d{1,3}\.\d{1,3})?,([MNPKF]),([0-9A-F]{2}),")


def cut(buffer: bytes) -> Cut | None:
    """STX, text, ETX, two hex digits."""
    if skip := junk(buffer, STX):
        return Cut(skip)
    end = buffer.find(b"\x03", 1, LONGEST)
    if end < 0:
        return Cut(1, reason="endless") if len(buffer) >= LONGEST else None
    size = end + 3
    if len(buffer) < size:
        return None
    return judged(size, good=buffer[end + 1 : size].upper() == b"%02X" % xor8(buffer[1:end]))


def decode(frame: bytes, _variant: str) -> tuple[Facts, ...]:
    """Node, direction (deg, from), speed in the printed unit and in m/s; a status other than 00 is a fault."""
    match = _STRING.fullmatch(frame[1:-3].decode("latin-1"))
    if match is None:
        raise BadFrame("not a polar string", seen=frame)
    node, direction, speed, unit, status = match.groups()
    fields: dict[str, Value] = {
        "node": node,
        "direction_deg": None if direction is None else int(direction),
        "speed": None if speed is None else float(speed),
        "speed_mps": None if speed is None else float(speed) * TO_MPS[unit],
        "unit": f"{unit} = {UNITS[unit]}",
        "status": status,
    }
    fault = "" if status == "00" else f"status {status}: {STATUS.get(status, 'unknown')}"
    return (Facts(fields, fault=fault),)


FAMILY: Final = Family(name="gill_windsonic", cut=cut, decode=decode)
