"""Traffic figures: flow, headway, gap, occupancy, density and class counts in every record, the peak hour in `1h`.

Options of the device: `vehicle_length` and `detector_length` (m) give a density from occupancy where no speed is known;
`pcu_motorcycle`, `pcu_short`, `pcu_medium`, `pcu_long` (by length) or `pcu_c1` ... (the detector's own classes) are
passenger car units.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from gateway.figures.detector import Detector
from gateway.figures.look import Look, told
from gateway.indicators import traffic
from gateway.reading import Aggregate, Indicator

QUARTER_MS: Final = 900_000
VEHICLE: Final = ("vehicle_class", "duration", "headway")
LENGTH_RULE: Final = "length-2.0/6.6/14.9m"
CLASSES: Final = tuple(f"c{number}" for number in range(1, 9))
COUNTS: Final = (("vehicle_count", "sum"), ("vehicle_total", "delta"))


class Traffic:
    """Figures of one lane or detector.

    A rate is given only where 75 % of the window was covered, and what was counted is divided by that time.
    """

    def __init__(self, look: Look, options: Mapping[str, float]) -> None:
        self._look = look
        self._options = options
        self._detector = Detector(look, options)
        self._quarters: dict[int, float] = {}
        self._empty_ms: dict[str, int] = {}  # by stream: since when no vehicle has passed

    def take(self, aggregate: Aggregate) -> Iterator[Indicator]:
        """The figures of this record, after noting it."""
        count, coverage = self._count(aggregate)
        vehicles_h = None
        if count is not None:
            vehicles_h = traffic.flow(count, self._seen_s(aggregate, "vehicle_count"))
            yield told("flow", vehicles_h, rule="veh/h", coverage=coverage)
        occupancy, rule = self._occupancy(aggregate)
        if occupancy is not None:
            share = self._look.coverage(aggregate, "occupancy") if rule == "mean" else coverage
            yield told("occupancy", occupancy, rule=rule, coverage=share)
        space = next((one.value for one in aggregate.indicators if one.name == "speed_space_mean"), None)
        if vehicles_h:
            yield from self._between(aggregate, vehicles_h, space)
        if self._empty(aggregate, vehicles_h, occupancy):
            yield told("density", 0.0, rule="HCM2000-freeway", level=1, coverage=coverage)
        elif vehicles_h is not None and space:
            cars = traffic.density(vehicles_h, speed_kmh=space)
            level = "ABCDEF".index(traffic.level_of_service(cars)) + 1
            yield told("density", cars, rule="HCM2000-freeway", level=level, coverage=coverage)
        elif occupancy is not None and {"vehicle_length", "detector_length"} <= self._options.keys():
            vehicle_m, detector_m = self._options["vehicle_length"], self._options["detector_length"]
            cars = traffic.occupancy_density(occupancy / 100, vehicle_m=vehicle_m, detector_m=detector_m)
            yield told("density", cars, rule="occupancy/(Lv+Ld)")
        yield from self._passenger_cars(aggregate)
        yield from self._hour(aggregate, vehicles_h)
        yield from self._detector.take(aggregate, count)

    def _seen_s(self, aggregate: Aggregate, *points: str) -> float:
        """For how long the first of `points` was counted, in s: each poll tells of one period; whole where none is."""
        length_ms, every_ms = aggregate.end_ms - aggregate.start_ms, self._look.series.every_ms
        point = self._look.first(points)
        if point is None or every_ms is None:
            return length_ms / 1000
        polled = min(1.0, self._look.counted(aggregate, point) * every_ms / length_ms)
        return length_ms / 1000 * max(polled, self._look.coverage(aggregate, point))

    def _empty(self, aggregate: Aggregate, vehicles_h: float | None, occupancy: float | None) -> bool:
        """Whether the lane of a detector of speeds is empty: none passed, and none covered it.

        A queue that stands passes none either: where no occupancy tells, only a quarter of an hour without one is
        believed.
        """
        if vehicles_h is None:
            return False
        if vehicles_h > 0:
            self._empty_ms.pop(aggregate.stream, None)
            return False
        since_ms = self._empty_ms.setdefault(aggregate.stream, aggregate.start_ms)
        if not self._look.has("speed"):
            return False
        if self._look.has("occupancy"):
            return occupancy == 0
        return aggregate.end_ms - since_ms >= QUARTER_MS

    def _occupancy(self, aggregate: Aggregate) -> tuple[float | None, str]:
        """In %: what the detector says, or of single vehicles the time that they covered it."""
        if self._look.has("occupancy"):
            return self._look.whole(aggregate, "occupancy", name="mean"), "mean"
        on_s = self._look.stat(aggregate, "duration", name="mean")
        if on_s is None or self._look.series.every_ms is not None:
            return None, ""
        share = on_s * self._look.counted(aggregate, "duration") * 1000 / (aggregate.end_ms - aggregate.start_ms)
        return min(100.0, 100.0 * share), "sum-of-on-times"

    def _between(self, aggregate: Aggregate, vehicles_h: float, space: float | None) -> Iterator[Indicator]:
        """Mean time from front to front, and from rear to front where lengths and speeds are known."""
        headway_s = 3600.0 / vehicles_h
        yield told("headway_mean", headway_s, rule="3600/flow")
        length_m = self._look.stat(aggregate, "length", name="mean")
        if length_m is not None and space:
            gap_s = traffic.mean_gap(headway_s, length_m=length_m, speed_kmh=space)
            if gap_s >= 0:
                yield told("gap_mean", gap_s, rule="headway-length/speed")

    def _passenger_cars(self, aggregate: Aggregate) -> Iterator[Indicator]:
        """Flow in passenger car units, from the length classes of single vehicles or the detector's class counts."""
        bins = {one.name.removeprefix("length_"): one.value for one in aggregate.indicators if one.rule == LENGTH_RULE}
        if bins and sum(bins.values()) < aggregate.n:
            yield told("length_unclassified", aggregate.n - sum(bins.values()), rule=LENGTH_RULE)
        units = {name: self._options[f"pcu_{name}"] for name in traffic.LENGTH_BINS if f"pcu_{name}" in self._options}
        names: list[str] = []
        rule = "PCU-site" if len(units) == len(traffic.LENGTH_BINS) else "PCU-example"
        units = {**traffic.PCU_EXAMPLE, **units}
        if not bins:
            names = [name for name in CLASSES if self._look.has(f"vehicle_count_{name}")]
            units = {name: self._options[f"pcu_{name}"] for name in names if f"pcu_{name}" in self._options}
            counts = {name: self._look.whole(aggregate, f"vehicle_count_{name}", name="sum") for name in names}
            bins = {name: count for name, count in counts.items() if count is not None}
            rule = "PCU-site"
            if not names or len(bins) < len(names) or len(units) < len(names):
                return
        cars = traffic.passenger_cars(bins, units)
        seen_s = self._seen_s(aggregate, *(f"vehicle_count_{name}" for name in names))
        yield told("pcu_flow", traffic.flow(cars, seen_s), rule=rule)

    def _count(self, aggregate: Aggregate) -> tuple[float | None, float | None]:
        """Vehicles of the window, and the share of it that was covered.

        Where nothing is counted, an event is one vehicle if it says what only a vehicle has: a radar that reports
        speeds reports the same vehicle several times.
        """
        for point, name in COUNTS:
            if self._look.has(point):
                count = self._look.whole(aggregate, point, name=name)
                return count, None if count is None else self._look.coverage(aggregate, point)
        events = self._look.series.every_ms is None and any(map(self._look.has, VEHICLE))
        return (float(aggregate.n), None) if events else (None, None)

    def _hour(self, aggregate: Aggregate, vehicles_h: float | None) -> Iterator[Indicator]:
        if aggregate.stream == "15m" and vehicles_h is not None:
            self._quarters[aggregate.start_ms] = vehicles_h / 4
            for start in [start for start in self._quarters if start < aggregate.start_ms - 8 * QUARTER_MS]:
                del self._quarters[start]
        if aggregate.stream == "1h":
            starts = range(aggregate.start_ms, aggregate.end_ms, QUARTER_MS)
            counts = [self._quarters[start] for start in starts if start in self._quarters]
            factor = traffic.peak_hour_factor(counts) if len(counts) == 4 else None
            if factor is not None:
                yield told("peak_hour_factor", factor, rule="V/4V15", span="1h")
