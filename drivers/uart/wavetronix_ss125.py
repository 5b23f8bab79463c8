"""Wavetronix SmartSensor HD (SS125), binary protocol "Z1": interval data of each lane, and events of single vehicles.

Source: the working driver of the Minnesota DOT (mnit-rtmc/iris comm/ss125) with its unit test of a recorded event;
RS-232/RS-485/TCP, multi-drop by a 16-bit id. Two CRC-8 (polynomial 0x1C): one over the header, one over the body.
Units follow the sensor's own setting (mph and feet, or km/h and metres): the profile states which is meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from struct import pack
from typing import Final

from drivers.checksum import crc8_1c
from drivers.errors import BadFrame, DeviceRefused
from drivers.uart.family import Cut, Facts, Family, Value, judged, junk

HEAD: Final = b"Z1"
EVENT: Final = 0x67
INTERVAL: Final = 0x71
MESSAGES: Final = frozenset(
    (0x00, 0x03, 0x04, 0x08, 0x0D, 0x0E, 0x11, 0x13, 0x17, 0x1C, 0x62, 0x63, 0x64, 0x65, EVENT, 0x68, 0x69, 0x6D, 0x70)
) | {INTERVAL}
RESULTS: Final = {
    1: "payload size",
    2: "body CRC",
    3: "read only",
    15: "interval does not exist",
    16: "lane does not exist",
    17: "flash busy",
    24: "invalid protocol state",
}
OCCUPANCY_ERRORS: Final = 0x7FFF  # this and above are undocumented error codes


def cut(buffer: bytes) -> Cut | None:
    """Header of 11 bytes whose CRC vouches for the size, then body and its CRC."""
    if skip := junk(buffer, HEAD):
        return Cut(skip)
    if len(buffer) < 11:
        return None
    if crc8_1c(buffer[:10]) != buffer[10] or not 3 <= buffer[9] <= 244:
        return Cut(11, reason="header checksum")
    size = 11 + buffer[9] + 1
    if len(buffer) < size:
        return None
    if buffer[11] not in MESSAGES:
        # A CRC with start 0 is also right over whole packets in a row: the header of a lost packet must not eat them.
        return Cut(size, reason="message id")
    return judged(size, good=crc8_1c(buffer[11 : size - 1]) == buffer[size - 1])


def decode(frame: bytes, _variant: str) -> tuple[Facts, ...]:
    """Interval packets and active events; a result other than 0 is a refusal; requests (an echo) say nothing."""
    return decode_body(frame[11:])


def decode_body(body: bytes) -> tuple[Facts, ...]:
    """The facts of a message body, its CRC byte included."""
    if body[2] == 2 and len(body) == 6:
        result = int.from_bytes(body[3:5])
        if result:
            raise DeviceRefused(f"result {result}: {RESULTS.get(result, 'unknown')}", code=result, seen=body)
        return ()
    if body[0] == INTERVAL and body[2] == 0 and len(body) == 46:
        return (_interval(body),)
    if body[0] == EVENT and len(body) == 24:
        return (_event(body),)
    if body[0] in (INTERVAL, EVENT) and len(body) not in (4, 7):  # 4 and 7: our own requests, echoed
        raise BadFrame(f"message {body[0]:02X} of {len(body)} bytes", seen=body)
    return ()


def _event(body: bytes) -> Facts:
    lane = body[11]
    return Facts(
        {
            "message_id": f"0x{body[0]:02x}",
            "valid_event": body[1],
            "message_type": body[2],
            "timestamp_utc": stamp(body[3:11]),
            "lane_id": lane,
            "range": int.from_bytes(body[12:14]) / 256,
            "duration_ms": int.from_bytes(body[14:17]),
            "speed": fixed24(body[17:20]),
            "class": body[20],
            "length": int.from_bytes(body[21:23]) / 256,
        },
        part=f"lane{lane}" if body[1] == 1 else "none",  # "no event" is no vehicle of any lane
        once=body[3:23].hex(),
    )


def _interval(body: bytes) -> Facts:
    packet, lanes, approaches = body[1], body[43], body[44]
    occupancy = int.from_bytes(body[20:22])
    fields: dict[str, Value] = {
        "message_id": f"0x{body[0]:02x}",
        "packet": packet,
        "lanes": lanes,
        "approaches": approaches,
        "interval": int.from_bytes(body[3:6]),
        "timestamp_utc": stamp(body[6:14]),
        "interval_speed": fixed24(body[14:17]),
        "volume": int.from_bytes(body[17:20]),
        "occupancy_percent": None if occupancy >= OCCUPANCY_ERRORS else occupancy / 256,
        "speed_p85": fixed24(body[34:37]),
        "headway_ms": None,
        "gap_ms": None,
    }
    if fields["volume"]:  # no vehicle: the sensor's zeros are no times
        fields |= {"headway_ms": int.from_bytes(body[37:40]), "gap_ms": int.from_bytes(body[40:43])}
    fields |= {f"volume_c{k + 1}": int.from_bytes(body[22 + 3 * k : 25 + 3 * k]) for k in range(4)}
    part = f"lane{packet + 1}" if packet < lanes else f"approach{packet - lanes + 1}"
    return Facts(fields, part=part, once=body[3:14].hex())


def fixed24(raw: bytes) -> float | None:
    """Flag bit (0 = no value), 15-bit signed integer, fraction / 256 that carries the integer's sign."""
    if not raw[0] & 0x80:
        return None
    whole = int.from_bytes(raw[:2]) & 0x7FFF
    whole -= 0x8000 if whole & 0x4000 else 0
    return whole - raw[2] / 256 if whole < 0 else whole + raw[2] / 256


def stamp(raw: bytes) -> str | None:
    """The sensor's UTC clock as RFC 3339 text; None where it shows no possible time."""
    date, time = int.from_bytes(raw[:4]), int.from_bytes(raw[4:])
    try:
        when = datetime(
            date >> 9 & 0xFFF,
            date >> 5 & 0xF,
            date & 0x1F,
            time >> 22 & 0x1F,
            time >> 16 & 0x3F,
            time >> 10 & 0x3F,
            (time & 0x3FF) * 1000,
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _request(body: bytes, *, unit: int, count: int) -> bytes:
    head = HEAD + pack(">BHBHBB", 0, unit, 0, 0, count & 0xFF, len(body))
    return head + bytes((crc8_1c(head),)) + body + bytes((crc8_1c(body),))


def _ask_interval(unit: int, count: int) -> bytes:
    """Interval 0: the latest complete one, of all lanes and approaches."""
    return _request(bytes((INTERVAL, 0, 0, 0, 0, 0)), unit=unit, count=count)


def _ask_event(unit: int, count: int) -> bytes:
    return _request(bytes((EVENT, 0, 0)), unit=unit, count=count)


def _match(frame: bytes, unit: int, count: int) -> bool:
    """Ids swapped, sequence one above the request's; each further packet of the answer one more."""
    packet = frame[12] if frame[11] == INTERVAL and frame[13] == 0 else 0
    from_unit = frame[2:8] == pack(">BHBH", 0, 0, 0, unit)
    return from_unit and frame[8] == (count + 1 + packet) & 0xFF


def _whole(facts: Sequence[Facts]) -> bool:
    first = facts[0].fields if facts else {}
    if "packet" not in first:
        return bool(facts)
    wanted = range(int(str(first["lanes"])) + int(str(first["approaches"])))
    return {fact.fields.get("packet") for fact in facts} >= set(wanted)


FAMILY: Final = Family(name="wavetronix_ss125", cut=cut, decode=decode, ask=_ask_interval, whole=_whole, match=_match)
EVENTS: Final = Family(
    name="wavetronix_ss125_events",
    cut=cut,
    decode=decode,
    ask=_ask_event,
    match=_match,
    more=lambda facts: bool(facts) and facts[-1].part != "none",
)
