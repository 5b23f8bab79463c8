"""ADEC TDC traffic detectors (radar, ultrasonic, infrared): single vehicles, fetched until the queue is empty.

Source: the working driver of the Minnesota DOT (mnit-rtmc/iris comm/adectdc). RS-485, frames like FT1.2
(IEC 60870-5-2): `10 ctrl adr sum 16`, `68 len len 68 ctrl adr data sum 16`, `E5` for "nothing".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from struct import unpack_from
from typing import Final

from drivers.checksum import sum8
from drivers.errors import BadFrame
from drivers.uart.family import Cut, Facts, Family, Value, judged

SHORT, LONG, EMPTY, END = 0x10, 0x68, 0xE5, 0x16
VEHICLE: Final = 0x08
REQUEST, FCB, FCV = 0x40, 0x20, 0x10
STATUS_BAD: Final = 0x80 | 0x40  # hardware, synchronisation
_START: Final = re.compile(rb"[\x10\x68\xe5]")


def cut(buffer: bytes) -> Cut | None:
    """A short or long frame with its 8-bit sum, or the single character E5."""
    found = _START.search(buffer)
    if found is None or found.start():
        return Cut(len(buffer) if found is None else found.start())
    if buffer[0] == EMPTY:
        return Cut(1, frame=True)
    if buffer[0] == SHORT:
        return judged(5, good=buffer[4] == END and sum8(buffer[1:3]) == buffer[3]) if len(buffer) >= 5 else None
    if len(buffer) >= 4 and (buffer[1] != buffer[2] or buffer[3] != LONG or buffer[1] < 2):
        return Cut(1)
    size = buffer[1] + 6 if len(buffer) >= 4 else 4
    if len(buffer) < max(size, 8):
        return None
    return judged(size, good=buffer[size - 1] == END and sum8(buffer[4 : size - 2]) == buffer[size - 2])


def decode(frame: bytes, _variant: str) -> tuple[Facts, ...]:
    """The vehicles of an answer, each with the detector's status and running count."""
    if frame[0] == EMPTY:
        return (Facts({}, part="none"),)
    if frame[0] == SHORT or frame[4] & 0x0F != VEHICLE or frame[4] & REQUEST:
        return ()
    if len(frame) < 13:
        raise BadFrame("no vehicle record", seen=frame)
    status, total = frame[6], int.from_bytes(frame[7:11])
    records = frame[11:-2]
    size = next((size for size in (6, 7, 11) if records and not len(records) % size), 0)
    if not size:
        raise BadFrame(f"{len(records)} bytes of vehicle records", seen=frame)
    return tuple(_vehicle(records[at : at + size], status=status, total=total) for at in range(0, len(records), size))


def _vehicle(record: bytes, *, status: int, total: int) -> Facts:
    speed, kind, occupancy, gap = unpack_from(">BBHH", record)
    fields: dict[str, Value] = {
        "status": status,
        "total": total,
        "speed_kmh": speed or None,
        "class": kind,
        "occupancy_ms": occupancy * 10,
        "gap_ms": gap * 10,
        "wrong_way": status >> 4 & 1,
    }
    if len(record) > 6:
        fields["length_dm"] = record[6]
    return Facts(fields, fault=f"status {status:02X}" if status & STATUS_BAD else "")


def _ask(unit: int, count: int) -> bytes:
    """The frame count bit alternates with each new request and stays as it was for a repeated one (IEC 60870-5-2).

    So a detector says again what got lost on the line, instead of taking it for delivered.
    """
    body = bytes((REQUEST | FCV | VEHICLE | (FCB if count & 1 else 0), unit))
    return bytes((SHORT, *body, sum8(body), END))


def _match(frame: bytes, unit: int, _count: int) -> bool:
    return frame[0] == EMPTY or (frame[0] == LONG and frame[5] == unit)


def _more(facts: Sequence[Facts]) -> bool:
    return bool(facts) and facts[-1].part != "none"


FAMILY: Final = Family(name="adec_tdc", cut=cut, decode=decode, ask=_ask, match=_match, more=_more, again=True)
