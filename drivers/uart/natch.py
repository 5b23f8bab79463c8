r"""Natch: vehicle events of ATC traffic controllers as lines of text over TCP (port 8001).

Source: mnit-rtmc/iris docs/natch.md. `ds,01a5,3,323,4638,17:50:28` is message id, detector, duration (ms), headway
(ms), local time; the host acknowledges with `DS,01a5`, and what was not acknowledged comes again with the same id.
"""

from __future__ import annotations

import re
from typing import Final

from drivers.errors import BadFrame
from drivers.uart.family import Cut, Facts, Family, Value

LONGEST: Final = 200
_LINE: Final = re.compile(rb"(?:^|\n)(ds,[0-9A-Fa-f]{1,4},[^\r\n]*)\r?(?=\n)")
_EVENT: Final = re.compile(r"ds,([0-9A-Fa-f]{1,4}),(\d{1,3}),(\d{0,8}),(\d{0,8}),(\d\d:\d\d:\d\d)?")


def cut(buffer: bytes) -> Cut | None:
    """A whole line `ds,...`; other lines are no vehicle events."""
    if match := _LINE.match(buffer):
        return Cut(match.end(), frame=True)
    end = buffer.find(b"\n", 1)
    if end < 0:
        return Cut(len(buffer)) if len(buffer) > LONGEST else None
    return Cut(end)


def decode(frame: bytes, _variant: str) -> tuple[Facts, ...]:
    """One vehicle of one detector; empty numbers are not known. The last comma proves that the headway is whole."""
    match = _EVENT.fullmatch(frame.decode("latin-1").strip())
    if match is None:
        raise BadFrame("not a vehicle event", seen=frame)
    message, detector, duration, headway, time = match.groups()
    fields: dict[str, Value] = {
        "message_id": message.lower(),
        "detector": int(detector),
        "duration_ms": int(duration) if duration else None,
        "headway_ms": int(headway) if headway else None,
        "time_local": time,
    }
    return (Facts(fields, part=f"lane{int(detector) + 1}", once=",".join(str(value) for value in fields.values())),)


def _reply(frame: bytes) -> bytes:
    match = _EVENT.fullmatch(frame.decode("latin-1").strip())
    return b"DS,%s\n" % match[1].encode() if match else b""


FAMILY: Final = Family(name="natch", cut=cut, decode=decode, reply=_reply)
