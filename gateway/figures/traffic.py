"""Traffic figures: flow, occupancy and density in every record, the peak-hour factor in `1h`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.figures.look import Look, told
from gateway.indicators import traffic
from gateway.reading import Aggregate, Indicator

QUARTER_MS: Final = 900_000
COUNTS: Final = (("vehicle_count", "sum"), ("vehicle_total", "delta"))


class Traffic:
    """Figures of one lane or detector. A rate is given only where 75 % of the window was covered."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._quarters: dict[int, float] = {}

    def take(self, aggregate: Aggregate) -> Iterator[Indicator]:
        """The figures of this record, after noting it."""
        count, coverage = self._count(aggregate)
        vehicles_h = None
        if count is not None:
            vehicles_h = traffic.flow(count, (aggregate.end_ms - aggregate.start_ms) / 1000)
            yield told("flow", vehicles_h, rule="veh/h", coverage=coverage)
        occupancy = self._look.whole(aggregate, "occupancy", name="mean")
        if occupancy is not None:
            yield told("occupancy", occupancy, rule="mean", coverage=self._look.coverage(aggregate, "occupancy"))
        space = next((one.value for one in aggregate.indicators if one.name == "speed_space_mean"), None)
        if vehicles_h is not None and space:
            cars = traffic.density(vehicles_h, speed_kmh=space)
            level = "ABCDEF".index(traffic.level_of_service(cars)) + 1
            yield told("density", cars, rule="HCM2000-freeway", level=level, coverage=coverage)
        yield from self._hour(aggregate, count)

    def _count(self, aggregate: Aggregate) -> tuple[float | None, float | None]:
        """Vehicles of the window, and the share of it that was covered; each event is one where nothing is counted."""
        for point, name in COUNTS:
            if self._look.has(point):
                count = self._look.whole(aggregate, point, name=name)
                return count, None if count is None else self._look.coverage(aggregate, point)
        events = self._look.series.every_ms is None and self._look.has("speed")
        return (float(aggregate.n), None) if events else (None, None)

    def _hour(self, aggregate: Aggregate, count: float | None) -> Iterator[Indicator]:
        if aggregate.stream == "15m" and count is not None:
            self._quarters[aggregate.start_ms] = count
            for start in [start for start in self._quarters if start < aggregate.start_ms - 8 * QUARTER_MS]:
                del self._quarters[start]
        if aggregate.stream == "1h":
            starts = range(aggregate.start_ms, aggregate.end_ms, QUARTER_MS)
            counts = [self._quarters[start] for start in starts if start in self._quarters]
            factor = traffic.peak_hour_factor(counts) if len(counts) == 4 else None
            if factor is not None:
                yield told("peak_hour_factor", factor, rule="V/4V15", span="1h")
