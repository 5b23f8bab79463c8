"""Quirks of a sensor itself: its frames are whole and correct, what they say is not what it should see.

| quirk | air | meters | level |
|---|---|---|---|
| stuck | the same mass for ever | every register stands still | the same distance |
| zero | a fan that stopped: all zero | no mains: all zero | distance 0 (the sensor then says its minimum) |
| jump | twenty times as much | twenty times as much power and current | a third of the distance |
| restart | warm-up frames | energy counters begin at 0 again (a new meter) | - |
| absent | - | every value "not available" | no target |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, TypeVar

from firmware_sims.device import Simulated
from firmware_sims.eastron import EastronMeter
from firmware_sims.plantower import PMS5003
from firmware_sims.registers import RegisterUnit
from firmware_sims.ultrasonic import MaxBotixHRXL

NAMES: Final = ("stuck", "zero", "jump", "restart", "absent")
T = TypeVar("T")
Readings: TypeAlias = Mapping[str, float | None]
Source: TypeAlias = Callable[[float], Readings]
_NO_TARGET_M: Final = 9.0


def stuck(sense: Callable[[float], T]) -> Callable[[float], T]:
    """The first value, for ever."""
    first: list[T] = []

    def same(now_s: float) -> T:
        if not first:
            first.append(sense(now_s))
        return first[0]

    return same


def _sense(sense: Callable[[float], float], name: str, *, factor: float) -> Callable[[float], float]:
    if name == "stuck":
        return stuck(sense)
    return lambda now_s: {"zero": 0.0, "jump": factor * sense(now_s)}[name]


def _jumped(key: str, value: float | None) -> float | None:
    return value * 20 if value is not None and key.startswith(("power_active", "current")) else value


def _source(source: Source, name: str) -> Source:
    if name == "stuck":
        return stuck(source)
    if name == "restart":
        begin = stuck(source)

        def fresh(now_s: float) -> Readings:
            start = begin(now_s)
            return {
                key: value - (start[key] or 0.0) if value is not None and key.startswith("energy") else value
                for key, value in source(now_s).items()
            }

        return fresh
    change: Callable[[str, float | None], float | None] = {
        "zero": lambda _key, _value: 0.0,
        "absent": lambda _key, _value: None,
        "jump": _jumped,
    }[name]
    return lambda now_s: {key: change(key, value) for key, value in source(now_s).items()}


def afflict(device: Simulated, name: str, *, now_s: float) -> Callable[[], None]:
    """Give a device a quirk from now on; the result heals it.

    Raises:
        ValueError: there is no such quirk, or this device cannot have it.
    """
    unit = device.meter if isinstance(device, EastronMeter) else device
    if isinstance(unit, RegisterUnit) and name in NAMES:
        source = unit.source
        unit.source = _source(source, name)
        return lambda: setattr(unit, "source", source)
    if isinstance(device, PMS5003) and name == "restart":
        device.on_s = now_s
        return lambda: None
    if isinstance(device, PMS5003) and name in {"stuck", "zero", "jump"}:
        mass = device.pm2_5
        device.pm2_5 = _sense(mass, name, factor=20)
        return lambda: setattr(device, "pm2_5", mass)
    if isinstance(device, MaxBotixHRXL) and name in {"stuck", "zero", "jump", "absent"}:
        distance = device.distance_m
        nothing = (lambda _now_s: _NO_TARGET_M) if name == "absent" else None
        device.distance_m = nothing or _sense(distance, name, factor=1 / 3)
        return lambda: setattr(device, "distance_m", distance)
    raise ValueError(f"{device.name} cannot have the quirk {name!r}; quirks are {', '.join(NAMES)}")
