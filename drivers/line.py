"""Line settings of a serial port ("9600 8N1") and the times that follow from them.

Source: MODBUS over serial line specification and implementation guide V1.02, 2.5.1.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from drivers.errors import DriverError

_LINE: Final = re.compile(r"(\d{2,7}) ?([5-8])([NEO])([12])")
_FAST_T35_S: Final = 0.00175  # V1.02, 2.5.1.1: fixed above 19200 Bd


@dataclass(frozen=True)
class LineSettings:
    """Speed and character format of a serial line.

    Attributes:
        baud: bits per second.
        bits: data bits, 5 to 8.
        parity: "N", "E" or "O".
        stop: stop bits, 1 or 2.
    """

    baud: int
    bits: int
    parity: str
    stop: int

    @cached_property
    def char_s(self) -> float:
        """Seconds of one character: start bit, data, parity, stop bits."""
        return (1 + self.bits + (self.parity != "N") + self.stop) / self.baud

    @cached_property
    def t35_s(self) -> float:
        """Silence between RTU frames, in seconds: 3.5 of the line's own characters, 1.75 ms above 19200 Bd."""
        return 3.5 * self.char_s if self.baud <= 19200 else _FAST_T35_S

    def __str__(self) -> str:
        return f"{self.baud} {self.bits}{self.parity}{self.stop}"


def line(text: str) -> LineSettings:
    """Line settings from a text such as "9600 8N1".

    Raises:
        DriverError: the text says something else.
    """
    match = _LINE.fullmatch(text)
    if match is None:
        raise DriverError(f'line = "{text}" is not BAUD BITS-PARITY-STOP, for example "9600 8N1" or "19200 8E1"')
    return LineSettings(int(match[1]), int(match[2]), match[3], int(match[4]))
