"""A configured device on its wire as the poller sees it: its schedule, its series, its figures.

All times are event-loop seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

from drivers.device import Addressed, Excusing, Finding, Polled, Pushing, Remembering, Slow
from drivers.sample import Code, Sample
from gateway.reading import Series

KEPT: Final = 256  # intervals kept for the percentiles
ASK_EVENTS_S: Final = 1.0  # how often a device is asked for events that come when they will
RECENT: Final = 32  # polls among which the longest is looked for
STRANGE_S: Final = 20.0  # after so long a silence a device shows its identity before it is believed
STRANGE_PERIODS: Final = 2.5
FEW: Final = 8  # answered polls whose median is the usual cost
CURIOUS_S: Final = 5.0  # after which a mark that could not be read is looked for again, then after twice that, ...
CURIOUS_MOST_S: Final = 640.0


@dataclass(slots=True)
class Station:
    """One device with its series by part and its figures.

    `period_s` is the distance of its polls: `every_s`, or `ASK_EVENTS_S` where an event stream has to be asked for.
    `need_s` is what an answered poll usually takes of the wire's time (0 before the first), `least_s` what the quickest
    of late took, `worst_s` the longest, answered or not; `offset_s` and `place_s` are its place among the polls of a
    period (`gateway.due`). `missed` counts periods that went by without a poll, `failed` polls without a good value,
    `vain` says that the last was one; `marks` says of each fingerprint (by its place) what was seen when it was
    first read, None where it did not hold; `proven` is false from the loss of its wire until they hold again, and
    `curious_s` is when those that could not be read are looked for again.
    """

    id: str
    every_s: float
    series: Mapping[str, Series]
    device: Polled | Pushing
    silence_s: float = 0.0
    due_s: float = 0.0
    asked_s: float = 0.0
    need_s: float = 0.0
    least_s: float = 0.0
    worst_s: float = 0.0
    offset_s: float = 0.0
    place_s: float = 0.0
    vain: bool = False
    polls: int = 0
    failed: int = 0
    missed: int = 0
    heard_s: float | None = None
    undeclared: dict[str, int] = field(default_factory=dict)
    proven: bool = False
    marks: dict[int, str | None] = field(default_factory=dict)
    curious_s: float = inf
    intervals_s: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    _costs_s: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    _answers_s: deque[float] = field(default_factory=lambda: deque(maxlen=FEW))
    _pause_s: float = CURIOUS_S
    plan_s: float = 0.0
    period_s: float = field(init=False)
    addressed: Addressed | None = field(init=False)
    remembering: Remembering | None = field(init=False)
    polled: Polled | None = field(init=False)
    slow: Slow | None = field(init=False)
    excusing: Excusing | None = field(init=False)

    def __post_init__(self) -> None:
        self.polled = self.device if isinstance(self.device, Polled) else None  # asked once: such a look is not cheap
        self.slow = self.device if isinstance(self.device, Slow) else None
        self.excusing = self.device if isinstance(self.device, Excusing) else None
        self.period_s = self.every_s or (ASK_EVENTS_S if self.polled is not None else 0.0)
        self.addressed = self.device if isinstance(self.device, Addressed) else None
        self.remembering = self.device if isinstance(self.device, Remembering) else None

    def failure(self, now_s: float, code: Code) -> tuple[Sample, ...]:
        """Failed samples for all parts, at `now_s`."""
        return tuple(
            Sample.failed(round(now_s * 1e9), count=len(series.points), code=code)
            if not part
            else Sample(
                round(now_s * 1e9), (float("nan"),) * len(series.points), (int(code),) * len(series.points), part
            )
            for part, series in self.series.items()
            if series.every_ms is not None
        )

    def begin(self, now_s: float) -> None:
        """A poll begins."""
        if self.asked_s:
            self.intervals_s.append(now_s - self.asked_s)
        self.asked_s = now_s

    def spent(self, now_s: float, *, answered: bool) -> None:
        """The poll that began last is over; `answered`: it has brought something."""
        self._costs_s.append(now_s - self.asked_s)
        self.worst_s = max(self._costs_s)
        self.vain = not answered
        if answered:
            if self.heard_s is not None and now_s - self.heard_s >= max(STRANGE_S, STRANGE_PERIODS * self.period_s):
                self.proven = False  # long enough to have been replaced
            self.heard_s = now_s
            self._answers_s.append(now_s - self.asked_s)
            ordered = sorted(self._answers_s)
            self.plan_s = self.addressed.plan_s() if self.addressed is not None else 0.0
            self.least_s, self.need_s = ordered[0], ordered[len(ordered) // 2]

    def judge(self, findings: Sequence[Finding], *, now_s: float) -> Finding | None:
        """Hold its fingerprints against those of before; the first that does not hold any more, or None.

        A mark that did not hold when it was first read is not asked for: a compatible device of another make is still
        the one configured. One that was never read, because its answer was lost, is looked for again.
        """
        told = {n: one for n, one in enumerate(findings) if one.read}
        for n, one in told.items():
            self.marks.setdefault(n, _mark(one))
        belied = [one for n, one in told.items() if self.marks[n] not in {None, _mark(one)}]
        unread = any(n not in self.marks for n in range(len(findings)))
        self.curious_s = now_s + self._pause_s if unread else inf
        self._pause_s = min(2 * self._pause_s, CURIOUS_MOST_S) if unread else CURIOUS_S
        needed = {n for n, mark in self.marks.items() if mark is not None}
        self.proven = not belied and (self.proven or needed <= told.keys())
        return belied[0] if belied else None

    def report(self) -> dict[str, Any]:
        """Its part of the wire's figures."""
        told: dict[str, Any] = {"polls": self.polls, "failed": self.failed, "missed": self.missed}
        if self.intervals_s:
            ordered = sorted(self.intervals_s)
            told["interval_p50_s"] = round(ordered[len(ordered) // 2], 4)
            told["interval_p95_s"] = round(ordered[len(ordered) * 95 // 100], 4)
        return told


def _mark(finding: Finding) -> str | None:
    """What must be seen again; None where it does not hold."""
    if not finding.holds:
        return None
    return finding.seen if finding.same else ""
