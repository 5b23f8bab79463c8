"""Where windows begin and end: half-open, aligned to the local midnight of one zone. A sample on a border is new."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from gateway.reading import LENGTHS_S

DAY_S: Final = 86_400
HOUR_S: Final = 3_600
MINUTE_S: Final = 60
SLOW_MS: Final = 10_000


class Grid:
    """The windows of one zone. Lengths are nominal seconds; a day lasts from local midnight to local midnight.

    Shorter windows count from local midnight too, so that hours are local hours in zones with half-hour offsets;
    one that would run over midnight on the day of a clock change ends there.
    """

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._day = (0, 0)

    def day(self, t_ms: int) -> tuple[int, int]:
        """The local day that holds `t_ms`: [start, end) in UTC ms."""
        low, high = self._day
        if not low <= t_ms < high:
            local = datetime.fromtimestamp(t_ms / 1000, self._zone).date()
            low, high = self._midnight(local), self._midnight(local + timedelta(days=1))
            if t_ms >= high:  # fromtimestamp of a float may round up over the border, never down
                low, high = high, self._midnight(local + timedelta(days=2))
            elif t_ms < low:
                low, high = self._midnight(local - timedelta(days=1)), low
            self._day = (low, high)
        return low, high

    def window(self, t_ms: int, length_s: int) -> tuple[int, int]:
        """The window of `length_s` that holds `t_ms`: [start, end) in UTC ms."""
        low, high = self.day(t_ms)
        if length_s >= DAY_S:
            return low, high
        start = low + (t_ms - low) // (length_s * 1000) * length_s * 1000
        return start, min(start + length_s * 1000, high)

    def _midnight(self, day: date) -> int:
        return int(datetime(day.year, day.month, day.day, tzinfo=self._zone).timestamp() * 1000)


def levels(lengths: Sequence[str], every_ms: int | None = None) -> tuple[int, ...]:
    """All lengths in s that are kept, shortest first: those asked for, and the steps between.

    The shortest divides all others. A minute stands below longer ones where polls come more often than every
    `SLOW_MS` (and for events), so that samples are stacked in time, and an hour below the day, so that no merge
    takes more than 60 parts.

    Raises:
        KeyError: a length that contracts.md does not name.
    """
    asked = {LENGTHS_S[length] for length in lengths}
    if not asked:
        return ()
    steps = asked | {math.gcd(*asked)}
    if max(steps) == DAY_S:
        steps.add(HOUR_S)
    if every_ms is None or every_ms < SLOW_MS:
        steps.add(math.gcd(MINUTE_S, *steps))
        if max(steps) > MINUTE_S:
            steps.add(MINUTE_S)
    return tuple(sorted(steps))


def child(level: int, steps: Sequence[int]) -> int:
    """Index in `steps` of the longest shorter step that divides `steps[level]`."""
    return max(index for index in range(level) if steps[level] % steps[index] == 0)
