"""A believable day in a Thai city: every quantity a pure function of time and a seed.

Counters are integrals in closed form, so that an energy register or a vehicle count agrees with its rate at
any moment and never falls, whatever moments are asked for and in whatever order. Local time is UTC+7, no DST.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import accumulate
from typing import Final

LOCAL_OFFSET_S: Final = 7 * 3600
HOUR_S: Final = 3600
DAY_S: Final = 86400
WEEK_S: Final = 7 * DAY_S
_MONDAY_S: Final = 4 * DAY_S  # 1970-01-05 was a Monday
_MASK: Final = 2**64 - 1
COUNTERS_FROM_S: Final = 1_735_664_400.0  # 2025-01-01 00:00 local: meters and counters were installed then


def local_week_s(now_s: float) -> float:
    """Seconds since the last local Monday 00:00."""
    return (now_s + LOCAL_OFFSET_S - _MONDAY_S) % WEEK_S


@dataclass(frozen=True, slots=True)
class Ripple:
    """One sine on top of a week's pattern: relative `height`, period and phase."""

    height: float
    period_s: float
    phase: float

    def at(self, now_s: float) -> float:
        """Relative height at a moment."""
        return self.height * math.sin(2 * math.pi * now_s / self.period_s + self.phase)


@dataclass(frozen=True, slots=True)
class Course:
    """A weekly pattern of 168 hourly values, linear between them, plus ripples of an absolute height.

    Values stay positive as long as the ripples' heights together stay below the smallest hourly value.
    """

    hourly: tuple[float, ...]
    ripples: tuple[Ripple, ...] = ()
    _sums: tuple[float, ...] = field(init=False, repr=False, compare=False)
    _waves: tuple[tuple[float, float, float], ...] = field(init=False, repr=False, compare=False)
    _began: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sums", _hour_sums(self.hourly))
        waves = ((r.height * r.period_s / (2 * math.pi), 2 * math.pi / r.period_s, r.phase) for r in self.ripples)
        object.__setattr__(self, "_waves", tuple(waves))
        object.__setattr__(self, "_began", self._primitive(COUNTERS_FROM_S))

    def at(self, now_s: float) -> float:
        """Value at a moment, in the unit of `hourly`."""
        hour, part = divmod(local_week_s(now_s) / HOUR_S, 1)
        low, high = self.hourly[int(hour)], self.hourly[(int(hour) + 1) % 168]
        return low + (high - low) * part + sum(ripple.at(now_s) for ripple in self.ripples)

    def since(self, start_s: float, now_s: float) -> float:
        """Integral over time from `start_s` to `now_s`, in the unit of `hourly` times seconds."""
        began = self._began if start_s == COUNTERS_FROM_S else self._primitive(start_s)
        return self._primitive(now_s) - began

    def _primitive(self, now_s: float) -> float:
        week = (now_s + LOCAL_OFFSET_S - _MONDAY_S) // WEEK_S
        hour, part = divmod(local_week_s(now_s) / HOUR_S, 1)
        low, high = self.hourly[int(hour)], self.hourly[(int(hour) + 1) % 168]
        area = self._sums[int(hour)] + (low + (high - low) * part / 2) * part
        waves = 0.0
        for size, speed, phase in self._waves:
            waves -= size * math.cos(speed * now_s + phase)
        return (week * self._sums[168] + area) * HOUR_S + waves


@cache
def _hour_sums(hourly: tuple[float, ...]) -> tuple[float, ...]:
    trapezoids = ((low + high) / 2 for low, high in zip(hourly, hourly[1:] + hourly[:1], strict=True))
    return (0.0, *accumulate(trapezoids))


def week(workday: Sequence[float], weekend: Sequence[float]) -> tuple[float, ...]:
    """168 hourly values from a workday's 24 and a day off's 24."""
    return tuple(workday) * 5 + tuple(weekend) * 2


def ripples(dice: random.Random, *, height: float, periods_s: Sequence[float]) -> tuple[Ripple, ...]:
    """Ripples of the given periods with phases drawn from `dice`, together at most `height` high."""
    share = height / len(periods_s)
    return tuple(Ripple(share, period * dice.uniform(0.9, 1.1), dice.uniform(0, 2 * math.pi)) for period in periods_s)


def jitter(seed: int, now_s: float, *, step_s: float = 1.0) -> float:
    """A number in [-1, 1) that is the same whenever the same step of time is asked for: sensor noise."""
    # The mixing steps of splitmix64 (Steele, Lea, Flood 2014): a die per step would cost ten times as much.
    mixed = (seed * 0x9E3779B97F4A7C15 + int(now_s // step_s)) & _MASK
    mixed = ((mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) & _MASK
    return (mixed ^ mixed >> 31) / 2**63 - 1


def rain(seed: int, now_s: float, *, rise_s: float = 1800.0, fall_s: float = 5 * HOUR_S) -> float:
    """Strength of afternoon storms, 0 to about 1: some days between 15 and 19 h local, then a slow ebb."""
    today = int((now_s + LOCAL_OFFSET_S) // DAY_S)
    total = 0.0
    for day in range(today - 2, today + 1):
        hour, strength = _storm(seed, day)
        since_s = now_s + LOCAL_OFFSET_S - day * DAY_S - hour * HOUR_S
        if strength and since_s > 0:
            total += strength * (1 - math.exp(-since_s / rise_s)) * math.exp(-since_s / fall_s)
    return total


@lru_cache(maxsize=64)
def _storm(seed: int, day: int) -> tuple[float, float]:
    """Local hour and strength of one day's storm; 0 on a dry day."""
    dice = random.Random(seed * 100_003 + day)
    wet = dice.random() < 0.45
    return dice.uniform(15, 19), dice.uniform(0.3, 1.0) if wet else 0.0


def burning_season(now_s: float) -> float:
    """0 in the rains to 1 in mid-March, when fields and forests burn in the north and north-east."""
    return max(0.0, math.cos(2 * math.pi * ((now_s + LOCAL_OFFSET_S) / DAY_S / 365.2425 - 74 / 365.2425))) ** 2


def passing_times(count: Callable[[float], float], *, start_s: float, end_s: float) -> list[float]:
    """Moments in (start_s, end_s] at which a rising count passes a whole number, to 1 ms."""
    began, ended = count(start_s), count(end_s)
    span_ms = int((end_s - start_s) * 1000)
    found = []
    at, reached = 0, began
    for number in range(math.floor(began) + 1, math.floor(ended) + 1):
        at, reached = _passing(count, number, start_s=start_s, low=(at, reached), high=(span_ms, ended))
        found.append(min(start_s + at / 1000, end_s))
    return found


def _passing(
    count: Callable[[float], float], number: int, *, start_s: float, low: tuple[int, float], high: tuple[int, float]
) -> tuple[int, float]:
    """The first ms after `start_s` at which `count` is at `number`, and the count there; both ends as (ms, count).

    Nearly straight between two vehicles, so a straight line lands close: four looks where halving takes sixteen.
    """
    (below_ms, below), (above_ms, above) = low, high
    halve = False
    while above_ms - below_ms > 1:
        share = (number - below) / (above - below) if above > below else 0.5
        guess = below_ms + (above_ms - below_ms) // 2 if halve else below_ms + math.ceil(share * (above_ms - below_ms))
        guess = min(max(guess, below_ms + 1), above_ms - 1)
        seen = count(start_s + guess / 1000)
        halve = not halve and not math.isclose(seen, number, abs_tol=0.02)
        if seen < number:
            below_ms, below = guess, seen
        else:
            above_ms, above = guess, seen
    return above_ms, above
