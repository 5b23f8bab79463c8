r"""Banner DXM wireless controller with magnetometer pucks: text registers `RSP0001<reg>,v1,v2,...,`.

Source: the working driver of the Minnesota DOT (mnit-rtmc/iris comm/dxm). Serial or TCP, request
`CMD0001<reg>,<count>,0,0,0` LF.
No checksum: an answer counts only whole, with the number of values asked for. Values from 65000 up are puck errors.
"""

from __future__ import annotations

import re
from typing import Final

from drivers.errors import BadFrame
from drivers.uart.family import Cut, Facts, Family, junk

HEAD: Final = b"RSP0001"
FIRST, COUNT = 1, 8  # registers asked for: occupied scans of up to eight pucks
SCANS: Final = 1800  # in 30 s
ERROR: Final = 65000
LONGEST: Final = 400
_ANSWER: Final = re.compile(rb"RSP0001(\d{1,5}),((?:\d{1,5},)+)[^\S\r\n]*\r?\n")


def cut(buffer: bytes) -> Cut | None:
    """`RSP0001`, register, values, line end."""
    if skip := junk(buffer, HEAD):
        return Cut(skip)
    if match := _ANSWER.match(buffer):
        return Cut(match.end(), frame=True)
    end = buffer.find(b"\n")
    if end < 0 and len(buffer) < LONGEST:
        return None
    return Cut(end + 1 if end >= 0 else LONGEST, reason="layout")


def decode(frame: bytes, _variant: str) -> tuple[Facts, ...]:
    """Occupancy of each puck in per cent of its scans, None where the puck failed."""
    match = _ANSWER.match(frame)
    values = [int(text) for text in match[2].rstrip(b",").split(b",")] if match else []
    if match is None or int(match[1]) != FIRST or len(values) != COUNT:
        raise BadFrame(f"{len(values)} values, {COUNT} were asked for", seen=frame)
    return tuple(
        Facts({"scans": None if raw >= ERROR or raw > SCANS else raw, "raw": raw}, part=f"ch{n + 1}")
        for n, raw in enumerate(values)
    )


def _ask(_unit: int, _count: int) -> bytes:
    return b"CMD0001%d,%d,0,0,0\n" % (FIRST, COUNT)


FAMILY: Final = Family(name="banner_dxm", cut=cut, decode=decode, ask=_ask)
