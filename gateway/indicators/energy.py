"""Energy: register differences, demand, power factor charge, load factor, voltage unbalance, RMS aggregation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from math import fsum, sqrt
from typing import Final

NEAR_TOP: Final = Decimal("0.9")  # of the modulus: a fall from above may be a rollover
SLACK: Final = Decimal("1.2")  # more than the rated power is possible for a while
KVAR_SHARE: Final = Decimal("0.6197")  # of the kW: free of charge (about power factor 0.85)
THB_PER_KVAR: Final = Decimal("56.07")  # MEA and PEA schedules 3-5; rates change, so callers may give their own


@dataclass(frozen=True, slots=True)
class Register:
    """A running register: `modulus` is one more than its largest value; `serial` tells meters apart.

    `limit` is the largest plausible difference (rated power x time), in the register's unit, before slack.
    """

    modulus: Decimal
    limit: Decimal | None = None


def register_delta(
    before: Decimal, now: Decimal, *, register: Register, swapped: bool = False
) -> tuple[Decimal | None, str | None]:
    """The difference of two readings of a register, and what happened: None, rollover, reset or meter_swap.

    A fall is a rollover only if it began above 90 % of the modulus and the difference is plausible (1.2 x the limit,
    where one is given); otherwise the register was reset, and the difference is unknown (None), never negative.
    """
    if swapped:
        return None, "meter_swap"
    if now >= before:
        return now - before, None
    around = register.modulus - before + now
    plausible = register.limit is None or around <= SLACK * register.limit
    if before > NEAR_TOP * register.modulus and plausible:
        return around, "rollover"
    return None, "reset"


def block_demand_kw(kwh: Sequence[float], *, per_block: int = 15) -> list[float]:
    """Mean power of each whole block, from a register read at even steps (n + 1 readings make n steps).

    `per_block` steps of a minute: 15 for the billing demand, clock-aligned. kW = kWh in the block x 60 / minutes.
    """
    rate = 60 / per_block
    return [(kwh[k + per_block] - kwh[k]) * rate for k in range(0, len(kwh) - per_block, per_block)]


def sliding_demand_kw(kwh: Sequence[float], *, per_block: int = 15) -> float | None:
    """The largest mean power over any `per_block` minutes, advanced by one; None where there are fewer readings."""
    rate = 60 / per_block
    return (
        max((kwh[k + per_block] - kwh[k]) * rate for k in range(len(kwh) - per_block)) if len(kwh) > per_block else None
    )


def power_factor_charge(max_kw: float, max_kvar: float, *, thb_per_kvar: Decimal = THB_PER_KVAR) -> tuple[int, Decimal]:
    """Whole kvar above 61.97 % of the highest 15-minute kW, and the month's charge in THB (MEA schedules 4 and 5).

    A fraction below 0.5 is dropped, 0.5 and more counts as one.
    """
    excess = max(Decimal(0), Decimal(str(max_kvar)) - KVAR_SHARE * Decimal(str(max_kw)))
    whole = int(excess.quantize(Decimal(1), rounding=ROUND_HALF_UP))
    return whole, whole * thb_per_kvar


def load_factor(kwh: float, *, peak_kw: float, hours: float) -> float:
    """Energy used, as a share (0..1) of the peak power over the real hours of the period."""
    return kwh / (peak_kw * hours)


def unbalance_iec_pct(u12: float, u23: float, *, u31: float) -> float:
    """Negative over positive sequence voltage in %, from the three line voltages (IEC 61000-4-30).

    Not defined on phase voltages.
    """
    squares = u12**2, u23**2, u31**2
    beta = fsum(square**2 for square in squares) / fsum(squares) ** 2
    root = sqrt(max(0.0, 3.0 - 6.0 * beta))
    return 100.0 * sqrt(max(0.0, (1.0 - root) / (1.0 + root)))


def unbalance_nema_pct(u12: float, u23: float, *, u31: float) -> float:
    """Largest deviation of a line voltage from their mean, in % of it (NEMA MG 1): another number than IEC's."""
    lines = (u12, u23, u31)
    mean = fsum(lines) / 3
    return 100.0 * max(abs(line - mean) for line in lines) / mean


def rms(values: Sequence[float]) -> float:
    """Square root of the mean of the squares: how voltages, currents and unbalance aggregate (IEC 61000-4-30)."""
    return sqrt(fsum(value * value for value in values) / len(values))


def forecast_demand_kw(kwh: float, *, kw: float, into_s: float, block_s: float = 900.0) -> float:
    """The demand at which the running block ends if the present power stays: (kWh so far + kW x rest) / length.

    `kwh` is what the block used so far, `into_s` the time that has passed of its `block_s`.
    """
    return (kwh + kw * (block_s - into_s) / 3600.0) * 3600.0 / block_s


@dataclass(frozen=True, slots=True)
class Band:
    """Limits around a nominal value, in % of it: `usual` for nearly all of the time, `always` for all of it."""

    rule: str
    usual: tuple[float, float]
    always: tuple[float, float]

    def level(self, deviation_pct: float) -> int:
        """1 within the usual limits, 2 within those for all of the time, 3 outside of both."""
        if self.usual[0] <= deviation_pct <= self.usual[1]:
            return 1
        return 2 if self.always[0] <= deviation_pct <= self.always[1] else 3


VOLTAGE_BAND: Final = Band("EN50160", (-10.0, 10.0), (-15.0, 10.0))
"""10-minute RMS values: 95 % of a week, and always."""
FREQUENCY_BAND: Final = Band("EN50160", (-1.0, 1.0), (-6.0, 4.0))
"""10-second values: 99.5 % of a year, and always."""


def deviation_pct(value: float, *, nominal: float) -> float:
    """How far a value lies from the nominal one, in % of that."""
    return 100.0 * (value - nominal) / nominal
