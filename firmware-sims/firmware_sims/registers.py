"""A Modbus unit's inside: typed values at register addresses, function codes, exceptions.

Functions 1 to 4 read, 17 and 43/14 identify, everything else is refused with exception 1. Simulated units are
read-only: a write that reaches one is counted in `writes` and refused.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

from firmware_sims.device import Note, Served, Simulated, forget

ILLEGAL_FUNCTION: Final = 1
ILLEGAL_ADDRESS: Final = 2
ILLEGAL_VALUE: Final = 3

_TABLES: Final = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
_WRITES: Final = {5, 6, 15, 16, 22, 23}
_FORMATS: Final = {
    "u16": ">H", "s16": ">h", "u32": ">I", "s32": ">i", "u64": ">Q", "s64": ">q", "f32": ">f", "f64": ">d",
}  # fmt: skip
_COUNTS: Final = {name: struct.calcsize(form) // 2 for name, form in _FORMATS.items()}
# What devices put where they have no value (devices.md 5.2, 5.6, 5.8).
NOT_AVAILABLE: Final = {
    "u16": b"\xff\xff", "s16": b"\x80\x00", "u32": b"\xff" * 4, "s32": b"\x80\0\0\0", "u64": b"\xff" * 8,
    "s64": b"\x80" + bytes(7), "f32": b"\xff\xc0\0\0", "f64": b"\xff\xf8" + bytes(6),
}  # fmt: skip


class Refused(Exception):
    """The unit answers with an exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Cell:
    """One typed value at a register address.

    `key` names the quantity in what `source` gives; the raw number is quantity / `scale` (the register of a meter
    in kW with the quantity in W has scale 1000). `truth` is false where the key is no point of the contract.
    `low_first` puts the low word first (CDAB). `offset`: the quantity at raw 0. `absent`: what stands in wire order
    where there is no value (empty = `NOT_AVAILABLE`). A key `lane1/vehicle_count` is of the part lane1.
    """

    address: int
    type: str
    key: str
    scale: float = 1.0
    low_first: bool = False
    truth: bool = True
    offset: float = 0.0
    absent: bytes = b""

    @property
    def count(self) -> int:
        """Registers it spans."""
        return _COUNTS[self.type]

    def encode(self, value: float | None) -> bytes:
        """Its bytes in wire order; None or NaN = not available."""
        if value is None or math.isnan(value):
            data = self.absent or NOT_AVAILABLE[self.type]
        elif self.type.startswith("f"):
            data = struct.pack(_FORMATS[self.type], (value - self.offset) / self.scale)
        else:
            data = self._integer(round((value - self.offset) / self.scale))
        return b"".join(data[at : at + 2] for at in range(len(data) - 2, -1, -2)) if self.low_first else data

    def _integer(self, raw: int) -> bytes:
        """A number at its type's limit where it does not fit: registers saturate, short of "not available"."""
        bits = 16 * self.count
        least, most = (-1 << bits - 1, (1 << bits - 1) - 1) if self.type[0] == "s" else (0, (1 << bits) - 1)
        return struct.pack(_FORMATS[self.type], raw if least <= raw <= most else least + 1 if raw < 0 else most - 1)

    def decode(self, data: bytes) -> float:
        """The quantity that the bytes say."""
        if self.low_first:
            data = b"".join(data[at : at + 2] for at in range(len(data) - 2, -1, -2))
        return float(struct.unpack(_FORMATS[self.type], data)[0]) * self.scale + self.offset


def text(address: int, words: str, *, registers: int) -> dict[int, bytes]:
    """Constant registers that spell a text, NUL padded."""
    data = words.encode("ascii").ljust(2 * registers, b"\0")[: 2 * registers]
    return {address + at: data[2 * at : 2 * at + 2] for at in range(registers)}


@runtime_checkable
class Unit(Simulated, Protocol):
    """Anything that answers Modbus PDUs under a unit id."""

    def answer(self, pdu: bytes, now_s: float) -> bytes | None:
        """The answer PDU, or None for silence."""


@dataclass
class RegisterUnit:
    """A unit whose registers are a table of cells filled from `source(now_s)`.

    Attributes:
        source: quantities by key at a moment; a missing key or None reads as the type's "not available".
        tables: which tables serve the cells ("input", "holding" or both).
        hole: what an undefined register inside a read does: None = exception 2, else two bytes of filling.
        splits: false where a read that starts or ends inside a value is refused (Schneider).
        even: true where an odd start is refused.
        over: exception code of a read of more than `max_registers`.
        constants: fixed registers (identity blocks). alone: registers that hold this when read alone (Carlo Gavazzi).
        identity: objects 0.. of function 43/14. report: data of function 17. Where empty, exception 1.
        last: the highest address that exists.
    """

    name: str
    cells: Sequence[Cell]
    source: Callable[[float], Mapping[str, float | None]]
    tables: frozenset[str] = frozenset({"input"})
    max_registers: int = 125
    over: int = ILLEGAL_VALUE
    hole: bytes | None = None
    splits: bool = True
    even: bool = False
    constants: Mapping[int, bytes] = field(default_factory=dict)
    alone: Mapping[int, bytes] = field(default_factory=dict)
    identity: Sequence[str] = ()
    report: bytes = b""
    last: int = 0xFFFF
    note: Note = forget
    polls: int = 0
    writes: int = 0

    def answer(self, pdu: bytes, now_s: float) -> bytes | None:
        """The answer PDU."""
        try:
            return self._answer(pdu, now_s)
        except Refused as refusal:
            return bytes([pdu[0] | 0x80, refusal.code])

    def _answer(self, pdu: bytes, now_s: float) -> bytes:
        function = pdu[0]
        if function == 17 and self.report:
            return bytes([17, len(self.report)]) + self.report
        if function == 43 and self.identity:
            return identification(pdu, self.identity)
        if function in _WRITES:
            self.writes += 1
        if function not in _TABLES or _TABLES[function] not in self.tables:
            raise Refused(ILLEGAL_FUNCTION)
        if len(pdu) != 5:
            raise Refused(ILLEGAL_VALUE)
        start, count = struct.unpack(">HH", pdu[1:])
        data = self._read(start, count, now_s=now_s)
        return bytes([function, len(data)]) + data

    def _read(self, start: int, count: int, *, now_s: float) -> bytes:
        if not 1 <= count <= self.max_registers:
            raise Refused(self.over if count <= 125 else ILLEGAL_VALUE)
        end = start + count
        if end > self.last + 1 or (self.even and start % 2):
            raise Refused(ILLEGAL_ADDRESS)
        if count == 1 and start in self.alone:
            return self.alone[start]
        touched = [cell for cell in self.cells if cell.address < end and cell.address + cell.count > start]
        if not self.splits and any(c.address < start or c.address + c.count > end for c in touched):
            raise Refused(ILLEGAL_ADDRESS)
        known = dict(self.constants)
        said: dict[str, dict[str, float]] = {}
        now = self.source(now_s)
        for cell in touched:
            value = now.get(cell.key)
            raw = cell.encode(value)
            known.update({cell.address + at: raw[2 * at : 2 * at + 2] for at in range(cell.count)})
            if value is not None and cell.truth and start <= cell.address and cell.address + cell.count <= end:
                part, _, point = cell.key.rpartition("/")
                said.setdefault(part, {})[point] = cell.decode(raw)
        words = [known.get(address, self.hole) for address in range(start, end)]
        found = [word for word in words if word is not None]
        if len(found) < len(words):
            raise Refused(ILLEGAL_ADDRESS)
        self.polls += 1
        for part, values in said.items():
            self.note(Served(self.name, now_s, self.polls, values, part=part))
        return b"".join(found)


def identification(pdu: bytes, objects: Sequence[str]) -> bytes:
    """Answer to function 43/14 (read device identification): all objects asked for, in one part.

    Raises:
        Refused: another MEI type, an unknown read code or object id.
    """
    if len(pdu) != 4 or pdu[1] != 14:
        raise Refused(ILLEGAL_FUNCTION)
    code, first = pdu[2], pdu[3]
    if code not in {1, 2, 3, 4}:
        raise Refused(ILLEGAL_VALUE)
    if code == 4 and first >= len(objects):
        raise Refused(ILLEGAL_ADDRESS)
    last = first + 1 if code == 4 else len(objects)
    first = first if first < len(objects) else 0  # streaming access restarts at object 0
    chosen = list(enumerate(objects))[first : min(last, 3) if code == 1 else last]
    body = b"".join(bytes([number, len(words)]) + words.encode("ascii") for number, words in chosen)
    return bytes([43, 14, code, 0x82 if len(objects) > 3 else 0x81, 0, 0, len(chosen)]) + body
