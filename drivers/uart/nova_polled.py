"""Nova SDS011 that is asked, and sleeps between polls: the laser lasts as many times longer.

Bytes and sources: nova.py, and the commands of Nova's control protocol V1.3: `AA B4`, 13 bytes, device id (FF FF =
any), 8-bit sum, `AB`. The sensor's own working period and its reporting mode are settings that outlive a power cut:
they are left alone. Asleep it hears nothing but the wake-up.
"""

from __future__ import annotations

from typing import Final

from drivers.checksum import sum8
from drivers.uart.family import Family
from drivers.uart.nova import DATA, cut, decode


def command(*data: int) -> bytes:
    """One command of 19 bytes to whichever sensor is there."""
    body = bytes(data).ljust(13, b"\0") + b"\xff\xff"
    return b"\xaa\xb4" + body + bytes((sum8(body), 0xAB))


QUERY: Final = command(0x04)
WORK: Final = command(0x06, 1, 1)
SLEEP: Final = command(0x06, 1, 0)


def _ask(_unit: int, _count: int) -> bytes:
    return QUERY


def _match(frame: bytes, _unit: int, _count: int) -> bool:
    return frame[1] == DATA


FAMILY: Final = Family(
    name="nova_polled", cut=cut, decode=decode, ask=_ask, match=_match, wake=(WORK, WORK), rest=(SLEEP,)
)
