"""Air figures of the `1h` record: Thai and US AQI, NowCast, 24 h means and their share of the WHO guideline."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from decimal import Decimal
from math import fsum
from typing import Final

from gateway.figures.look import Look, told
from gateway.indicators import air
from gateway.reading import Aggregate, Indicator

HOUR_MS: Final = 3_600_000
UNITS: Final = {"pm2_5": "ug/m3", "pm10": "ug/m3", "o3": "ppb", "no2": "ppb", "so2": "ppb", "co": "ppm"}
MASSES: Final = ("o3_mass", "no2_mass", "so2_mass")
NOWCAST_STEP: Final = {"pm2_5": "0.1", "pm10": "1"}


class Air:
    """Keeps the hourly means of a day, per pollutant of one series.

    An hour counts with 75 % of its polls, a span with 75 % of its hours; an average that falls short is left out,
    never given from the part that is there. A gas that is measured in ug/m3 is taken in ppb at 25 Cel and 1013.25 hPa.
    Option of the device: `aqi_th_2018` (1: the table of before 2023 too).
    """

    def __init__(self, look: Look, options: Mapping[str, float]) -> None:
        self._look = look
        self._scales = [(air.TH2023, "aqi_th"), (air.US2024, "aqi_us")]
        if options.get("aqi_th_2018"):
            self._scales.append((air.TH2018, "aqi_th_2018"))
        self._masses = {name.removesuffix("_mass"): name for name in MASSES if look.has(name)}
        self._pollutants = [p.name for p in look.series.points if UNITS.get(p.name) == p.unit]
        self._pollutants += [gas for gas in self._masses if gas not in self._pollutants]
        self._hours: dict[int, dict[str, float]] = {}

    def take(self, aggregate: Aggregate) -> Iterator[Indicator]:
        """The figures of this record, after noting it."""
        if aggregate.stream != "1h" or not self._pollutants:
            return
        self._note(aggregate)
        spans = {name: self._span(name, aggregate.end_ms, hours=air.SPAN_H[name]) for name in self._pollutants}
        for scale, name in self._scales:
            yield from self._index(scale, name, spans)
        for name in self._pollutants:
            if name in NOWCAST_STEP:
                yield from self._particles(name, aggregate.end_ms)

    def _note(self, aggregate: Aggregate) -> None:
        means = {name: self._mean(aggregate, name) for name in self._pollutants}
        self._hours[aggregate.start_ms] = {name: mean for name, mean in means.items() if mean is not None}
        for start in [start for start in self._hours if start <= aggregate.start_ms - 48 * HOUR_MS]:
            del self._hours[start]

    def _mean(self, aggregate: Aggregate, name: str) -> float | None:
        if self._look.has(name):
            return self._look.whole(aggregate, name, name="mean")
        mass = self._look.whole(aggregate, self._masses[name], name="mean")
        return None if mass is None else air.ppb(name, ug_m3=mass)

    def _last(self, pollutant: str, end_ms: int, *, hours: int) -> list[float | None]:
        """The last hourly means, latest first."""
        starts = range(end_ms - HOUR_MS, end_ms - (hours + 1) * HOUR_MS, -HOUR_MS)
        return [self._hours.get(start, {}).get(pollutant) for start in starts]

    def _span(self, pollutant: str, end_ms: int, *, hours: int) -> tuple[float | None, float]:
        """Mean of the span and its share of valid hours; no mean below 75 %."""
        given = [hour for hour in self._last(pollutant, end_ms, hours=hours) if hour is not None]
        mean = fsum(given) / len(given) if air.complete(len(given), hours) else None
        return mean, len(given) / hours

    def _index(self, scale: air.Scale, name: str, spans: dict[str, tuple[float | None, float]]) -> Iterator[Indicator]:
        """The index, and the sub-index of each pollutant where there are several."""
        values = {p: _in_unit(scale, p, mean) for p, (mean, _) in spans.items()}
        found = air.overall(scale, values)
        if found is None:
            return
        index, main = found
        yield self._told(name, index, scale=scale, pollutant=main, coverage=spans[main][1])
        if sum(value is not None for value in values.values()) > 1:
            for pollutant, value in values.items():
                sub = None if value is None else air.index(scale, pollutant, value=value)
                if sub is not None:
                    yield self._told(
                        f"{name}_{pollutant}", sub, scale=scale, pollutant=pollutant, coverage=spans[pollutant][1]
                    )

    def _told(self, name: str, index: air.Index, *, scale: air.Scale, pollutant: str, coverage: float) -> Indicator:
        span = f"{air.SPAN_H[pollutant]}h"
        return told(name, index.value, rule=scale.rule, level=index.level, span=span, coverage=coverage)

    def _particles(self, name: str, end_ms: int) -> Iterator[Indicator]:
        hours = self._last(name, end_ms, hours=12)
        now = air.nowcast(hours, step=NOWCAST_STEP[name])
        if now is not None:
            share = sum(hour is not None for hour in hours) / 12
            yield told(f"nowcast_{name}", float(now), rule="EPA-NowCast", span="12h", coverage=share)
        mean, share = self._span(name, end_ms, hours=24)
        if mean is not None:
            yield told(f"mean_24h_{name}", mean, rule="mean-of-hours", span="24h", coverage=share)
            steps = air.WHO_24H[name]
            level = bisect_left(steps, mean) + 1
            yield told(f"who_{name}", mean / steps[0], rule="WHO2021", level=level, span="24h", coverage=share)


def _in_unit(scale: air.Scale, pollutant: str, mean: float | None) -> Decimal | None:
    """The mean in the unit of the scale: the US table has ozone in ppm."""
    if mean is None:
        return None
    value = air.decimal(mean)
    return value / 1000 if scale is air.US2024 and pollutant == "o3" else value
