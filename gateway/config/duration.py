"""Durations, rates and budgets as people write them: "250ms", "1s", "24h", "64 kB/s", "3 GB/month".

Units are decimal (1 kB = 1000 bytes), as mobile operators bill them. A unit is never left out.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: Final = {"B": 1, "kB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000, "TB": 1_000_000_000_000}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) ?(ms|s|min|m|h|d)")
_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) ?(B|kB|MB|GB)")
_RATE = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) ?(B|kB|MB|GB) ?/ ?s")
_BUDGET = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) ?(B|kB|MB|GB|TB) ?/ ?(hour|day|week|month)")


class Budget(NamedTuple):
    """How many bytes a sink may send in each period (hour, day, week, month; local time of the gateway)."""

    size_bytes: int
    period: str


def seconds(text: str) -> float:
    """Seconds of "250ms", "1s", "15m", "24h", "3d".

    Raises:
        ValueError: the text is not a positive number with one of these units.
    """
    match = _DURATION.fullmatch(text)
    found = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if found <= 0:
        raise ValueError(f'{text!r} is not a duration such as "1s", "15m" or "24h"')
    return found


def size_bytes(text: str) -> int:
    """Bytes of "256 MB".

    Raises:
        ValueError: the text is not a positive number with one of B, kB, MB, GB.
    """
    match = _SIZE.fullmatch(text)
    found = round(float(match[1]) * _BYTES[match[2]]) if match else 0
    if found <= 0:
        raise ValueError(f'{text!r} is not a size such as "256 MB"')
    return found


def bytes_per_second(text: str) -> float:
    """Bytes per second of "64 kB/s".

    Raises:
        ValueError: the text is not a positive number with one of B/s, kB/s, MB/s, GB/s.
    """
    match = _RATE.fullmatch(text)
    rate = float(match[1]) * _BYTES[match[2]] if match else 0.0
    if rate <= 0:
        raise ValueError(f'{text!r} is not a rate such as "64 kB/s"')
    return rate


def budget(text: str) -> Budget:
    """Bytes and period of "3 GB/month".

    Raises:
        ValueError: the text is not a positive amount per hour, day, week or month.
    """
    match = _BUDGET.fullmatch(text)
    size_bytes = round(float(match[1]) * _BYTES[match[2]]) if match else 0
    if match is None or size_bytes <= 0:
        raise ValueError(f'{text!r} is not a budget such as "3 GB/month"')
    return Budget(size_bytes, match[3])
