"""Quirks of a sensor itself: its frames are whole and correct, what they say is not what it should see.

| quirk | air | meters | level |
|---|---|---|---|
| stuck | the same mass for ever | every register stands still | the same distance |
| zero | a fan that stopped: all zero | no mains: all zero | distance 0 (the sensor then says its minimum) |
| jump | twenty times as much | twenty times as much power and current | a third of the distance |
| wild | numbers no air can have | - | - |
| restart | warm-up frames | energy counters begin at 0 again (a new meter) | - |
| absent | - | every value "not available" | no target |
| rollover | - | energy counters come round at 2^16 of the meter's unit | - |

Register maps have more of them: odd_registers.py. Every other serial sensor can be `stuck`: its time stands still, so
that it says the same for ever. One that talks by itself can be `drowsy` (a frame in half an hour: its duty cycle) or
`tenfold` (ten times as many frames). Quirks of one protocol (`OWN`) stand beside its model, as its `quirks`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, TypeVar

from firmware_sims.device import Simulated
from firmware_sims.odd_registers import NAMES as MAPS
from firmware_sims.odd_registers import change
from firmware_sims.omnipresense import OPS243
from firmware_sims.plantower import PMS5003
from firmware_sims.registers import RegisterUnit
from firmware_sims.streams import Stream
from firmware_sims.ultrasonic import MaxBotixHRXL, Pinger
from firmware_sims.wavetronix import SS125

_SENSED: Final = ("stuck", "zero", "jump", "wild", "restart", "absent", "rollover")
_PACES: Final[dict[str, Callable[[float], float]]] = {
    "drowsy": lambda _period_s: 1800.0,
    "tenfold": lambda period_s: period_s / 10,
}
OWN: Final = (
    "asleep", "bcc_control", "buffered", "chatty", "clock_wrong", "crc_short", "dst", "mode_a", "negative_speed",
    "no_crc", "no_new_data", "no_speed", "not_measuring", "occupancy_error", "odd_values", "quoted", "stuffed",
)  # fmt: skip
NAMES: Final = (*_SENSED, *MAPS, *_PACES, *OWN)
_YEAR_2000_S: Final = 946_684_800.0  # a clock whose battery is dead
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
    return lambda now_s: {"zero": 0.0, "wild": 1e6, "jump": factor * sense(now_s)}[name]


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
    cure = _of_registers(unit, name) or _of_a_stream(unit, name, now_s=now_s) or _of_a_sense(device, name, now_s=now_s)
    if cure is None:
        raise ValueError(f"{device.name} cannot have the quirk {name!r}; quirks are {', '.join(NAMES)}")
    return cure


Cure: TypeAlias = Callable[[], None]


def _of_registers(unit: Simulated, name: str) -> Cure | None:
    if not isinstance(unit, RegisterUnit):
        return None
    if name.startswith("scale_") and not unit.name.startswith("sunspec"):
        return None
    if name in MAPS:
        return change(unit, name)
    if name not in _SENSED or name == "wild":
        return None
    source = unit.source
    unit.source = _source(source, name)
    return lambda: setattr(unit, "source", source)


def _of_a_stream(unit: Simulated, name: str, *, now_s: float) -> Cure | None:
    """Quirks of a protocol, of a pace, and the time that stands still."""
    if isinstance(unit, Stream | SS125 | OPS243) and name in unit.quirks:
        clock = "clock_s" if isinstance(unit, SS125) else "ahead_s"
        unit.odd.add(name)
        if name == "clock_wrong":
            setattr(unit, clock, _YEAR_2000_S - now_s)

        def heal() -> None:
            unit.odd.discard(name)
            if name == "clock_wrong":
                setattr(unit, clock, 0.0)

        return heal
    if isinstance(unit, Stream | PMS5003 | Pinger) and name in _PACES:
        period_s = unit.period_s
        unit.period_s, unit.due_s = _PACES[name](period_s), now_s
        return lambda: setattr(unit, "period_s", period_s)
    if isinstance(unit, Stream) and name == "stuck":
        unit.frozen_s = now_s
        return lambda: setattr(unit, "frozen_s", None)
    return None


def _of_a_sense(device: Simulated, name: str, *, now_s: float) -> Cure | None:
    if isinstance(device, PMS5003) and name == "restart":
        device.on_s = now_s
        return lambda: None
    if isinstance(device, PMS5003) and name in {"stuck", "zero", "jump", "wild"}:
        mass = device.pm2_5
        device.pm2_5 = _sense(mass, name, factor=20)
        return lambda: setattr(device, "pm2_5", mass)
    if isinstance(device, MaxBotixHRXL) and name in {"stuck", "zero", "jump", "absent"}:
        distance = device.distance_m
        nothing = (lambda _now_s: _NO_TARGET_M) if name == "absent" else None
        device.distance_m = nothing or _sense(distance, name, factor=1 / 3)
        return lambda: setattr(device, "distance_m", distance)
    return None


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
