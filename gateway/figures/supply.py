"""The supply in `10m` and `15m`: RMS voltages, unbalance, bands of voltage and frequency, power factor; shares in `1d`.

Options of the device: `voltage_nominal` (V of a phase; 230 where the readings are near it, else no band is told) and
`frequency_nominal` (Hz, 50).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import sqrt
from typing import Final

from gateway.figures.look import NEEDED, Look, told
from gateway.indicators import energy
from gateway.reading import Aggregate, Indicator

LINES: Final = ("voltage_l1_l2", "voltage_l2_l3", "voltage_l3_l1")
PHASES: Final = ("voltage_l1", "voltage_l2", "voltage_l3", "voltage")
NEAR: Final = (160.0, 300.0)  # V: a phase of a low-voltage supply
QUARTER_MS: Final = 900_000
DAY_MS: Final = 86_400_000


class Supply:
    """Power quality of one meter."""

    def __init__(self, look: Look, options: Mapping[str, float]) -> None:
        self._look = look
        self._options = options
        self._levels: dict[str, dict[int, int]] = {"voltage": {}, "frequency": {}}

    def take(self, aggregate: Aggregate) -> Iterator[Indicator]:
        """The figures of this record, after noting it."""
        if aggregate.stream in {"10m", "15m"}:
            yield from self._volts(aggregate)
            yield from self._frequency(aggregate)
            watts = self._look.whole(aggregate, "power_active", name="mean")
            apparent = self._look.whole(aggregate, "power_apparent", name="mean")
            if watts is not None and apparent:
                yield told("power_factor_total", watts / apparent, rule="sum-P/sum-S", span=aggregate.stream)
        if aggregate.stream == "1d":
            yield from self._day(aggregate)

    def _volts(self, aggregate: Aggregate) -> Iterator[Indicator]:
        span, phases = aggregate.stream, []
        for name in PHASES:
            volts = self._rms(aggregate, name)
            if volts is not None:
                phases.append(volts)
                yield told(name.replace("voltage", "voltage_rms"), volts, rule="IEC61000-4-30", span=span)
        nominal = self._options.get("voltage_nominal") or (
            230.0 if phases and all(NEAR[0] < volts < NEAR[1] for volts in phases) else None
        )
        if nominal is not None and phases:
            away = max((energy.deviation_pct(volts, nominal=nominal) for volts in phases), key=abs)
            yield self._banded(aggregate, "voltage", away, energy.VOLTAGE_BAND)
        u12, u23, u31 = (self._rms(aggregate, name) for name in LINES)
        if u12 is not None and u23 is not None and u31 is not None and u12 + u23 + u31 > 0:
            iec = energy.unbalance_iec_pct(u12, u23, u31=u31)
            yield told("voltage_unbalance", iec, rule="IEC61000-4-30", span=span)
            nema = energy.unbalance_nema_pct(u12, u23, u31=u31)
            yield told("voltage_unbalance_nema", nema, rule="NEMA-MG1", span=span)

    def _frequency(self, aggregate: Aggregate) -> Iterator[Indicator]:
        """The extreme that lies further from the nominal frequency."""
        if self._look.whole(aggregate, "frequency", name="mean") is None:
            return
        nominal = self._options.get("frequency_nominal", 50.0)
        ends = [self._look.stat(aggregate, "frequency", name=name) for name in ("min", "max")]
        aways = [energy.deviation_pct(hertz, nominal=nominal) for hertz in ends if hertz is not None]
        if aways:
            yield self._banded(aggregate, "frequency", max(aways, key=abs), energy.FREQUENCY_BAND)

    def _banded(self, aggregate: Aggregate, name: str, away_pct: float, band: energy.Band) -> Indicator:
        level = band.level(away_pct)
        if aggregate.stream == "15m":
            known = self._levels[name]
            known[aggregate.start_ms] = level
            for start in [start for start in known if start < aggregate.start_ms - 2 * DAY_MS]:
                del known[start]
        return told(f"{name}_deviation_pct", away_pct, rule=band.rule, level=level, span=aggregate.stream)

    def _day(self, aggregate: Aggregate) -> Iterator[Indicator]:
        """Shares of the day's quarter-hours within the usual limits, where 75 % of them are known."""
        for name, known in self._levels.items():
            levels = [level for at, level in known.items() if aggregate.start_ms <= at < aggregate.end_ms]
            share = len(levels) * QUARTER_MS / (aggregate.end_ms - aggregate.start_ms)
            if share >= NEEDED:
                inside = levels.count(1) / len(levels)
                yield told(f"{name}_in_band", inside, rule="EN50160", level=max(levels), span="1d", coverage=share)

    def _rms(self, aggregate: Aggregate, point: str) -> float | None:
        """Root of the mean square, from the mean and the deviation of the samples."""
        mean = self._look.whole(aggregate, point, name="mean")
        if mean is None:
            return None
        n = aggregate.counts[[p.name for p in self._look.series.points].index(point)]
        std = self._look.stat(aggregate, point, name="std") or 0.0
        return sqrt(mean * mean + std * std * (n - 1) / n)
