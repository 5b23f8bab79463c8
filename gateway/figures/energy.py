"""Energy figures: demand and power quality in `15m`, IEC values in `10m`, the day's energy and load factor in `1d`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from math import fsum, sqrt
from typing import Final

from gateway.figures.look import Look, told
from gateway.indicators import energy, tariff
from gateway.reading import LENGTHS_S, Aggregate, Indicator

REGISTERS: Final = ("energy_import", "energy_total")
LINES: Final = ("voltage_l1_l2", "voltage_l2_l3", "voltage_l3_l1")
PHASES: Final = ("voltage_l1", "voltage_l2", "voltage_l3", "voltage")
DAY_MS: Final = 86_400_000
NEEDED: Final = 0.75


class Energy:
    """Figures of one meter. Demand comes from register differences between the ends of adjoining records, never from
    sampled power; without a register it is the mean power, and its rule says so.
    """

    def __init__(self, look: Look) -> None:
        self._look = look
        self._register = look.first(REGISTERS)
        self._ends: dict[str, tuple[int, float]] = {}
        self._quarters: dict[int, float] = {}

    def take(self, aggregate: Aggregate) -> Iterator[Indicator]:
        """The figures of this record, after noting it."""
        if aggregate.stream == "15m":
            yield from self._demand(aggregate)
        if aggregate.stream in {"10m", "15m"}:
            yield from self._quality(aggregate)
        if aggregate.stream == "1d":
            yield from self._day(aggregate)

    def _demand(self, aggregate: Aggregate) -> Iterator[Indicator]:
        hours = LENGTHS_S[aggregate.stream] / 3600
        kwh, rule = self._used(aggregate), "register"
        if self._register is None:
            watts = self._look.whole(aggregate, "power_active", name="mean")
            kwh, rule = (None, "") if watts is None else (watts / 1000 * hours, "mean-power")
        if kwh is None:
            return
        self._quarters[aggregate.start_ms] = kwh
        for start in [start for start in self._quarters if start < aggregate.start_ms - 2 * DAY_MS]:
            del self._quarters[start]
        coverage = self._look.coverage(aggregate, self._register or "power_active")
        yield told("demand_kw", kwh / hours, rule=rule, span="15m", coverage=coverage)

    def _used(self, aggregate: Aggregate) -> float | None:
        """Energy from the end of the record before to the end of this one; None where the one before is missing."""
        if self._register is None:
            return None
        before = self._ends.get(aggregate.stream)
        last = self._look.whole(aggregate, self._register, name="last")
        delta = self._look.stat(aggregate, self._register, name="delta")
        if last is not None:
            self._ends[aggregate.stream] = aggregate.end_ms, last
        adjoins = before is not None and before[0] in {aggregate.start_ms, aggregate.end_ms}
        return delta if adjoins and last is not None else None

    def _quality(self, aggregate: Aggregate) -> Iterator[Indicator]:
        look, span = self._look, aggregate.stream
        for name in PHASES:
            volts = self._rms(aggregate, name)
            if volts is not None:
                yield told(name.replace("voltage", "voltage_rms"), volts, rule="IEC61000-4-30", span=span)
        u12, u23, u31 = (self._rms(aggregate, name) for name in LINES)
        if u12 is not None and u23 is not None and u31 is not None and u12 + u23 + u31 > 0:
            iec = energy.unbalance_iec_pct(u12, u23, u31=u31)
            yield told("voltage_unbalance", iec, rule="IEC61000-4-30", span=span)
            nema = energy.unbalance_nema_pct(u12, u23, u31=u31)
            yield told("voltage_unbalance_nema", nema, rule="NEMA-MG1", span=span)
        watts = look.whole(aggregate, "power_active", name="mean")
        apparent = look.whole(aggregate, "power_apparent", name="mean")
        if watts is not None and apparent:
            yield told("power_factor_total", watts / apparent, rule="sum-P/sum-S", span=span)

    def _rms(self, aggregate: Aggregate, point: str) -> float | None:
        """Root of the mean square, from the mean and the deviation of the samples."""
        mean = self._look.whole(aggregate, point, name="mean")
        if mean is None:
            return None
        n = aggregate.counts[[p.name for p in self._look.series.points].index(point)]
        std = self._look.stat(aggregate, point, name="std") or 0.0
        return sqrt(mean * mean + std * std * (n - 1) / n)

    def _day(self, aggregate: Aggregate) -> Iterator[Indicator]:
        """Sums of the day's quarter-hours, where 75 % of them are known."""
        quarters = {
            start: kwh for start, kwh in self._quarters.items() if aggregate.start_ms <= start < aggregate.end_ms
        }
        hours = (aggregate.end_ms - aggregate.start_ms) / 3_600_000
        share = len(quarters) / (hours * 4)
        if share < NEEDED:
            return
        used = fsum(quarters.values())
        peak = max(quarters.values()) * 4
        yield told("energy_day_kwh", used, rule="sum-of-15m", span="1d", coverage=share)
        yield told("demand_max_kw", peak, rule="block-15m", span="1d", coverage=share)
        if peak > 0:
            value = energy.load_factor(used, peak_kw=peak, hours=len(quarters) / 4)
            yield told("load_factor", value, rule="kWh/(kW-h)", span="1d", coverage=share)
        periods = {start: tariff.tou_period(datetime.fromtimestamp(start / 1000, UTC)) for start in quarters}
        if None not in periods.values():
            for period in ("on_peak", "off_peak"):
                kwh = fsum(quarters[start] for start, one in periods.items() if one == period)
                yield told(f"energy_{period}_kwh", kwh, rule="TH-TOU", span="1d", coverage=share)
