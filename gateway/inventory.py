"""Config to series: which outside devices exist, with which points, and what is told about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from drivers.profile import Profile, load
from gateway.calibration import MORE_DIGITS, told
from gateway.config import Config, Device
from gateway.config.duration import seconds
from gateway.reading import Series


@dataclass(frozen=True, slots=True)
class Item:
    """One configured device: its config, profile, period (s; 0 for event streams) and series by part."""

    id: str
    config: Device
    profile: Profile
    every_s: float
    series: Mapping[str, Series]


def inventory(config: Config, *, profiles_dir: Path | None = None) -> tuple[Item, ...]:
    """All configured devices in the order of the config.

    Raises:
        ProfileError: a profile is unknown or faulty (`check` says so before anything starts).
    """
    return tuple(_item(name, device, profiles_dir) for name, device in config.device.items())


def personal_ids(items: Iterable[Item]) -> frozenset[str]:
    """The ids of all devices with data of people, and of their series."""
    found = [(item.id, *(series.id for series in item.series.values())) for item in items if item.config.personal]
    return frozenset(ident for idents in found for ident in idents)


def _item(name: str, device: Device, profiles_dir: Path | None) -> Item:
    profile = load(device.profile, profiles_dir)
    every_s = profile.every_s
    if device.every is not None and profile.every_s:
        every_s = seconds(device.every)
    every_ms = round(every_s * 1000) or None
    kind = device.kind or profile.kind
    series = {}
    for part in _parts(device, profile):
        points = tuple(
            replace(point, digits=point.digits + MORE_DIGITS) if point.name in device.calibration else point
            for point in profile.points(part)
        )
        ident = f"{name}-{part}" if part else name
        series[part] = Series(ident, name, kind, points, every_ms, part, profile.id)
    return Item(name, device, profile, every_s, series)


def _parts(device: Device, profile: Profile) -> tuple[str, ...]:
    """The whole sensor where it has points of its own, then the declared lanes and channels."""
    whole = ("",) if profile.rows_of("") else ()
    lanes = tuple(f"lane{number}" for number in device.lanes) if profile.rows_of("lane1") else ()
    channels = tuple(f"ch{number}" for number in device.channels) if profile.rows_of("ch1") else ()
    return whole + lanes + channels


def _limits(device: Device) -> dict[str, dict[str, float]]:
    """Contractual limits by point, in the point's unit: option `demand_limit_kw` is the 15-minute demand agreed on."""
    limit_kw = device.options.get("demand_limit_kw")
    return {} if limit_kw is None else {"power_active": {"demand": limit_kw * 1000}}


def described(items: tuple[Item, ...]) -> dict[str, dict[str, Any]]:
    """What `{device}/meta` tells beside the series: name, location, serial, profile version, lane, personal."""
    found: dict[str, dict[str, Any]] = {}
    for item in items:
        for part, series in item.series.items():
            facts: dict[str, Any] = {
                "name": item.config.name,
                "location": msgspec.to_builtins(item.config.location),
                "serial": item.config.serial,
                "profile_version": item.profile.version,
                "limits": _limits(item.config),
            }
            if item.config.personal:
                facts["personal"] = True
            if item.config.calibration:
                facts["calibration"] = told(item.config.calibration)
            if part.startswith("lane"):
                number = part.removeprefix("lane")
                facts["lane"] = {"n": int(number), "name": item.config.lanes.get(number, {})}
            found[series.id] = facts
    return found
