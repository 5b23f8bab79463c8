"""Calibration: from what a device says to what is true, by its certificate; one curve for each calibrated point.

Every curve rises or falls all the way, so the raw value can be had back from the published one: the curve stands in
`{device}/meta`. Points that are calibrated carry one more decimal, so that rounding does not eat the raw value.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import inf
from typing import Any, Final
from zoneinfo import ZoneInfo

from gateway.config import Calibration

MORE_DIGITS: Final = 1


@dataclass(frozen=True, slots=True)
class Curve:
    """Straight lines between points (raw, true), the outer ones going on; `ends_ms` (UTC) is when it expires.

    `low` and `high` are what was calibrated, in raw units: beyond, a value is uncertain.
    """

    pairs: tuple[tuple[float, float], ...]
    low: float = -inf
    high: float = inf
    ends_ms: float = inf

    @classmethod
    def of(cls, one: Calibration, *, zone: ZoneInfo) -> Curve:
        """From the config, which was judged. It expires at the end of its last day in `zone`."""
        ends_ms = inf
        if one.expires is not None:
            day = date.fromisoformat(one.expires) + timedelta(days=1)
            ends_ms = datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000
        if one.table:
            pairs = tuple((raw, true) for raw, true in one.table)
            return cls(pairs, pairs[0][0], pairs[-1][0], ends_ms)
        return cls(((0.0, one.offset), (1.0, one.offset + one.gain)), ends_ms=ends_ms)

    def true(self, raw: float) -> float:
        """The true value of a raw one; NaN stays NaN."""
        return _line(self.pairs, raw)

    def raw(self, true: float) -> float:
        """The raw value of a true one."""
        turned = tuple((y, x) for x, y in self.pairs)
        return _line(turned if turned[0] <= turned[-1] else turned[::-1], true)

    def doubted(self, raw: float, t_ms: int) -> bool:
        """Whether the certificate does not cover this: it has expired, or the value lies beyond its table."""
        return t_ms >= self.ends_ms or not self.low <= raw <= self.high


def _line(pairs: tuple[tuple[float, float], ...], x: float) -> float:
    at = min(max(bisect_right(pairs, (x, inf)), 1), len(pairs) - 1)
    (x0, y0), (x1, y1) = pairs[at - 1], pairs[at]
    return y0 + (x - x0) * (y1 - y0) / (x1 - x0)


def told(given: Mapping[str, Calibration]) -> dict[str, dict[str, Any]]:
    """For `{device}/meta`: by point, the curve and its dates."""
    found: dict[str, dict[str, Any]] = {}
    for point, one in given.items():
        curve: dict[str, Any] = (
            {"table": [list(row) for row in one.table]} if one.table else {"gain": one.gain, "offset": one.offset}
        )
        found[point] = {**curve, "date": one.date} | {
            key: value for key, value in (("expires", one.expires), ("by", one.by)) if value
        }
    return found
