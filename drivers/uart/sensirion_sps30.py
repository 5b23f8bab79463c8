"""Sensirion SPS30 particle sensor over UART (SHDLC), float and integer output.

Source: Sensirion SPS30 data sheet, section 5 (UART/SHDLC); frames recorded by avaldebe/PyPMS. 115200 8N1, asked;
an answer comes within 20 ms, a new value every second.
"""

from __future__ import annotations

import re
from struct import unpack
from typing import Final

from drivers.checksum import sum8
from drivers.errors import BadFrame, DeviceRefused
from drivers.uart.family import Cut, Facts, Family, judged, junk

FLAG: Final = b"\x7e"
LONGEST: Final = 2 * 261 + 2  # every byte stuffed
KEYS: Final = ("pm01", "pm25", "pm04", "pm10", "n0_5", "n1_0", "n2_5", "n4_0", "n10_0", "diam")
READ: Final = 0x03
START: Final = b"\x7e\x00\x00\x02\x01\x03\xf9\x7e"  # measure, float output
STOP: Final = b"\x7e\x00\x01\x00\xfe\x7e"
ASK: Final = b"\x7e\x00\x03\x00\xfc\x7e"
STATES: Final = {
    0x01: "wrong data length",
    0x02: "unknown command",
    0x03: "no access right",
    0x04: "illegal parameter",
    0x28: "argument out of range",
    0x43: "command not allowed in this state",
}
DEVICE_ERROR: Final = 0x80
_ESCAPE: Final = re.compile(rb"\x7d(.)", re.DOTALL)


def cut(buffer: bytes) -> Cut | None:
    """Between two flags: address, command, state, length, data, complement of the sum; stuffed after the checksum."""
    if skip := junk(buffer, FLAG):
        return Cut(skip)
    end = buffer.find(FLAG, 1)
    if end < 0:
        return Cut(1, reason="endless") if len(buffer) > LONGEST else None
    if end == 1:
        return Cut(1)  # two flags: the second one opens
    inner = unstuff(buffer[1:end])
    return judged(end + 1, good=len(inner) >= 4 and sum8(inner) == 0xFF)


def unstuff(data: bytes) -> bytes:
    """7D announces a byte sent with bit 5 inverted."""
    return _ESCAPE.sub(lambda match: bytes((match[1][0] ^ 0x20,)), data)


def decode(frame: bytes, _variant: str) -> tuple[Facts, ...]:
    """The ten values; a frame without values where there is nothing new; nothing for other commands' replies."""
    inner = unstuff(frame[1:-1])
    if len(inner) == 4:  # no state byte: our own request, echoed by a wrong wiring
        return ()
    state, data = inner[2], inner[4:-1]
    if len(data) != inner[3]:
        raise BadFrame(f"length byte {inner[3]}, but {len(data)} bytes", seen=frame)
    code = state & ~DEVICE_ERROR
    if code and not (code == 0x43 and inner[1] == 0x00):  # start while measuring is refused, and harmless
        raise DeviceRefused(f"state {code:02X}: {STATES.get(code, 'unknown')}", code=code, seen=frame)
    if inner[1] != READ:
        return ()
    if not data:
        return (Facts({}),)
    if len(data) == 40:
        values = unpack(">10f", data)
    elif len(data) == 20:  # integers; the particle size in nm
        values = tuple(
            raw / 1000 if key == "diam" else raw for key, raw in zip(KEYS, unpack(">10H", data), strict=True)
        )
    else:
        raise BadFrame(f"{len(data)} bytes of values", seen=frame)
    return (
        Facts(
            dict(zip(KEYS, values, strict=True)),
            warming=not any(values),
            fault="the sensor's error flag (fan or laser)" if state & DEVICE_ERROR else "",
        ),
    )


def _ask(_unit: int, _count: int) -> bytes:
    return ASK


def _match(frame: bytes, _unit: int, _count: int) -> bool:
    return unstuff(frame[1:-1])[1] == READ


FAMILY: Final = Family(
    name="sensirion_sps30", cut=cut, decode=decode, start=(START,), ask=_ask, match=_match, wake=(START,), rest=(STOP,)
)
