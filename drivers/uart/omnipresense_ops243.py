r"""OmniPreSense OPS243 Doppler / FMCW radar: one report per line, JSON or a bare number.

Sources: OmniPreSense API interface (AN-010), UM-003; recorded lines of banshee-data/velocity.report and
glossyio/traffic-monitor. UART 19200 8N1 or USB. Sign of the speed: inbound positive, outbound negative.
There is no checksum, so nothing but a whole line is believed: a bare number counts only between two line ends
(the tail of `-12.3` would be a plausible 2.3), a JSON object from its `{` to its `}`.
`start` asks for JSON with magnitude and unit (volatile settings, nothing is written to flash), because a bare number
does not say whether it is m/s or mph; without a unit the variant (`mps`, `kmh`, `mph`) decides.
"""

from __future__ import annotations

import json
import re
from typing import Final

from drivers.errors import BadFrame
from drivers.uart.family import Cut, Facts, Family, Value

LONGEST: Final = 2048  # bytes of the longest line believed; object records have about 400
TO_MPS: Final = {"mps": 1.0, "m/s": 1.0, "kmph": 1 / 3.6, "kmh": 1 / 3.6, "mph": 0.44704, "cmps": 0.01, "fps": 0.3048}
_NUMBER: Final = re.compile(rb"\n\s*(-?\d{1,4}(?:\.\d{1,5})?)[ \t]*(?=[\r\n])")
_START: Final = re.compile(rb"[{\n]")
_LINE_END: Final = re.compile(rb"[\r\n]")
_JSON: Final = json.JSONDecoder()
_STOP: Final = re.compile(rb"[\r\n{]")
_TEXT_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?")


def cut(buffer: bytes) -> Cut | None:
    """A JSON object, or a bare number between line ends; every other text (banner, settings echo) is junk."""
    start = _START.search(buffer)
    if start is None or start.start():
        return Cut(len(buffer) if start is None else start.start())
    if buffer[:1] == b"{":
        return _object(buffer)
    end = _STOP.search(buffer, 1)
    if end is None:
        return Cut(1) if len(buffer) > LONGEST else None
    number = _NUMBER.match(buffer)
    return Cut(number.end(), frame=True) if number else Cut(end.start())


def _object(buffer: bytes) -> Cut | None:
    line = _LINE_END.search(buffer, 0, LONGEST)
    text = buffer[: line.start()] if line else buffer[:LONGEST]
    if size := _size(text):
        return Cut(size, frame=True)
    if line or len(buffer) >= LONGEST:
        return Cut(len(text), reason="no JSON object")
    return None


def _size(text: bytes) -> int:
    """Bytes of the JSON object at the head of `text`, 0 where there is none that is whole; parsed once or twice."""
    try:
        _, size = _JSON.raw_decode(text.decode("latin-1"))  # a character for each byte
    except (ValueError, RecursionError):
        return 0
    return 0 if _parse(text[:size]) is None else size


def _parse(text: bytes) -> dict[str, object] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def decode(frame: bytes, variant: str) -> tuple[Facts, ...]:
    """The members of the line, and `speed_mps`, `max_speed_mps` ... in m/s whatever unit the line is in."""
    if frame[:1] == b"\n":
        members: dict[str, object] = {"speed": float(frame)}
    else:
        members = _parse(frame) or {}
    fields = {key: _value(value) for key, value in members.items()}
    speed = fields.get("speed")
    if isinstance(speed, str) and _TEXT_NUMBER.fullmatch(speed):  # some firmware quotes it
        speed = fields["speed"] = float(speed)
    if isinstance(speed, int | float):
        unit = str(fields.get("unit", variant or "mps"))
        if unit not in TO_MPS:
            raise BadFrame(f"speed in an unknown unit {unit!r}", seen=frame)
        fields["speed_mps"] = abs(speed) * TO_MPS[unit]
        fields["direction"] = (speed > 0) - (speed < 0)
    if "max_speed_mps" in fields and "classifier" in fields:
        fields["direction"] = {"object_inbound": 1, "object_outbound": -1}.get(str(fields["classifier"]), 0)
    return (Facts(fields, once=str(fields["start_time"]) if "classifier" in fields and "start_time" in fields else ""),)


def _value(value: object) -> Value:
    """Scalars as they are; lists (several targets in one report) as tuples; nested objects as their text."""
    if isinstance(value, bool):
        return int(value)
    if value is None or isinstance(value, int | float | str):
        return value
    if isinstance(value, list):
        return tuple(_value(item) for item in value)
    return json.dumps(value)


FAMILY: Final = Family(
    name="omnipresense_ops243",
    cut=cut,
    decode=decode,
    start=(b"OJ", b"OM", b"OU"),
)
