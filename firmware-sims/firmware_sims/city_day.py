"""The demo city's quantities: air, traffic, energy and water of one cabinet, over the courses of `day`."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Final

from firmware_sims.day import (
    COUNTERS_FROM_S,
    HOUR_S,
    Course,
    burning_season,
    jitter,
    rain,
    ripples,
    week,
)

# Relative to the day's mean; index = local hour.
PM_HOURS: Final = (1.1, 1.1, 1.05, 1.05, 1.1, 1.2, 1.4, 1.7, 1.75, 1.45, 1.1, 0.85,
                   0.7, 0.62, 0.58, 0.6, 0.68, 0.85, 1.05, 1.2, 1.25, 1.25, 1.2, 1.15)  # fmt: skip
# Vehicles an hour and lane.
FLOW_HOURS: Final = (60, 40, 30, 30, 45, 140, 420, 780, 820, 560, 480, 500,
                     540, 520, 520, 600, 780, 860, 760, 480, 320, 240, 160, 100)  # fmt: skip
FLOW_OFF_HOURS: Final = (90, 60, 40, 35, 40, 80, 160, 260, 340, 420, 500, 540,
                         540, 520, 500, 500, 520, 540, 500, 420, 330, 260, 180, 130)  # fmt: skip
# kW of a public building; its chiller is about half of it.
LOAD_HOURS: Final = (14, 14, 14, 14, 14, 15, 20, 38, 62, 78, 84, 88,
                     84, 90, 94, 92, 80, 52, 30, 24, 20, 17, 15, 14)  # fmt: skip
LOAD_OFF_HOURS: Final = (13, 13, 13, 13, 13, 13, 14, 16, 19, 22, 23, 24, 24, 24, 24, 23, 21, 18, 17, 16, 15, 14, 13, 13)
CHILLER_HOURS: Final = (3, 3, 3, 3, 3, 3, 6, 18, 32, 42, 46, 48, 46, 50, 52, 50, 40, 18, 6, 4, 3, 3, 3, 3)
CHILLER_OFF_HOURS: Final = (3, 3, 3, 3, 3, 3, 3, 4, 6, 8, 9, 10, 10, 10, 10, 9, 7, 5, 4, 3, 3, 3, 3, 3)
FREE_SPEED_KMH: Final = 62.0
TIDE_S: Final = 12.4206 * HOUR_S  # the principal lunar tide M2
CANAL_MOUNT_M: Final = 4.2  # height of the level sensor above the canal's gauge zero


@dataclass(frozen=True)
class Lane:
    """One lane of traffic."""

    flow: Course
    seed: int

    def per_hour(self, now_s: float) -> float:
        """Vehicles an hour."""
        return self.flow.at(now_s)

    def passed(self, now_s: float) -> float:
        """Vehicles since the counters were installed; its whole part steps when a vehicle passes."""
        return self.flow.since(COUNTERS_FROM_S, now_s) / HOUR_S

    def speed_kmh(self, now_s: float) -> float:
        """Speed of the stream: falls with the flow, with some scatter from vehicle to vehicle."""
        load = min(self.per_hour(now_s) / 1100, 0.95)
        return FREE_SPEED_KMH * (1 - 0.55 * load**2) + 4 * jitter(self.seed, now_s, step_s=0.5)


@dataclass(frozen=True)
class Load:
    """One electrical load on a 3-phase supply."""

    kilowatts: Course
    seed: int
    shares: tuple[float, float, float]
    installed_kwh: float

    def power_w(self, now_s: float) -> float:
        """Active power of all phases, W."""
        return 1000 * self.kilowatts.at(now_s)

    def energy_kwh(self, now_s: float) -> float:
        """The import register, kWh: the integral of `power_w`, never falling."""
        return self.installed_kwh + self.kilowatts.since(COUNTERS_FROM_S, now_s) / HOUR_S

    def voltages_v(self, now_s: float) -> tuple[float, float, float]:
        """Phase to neutral, V: 230 less the drop under load, with a little unbalance and noise."""
        drop = 4 * self.power_w(now_s) / 100_000
        one, two, three = (
            231.5 - drop + offset + 0.4 * jitter(self.seed + phase, now_s)
            for phase, offset in enumerate((1.2, -0.8, 0.3))
        )
        return one, two, three

    def power_factor(self, now_s: float) -> float:
        """Lagging, a little better under load."""
        return 0.88 + 0.08 * min(self.power_w(now_s) / 100_000, 1.0)


@dataclass(frozen=True)
class CityDay:
    """Everything the demo city's sensors see. Same seed, same city."""

    seed: int = 1
    lanes: tuple[Lane, ...] = field(init=False)
    building: Load = field(init=False)
    pump: Load = field(init=False)
    chiller: Load = field(init=False)
    _pm: Course = field(init=False)

    def __post_init__(self) -> None:
        dice = random.Random(self.seed)
        flow = week(FLOW_HOURS, FLOW_OFF_HOURS)
        lanes = []
        for share in (1.0, 0.85, 0.9, 1.05):
            hourly = tuple(share * value for value in flow)
            lanes.append(
                Lane(Course(hourly, ripples(dice, height=20, periods_s=(97, 263, 1210))), dice.getrandbits(20))
            )
        put = object.__setattr__
        put(self, "lanes", tuple(lanes))
        put(self, "building", _load(dice, week(LOAD_HOURS, LOAD_OFF_HOURS), installed_kwh=18_211.0))
        put(self, "chiller", _load(dice, week(CHILLER_HOURS, CHILLER_OFF_HOURS), installed_kwh=9_107.0))
        put(self, "pump", _load(dice, tuple(0.02 * v for v in week(LOAD_HOURS, LOAD_OFF_HOURS)), installed_kwh=512.0))
        put(self, "_pm", Course(week(PM_HOURS, PM_HOURS), ripples(dice, height=0.2, periods_s=(610, 2300, 9000))))

    def pm2_5(self, now_s: float) -> float:
        """PM2.5, ug/m3: morning peak, washed out by rain, several times higher in the burning season."""
        level = (14 + 58 * burning_season(now_s)) * self._pm.at(now_s)
        return max(1.0, level * (1 - 0.5 * min(rain(self.seed, now_s), 1.0)) + 0.8 * jitter(self.seed, now_s))

    def frequency_hz(self, now_s: float) -> float:
        """Mains frequency, Hz."""
        return 50 + 0.02 * math.sin(2 * math.pi * now_s / 437) + 0.01 * jitter(self.seed + 7, now_s)

    def canal_level_m(self, now_s: float) -> float:
        """Water level over gauge zero, m: a slow tide, and a rise after storms."""
        tide = 0.28 * math.sin(2 * math.pi * now_s / TIDE_S) + 0.07 * math.sin(math.pi * now_s / TIDE_S + 1)
        return 1.45 + tide + 0.9 * rain(self.seed, now_s, rise_s=2400, fall_s=9 * HOUR_S)


def _load(dice: random.Random, hourly: tuple[float, ...], *, installed_kwh: float) -> Load:
    waves = ripples(dice, height=0.2 * min(hourly), periods_s=(61, 313, 1700))
    lean = dice.uniform(-0.04, 0.04)
    return Load(Course(hourly, waves), dice.getrandbits(20), (1 / 3 + lean, 1 / 3, 1 / 3 - lean), installed_kwh)
