"""Quirks of a sensor itself: its frames are whole and correct, what they say is not what it should see.

| quirk | air | meters | level |
|---|---|---|---|
| stuck | the same mass for ever | every register stands still | the same distance |
| zero | a fan that stopped: all zero | no mains: all zero | distance 0 (the sensor then says its minimum) |
| jump | twenty times as much | twenty times as much power and current | a third of the distance |
| restart | warm-up frames | energy counters begin at 0 again (a new meter) | - |
| absent | - | every value "not available" | no target |
| rollover | - | energy counters come round at 2^16 of the meter's unit | - |
| swapped | - | the words of each value change places (a firmware with another order) | - |
| shifted | - | every register one higher (numbers counted from 1) | - |
| invalid | - | the largest number that each type can hold, NaN for floats | - |

Every other serial sensor can be `stuck`: its time stands still, so that it says the same for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias, TypeVar

from firmware_sims.device import Simulated
from firmware_sims.plantower import PMS5003
from firmware_sims.registers import Cell, RegisterUnit
from firmware_sims.streams import Stream
from firmware_sims.ultrasonic import MaxBotixHRXL

NAMES: Final = ("stuck", "zero", "jump", "restart", "absent", "rollover", "swapped", "shifted", "invalid")
_MAPS: Final = ("swapped", "shifted", "invalid")
_ROUND_KWH: Final = 65_536.0
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
    if name == "rollover":
        return lambda now_s: {
            key: value % _ROUND_KWH if value is not None and key.startswith("energy") else value
            for key, value in source(now_s).items()
        }
    change: Callable[[str, float | None], float | None] = {
        "zero": lambda _key, _value: 0.0,
        "absent": lambda _key, _value: None,
        "jump": _jumped,
    }[name]
    return lambda now_s: {key: change(key, value) for key, value in source(now_s).items()}


def _map(cells: Sequence[Cell], name: str) -> list[Cell]:
    """The register map after a change that nobody announced; what it serves is no truth of any point."""
    if name == "shifted":
        return [replace(cell, address=cell.address + 1, truth=False) for cell in cells]
    if name == "swapped":
        return [replace(cell, low_first=not cell.low_first, truth=False) for cell in cells]
    return [replace(cell, key="", absent=_largest(cell), truth=False) for cell in cells]


def _largest(cell: Cell) -> bytes:
    """Wire bytes of the type's largest number; those of a quiet NaN for floats."""
    size = 2 * cell.count
    if cell.type.startswith("f"):
        return b""
    return (b"\xff" if cell.type.startswith("u") else b"\x7f") + b"\xff" * (size - 1)


def _bare(device: Simulated) -> Simulated:
    """The unit itself, without the envelopes that a meter or a bench puts around it."""
    for name in ("unit", "meter", "measured"):
        inner = getattr(device, name, None)
        if isinstance(inner, Simulated):
            return _bare(inner)
    return device


def afflict(device: Simulated, name: str, *, now_s: float) -> Callable[[], None]:
    """Give a device a quirk from now on; the result heals it.

    Raises:
        ValueError: there is no such quirk, or this device cannot have it.
    """
    unit = _bare(device)
    if isinstance(unit, RegisterUnit) and name in _MAPS:
        cells = unit.cells
        unit.cells = _map(cells, name)
        return lambda: setattr(unit, "cells", cells)
    if isinstance(unit, Stream) and name == "stuck":
        unit.frozen_s = now_s
        return lambda: setattr(unit, "frozen_s", None)
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


def impose(device: Simulated, values: Readings) -> Callable[[], None]:
    """Let a device see `values` (by point) from now on; the result heals it.

    Raises:
        ValueError: it does not measure one of them.
    """
    unit = _bare(device)
    if isinstance(unit, RegisterUnit) and set(values) <= {cell.key for cell in unit.cells}:
        source = unit.source
        unit.source = lambda now_s: {**source(now_s), **values}
        return lambda: setattr(unit, "source", source)
    for kind, attribute, point in ((PMS5003, "pm2_5", "pm2_5"), (MaxBotixHRXL, "distance_m", "distance")):
        value = values.get(point)
        if isinstance(device, kind) and set(values) == {point} and value is not None:
            before = getattr(device, attribute)
            setattr(device, attribute, _constant(value))
            return lambda: setattr(device, attribute, before)
    raise ValueError(f"{device.name} cannot be told to see {', '.join(sorted(values))}")


def _constant(value: float) -> Callable[[float], float]:
    return lambda _now_s: value
