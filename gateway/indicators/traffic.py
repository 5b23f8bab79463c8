"""Traffic: flow, speeds, density, level of service, headways, and checks of detectors."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import fsum, log
from typing import Final

LOS_KM: Final = (7.0, 11.0, 16.0, 22.0, 28.0)  # passenger cars per km and lane, HCM 2000, upper limits inclusive
LOS_MILE: Final = (11.0, 18.0, 26.0, 35.0, 45.0)  # passenger cars per mile and lane
CHATTER: Final = 38  # vehicles in 30 s, MnDOT IRIS
LOCKED_S: Final = {"parking": 14 * 86_400, "exit": 1800, "merge": 1800, "queue": 1800, "passage": 1800}
NO_HITS_H: Final = {
    "mainline": 4, "velocity": 4, "exit": 8, "wrong-way": 8, "hov": 8, "queue": 12, "passage": 12, "merge": 12,
    "auxiliary": 24, "parking": 336,
}  # fmt: skip

LENGTH_LIMITS_M: Final = (2.0, 6.6, 14.9)
LENGTH_BINS: Final = ("motorcycle", "short", "medium", "long")
"""Four classes by vehicle length, lower limits inclusive (scheme of TRR 2339: 6.5, 21.5 and 49 ft)."""
PCU_EXAMPLE: Final[Mapping[str, float]] = {"motorcycle": 0.3, "short": 1.0, "medium": 1.75, "long": 2.5}
"""Passenger car units by `LENGTH_BINS`: common planning values. No official Thai table is known: give your own."""
PEMS_SAMPLES: Final = (1200, 50, 200)  # of 2040 samples of 30 s, 05:00-22:00: limits of the first three tests
PEMS_OCCUPANCY: Final = 35.0  # %
PEMS_ENTROPY: Final = 4.0
SPIKE_PCT: Final = 25.0
SPIKE_S: Final = 60.0


def flow(count: float, seconds: float) -> float:
    """Vehicles per hour."""
    return count * 3600.0 / seconds


def time_mean_speed(speeds: Sequence[float]) -> float | None:
    """Arithmetic mean of spot speeds, km/h. Standing or missing ones (not above 0) are left out; None: none left."""
    moving = [speed for speed in speeds if speed > 0]
    return fsum(moving) / len(moving) if moving else None


def space_mean_speed(speeds: Sequence[float], counts: Sequence[float] | None = None) -> float | None:
    """Harmonic mean of spot speeds in km/h, weighted by vehicle counts where given; flow = density x this."""
    weights = [1.0] * len(speeds) if counts is None else list(counts)
    pairs = [(speed, weight) for speed, weight in zip(speeds, weights, strict=True) if speed > 0 and weight > 0]
    if not pairs:
        return None
    return fsum(weight for _, weight in pairs) / fsum(weight / speed for speed, weight in pairs)


def density(vehicles_h: float, *, speed_kmh: float, lanes: int = 1) -> float:
    """Vehicles per km and lane from the flow and the space-mean speed."""
    return vehicles_h / speed_kmh / lanes


def occupancy_density(occupancy: float, *, vehicle_m: float, detector_m: float) -> float:
    """Vehicles per km from the share (0..1) of time that the detector was covered, and the two lengths in m."""
    return occupancy * 1000.0 / (vehicle_m + detector_m)


def level_of_service(cars: float, limits: Sequence[float] = LOS_KM) -> str:
    """A..F of a freeway by its density, upper limits inclusive: `LOS_KM` per km and lane, `LOS_MILE` per mile."""
    return "ABCDEF"[bisect_left(limits, cars)]


def peak_hour_factor(quarters: Sequence[float]) -> float | None:
    """Volume of the hour over four times its busiest quarter; None where nothing passed."""
    busiest = max(quarters)
    return fsum(quarters) / (4.0 * busiest) if busiest > 0 else None


def mean_headway(headways_s: Sequence[float]) -> tuple[float, float] | None:
    """Mean headway in s (front to front), and the flow in vehicles per hour that it means."""
    mean = fsum(headways_s) / len(headways_s) if headways_s else 0.0
    return (mean, 3600.0 / mean) if mean > 0 else None


def chatters(count_30s: float) -> bool:
    """A detector that counts 38 vehicles or more in 30 s chatters (MnDOT IRIS)."""
    return count_30s >= CHATTER


def locked_on(occupancy_pct: Sequence[float], *, sample_s: float = 30.0, lane: str = "mainline") -> bool:
    """Fully covered for 2 minutes without a break (ramps half an hour, parking two weeks; MnDOT IRIS)."""
    need, run = LOCKED_S.get(lane, 120), 0.0
    for sample in occupancy_pct:
        run = run + sample_s if sample >= 100.0 else 0.0
        if run >= need:
            return True
    return False


def no_hits(lane: str, *, hours: float) -> bool:
    """No vehicle for longer than is believable for this kind of lane (MnDOT IRIS; 72 h for kinds not named there)."""
    return hours >= NO_HITS_H.get(lane, 72)


def unchanged(occupancy_pct: float, *, hours: float) -> bool:
    """Covered by the same share, more than none, for a day: the detector does not see (MnDOT IRIS, "no change")."""
    return occupancy_pct > 0.0 and hours >= 24.0


def occupancy_spikes(occupancy_pct: Sequence[float], *, sample_s: float = 30.0) -> bool:
    """Jumps of 25 points and more between samples: a timer gains a sample with each and loses one without; over 60 s.

    MnDOT IRIS, "occ spike", for samples of `sample_s` seconds.
    """
    timer_s = 0.0
    for before, now in pairwise(occupancy_pct):
        timer_s = timer_s + sample_s if abs(now - before) >= SPIKE_PCT else max(0.0, timer_s - sample_s)
        if timer_s > SPIKE_S:
            return True
    return False


def pems_faults(occupancy_pct: Sequence[float], counts: Sequence[float], *, sample_s: float = 30.0) -> tuple[int, ...]:
    """Which tests (1 to 4) a detector's day fails, from its samples of 05:00 to 22:00 (Chen et al., TRR 1855, 2003).

    1: too many with no occupancy; 2: occupied, but nothing counted; 3: occupancy above 35 %; 4: entropy of occupancy
    (natural logarithm) below 4: stuck. The limits are for samples of 30 s; those of counts are scaled to `sample_s`.
    """
    pairs = list(zip(occupancy_pct, counts, strict=True))
    found = (
        sum(occupancy == 0.0 for occupancy, _ in pairs),
        sum(occupancy > 0.0 and count == 0.0 for occupancy, count in pairs),
        sum(occupancy > PEMS_OCCUPANCY for occupancy, _ in pairs),
    )
    failed = [
        test
        for test, (n, limit) in enumerate(zip(found, PEMS_SAMPLES, strict=True), start=1)
        if n > limit * 30.0 / sample_s
    ]
    return (*failed, 4) if entropy(occupancy_pct) < PEMS_ENTROPY else tuple(failed)


def entropy(values: Sequence[float]) -> float:
    """Entropy of the distribution of values, natural logarithm; 0 for none or one."""
    n = len(values)
    return -fsum(many / n * log(many / n) for many in Counter(values).values()) if n else 0.0


def length_bin(length_m: float) -> str:
    """The class of a vehicle by its length."""
    return LENGTH_BINS[bisect_right(LENGTH_LIMITS_M, length_m)]


def passenger_cars(counts: Mapping[str, float], units: Mapping[str, float]) -> float:
    """Passenger car units of vehicles counted by class.

    Raises:
        KeyError: a class for which the table has no unit.
    """
    return fsum(count * units[name] for name, count in counts.items())


def mean_gap(headway_s: float, *, length_m: float, speed_kmh: float) -> float:
    """Mean gap in s (rear to front) from the mean headway, vehicle length and speed; below 0 they contradict."""
    return headway_s - length_m / (speed_kmh / 3.6)
