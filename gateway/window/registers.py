"""Running registers: what a fall means. A rollover at a known modulus goes on counting; anything else is a reset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from drivers.points import Point
from drivers.profile import Profile, where

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
NEAR_TOP: Final = 0.9  # of the modulus
SLACK: Final = 1.2
PER_S: Final = {"kWh": 3.0, "kvarh": 3.0, "kVAh": 3.0, "1": 5.0, "mm": 0.1, "h": 1 / 3600}
"""The fastest that a register of this unit rises, per s: 10.8 MW, 5 vehicles a second, 6 mm of rain a minute."""
BITS: Final = {"u16": 16, "u32": 32}


@dataclass(frozen=True, slots=True)
class Registers:
    """The counters of a series.

    `modulus` is one more than the largest value, in the point's unit (NaN: not known); `per_s` the fastest rise.
    """

    modulus: Floats
    per_s: Floats

    @classmethod
    def of(cls, counters: list[Point], moduli: Mapping[str, float]) -> Registers:
        """From the points that are counters, and the moduli that are known by point name."""
        return cls(
            modulus=np.array([moduli.get(point.name, np.nan) for point in counters]),
            per_s=np.array([PER_S.get(point.unit, 0.0) for point in counters]),
        )

    def falls(self, before: Floats, after: Floats, *, elapsed_ms: Ints) -> tuple[NDArray[np.bool_], Floats]:
        """For each step between readings: whether it is a reset, and what a rollover adds to the difference.

        A fall is a rollover if it began above 90 % of the modulus and the register could have gone around in the
        time between (1.2 x its fastest rise). NaN on either side is no fall.
        """
        fell = after < before
        if not fell.any():
            return fell, np.zeros(before.shape)
        around = self.modulus - before + after
        turned = fell & (before > NEAR_TOP * self.modulus) & (around <= SLACK * self.per_s * elapsed_ms / 1000)
        return fell & ~turned, np.where(turned, self.modulus, 0.0)


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
