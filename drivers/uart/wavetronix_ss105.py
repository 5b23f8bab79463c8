r"""Wavetronix SmartSensor SS105, ASCII protocol: the latest binned interval of all lanes (command XD).

Source: the working driver of the Minnesota DOT (mnit-rtmc/iris comm/ss105). 9600 8N1, multi-drop by a four-digit id.
Speeds are in mph. Checksum: sum of the payload's character codes, four hex digits.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from drivers.checksum import sum16
from drivers.errors import BadFrame, DeviceRefused
from drivers.uart.family import Cut, Facts, Family, Value, junk

HEAD: Final = b"Z0"
LONGEST: Final = 600
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
LANE: Final = 29  # hex characters: lane 1, volume 8, speed 4, occupancy 4, small 4, medium 4, large 4
ERRORS: Final = (b"Failure", b"Invalid", b"Empty")
_ANSWER: Final = re.compile(rb"Z0(\d{4})XD([^~\r]*)~")
_OTHER: Final = re.compile(rb"Z0\d{4}[A-Z0-9]{2}[^~\r]*[~\r]")
_PAYLOAD: Final = re.compile(rb"[0-9A-F]{8}(?:[0-9A-F]{29})*[0-9A-F]{4}")


def cut(buffer: bytes) -> Cut | None:
    """`Z0`, id, `XD`, payload with its sum, `~` (the CR is left); other answers are frames without facts."""
    if skip := junk(buffer, HEAD):
        return Cut(skip)
    match = _ANSWER.match(buffer)
    if match is None:
        if other := _OTHER.match(buffer):
            return Cut(other.end(), frame=True)
        return Cut(2, reason="endless") if len(buffer) > LONGEST else None
    payload = match[2]
    if payload not in ERRORS:
        if not _PAYLOAD.fullmatch(payload):
            return Cut(match.end(), reason="layout")
        if sum16(payload[:-4]) != int(payload[-4:], 16):
            return Cut(match.end(), reason="checksum")
    return Cut(match.end(), frame=True)


def decode(frame: bytes, _variant: str) -> tuple[Facts, ...]:
    """One set of facts per lane of the latest interval."""
    match = _ANSWER.match(frame)
    if match is None:
        return ()
    payload = match[2]
    if payload in ERRORS:
        raise DeviceRefused(f"the sensor answers {payload.decode()}", code=0, seen=frame)
    if not _PAYLOAD.fullmatch(payload):
        raise BadFrame("not binned data", seen=frame)
    when = EPOCH + timedelta(seconds=int(payload[:8], 16))
    lanes = payload[8:-4]
    return tuple(
        _lane(lanes[at : at + LANE].decode(), when=when.isoformat().replace("+00:00", "Z"))
        for at in range(0, len(lanes), LANE)
    )


def _lane(text: str, *, when: str) -> Facts:
    lane, volume = int(text[0], 16), int(text[1:9], 16)
    speed, occupancy, *shares = (int(text[at : at + 4], 16) for at in range(9, LANE, 4))
    classes = [round(share / 1024 * volume) for share in shares]
    rest = volume - sum(classes)  # motorcycles
    fields: dict[str, Value] = {
        "timestamp_utc": when,
        "lane": lane,
        "volume": volume,
        "speed_mph": speed if volume else None,
        "occupancy_percent": occupancy / 1024 * 100 if occupancy <= 1024 else None,
        "small": classes[0],
        "medium": classes[1],
        "large": classes[2],
        "motorcycles": rest,
    }
    return Facts(fields, part=f"lane{lane}", once=when, fault="more classified than counted" if rest < 0 else "")


def _ask(unit: int, _count: int) -> bytes:
    return b"Z0%04dXD\r" % unit


def _match(frame: bytes, unit: int, _count: int) -> bool:
    return frame[2:8] == b"%04dXD" % unit


FAMILY: Final = Family(name="wavetronix_ss105", cut=cut, decode=decode, ask=_ask, match=_match)
