"""A configured device on its wire as the poller sees it: its schedule, its series, its figures.

All times are event-loop seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from drivers.device import Addressed, Finding, Polled, Pushing
from drivers.sample import Code, Sample
from gateway.reading import Series

KEPT: Final = 256  # intervals kept for the percentiles
ASK_EVENTS_S: Final = 1.0  # how often a device is asked for events that come when they will
WEIGHT: Final = 0.25  # of the newest poll in the usual cost


@dataclass(slots=True)
class Station:
    """One device with its series by part and its figures.

    `period_s` is the distance of its polls: `every_s`, or `ASK_EVENTS_S` where an event stream has to be asked for.
    `cost_s` is what an answered poll usually takes of the wire's time; `missed` counts periods that went by without a
    poll, `failed` polls without a good value; `marks` are the fingerprints that held when it was last believed, and
    `proven` is false from the loss of its wire until they hold again.
    """

    id: str
    every_s: float
    series: Mapping[str, Series]
    device: Polled | Pushing
    silence_s: float = 0.0
    due_s: float = 0.0
    asked_s: float = 0.0
    tried_s: float = 0.0
    cost_s: float = 0.0
    polls: int = 0
    failed: int = 0
    missed: int = 0
    heard_s: float | None = None
    undeclared: dict[str, int] = field(default_factory=dict)
    proven: bool = False
    marks: frozenset[str] | None = None
    intervals_s: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    period_s: float = field(init=False)
    addressed: Addressed | None = field(init=False)

    def __post_init__(self) -> None:
        self.period_s = self.every_s or (ASK_EVENTS_S if isinstance(self.device, Polled) else 0.0)
        self.addressed = self.device if isinstance(self.device, Addressed) else None

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

    def answered(self, now_s: float) -> None:
        """The poll that began last has brought something."""
        self.heard_s = now_s
        spent_s = now_s - self.asked_s
        self.cost_s = spent_s if not self.cost_s else self.cost_s + WEIGHT * (spent_s - self.cost_s)

    def judge(self, findings: Sequence[Finding]) -> Finding | None:
        """Hold its fingerprints against those of before; the first that does not hold any more, or None.

        A mark that never held is not asked for: a compatible device of another make is still the one configured.
        """
        held = frozenset(finding.means for finding in findings if finding.holds)
        if self.marks is None:
            self.marks = held
        self.proven = self.marks <= held
        return next((one for one in findings if one.means in self.marks and not one.holds), None)

    def report(self) -> dict[str, Any]:
        """Its part of the wire's figures."""
        told: dict[str, Any] = {"polls": self.polls, "failed": self.failed, "missed": self.missed}
        if self.intervals_s:
            ordered = sorted(self.intervals_s)
            told["interval_p50_s"] = round(ordered[len(ordered) // 2], 4)
            told["interval_p95_s"] = round(ordered[len(ordered) * 95 // 100], 4)
        return told
