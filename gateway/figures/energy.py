"""Energy figures: block and sliding demand in `15m`; energy by tariff period, load factor, excess kvar in `1d`.

Option of the device: `tariff_tod` (1: the day's energy by the time-of-day tariff too).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import fsum
from typing import Final

from gateway.figures.look import NEEDED, Look, told
from gateway.indicators import energy, tariff
from gateway.reading import Aggregate, Indicator

REGISTERS: Final = ("energy_import", "energy_total")
MINUTE_MS: Final = 60_000
QUARTER_MS: Final = 900_000
DAY_MS: Final = 86_400_000


class Energy:
    """Figures of one meter.

    Demand comes with the aggregate, from register differences (gateway.window.derived); a meter without a register
    has the mean power instead, and the rule says so.
    """

    def __init__(self, look: Look, options: Mapping[str, float]) -> None:
        self._look = look
        self._tod = bool(options.get("tariff_tod"))
        self._register = look.first(REGISTERS)
        self._quarters: dict[int, tuple[float, float]] = {}
        self._kvar: dict[int, float] = {}
        self._minutes: dict[int, float] = {}

    def take(self, aggregate: Aggregate) -> Iterator[Indicator]:
        """The figures of this record, after noting it."""
        if aggregate.stream == "1m" and self._register is not None:
            self._minute(aggregate, self._register)
        if aggregate.stream == "15m":
            yield from self._demand(aggregate)
            yield from self._sliding(aggregate)
        if aggregate.stream == "1d":
            yield from self._day(aggregate)

    def _minute(self, aggregate: Aggregate, register: str) -> None:
        self._minutes.pop(aggregate.start_ms, None)
        kwh = self._look.stat(aggregate, register, name="delta")
        if kwh is not None:
            self._minutes[aggregate.start_ms] = kwh
        _forget(self._minutes, aggregate.start_ms - 4 * QUARTER_MS)

    def _sliding(self, aggregate: Aggregate) -> Iterator[Indicator]:
        """The largest demand of any 15 minutes that end in this block, advanced by one; none with a minute missing."""
        ends = range(aggregate.start_ms + MINUTE_MS, aggregate.end_ms + 1, MINUTE_MS)
        found = []
        for end in ends:
            kwh = [self._minutes.get(start) for start in range(end - QUARTER_MS, end, MINUTE_MS)]
            found.append(None if None in kwh else fsum(one for one in kwh if one is not None) * 4)
        whole = [kw for kw in found if kw is not None]
        if len(whole) == len(found):
            yield told("demand_sliding_kw", max(whole), rule="register-1min-steps", span="15m")

    def _demand(self, aggregate: Aggregate) -> Iterator[Indicator]:
        self._quarters.pop(aggregate.start_ms, None)
        self._kvar.pop(aggregate.start_ms, None)
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
        var = self._look.whole(aggregate, "power_reactive", name="mean")
        if var is not None:
            self._kvar[aggregate.start_ms] = var / 1000
        _forget(self._quarters, aggregate.start_ms - 2 * DAY_MS)
        _forget(self._kvar, aggregate.start_ms - 2 * DAY_MS)

    def _day(self, aggregate: Aggregate) -> Iterator[Indicator]:
        """Sums of the day's quarter-hours, where 75 % of them are known; energy never without those that are not."""
        quarters = {at: one for at, one in self._quarters.items() if aggregate.start_ms <= at < aggregate.end_ms}
        share = len(quarters) * QUARTER_MS / (aggregate.end_ms - aggregate.start_ms)
        if share < NEEDED:
            return
        used = fsum(kwh for kwh, _ in quarters.values())
        peak = max(kw for _, kw in quarters.values())
        starts = range(aggregate.start_ms, aggregate.end_ms, QUARTER_MS)
        unknown = [start for start in starts if start not in quarters]
        missing = self._missing(aggregate, unknown, used=used)
        if missing is not None:
            rule = "register" if unknown else "sum-of-15m"
            yield told("energy_day_kwh", used + missing, rule=rule, span="1d", coverage=share)
        yield told("demand_max_kw", peak, rule="block-15m", span="1d", coverage=share)
        if peak > 0:
            value = energy.load_factor(used, peak_kw=peak, hours=len(quarters) / 4)
            yield told("load_factor", value, rule="kWh/(kW-h)", span="1d", coverage=share)
        kvar = [one for at, one in self._kvar.items() if at in quarters]
        if len(kvar) >= NEEDED * len(quarters):
            excess, _charge = energy.power_factor_charge(peak, max(kvar))
            yield told("demand_max_kvar", max(kvar), rule="mean-15m", span="1d", coverage=share)
            yield told("excess_kvar", excess, rule="TH-PF-61.97%", span="1d", coverage=share)
        if missing is not None:
            known = {at: kwh for at, (kwh, _) in quarters.items()} | {at: missing / len(unknown) for at in unknown}
            yield from _periods(known, unknown, period=tariff.tou_period, rule="TH-TOU", coverage=share)
            if self._tod:
                yield from _periods(known, unknown, period=_tod, rule="TH-TOD", coverage=share)

    def _missing(self, aggregate: Aggregate, unknown: Sequence[int], *, used: float) -> float | None:
        """The energy of the quarters that are not known: what the register rose by over the day, less the others.

        None without it, and where an end of the day is among them: the register was not read there.
        """
        if not unknown:
            return 0.0
        if unknown[0] == aggregate.start_ms or unknown[-1] + QUARTER_MS == aggregate.end_ms:
            return None
        kwh = None if self._register is None else self._look.stat(aggregate, self._register, name="delta")
        return None if kwh is None or kwh < used else kwh - used


def _forget(known: dict[int, float] | dict[int, tuple[float, float]], before_ms: int) -> None:
    for start in [start for start in known if start < before_ms]:
        del known[start]


def _tod(when: datetime) -> str:
    return f"tod_{tariff.tod_period(when.astimezone(tariff.THAI_TIME).time())}"


def _periods(
    quarters: Mapping[int, float],
    shared: Sequence[int],
    *,
    period: Callable[[datetime], str | None],
    rule: str,
    coverage: float,
) -> Iterator[Indicator]:
    """Energy by period of a tariff; none where a quarter's period is not known.

    Of the `shared` quarters only the energy of all together is known: none either where they lie in two periods.
    """
    sums = {"on_peak": 0.0, "off_peak": 0.0} if rule == "TH-TOU" else {}
    if len({period(datetime.fromtimestamp(start / 1000, UTC)) for start in shared}) > 1:
        return
    for start, kwh in quarters.items():
        name = period(datetime.fromtimestamp(start / 1000, UTC))
        if name is None:
            return
        sums[name] = sums.get(name, 0.0) + kwh
    for name, kwh in sums.items():
        yield told(f"energy_{name}_kwh", kwh, rule=rule, span="1d", coverage=coverage)
