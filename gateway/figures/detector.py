"""Is the detector sound? Rules of MnDOT IRIS over the minutes, told in `15m`; PeMS statistics of a day, in `1d`.

They need records of a minute. Option of the device: `no_hits_h`, the hours without a vehicle that are still believed
(4, a main carriageway).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from gateway.figures.look import NEEDED, Look, told
from gateway.indicators import traffic
from gateway.reading import Aggregate, Indicator

MINUTE_S: Final = 60.0
HOUR_MS: Final = 3_600_000
FROM_MS: Final = 5 * HOUR_MS  # PeMS looks at the hours from 05:00 to 22:00
UNTIL_MS: Final = 22 * HOUR_MS
FAULTS: Final = ("sound", "no hits", "chatter", "locked on", "no change")
"""What the value of `detector_fault` means."""
_Minute = tuple[float, float | None]


class Detector:
    """Checks of one lane: `minute` notes what was counted and how the detector was covered."""

    def __init__(self, look: Look, options: Mapping[str, float]) -> None:
        self._look = look
        self._no_hits_h = options.get("no_hits_h", float(traffic.NO_HITS_H["mainline"]))
        self._minutes: dict[int, _Minute] = {}
        self._hit_ms: int | None = None
        self._covered: tuple[float, int] | None = None  # occupancy, and since when it is the same

    def take(self, aggregate: Aggregate, count: float | None) -> Iterator[Indicator]:
        """The figures of this record, after noting it and the vehicles counted in it (None: not known)."""
        if aggregate.stream == "1m" and count is not None:
            self._note(aggregate, count)
        if aggregate.stream == "15m" and self._hit_ms is not None and self._inside(aggregate):
            yield told("detector_fault", float(self._fault(aggregate)), rule="IRIS", span="15m")
        if aggregate.stream == "1d":
            yield from self._day(aggregate)

    def _note(self, aggregate: Aggregate, count: float) -> None:
        at, occupancy = aggregate.start_ms, self._look.whole(aggregate, "occupancy", name="mean")
        self._minutes[at] = count, occupancy
        for start in [start for start in self._minutes if start < at - 25 * HOUR_MS]:
            del self._minutes[start]
        if count > 0 or self._hit_ms is None:
            self._hit_ms = aggregate.end_ms
        if occupancy is not None and (self._covered is None or self._covered[0] != occupancy):
            self._covered = occupancy, at

    def _inside(self, aggregate: Aggregate) -> list[_Minute]:
        return [one for at, one in sorted(self._minutes.items()) if aggregate.start_ms <= at < aggregate.end_ms]

    def _fault(self, aggregate: Aggregate) -> int:
        """Index into `FAULTS`: the worst of this quarter of an hour."""
        inside, end_ms = self._inside(aggregate), aggregate.end_ms
        covered = [100.0 if one is not None and one >= 100.0 else 0.0 for _, one in inside]
        if traffic.locked_on(covered, sample_s=MINUTE_S):
            return 3
        if any(traffic.chatters(count * 30.0 / MINUTE_S) for count, _ in inside):
            return 2
        if self._covered is not None and traffic.unchanged(
            self._covered[0], hours=(end_ms - self._covered[1]) / HOUR_MS
        ):
            return 4
        return int(self._hit_ms is not None and (end_ms - self._hit_ms) / HOUR_MS >= self._no_hits_h)

    def _day(self, aggregate: Aggregate) -> Iterator[Indicator]:
        """1 for a sound day, 0 else; the level is the number of tests that it failed."""
        low, high = aggregate.start_ms + FROM_MS, aggregate.start_ms + UNTIL_MS
        day = [(count, one) for at, (count, one) in self._minutes.items() if low <= at < high and one is not None]
        share = len(day) * 60_000 / (UNTIL_MS - FROM_MS)
        if share >= NEEDED:
            failed = traffic.pems_faults([one for _, one in day], [count for count, _ in day], sample_s=MINUTE_S)
            yield told("detector_health", float(not failed), rule="PeMS-2003", level=len(failed), span="1d",
                       coverage=share)  # fmt: skip
