"""DLMS/COSEM pushes in HDLC frames (Norwegian and Swedish AMS meters): the short list of a Kaifa meter.

Sources: IEC 62056-46 (HDLC format type 3), IEC 62056-53 (data-notification); a Kaifa list 1 frame in devices.md 5.12.
M-Bus, 2400 8E1, every 2 s. The length field ends a frame, not the next 7E, which may occur inside. What a value means
is its position in the list, and each maker has lists of his own: only the list of one value (active power) is named
here; longer lists are told as they are.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from drivers.checksum import crc16_x25
from drivers.errors import BadFrame
from drivers.uart.family import Cut, Facts, Family, Value, judged, junk

FLAG: Final = b"\x7e"
LLC: Final = b"\xe6\xe7\x00"
NOTIFICATION: Final = 0x0F
# Tag -> (bytes, signed): numbers of IEC 62056-62
NUMBERS: Final = {
    0x03: (1, False),
    0x05: (4, True),
    0x06: (4, False),
    0x0F: (1, True),
    0x10: (2, True),
    0x11: (1, False),
    0x12: (2, False),
    0x14: (8, True),
    0x15: (8, False),
    0x16: (1, False),
}
ARRAY, STRUCTURE, OCTETS, TEXT = 0x01, 0x02, 0x09, 0x0A
DEEPEST: Final = 6


def cut(buffer: bytes) -> Cut | None:
    """Flag, format and length (11 bits), addresses, control, check of the header, information, check of it all.

    The closing flag is left: it may open the next frame.
    """
    if skip := junk(buffer, FLAG):
        return Cut(skip)
    if len(buffer) < 3:
        return None
    length = int.from_bytes(buffer[1:3]) & 0x7FF
    if buffer[1] & 0xF8 != 0xA0 or length < 9:
        return Cut(1)
    if len(buffer) < length + 2:
        return None
    check = int.from_bytes(buffer[length - 1 : length + 1], "little")
    return judged(length + 1, good=buffer[length + 1] == 0x7E and crc16_x25(buffer[1 : length - 1]) == check)


def decode(frame: bytes, _variant: str) -> tuple[Facts, ...]:
    """Time (local, without zone) and values of a data-notification; other frames say nothing."""
    at = 3
    for _ in ("destination", "source"):  # the last byte of an address has its lowest bit set
        while not frame[at] & 1:
            at += 1
            if at > len(frame) - 8:
                raise BadFrame("an address without end", seen=frame)
        at += 1
    at += 1  # control
    if crc16_x25(frame[1:at]) != int.from_bytes(frame[at : at + 2], "little"):
        raise BadFrame("header checksum", seen=frame)
    data = frame[at + 2 : -2]
    if data[:3] != LLC or data[3:4] != bytes((NOTIFICATION,)):
        return ()
    try:
        when, rest = _time(data[8:])
        value, rest = _value(rest, 0)
    except (IndexError, ValueError) as error:
        raise BadFrame(f"data that end too early: {error}", seen=frame) from None
    fields: dict[str, Value] = {"frame_length": len(frame) - 1, "timestamp_local": when}
    if isinstance(value, tuple) and len(value) == 1 and isinstance(value[0], int):
        fields["active_power_import_W"] = value[0]
    else:
        fields["values"] = value
    return (Facts(fields),)


def _time(data: bytes) -> tuple[str | None, bytes]:
    """A date-time of 12 bytes, with or without tag and length before it; None where it is no possible time."""
    if data[0] == 0:
        return None, data[1:]
    begin = 2 if data[0] == OCTETS else 1
    if data[begin - 1] != 12:
        raise ValueError("no date-time")
    raw = data[begin : begin + 12]
    try:
        when = datetime(  # noqa: DTZ001 - the meter tells no zone
            int.from_bytes(raw[:2]), raw[2], raw[3], raw[5], raw[6], raw[7]
        )
    except ValueError:
        return None, data[begin + 12 :]
    return when.isoformat(), data[begin + 12 :]


def _value(data: bytes, depth: int) -> tuple[Value, bytes]:
    """One tagged value and the bytes behind it."""
    tag = data[0]
    if tag in NUMBERS:
        size, signed = NUMBERS[tag]
        if len(data) < 1 + size:
            raise ValueError("number")
        return int.from_bytes(data[1 : 1 + size], signed=signed), data[1 + size :]
    if tag == 0:
        return None, data[1:]
    count = data[1]
    if tag in (OCTETS, TEXT):
        if len(data) < 2 + count:
            raise ValueError("text")
        raw = data[2 : 2 + count]
        return raw.decode("latin-1") if tag == TEXT else raw.hex(), data[2 + count :]
    if tag not in (ARRAY, STRUCTURE) or depth == DEEPEST:
        raise ValueError(f"tag {tag:02X}")
    found, rest = [], data[2:]
    for _ in range(count):
        value, rest = _value(rest, depth + 1)
        found.append(value)
    return tuple(found), rest


FAMILY: Final = Family(name="dlms_hdlc", cut=cut, decode=decode)
