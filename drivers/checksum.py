"""Checksums of the wire: pure functions of bytes, each with its check value over b"123456789" in the tests.

CRC names and parameters are those of Greg Cook's catalogue of parametrised CRC algorithms; `crc8_1c`, the sums and the
xor are the makers' own (devices.md names device and worked frames).
"""

from __future__ import annotations

import binascii
from functools import reduce
from operator import xor
from typing import Final


def _reflected(byte: int, *, poly: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ poly if byte & 1 else byte >> 1
    return byte


def _forward(byte: int, *, poly: int) -> int:
    for _ in range(8):
        byte = ((byte << 1) ^ poly) & 0xFF if byte & 0x80 else byte << 1
    return byte


_A001: Final = tuple(_reflected(byte, poly=0xA001) for byte in range(256))
_1C: Final = tuple(_forward(byte, poly=0x1C) for byte in range(256))
_MIRROR: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def crc16_modbus(data: bytes | bytearray) -> int:
    """CRC-16/MODBUS (reflected 0x8005, init 0xFFFF), sent low byte first. Modbus over serial line V1.02, 6.2.2."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _A001[(crc ^ byte) & 0xFF]
    return crc


def crc16_arc(data: bytes | bytearray) -> int:
    """CRC-16/ARC (reflected 0x8005, init 0), as DSMR P1 prints it. Companion standard DSMR 5.0.2, 6.2."""
    crc = 0
    for byte in data:
        crc = (crc >> 8) ^ _A001[(crc ^ byte) & 0xFF]
    return crc


def crc16_xmodem(data: bytes | bytearray) -> int:
    """CRC-16/XMODEM (0x1021, init 0), of Houston Radar and Davis frames."""
    return binascii.crc_hqx(data, 0)


def crc16_x25(data: bytes | bytearray) -> int:
    """CRC-16/X-25 (reflected 0x1021, init and final xor 0xFFFF), sent low byte first. ISO/IEC 13239, of HDLC frames."""
    mirrored = binascii.crc_hqx(data.translate(_MIRROR), 0xFFFF) ^ 0xFFFF
    return _MIRROR[mirrored >> 8] | _MIRROR[mirrored & 0xFF] << 8


def crc8_1c(data: bytes | bytearray) -> int:
    """CRC-8 with poly 0x1C, init 0, not reflected, no final xor, of Wavetronix SS125 headers and bodies."""
    crc = 0
    for byte in data:
        crc = _1C[crc ^ byte]
    return crc


def sum8(data: bytes | bytearray) -> int:
    """Sum of the bytes modulo 256."""
    return sum(data) & 0xFF


def sum16(data: bytes | bytearray) -> int:
    """Sum of the bytes modulo 65536."""
    return sum(data) & 0xFFFF


def xor8(data: bytes | bytearray) -> int:
    """All bytes xored: the block check character of IEC 62056-21 and of Gill and Canoga frames."""
    return reduce(xor, data, 0)
