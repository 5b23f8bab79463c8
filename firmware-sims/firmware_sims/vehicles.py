"""Single vehicles in the stream of a lane: class, length and speed, the same whenever and by whomever they are seen."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from firmware_sims.city_day import Lane

# Share, shortest and longest of: motorcycles, cars and pick-ups, buses and trucks, trailers (bins of devices.md 6.1).
_MIX: Final = ((0.42, 1.7, 2.0), (0.48, 3.8, 5.6), (0.08, 7.0, 12.0), (0.02, 15.2, 18.0))


@dataclass(frozen=True, slots=True)
class Vehicle:
    """One vehicle: Unix time of passing, lane from 1, class from 0, length in m, speed in km/h."""

    at_s: float
    lane: int
    klass: int
    length_m: float
    speed_kmh: float


def vehicle(course: Lane, at_s: float, *, lane: int) -> Vehicle:
    """The vehicle that passes at a moment of `Lane.passed`."""
    dice = random.Random((course.seed << 48) ^ round(at_s * 1000))
    klass = dice.choices(range(len(_MIX)), [share for share, _, _ in _MIX])[0]
    _, low, high = _MIX[klass]
    speed_kmh = max(course.speed_kmh(at_s) + dice.gauss(0, 4), 5.0)
    return Vehicle(at_s, lane, klass, dice.uniform(low, high), speed_kmh)
