"""The options of a device: numbers in `[device.ID] options` that set thresholds or tell a figure what it cannot know.

One table for the check, for quality and for docs/figures.md. A name that is not here is a fault: a threshold that is
misspelled would never be kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from gateway.indicators.traffic import LENGTH_BINS

THRESHOLDS: Final[Mapping[str, str]] = {
    "low": "lowest plausible value, in place of the profile's; below it a value is `b:range`",
    "high": "highest plausible value, in place of the profile's; above it a value is `b:range`",
    "stuck_s": "unchanged for longer than this, in s, is `u:stuck`",
    "jump_per_s": "a change faster than this, in units per s, is `u:jump`",
    "spike": "further than this from the median of the last five is `u:jump`",
}
"""Suffixes of `<point>_...`, for each point of the device."""
OPTIONS: Final[Mapping[str, str]] = {
    "warmup_s": "s after it was switched on in which values are `u:warmup`, in place of the profile's",
    "power_share": "V x I x PF and W of a phase may differ by this share of V x I before they are `u:suspect`",
    "total_share": "a total and the sum of its phases may differ by this share before they are `u:suspect`",
    "rated_kw": "the largest power that the meter's circuit can carry, in kW: a register that rises faster has jumped",
    "sensor_height": "m of a sensor that looks down, over the gauge zero",
    "gauge_zero": "m above mean sea level of the gauge zero",
    "ground": "m above mean sea level of the channel's ground",
    "bank": "m above mean sea level of the lowest bank",
    "voltage_nominal": "V of a phase, for the band of EN 50160; 230 where the readings are near it",
    "frequency_nominal": "Hz, for the band of EN 50160; 50",
    "tariff_tod": "1: the day's energy by the periods of the time-of-day tariff too",
    "aqi_th_2018": "1: the Thai index by the table of before 2023 too",
    "barkjohn": "2021 or 2022: PM2.5 by that correction of CF=1 readings, beside the raw value",
    "kappa": "PM2.5 without the water of humid particles beside the raw value; about 0.4 in cities",
    "no_hits_h": "hours without a vehicle that are believed of a detector; 4",
    "vehicle_length": "m of a typical vehicle, for the density of a detector that knows no speed",
    "detector_length": "m of the detection zone, for the same",
    **{f"pcu_{name}": "passenger car units of a vehicle of this length class" for name in LENGTH_BINS},
    **{f"pcu_c{number}": f"passenger car units of the detector's class {number}" for number in range(1, 9)},
    "demand_limit_kw": "the 15-minute demand that was agreed on, in kW, for charts",
}


def names(points: Iterable[str]) -> frozenset[str]:
    """All options that a device with these points may have."""
    return frozenset(OPTIONS) | {f"{point}_{suffix}" for point in points for suffix in THRESHOLDS}
