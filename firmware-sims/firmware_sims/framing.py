"""Modbus on the wire: CRC-16, RTU and MBAP envelopes, and where a request ends.

Written from the MODBUS Application Protocol V1.1b3 and the serial line guide V1.02.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_FIXED_REQUESTS: Final = {1: 8, 2: 8, 3: 8, 4: 8, 5: 8, 6: 8, 7: 4, 8: 8, 11: 4, 12: 4, 17: 4, 22: 10, 43: 7}
_COUNTED_REQUESTS: Final = {15: (6, 9), 16: (6, 9), 23: (10, 13)}  # function: (byte count stands at, rest of the frame)


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS: poly 0xA001 reflected, init 0xFFFF; the low byte goes first on the wire."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc


def _crc_row(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (0xA001 if value & 1 else 0)
    return value


_CRC_TABLE: Final = tuple(_crc_row(value) for value in range(256))


def rtu(unit: int, pdu: bytes) -> bytes:
    """An RTU frame: unit, PDU, CRC."""
    body = bytes([unit]) + pdu
    return body + crc16(body).to_bytes(2, "little")


def rtu_whole(frame: bytes) -> bool:
    """Whether the CRC of an RTU frame holds."""
    return len(frame) >= 4 and crc16(frame[:-2]) == int.from_bytes(frame[-2:], "little")


def rtu_request_size(buffer: bytes) -> int | None:
    """Bytes of the request that stands at the head of `buffer`; None = too few to tell, 0 = no known function."""
    if len(buffer) < 2:
        return None
    if buffer[1] in _COUNTED_REQUESTS:
        at, rest = _COUNTED_REQUESTS[buffer[1]]
        return buffer[at] + rest if len(buffer) > at else None
    return _FIXED_REQUESTS.get(buffer[1], 0)


def mbap(transaction: int, unit: int, *, pdu: bytes) -> bytes:
    """A Modbus TCP frame."""
    return transaction.to_bytes(2, "big") + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big") + bytes([unit]) + pdu


@dataclass(frozen=True, slots=True)
class Dress:
    """What a fault needs to know of a protocol: where things stand in a frame and how to make its check value right.

    Attributes:
        reseal: a frame whose content was changed -> the same with matching length and check value.
        unit_at, function_at: offsets, None where the protocol has no such thing.
        tail: bytes of check value behind the content.
        foreign: an answer meant for somebody else, whole and correct.
        mbap: whether frames begin with a Modbus TCP header.
        damage: first and end offset of bytes whose damage shows, for a protocol without check value.
    """

    reseal: Callable[[bytes], bytes] = bytes
    unit_at: int | None = None
    function_at: int | None = None
    tail: int = 0
    foreign: bytes = b""
    damage: tuple[int, int] | None = None
    mbap: bool = False


def _reseal_rtu(frame: bytes) -> bytes:
    return rtu(frame[0], frame[1:-2])


def _reseal_mbap(frame: bytes) -> bytes:
    return frame[:4] + (len(frame) - 6).to_bytes(2, "big") + frame[6:]


# 42 input registers of unit 1 that nobody here asked for: what a second master on a shared serial server causes
# (the recorded case had unit 1, function 4 and byte count 0x54).
_FOREIGN_PDU: Final = b"\x04\x54" + bytes.fromhex("4366cccd") * 21

RTU: Final = Dress(_reseal_rtu, unit_at=0, function_at=1, tail=2, foreign=rtu(1, _FOREIGN_PDU))
TCP: Final = Dress(
    _reseal_mbap, unit_at=6, function_at=7, foreign=mbap(0x4711, 1, pdu=_FOREIGN_PDU), damage=(0, 4), mbap=True
)
