"""What a UART hears when its settings are not those of the sender: bit-level, character by character.

A receiver waits for a falling edge, looks at the middle of every bit, and takes the character whatever the stop
bit says; a low stop bit is a framing error. Linux hands such characters on unless the reader asked otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_LINE: Final = re.compile(r"(\d{3,7}) ([78])([NEO])([12])")


@dataclass(frozen=True, slots=True)
class Line:
    """Settings of one side of a serial line."""

    baud: int = 9600
    data_bits: int = 8
    parity: str = "N"
    stop_bits: int = 1

    @classmethod
    def parse(cls, text: str) -> Line:
        """From "9600 8N1".

        Raises:
            ValueError: it is not written so.
        """
        match = _LINE.fullmatch(text)
        if not match:
            raise ValueError(f"{text!r} is no line setting such as '9600 8N1'")
        return cls(int(match[1]), int(match[2]), match[3], int(match[4]))

    @property
    def char_bits(self) -> int:
        """Bits of one character with start, parity and stop."""
        return 1 + self.data_bits + (self.parity != "N") + self.stop_bits

    @property
    def char_s(self) -> float:
        """Time of one character, s."""
        return self.char_bits / self.baud


@dataclass(frozen=True, slots=True)
class Heard:
    """What arrived: characters, and how many of them had a low stop bit or a wrong parity bit."""

    data: bytes
    framing_errors: int = 0
    parity_errors: int = 0


def _parity(value: int, *, line: Line) -> int:
    return (value.bit_count() + (line.parity == "O")) % 2


def levels(data: bytes, line: Line) -> list[int]:
    """The bits on the line, one per bit time, with a quiet character in front and behind."""
    quiet = [1] * line.char_bits
    bits = list(quiet)
    for byte in data:
        value = byte & (1 << line.data_bits) - 1
        bits += [0, *((value >> n) & 1 for n in range(line.data_bits))]
        bits += [_parity(value, line=line)] if line.parity != "N" else []
        bits += [1] * line.stop_bits
    return bits + quiet


def heard(data: bytes, *, sent: Line, listened: Line, inverted: bool = False) -> Heard:
    """What a receiver set to `listened` makes of `data` sent with `sent`; `inverted` = wires A and B swapped."""
    if sent == listened and not inverted:
        return Heard(data)
    bits = levels(data, sent)
    if inverted:
        bits = [1 - bit for bit in bits]
    chars, framing, wrong = bytearray(), 0, 0
    for value, parity, stop in _received(bits, sent.baud, listened=listened):
        chars.append(value)
        framing += not stop
        wrong += parity is not None and parity != _parity(value, line=listened)
    return Heard(bytes(chars), framing, wrong)


def _received(bits: list[int], baud: int, *, listened: Line) -> Iterator[tuple[int, int | None, int]]:
    step = baud / listened.baud  # bit times of the sender per bit time of the receiver
    at = 1
    while True:
        while at < len(bits) and not (bits[at - 1] and not bits[at]):
            at += 1
        if at >= len(bits):
            return

        def look(number: int, edge: int = at) -> int:
            place = int(edge + (number + 0.5) * step)
            return bits[place] if place < len(bits) else 1

        if look(0):  # too short for a start bit: a glitch
            at += 1
            continue
        value = sum(look(1 + n) << n for n in range(listened.data_bits))
        number = 1 + listened.data_bits
        parity = look(number) if listened.parity != "N" else None
        number += parity is not None
        yield value, parity, look(number)
        at = max(int(at + (number + 0.5) * step), at) + 1
