"""Rises: how fast a running register can go up. What rises faster was replaced, set anew or misread.

A register may be brought up to date late (a meter that stores every quarter of an hour), so the time between two
readings counts with `LAG_S` more.
"""

from __future__ import annotations

from typing import Final

from drivers.points import Point

SLACK: Final = 1.2  # more than the rated power is possible for a while
LAG_S: Final = 900.0
PER_S: Final = {"kWh": 3.0, "kvarh": 3.0, "kVAh": 3.0, "1": 5.0, "mm": 0.1, "h": 1 / 3600}
"""The fastest that a register of this unit rises, per s: 10.8 MW, 5 vehicles a second, 6 mm of rain a minute."""
ENERGY: Final = frozenset({"kWh", "kvarh", "kVAh"})


def fastest(point: Point, *, rated_kw: float | None = None) -> float | None:
    """The fastest rise of a counter, in its unit per s; None where nothing is known of its unit.

    `rated_kw` is the largest power of the circuit (kW, kvar, kVA alike).
    """
    if rated_kw is not None and point.unit in ENERGY:
        return rated_kw / 3600.0
    return PER_S.get(point.unit)


def ceiling(per_s: float, elapsed_s: float) -> float:
    """The largest believable rise over `elapsed_s`."""
    return SLACK * per_s * (max(0.0, elapsed_s) + LAG_S)
