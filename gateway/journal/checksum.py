"""CRC-32C in C where the wheel is installed, else zlib's CRC-32; every segment's header names its kind.

Both can be read everywhere: a table in Python stands in for a missing wheel, so that a journal moves between machines.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from typing import Final, TypeAlias

try:
    from google_crc32c import extend as _wheel
    from google_crc32c import implementation as _implementation
except ImportError:
    _wheel, _implementation = None, ""

Extend: TypeAlias = Callable[[int, bytes], int]
"""(checksum so far, bytes) -> checksum; 0 at first."""

CRC32C: Final = 1  # Castagnoli, RFC 3720 B.4
CRC32: Final = 2  # zlib, RFC 1952
KINDS: Final = (CRC32C, CRC32)
_POLYNOMIAL: Final = 0x82F63B78  # Castagnoli, reflected


def preferred() -> int:
    """Kind for new segments: CRC-32C where it runs in C, else zlib's."""
    return CRC32C if _implementation == "c" else CRC32


def extender(kind: int) -> Extend:
    """The function of a kind. Raises ValueError for an unknown one."""
    if kind == CRC32:
        return _zlib
    if kind != CRC32C:
        raise ValueError(f"unknown checksum kind {kind}")
    return _wheel or _table_crc32c


def _zlib(crc: int, data: bytes) -> int:
    return zlib.crc32(data, crc)


@cache
def _table() -> tuple[int, ...]:
    rows = []
    for row in range(256):
        crc = row
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL if crc & 1 else 0)
        rows.append(crc)
    return tuple(rows)


def _table_crc32c(crc: int, data: bytes) -> int:
    rows, crc = _table(), crc ^ 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ rows[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
