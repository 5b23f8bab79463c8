"""Wind: means of directions and of wind vectors. A direction is where the wind comes from, in degrees from north."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import asin, atan2, cos, degrees, fsum, hypot, radians, sin, sqrt
from typing import Final

NO_DIRECTION: Final = 1e-9  # a resultant shorter than this points nowhere


@dataclass(frozen=True, slots=True)
class Vector:
    """Mean wind: `u` to the east and `v` to the north in m/s, mean speeds in m/s, and the direction it comes from."""

    u: float
    v: float
    speed_vector: float
    speed_scalar: float
    direction: float | None


def bearing(east: float, north: float) -> float:
    """The direction of a vector in [0, 360) degrees."""
    turned = degrees(atan2(east, north)) % 360.0
    return 0.0 if turned >= 360.0 else turned


def circular_mean(directions: Sequence[float]) -> tuple[float | None, float]:
    """Unit-vector mean in [0, 360) and the resultant's length R (0..1); no mean where R vanishes."""
    n = len(directions)
    east = fsum(sin(radians(one)) for one in directions) / n
    north = fsum(cos(radians(one)) for one in directions) / n
    length = min(1.0, hypot(east, north))
    return (None if length < NO_DIRECTION else bearing(east, north)), length


def vector_mean(directions: Sequence[float], speeds: Sequence[float]) -> Vector:
    """The mean wind vector: for transport of air; u = -s sin d, v = -s cos d (WMO-No. 8)."""
    n = len(speeds)
    u = -fsum(s * sin(radians(d)) for d, s in zip(directions, speeds, strict=True)) / n
    v = -fsum(s * cos(radians(d)) for d, s in zip(directions, speeds, strict=True)) / n
    length = hypot(u, v)
    return Vector(
        u=u,
        v=v,
        speed_vector=length,
        speed_scalar=fsum(speeds) / n,
        direction=None if length < NO_DIRECTION else bearing(-u, -v),
    )


def yamartino(directions: Sequence[float]) -> float:
    """Standard deviation of directions in degrees, in one pass (Yamartino 1984; EPA-454/R-99-005, 6.2.1)."""
    n = len(directions)
    east = fsum(sin(radians(one)) for one in directions) / n
    north = fsum(cos(radians(one)) for one in directions) / n
    away = sqrt(min(1.0, max(0.0, 1.0 - (east * east + north * north))))
    return degrees(asin(away) * (1.0 + 0.1547 * away**3))
