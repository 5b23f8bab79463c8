"""Water: stage over a gauge zero, rate of rise, and the Thai situation levels of rivers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import fsum
from typing import Final

SITUATION_LIMITS: Final = (10.0, 30.0, 70.0, 100.0)  # % of the bank's capacity, upper limits inclusive (ThaiWater)
SITUATIONS: Final[tuple[tuple[str, str], ...]] = (
    ("critically low", "น้อยวิกฤต"),
    ("low", "น้อย"),
    ("normal", "ปกติ"),
    ("high", "มาก"),
    ("overbank", "ล้นตลิ่ง"),
)
"""Names (English, Thai) of levels 1..5: no scale of danger, 1 is a drought."""


def stage(sensor_m: float, distance_m: float) -> float:
    """Stage in m of a sensor that looks down from `sensor_m` above the gauge zero; may be negative."""
    return sensor_m - distance_m


def rise_slope(t_s: Sequence[float], stage_m: Sequence[float]) -> float | None:
    """Rate of rise in m/h: slope of the least-squares line; None for fewer than two moments."""
    n = len(t_s)
    if n == 0:
        return None
    t_mean, stage_mean = fsum(t_s) / n, fsum(stage_m) / n
    squares = fsum((t - t_mean) ** 2 for t in t_s)
    if squares == 0.0:
        return None
    return 3600.0 * fsum((t - t_mean) * (y - stage_mean) for t, y in zip(t_s, stage_m, strict=True)) / squares


def rise_ends(t_s: Sequence[float], stage_m: Sequence[float]) -> float | None:
    """Rate of rise in m/h from the first and last value alone: noisy, for comparison."""
    if len(t_s) == 0 or t_s[-1] == t_s[0]:
        return None
    return 3600.0 * (stage_m[-1] - stage_m[0]) / (t_s[-1] - t_s[0])


def situation(bank_pct: float) -> int:
    """ThaiWater's situation level 1..5 by the share of the bank's capacity in %."""
    return bisect_left(SITUATION_LIMITS, bank_pct) + 1


def bank_percent(level_m: float, *, ground_m: float, bank_m: float) -> float:
    """(level - ground) / (lowest bank - ground) in %, all in m above mean sea level; below 0 and above 100 happen."""
    return 100.0 * (level_m - ground_m) / (bank_m - ground_m)
