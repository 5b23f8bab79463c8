"""Recorded Modbus bytes cut into answers: RTU, TCP (MBAP) or bare PDUs; requests among them say what is answered.

Pure. An answer is taken only where its checksum (RTU) or its MBAP length and byte count (TCP) vouch for it; what lies
between is handed back as rejected, never repaired.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from drivers.checksum import crc16_modbus
from drivers.modbus.envelope import BIT_TABLES, EXCEPTION, FUNCTION

Framing: TypeAlias = Literal["rtu", "tcp", "pdu"]

TABLE_OF: Final = {function: table for table, function in FUNCTION.items()}
_RTU_REQUEST_BYTES: Final = 8
_MBAP_REQUEST_BYTES: Final = 12
_NOISE_BYTES: Final = 3  # fewer strays between two frames are the line's, not a frame


@dataclass(frozen=True, slots=True)
class Span:
    """What a request asks for: `count` registers (or bits) of `table` from protocol address `address`."""

    table: str
    address: int
    count: int

    @property
    def data_bytes(self) -> int:
        """Data bytes of its answer."""
        return (self.count + 7) // 8 if self.table in BIT_TABLES else 2 * self.count


@dataclass(frozen=True, slots=True)
class Heard:
    """A stretch of bytes: an answer (`function` 1 to 4, with `data` or an exception `code`), or rejected (`reason`).

    `asked` is the request found before it in the bytes, if there was one. `unit` is None in a bare PDU.
    """

    offset: int
    size: int
    unit: int | None = None
    function: int = 0
    data: bytes = b""
    code: int = 0
    asked: Span | None = None
    reason: str = ""


def span(text: str) -> Span:
    """The request written as `input:0:42`: table, protocol address, count.

    Raises:
        ValueError: it is not written so, or no such request exists.
    """
    table, _, rest = text.partition(":")
    address, _, count = rest.partition(":")
    try:
        found = Span(table, int(address, 0), int(count, 0))
    except ValueError:
        raise ValueError(f"`{text}` is no request; write TABLE:ADDRESS:COUNT, for example input:0:42") from None
    if table not in FUNCTION or found.count < 1 or found.address < 0 or found.address + found.count > 0x10000:
        raise ValueError(f"`{text}`: no such registers; tables are {', '.join(FUNCTION)}")
    return found


def answers(data: bytes, framing: Framing) -> Iterator[Heard]:
    """Answers and rejected stretches in `data`, in order."""
    if framing == "pdu":
        yield _pdu(data)
        return
    at = start = 0
    asked: dict[int, Span] = {}
    found_any = False
    while at < len(data):
        step, heard = _rtu(data, at, asked=asked) if framing == "rtu" else _tcp(data, at, asked=asked)
        if not step:
            at += 1
            continue
        yield from _rejected(data[start:at], start, framing=framing)
        if heard is not None:
            yield heard
        found_any = True
        at += step
        start = at
    yield from _rejected(data[start:], start, framing=framing, always=not found_any)


def _rejected(data: bytes, offset: int, *, framing: Framing, always: bool = False) -> Iterator[Heard]:
    if len(data) > (0 if always else _NOISE_BYTES):
        whole = framing == "rtu" and any(_head(data, at) for at in range(len(data) - 4))
        reason = "checksum" if whole else "no Modbus answer of this framing"
        yield Heard(offset, len(data), reason=reason)


def _head(data: bytes, at: int) -> bool:
    """Whether a whole answer would stand here if its checksum held."""
    function, third = data[at + 1], data[at + 2]
    if function > EXCEPTION:
        return function - EXCEPTION in TABLE_OF and 1 <= third <= 11
    return function in TABLE_OF and third > 0 and at + 5 + third <= len(data)


def _rtu(data: bytes, at: int, *, asked: dict[int, Span]) -> tuple[int, Heard | None]:
    """Size of what stands whole at `at` (0: nothing), and the answer if it is one."""
    head = data[at : at + _RTU_REQUEST_BYTES]
    if len(head) == _RTU_REQUEST_BYTES and head[1] in TABLE_OF and not crc16_modbus(head):
        address, count = struct.unpack(">HH", head[2:6])
        if count and (head[1] > 2 or head[2] != 3):
            asked[0] = Span(TABLE_OF[head[1]], address, count)
            return len(head), None
    if len(data) - at < 5 or data[at + 1] & ~EXCEPTION not in TABLE_OF:
        return 0, None
    unit, function, third = data[at : at + 3]
    end = at + (5 if function > EXCEPTION else 5 + third)
    if end > len(data) or crc16_modbus(data[at:end]):
        return 0, None
    last = asked.pop(0, None)
    if function > EXCEPTION:
        return 5, Heard(at, 5, unit, function - EXCEPTION, code=third, asked=last)
    return end - at, Heard(at, end - at, unit, function, data[at + 3 : end - 2], asked=last)


def _tcp(data: bytes, at: int, *, asked: dict[int, Span]) -> tuple[int, Heard | None]:
    if len(data) - at < 9:
        return 0, None
    transaction, protocol, length, unit, function, third = struct.unpack_from(">HHHBBB", data, at)
    end = at + 6 + length
    if protocol or end > len(data) or function & ~EXCEPTION not in TABLE_OF:
        return 0, None
    if function > EXCEPTION:
        return (9, Heard(at, 9, unit, function - EXCEPTION, code=third)) if length == 3 else (0, None)
    if third and length == 3 + third:
        last = asked.pop(transaction, None)
        return end - at, Heard(at, end - at, unit, function, data[at + 9 : end], asked=last)
    if end - at == _MBAP_REQUEST_BYTES:
        asked[transaction] = Span(TABLE_OF[function], *struct.unpack_from(">HH", data, at + 8))
        return end - at, None
    return 0, None


def _pdu(data: bytes) -> Heard:
    """A bare PDU, or one with its unit in front (an RTU frame recorded without its checksum)."""
    for unit, pdu in ((None, data), (data[0] if data else None, data[1:])):
        if len(pdu) == 2 and pdu[0] & ~EXCEPTION in TABLE_OF and pdu[0] > EXCEPTION:
            return Heard(0, len(data), unit, pdu[0] - EXCEPTION, code=pdu[1])
        if len(pdu) > 2 and pdu[0] in TABLE_OF and pdu[1] == len(pdu) - 2:
            return Heard(0, len(data), unit, pdu[0], pdu[2:])
    return Heard(0, len(data), reason="no Modbus PDU")
