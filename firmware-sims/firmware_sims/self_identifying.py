"""A unit whose every value says where it came from: unit, register and poll, so that a mix-up can be proven.

| type | bits, most significant first | modulo |
|---|---|---|
| u16 | unit 4, register 8, poll 4 | unit 16, register 256, poll 16 |
| u32 | unit 8, register / 2 12, poll 12 | unit 256, register 8192, poll 4096 |
| f32 | the number unit 5, register / 2 9, poll 10 as a float (exact below 2^24) | unit 32, register 1024, poll 1024 |
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from firmware_sims.device import Note, Served, forget
from firmware_sims.registers import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, ILLEGAL_VALUE

_BITS: Final = {"u16": (4, 8, 4), "u32": (8, 12, 12), "f32": (5, 9, 10)}
_FORMATS: Final = {"u16": ">H", "u32": ">I", "f32": ">f"}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from; `poll` counts the unit's answers modulo its type's width."""

    unit: int
    register: int
    poll: int


def words(kind: str) -> int:
    """Registers of one value."""
    return 1 if kind == "u16" else 2


def stamp(kind: str, origin: Origin) -> int:
    """The number that stands in a register of that origin."""
    unit_bits, register_bits, poll_bits = _BITS[kind]
    unit = origin.unit % (1 << unit_bits)
    slot = origin.register // words(kind) % (1 << register_bits)
    return (unit << register_bits | slot) << poll_bits | origin.poll % (1 << poll_bits)


def origin(kind: str, value: float) -> Origin:
    """The inverse of `stamp`: what a value says of itself.

    Raises:
        ValueError: no unit of this kind ever said such a value.
    """
    unit_bits, register_bits, poll_bits = _BITS[kind]
    number = int(value)
    if number != value or not 0 <= number < 1 << (unit_bits + register_bits + poll_bits):
        raise ValueError(f"{value!r} carries no {kind} origin")
    rest, poll = divmod(number, 1 << poll_bits)
    unit, slot = divmod(rest, 1 << register_bits)
    return Origin(unit, slot * words(kind), poll)


@dataclass
class SelfIdentifying:
    """A unit that answers functions 3 and 4 at every address with values of `stamp`.

    `polls` counts answers given; the values of answer n carry poll n.
    """

    name: str
    unit: int
    kind: str = "f32"
    note: Note = forget
    polls: int = 0

    def answer(self, pdu: bytes, now_s: float) -> bytes:
        """The answer PDU; an odd start or count is refused for 32-bit kinds."""
        if pdu[0] not in {3, 4}:
            return bytes([pdu[0] | 0x80, ILLEGAL_FUNCTION])
        start, count = struct.unpack(">HH", pdu[1:5])
        step = words(self.kind)
        if not 1 <= count <= 125:
            return bytes([pdu[0] | 0x80, ILLEGAL_VALUE])
        if start % step or count % step or start + count > 0x10000:
            return bytes([pdu[0] | 0x80, ILLEGAL_ADDRESS])
        self.polls += 1
        numbers = {
            register: stamp(self.kind, Origin(self.unit, register, self.polls))
            for register in range(start, start + count, step)
        }
        self.note(Served(self.name, now_s, self.polls, {f"r{at}": float(number) for at, number in numbers.items()}))
        data = b"".join(struct.pack(_FORMATS[self.kind], number) for number in numbers.values())
        return bytes([pdu[0], len(data)]) + data
