"""Running registers: what a fall and a leap mean.

A rollover at a known modulus goes on counting; any other fall is a reset, and a rise faster than the register can go up
(gateway.rises) a meter that was replaced or set: the difference is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from drivers.points import Point
from drivers.profile import Profile, where
from gateway.rises import LAG_S, SLACK, fastest

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
NEAR_TOP: Final = 0.9  # of the modulus
BITS: Final = {"u16": 16, "u32": 32}
RATED: Final = "rated_kw"
"""Key beside the points' moduli: the largest power of the circuit, in kW (the device's option)."""


@dataclass(frozen=True, slots=True)
class Registers:
    """The counters of a series.

    `modulus` is one more than the largest value, in the point's unit; `per_s` the fastest rise (NaN: not known).
    """

    modulus: Floats
    per_s: Floats

    @classmethod
    def of(cls, counters: list[Point], moduli: Mapping[str, float]) -> Registers:
        """From the points that are counters, and the moduli that are known by point name (see `moduli`)."""
        rates = [fastest(point, rated_kw=moduli.get(RATED)) for point in counters]
        return cls(
            modulus=np.array([moduli.get(point.name, np.nan) for point in counters]),
            per_s=np.array([np.nan if rate is None else rate for rate in rates]),
        )

    def falls(self, before: Floats, after: Floats, *, elapsed_ms: Ints) -> tuple[NDArray[np.bool_], Floats]:
        """For each step between readings: whether it breaks the count, and what a rollover adds to the difference.

        A fall is a rollover if it began above 90 % of the modulus and the register could have gone around in the
        time between (1.2 x its fastest rise). NaN on either side is neither fall nor leap.
        """
        fell = after < before
        leapt = after - before > SLACK * self.per_s * (np.maximum(elapsed_ms, 0) / 1000 + LAG_S)
        if not fell.any():
            return leapt, np.zeros(before.shape)
        around = self.modulus - before + after
        turned = fell & (before > NEAR_TOP * self.modulus) & (around <= SLACK * self.per_s * elapsed_ms / 1000)
        return (fell & ~turned) | leapt, np.where(turned, self.modulus, 0.0)


def moduli(profile: Profile, part: str = "") -> dict[str, float]:
    """The moduli of a register device's counters by point name, in the point's unit: 2^16 or 2^32 counts.

    Only where the manual's type is an unsigned whole number of that size; a display's decimal rollover and the
    resolution of float registers are not to be seen from the type.
    """
    found = {}
    for row, point in zip(profile.rows_of(part), profile.points(part), strict=True):
        bits = BITS.get(where(row.read).type) if row.read is not None else None
        if point.kind == "counter" and bits is not None and row.scale > 0:
            found[point.name] = 2.0**bits * row.scale
    return found
