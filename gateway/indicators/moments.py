"""Moments and quantiles of a stream: Welford's sums, Chan's merge, the P2 estimate, linear percentiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, mean, sum of squared deviations, smallest and largest. Nothing yet: n = 0, low = inf, high = -inf."""

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0
    low: float = inf
    high: float = -inf

    def plus(self, value: float) -> Moments:
        """With one more value (Welford 1962)."""
        n = self.n + 1
        away = value - self.mean
        mean = self.mean + away / n
        return Moments(n, mean, self.m2 + away * (value - mean), min(self.low, value), max(self.high, value))

    def merged(self, other: Moments) -> Moments:
        """With all values of another (Chan, Golub and LeVeque 1979)."""
        if not self.n or not other.n:
            return self if self.n else other
        n = self.n + other.n
        away = other.mean - self.mean
        return Moments(
            n,
            self.mean + away * other.n / n,
            self.m2 + other.m2 + away * away * self.n * other.n / n,
            min(self.low, other.low),
            max(self.high, other.high),
        )

    @property
    def sample_variance(self) -> float | None:
        """m2 / (n - 1); None for fewer than two values."""
        return self.m2 / (self.n - 1) if self.n > 1 else None

    @property
    def population_variance(self) -> float | None:
        """m2 / n; None for no value."""
        return self.m2 / self.n if self.n else None


def moments(values: Sequence[float]) -> Moments:
    """The moments of `values` in the order given."""
    found = Moments()
    for value in values:
        found = found.plus(value)
    return found


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Linear interpolation between order statistics (type 7); `percent` 0..100. None for no value."""
    if not values:
        return None
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100.0
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


class P2:
    """The P2 estimate of one quantile with five markers (Jain and Chlamtac 1985). It cannot be merged."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._steps = (0.0, share / 2, share, (1 + share) / 2, 1.0)
        self._places = [1.0, 2.0, 3.0, 4.0, 5.0]
        self._wanted = [1 + 4 * step for step in self._steps]
        self.markers: list[float] = []

    def add(self, value: float) -> None:
        """Take one value."""
        if len(self.markers) < 5:
            self.markers = sorted([*self.markers, value])
            return
        heights = self.markers
        heights[0], heights[4] = min(heights[0], value), max(heights[4], value)
        cell = max(k for k in range(4) if heights[k] <= value)
        for k in range(cell + 1, 5):
            self._places[k] += 1
        self._wanted = [want + step for want, step in zip(self._wanted, self._steps, strict=True)]
        for k in (1, 2, 3):
            self._adjust(k)

    @property
    def estimate(self) -> float | None:
        """The quantile; exact for up to five values; None before the first."""
        if len(self.markers) < 5:
            return percentile(self.markers, self._share * 100)
        if len(self.markers) == 5 and self._places[4] == 5:
            return percentile(self.markers, self._share * 100)
        return self.markers[2]

    def _adjust(self, k: int) -> None:
        q, n = self.markers, self._places
        short = self._wanted[k] - n[k]
        if not ((short >= 1 and n[k + 1] - n[k] > 1) or (short <= -1 and n[k - 1] - n[k] < -1)):
            return
        step = 1.0 if short > 0 else -1.0
        up = (n[k] - n[k - 1] + step) * (q[k + 1] - q[k]) / (n[k + 1] - n[k])
        down = (n[k + 1] - n[k] - step) * (q[k] - q[k - 1]) / (n[k] - n[k - 1])
        moved = q[k] + step / (n[k + 1] - n[k - 1]) * (up + down)
        if not q[k - 1] < moved < q[k + 1]:
            side = k + int(step)
            moved = q[k] + step * (q[side] - q[k]) / (n[side] - n[k])
        q[k] = moved
        n[k] += step
