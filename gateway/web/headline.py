"""Which points of a device stand on its tile, the leading one first; a table, by kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

LEAD_MAX: Final = 4
_LEAD: Final = {
    "air": ("pm2_5", "pm10", "o3", "no2", "so2", "co", "co2", "temperature", "humidity"),
    "traffic": ("speed", "vehicle_count", "occupancy", "vehicle_total", "headway"),
    "energy": ("power_active", "voltage_l1", "voltage", "power_factor", "frequency", "energy_import", "current_l1"),
    "water": ("level", "distance", "flow", "rain_total"),
    "weather": ("temperature", "humidity", "wind_speed", "wind_direction", "rain_total", "pressure"),
    "noise": ("noise_leq", "noise_lmax"),
}


def lead(kind: str, names: Sequence[str]) -> list[str]:
    """At most four of `names`: those of the kind's row that the device has, else its first points."""
    held = set(names)
    chosen = [name for name in _LEAD.get(kind, ()) if name in held]
    return (chosen or list(names))[:LEAD_MAX]
