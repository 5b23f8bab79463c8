"""Text of meters: data sets `ID(value*unit)(...)` as IEC 62056-21 section 6.5 and DSMR P1 print them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from drivers.uart.family import Value

_SET: Final = re.compile(r"([^()\r\n!/]*)((?:\([^()\r\n]*\))+)")
_GROUP: Final = re.compile(r"\(([^()\r\n]*)\)")
_VALUE: Final = re.compile(r" *([+-]?\d+(?:\.\d*)?) *\*([A-Za-z0-9/%]+)")


def sets(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(identifier, texts between the brackets) of every data set, in order; several may share a line."""
    for match in _SET.finditer(text):
        yield match[1].strip(), tuple(_GROUP.findall(match[2]))


def entry(text: str) -> Value:
    """(number, unit) where a unit is printed, else the text as it is."""
    match = _VALUE.fullmatch(text)
    return (float(match[1]), match[2]) if match else text
