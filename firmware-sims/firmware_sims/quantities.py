"""What the simulated register devices measure, by flavour: quantities of the demo city under the contract's names.

A flavour is a function of a seed that gives the quantities at a moment. What a device cannot hold in its registers
(a rain counter of two bytes) comes round as it does on the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from firmware_sims.city_day import CANAL_MOUNT_M, CityDay
from firmware_sims.day import COUNTERS_FROM_S, DAY_S, HOUR_S, LOCAL_OFFSET_S, jitter, rain
from firmware_sims.eastron import readings, single_phase

Quantities: TypeAlias = Mapping[str, "float | None"]
Source: TypeAlias = Callable[[float], Quantities]


def sun(now_s: float) -> float:
    """Height of the sun, 0 at night to 1 at noon."""
    return max(0.0, math.sin(2 * math.pi * ((now_s + LOCAL_OFFSET_S) % DAY_S / DAY_S - 0.25)))


def _counted(said: dict[str, float], now_s: float) -> dict[str, float]:
    """With the quantities that only some meters have."""
    energy = said["energy_import"]
    return said | {
        "power_active_import": said["power_active"],
        "power_active_export": 0.0,
        "energy_import_t1": 0.7 * energy,
        "energy_import_t2": 0.3 * energy,
        "run_time": (now_s - COUNTERS_FROM_S) / HOUR_S,
        "alarm": 0.0,
    }


def three_phase(seed: int) -> Source:
    """The main board of the building."""
    day = CityDay(seed)
    return lambda now_s: _counted(readings(day.building, day.frequency_hz, now_s=now_s), now_s)


def one_phase(seed: int) -> Source:
    """A pump of some kilowatts."""
    day = CityDay(seed)
    return lambda now_s: _counted(single_phase(day.pump, day.frequency_hz, now_s=now_s), now_s)


def battery(seed: int) -> Source:
    """A battery of 24 V that feeds a cabinet."""

    def now(now_s: float) -> Quantities:
        voltage = 25.2 + 1.5 * sun(now_s) + 0.1 * jitter(seed, now_s)
        current = 2.4 + 0.3 * jitter(seed + 1, now_s)
        energy = 0.06 * (now_s - COUNTERS_FROM_S) / HOUR_S
        said = {"voltage": voltage, "current": current, "power_active": voltage * current, "energy_import": energy}
        return said | {"alarm_high": 0.0, "alarm_low": 0.0}

    return now


def solar(seed: int) -> Source:
    """A roof of 10 kW behind a three-phase inverter; `status` 4 is producing, 2 asleep."""
    day = CityDay(seed)

    def now(now_s: float) -> Quantities:
        said = dict(readings(day.pump, day.frequency_hz, now_s=now_s))
        return said | {
            "current_dc": 13.5,
            "voltage_dc": 742.0,
            "power_dc": said["power_active"] / 0.97,
            "temperature": 28.0 + 20 * sun(now_s),
            "status": 4.0 if sun(now_s) else 2.0,
        }

    return now


def street(seed: int) -> Source:
    """Weather, air and noise at a street corner."""
    day = CityDay(seed)

    def now(now_s: float) -> Quantities:
        wind = max(0.0, 2.1 + 1.4 * sun(now_s) + 0.6 * jitter(seed + 3, now_s, step_s=3.0))
        direction = (200 + 40 * math.sin(now_s / 3100) + 8 * jitter(seed + 4, now_s, step_s=3.0)) % 360
        fine = day.pm2_5(now_s)
        return {
            "wind_speed": wind,
            "wind_gust": 1.5 * wind,
            "wind_force": 2.0,
            "wind_octant": (direction + 22.5) // 45 % 8,
            "wind_direction": direction,
            "humidity": 88.0 - 28 * sun(now_s),
            "temperature": 24.5 + 9 * sun(now_s) - 3 * rain(seed, now_s),
            "noise_level": 58.0 + 6 * sun(now_s) + 1.5 * jitter(seed + 5, now_s),
            "pm1": 0.62 * fine,
            "pm2_5": fine,
            "pm4": 1.12 * fine,
            "pm10": 1.22 * fine,
            "pm100": 1.6 * fine,
            "pressure": 1004.0 + 2.4 * math.sin(4 * math.pi * now_s / DAY_S),
            "illuminance": 40.0 + 86_000 * sun(now_s),
            "uv_index": 11.0 * sun(now_s),
            "rain_total": (now_s - COUNTERS_FROM_S) / DAY_S * 4.2 % 600,
            "co2": 420.0 + 60 * jitter(seed + 6, now_s, step_s=2.0) + 60,
            "status": 0.0,
            "hcho_mass": 21.0 + 4 * jitter(seed + 8, now_s, step_s=2.0),
            "co": 8.0 + 2.4 * jitter(seed + 9, now_s, step_s=2.0),
            "o3": 31.0 + 22 * sun(now_s),
            "no2": 18.0 + 4 * jitter(seed + 10, now_s, step_s=2.0),
            "so2": 6.0,
        }

    return now


def canal(seed: int) -> Source:
    """The water of a canal."""
    day = CityDay(seed)

    def now(now_s: float) -> Quantities:
        level = day.canal_level_m(now_s)
        return {"level": level, "distance": CANAL_MOUNT_M - level, "water_speed": 0.3 * level, "tilt": 1.0}

    return now


def traffic(seed: int) -> Source:
    """Vehicles of each lane since the counters were installed."""
    lanes = CityDay(seed).lanes
    return lambda now_s: {
        f"lane{n}/vehicle_total": math.floor(lane.passed(now_s)) for n, lane in enumerate(lanes, start=1)
    }


def traffic_since_read(seed: int) -> Source:
    """Vehicles of each lane since the last time this was asked: a counter that a read sets to zero."""
    total = traffic(seed)
    before: dict[str, float] = {}

    def now(now_s: float) -> Quantities:
        counts = {key.replace("total", "count"): value or 0.0 for key, value in total(now_s).items()}
        passed = {key: value - before.get(key, value) for key, value in counts.items()}
        before.update(counts)
        return passed

    return now


FLAVOURS: Final[Mapping[str, Callable[[int], Source]]] = {
    "three-phase": three_phase,
    "one-phase": one_phase,
    "battery": battery,
    "solar": solar,
    "street": street,
    "canal": canal,
    "traffic": traffic,
    "traffic-since-read": traffic_since_read,
}
