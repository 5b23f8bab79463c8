"""Plantower sensors that are asked: passive mode, and sleep between polls (commands of the PMS5003 data manual).

Bytes and sources: plantower.py. A command is `42 4D`, code, two bytes, and their 16-bit sum; one with a wrong sum is
ignored without a word. After a wake-up the sensor talks by itself until it is told to be passive; such a frame is as
good an answer.
"""

from __future__ import annotations

from typing import Final

from drivers.checksum import sum16
from drivers.uart.family import Family
from drivers.uart.plantower import HEAD, cut, decode


def command(code: int, value: int) -> bytes:
    """One command of seven bytes."""
    body = HEAD + bytes((code, 0, value))
    return body + sum16(body).to_bytes(2)


PASSIVE: Final = command(0xE1, 0)
READ: Final = command(0xE2, 0)
SLEEP: Final = command(0xE4, 0)
WAKE: Final = command(0xE4, 1)


def _ask(_unit: int, _count: int) -> bytes:
    return READ


FAMILY: Final = Family(
    name="plantower_polled", cut=cut, decode=decode, start=(PASSIVE,), ask=_ask, wake=(WAKE,), rest=(SLEEP,)
)
