"""Canoga C800/C900 loop and microloop cards: the last vehicle and the vehicle count of four inputs.

Source: the working driver of the Minnesota DOT (mnit-rtmc/iris comm/canoga). 9600 8N1. The request is framed
(`<08`, address, `*`, checksum, `>`), the answer is not: 37 raw bytes, the last the exclusive or of the others.
Without a head nothing can be searched for in noise: an answer counts only if it is the first thing heard.
The count has eight bits; what passed since the last poll is its difference (`via = "mod256"`).
"""

from __future__ import annotations

from typing import Final

from drivers.checksum import xor8
from drivers.uart.family import Cut, Facts, Family

SIZE: Final = 37


def cut(buffer: bytes) -> Cut | None:
    """37 bytes whose exclusive or is 0; where it is not, all that was heard is dropped."""
    if len(buffer) < SIZE:
        return None
    if xor8(buffer[:SIZE]) or not any(buffer[:SIZE]):
        return Cut(len(buffer))
    return Cut(SIZE, frame=True)


def decode(frame: bytes, _variant: str) -> tuple[Facts, ...]:
    """For each input: duration (ms) and start (ms counter) of the last vehicle, count modulo 256, state."""
    return tuple(
        Facts(
            {
                "duration_ms": int.from_bytes(record[:3]),
                "start_ms": int.from_bytes(record[3:7]),
                "count_mod_256": record[7],
                "state": record[8],
            },
            part=f"ch{n + 1}",
        )
        for n in range(4)
        for record in (frame[9 * n : 9 * n + 9],)
    )


def _ask(unit: int, _count: int) -> bytes:
    """The checksum is taken with its own digits and the end mark as zero."""
    body = b"<08" + bytes((unit,)) + b"*"
    return body + b"%02X>" % xor8(body)


FAMILY: Final = Family(name="canoga", cut=cut, decode=decode, ask=_ask)
