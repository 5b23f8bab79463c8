"""The driver of a Modbus device by its profile: a fixed register map, or SunSpec models found on the device."""

from __future__ import annotations

from collections.abc import Sequence

from drivers.device import Polled
from drivers.modbus.device import RegisterDevice
from drivers.modbus.master import Master
from drivers.modbus.plan import Cost
from drivers.modbus.sunspec_device import SunspecDevice
from drivers.profile import Profile

ONE_LANE = ("", "lane1", "ch1")


def polled(
    master: Master,
    profile: Profile,
    *,
    unit: int,
    parts: Sequence[str] = ONE_LANE,
    price: Cost | None = None,
    patience_s: float = 0.0,
) -> Polled:
    """What polls `unit` of `master`'s wire.

    `parts` are its lanes or channels, the whole sensor ("") first; `price` and `patience_s` as `RegisterDevice` says.

    Raises:
        ProfileError: the profile is no Modbus profile, or cannot be read within its own limits.
    """
    if profile.family == "sunspec":
        return SunspecDevice(master, profile, unit=unit, patience_s=patience_s)
    return RegisterDevice(master, profile, unit=unit, parts=parts, price=price, patience_s=patience_s)
