"""Tariff: the periods of the Thai time-of-use and time-of-day tariffs (MEA and PEA alike), on Thai local time.

Holidays are data (`th_tou.toml`, or the caller's own table), never the guess of a holiday library: substitution days
are on-peak, and the utilities announce each year's list.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import datetime, time, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Final

THAI_TIME: Final = timezone(timedelta(hours=7))  # all year: no daylight saving
_SATURDAY: Final = 5


@cache
def holidays() -> Mapping[int, frozenset[str]]:
    """The shipped off-peak holidays: year -> {"MM-DD"}."""
    table = tomllib.loads(Path(__file__).with_name("th_tou.toml").read_text(encoding="utf-8"))
    return {int(year): frozenset(days) for year, days in table.items()}


def tou_period(when: datetime, off_peak_days: Mapping[int, frozenset[str]] | None = None) -> str | None:
    """`on_peak` (Monday to Friday, 09:00-22:00, no holiday) or `off_peak`, half-open.

    None for a working day between 09:00 and 22:00 of a year whose holidays are not known.

    Raises:
        ValueError: `when` does not say its offset from UTC.
    """
    if when.tzinfo is None:
        raise ValueError("a tariff period needs a time with its offset from UTC")
    local = when.astimezone(THAI_TIME)
    if local.weekday() >= _SATURDAY or not time(9) <= local.time() < time(22):
        return "off_peak"
    days = (holidays() if off_peak_days is None else off_peak_days).get(local.year)
    if days is None:
        return None
    return "off_peak" if f"{local:%m-%d}" in days else "on_peak"


def tod_period(local: time) -> str:
    """`on_peak` 18:30-21:30, `partial` 08:00-18:30, else `off_peak`, half-open (schedule 4.1, local time)."""
    if time(18, 30) <= local < time(21, 30):
        return "on_peak"
    return "partial" if time(8) <= local < time(18, 30) else "off_peak"
