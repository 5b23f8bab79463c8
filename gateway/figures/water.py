"""Water figures in every record: stage, rate of rise, share of the bank's capacity. Rain: what fell, per hour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from gateway.figures.look import Look, told
from gateway.indicators import water
from gateway.reading import LENGTHS_S, Aggregate, Indicator

RISE_MS: Final = 3_600_000
RISE_STREAMS: Final = ("1m", "5m", "10m", "15m")
RISE_LEAST: Final = 3
OPTIONS: Final = ("sensor_height", "gauge_zero", "ground", "bank")


class Water:
    """Figures of one gauge. Stage is the median of the window, which waves and debris do not move.

    Options of the device (m): `sensor_height` of a downward-looking sensor over the gauge zero; `gauge_zero`,
    `ground` and `bank` above mean sea level for the share of the bank's capacity.
    """

    def __init__(self, look: Look, options: Mapping[str, float]) -> None:
        self._look = look
        self._options = options
        self._stages: dict[str, dict[int, float]] = {}

    def take(self, aggregate: Aggregate) -> Iterator[Indicator]:
        """The figures of this record, after noting it."""
        stage = self._stage(aggregate)
        if stage is not None:
            yield told("stage", stage, rule="median")
            yield from self._bank(stage)
            if aggregate.stream in RISE_STREAMS:
                yield from self._rise(aggregate, stage)
        fell = self._look.whole(aggregate, "rain_total", name="delta")
        if fell is not None:
            seconds = (aggregate.end_ms - aggregate.start_ms) / 1000
            yield told("rain_rate", fell * 3600 / seconds, rule="mm/h")

    def _stage(self, aggregate: Aggregate) -> float | None:
        level = self._look.whole(aggregate, "level", name="p50")
        if level is not None:
            return level
        distance = self._look.whole(aggregate, "distance", name="p50")
        height = self._options.get("sensor_height")
        return None if distance is None or height is None else water.stage(height, distance)

    def _bank(self, stage: float) -> Iterator[Indicator]:
        zero, ground, bank = (self._options.get(name) for name in OPTIONS[1:])
        if zero is not None and ground is not None and bank is not None and bank > ground:
            share = water.bank_percent(zero + stage, ground_m=ground, bank_m=bank)
            yield told("bank_percent", share, rule="ThaiWater", level=water.situation(share))

    def _rise(self, aggregate: Aggregate, stage: float) -> Iterator[Indicator]:
        """Slope over the medians of the last hour, from three of them on that span half an hour."""
        known = self._stages.setdefault(aggregate.stream, {})
        known[aggregate.start_ms] = stage
        for start in [start for start in known if start <= aggregate.start_ms - 2 * RISE_MS]:
            del known[start]
        times = sorted(start for start in known if aggregate.start_ms - RISE_MS < start <= aggregate.start_ms)
        step_ms = LENGTHS_S[aggregate.stream] * 1000
        if len(times) >= RISE_LEAST and times[-1] - times[0] + step_ms >= RISE_MS / 2:
            slope = water.rise_slope([t / 1000 for t in times], [known[t] for t in times])
            if slope is not None:
                yield told("rate_of_rise", slope, rule="least-squares m/h", span="1h")
