"""Energy figures: demand and power quality in `15m`, IEC values in `10m`, the day's energy and load factor in `1d`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from math import fsum, sqrt
from typing import Final

from gateway.figures.look import NEEDED, Look, told
from gateway.indicators import energy, tariff
from gateway.reading import Aggregate, Indicator

REGISTERS: Final = ("energy_import", "energy_total")
LINES: Final = ("voltage_l1_l2", "voltage_l2_l3", "voltage_l3_l1")
PHASES: Final = ("voltage_l1", "voltage_l2", "voltage_l3", "voltage")
QUARTER_MS: Final = 900_000
DAY_MS: Final = 86_400_000


class Energy:
    """Figures of one meter.

    Demand comes with the aggregate, from register differences (gateway.window.derived); a meter without a register
    has the mean power instead, and the rule says so.
    """

    def __init__(self, look: Look) -> None:
        self._look = look
        self._register = look.first(REGISTERS)
        self._quarters: dict[int, tuple[float, float]] = {}

    def take(self, aggregate: Aggregate) -> Iterator[Indicator]:
        """The figures of this record, after noting it."""
        if aggregate.stream == "15m":
            yield from self._demand(aggregate)
        if aggregate.stream in {"10m", "15m"}:
            yield from self._quality(aggregate)
        if aggregate.stream == "1d":
            yield from self._day(aggregate)

    def _demand(self, aggregate: Aggregate) -> Iterator[Indicator]:
        self._quarters.pop(aggregate.start_ms, None)
        kw = next((one.value for one in aggregate.indicators if one.name == "demand_kw"), None)
        kwh = None if self._register is None else self._look.stat(aggregate, self._register, name="delta")
        if self._register is None:
            watts = self._look.whole(aggregate, "power_active", name="mean")
            if watts is not None:
                kw, kwh = watts / 1000, watts / 4000
                coverage = self._look.coverage(aggregate, "power_active")
                yield told("demand_kw", kw, rule="mean-power", span="15m", coverage=coverage)
        if kw is not None and kwh is not None:
            self._quarters[aggregate.start_ms] = kwh, kw
        for start in [start for start in self._quarters if start < aggregate.start_ms - 2 * DAY_MS]:
            del self._quarters[start]

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
        quarters = {at: one for at, one in self._quarters.items() if aggregate.start_ms <= at < aggregate.end_ms}
        share = len(quarters) * QUARTER_MS / (aggregate.end_ms - aggregate.start_ms)
        if share < NEEDED:
            return
        used = fsum(kwh for kwh, _ in quarters.values())
        peak = max(kw for _, kw in quarters.values())
        yield told("energy_day_kwh", used, rule="sum-of-15m", span="1d", coverage=share)
        yield told("demand_max_kw", peak, rule="block-15m", span="1d", coverage=share)
        if peak > 0:
            value = energy.load_factor(used, peak_kw=peak, hours=len(quarters) / 4)
            yield told("load_factor", value, rule="kWh/(kW-h)", span="1d", coverage=share)
        periods = {start: tariff.tou_period(datetime.fromtimestamp(start / 1000, UTC)) for start in quarters}
        if None not in periods.values():
            for period in ("on_peak", "off_peak"):
                kwh = fsum(quarters[start][0] for start, one in periods.items() if one == period)
                yield told(f"energy_{period}_kwh", kwh, rule="TH-TOU", span="1d", coverage=share)
