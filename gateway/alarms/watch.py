"""Watches: one rule of the config over one outside device, for limits, rates and the demand of a meter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.alarms.feed import Change, DemandFeed, FigureFeed, PointFeed
from gateway.alarms.latch import Standing, Steps
from gateway.alarms.words import DEMAND, LIMIT, RATE, Saying, Tell, Text, alarm_id, number
from gateway.config import Alarm
from gateway.config.duration import seconds
from gateway.reading import LENGTHS_S, Aggregate, Reading, Series

DEMAND_DELAY_S: Final = 60.0
DEMAND_MARGIN: Final = 0.05  # of the limit: below 95 % it clears
CLEAR_S: Final = 10.0  # of readings inside, where no `delay_off` is given: a value on its limit must not flood the city
CODES: Final = {"above": LIMIT, "below": LIMIT, "rise": RATE, "fall": RATE, "demand": DEMAND}


@dataclass(slots=True)
class Watch:
    """Takes what its feed makes of readings or windows through the limits, and tells of each change of level."""

    name: str
    rule: Alarm
    series: Series
    label: Text
    tell: Tell
    what: Text
    unit: str
    steps: Mapping[str, Steps]
    point: PointFeed | None = None
    figure: FigureFeed | None = None
    demand: DemandFeed | None = None
    changes: Mapping[str, Change] = field(default_factory=dict)
    stood: Standing = field(default_factory=Standing)

    @property
    def ident(self) -> str:
        """The alarm's id, the same for raising and clearing."""
        return alarm_id(self.name, self.series.id)

    def reading(self, reading: Reading) -> None:
        """One reading of the series."""
        if self.demand is not None:
            value = self.demand.reading(reading)
            if self.demand.ended:
                self.demand.ended = False
                self._over()
        else:
            value = None if self.point is None else self.point.reading(reading)
        if value is not None:
            self._step(value, t_s=reading.t_mono_ns / 1e9, t_ms=reading.t_ms)

    def tick(self, now_ms: int) -> None:
        """Time alone ends a demand: its meter may be silent."""
        if self.stood.level and self.demand is not None and self.demand.over(self.stood.since_ms, now_ms):
            self._over()

    def aggregate(self, aggregate: Aggregate) -> None:
        """One window of the series."""
        value = None if self.figure is None else self.figure.aggregate(aggregate)
        if value is not None:
            self._step(value, t_s=aggregate.end_ms / 1000, t_ms=aggregate.start_ms)

    def _step(self, value: float, *, t_s: float, t_ms: int) -> None:
        shown: dict[str, float] = {}
        for key, steps in self.steps.items():
            change = self.changes[key].change(value, t_s) if key in self.changes else value
            if change is not None:
                shown[key] = change
                steps.step(change, t_s=t_s, t_ms=t_ms)
        self._compare(shown)

    def _compare(self, shown: Mapping[str, float]) -> None:
        found = {key: steps.standing() for key, steps in self.steps.items()}
        key = max(found, key=lambda one: found[one].level)
        now, before = found[key], self.stood
        if (now.level, now.limit) == (before.level, before.limit) or key not in shown:
            return
        self.stood = now
        body = {self._kind(): self._named(), "value": round(shown[key], 6)}
        self._say(key if now.level else "back", now if now.level else before, shown[key], body, level=now.level)

    def _over(self) -> None:
        """What was forecast is over."""
        for steps in self.steps.values():
            steps.reset()
        if self.stood.level:
            before, self.stood = self.stood, Standing()
            self._say("ended", before, 0.0, {self._kind(): self._named()}, level=0)

    def _say(self, phrase: str, standing: Standing, value: float, body: Mapping[str, object], *, level: int) -> None:
        key = phrase if phrase in CODES else next(iter(self.steps))
        shown = {"value": number(value, self.unit), "limit": number(standing.limit, self.unit)}
        words: dict[str, Text | str] = {"what": self.what, "within": self.rule.within, **shown}
        self.tell(Saying(
            self.ident, self.series.id, CODES[key], level, self.label, phrase, words, body,
            since_ms=standing.since_ms, limit=standing.limit, rule=self.name,
        ))  # fmt: skip

    def _kind(self) -> str:
        return "figure" if self.figure is not None else "point"

    def _named(self) -> str:
        return self.rule.figure or self.rule.point or "demand_kw"

    def restore(self, limit: float, since_ms: int) -> bool:
        """Stand as a process before this one left it, and say so; False where the rule has other limits now."""
        for steps in self.steps.values():
            if steps.restore(limit, since_ms):
                self.stood = steps.standing()
                body = {self._kind(): self._named()}
                self._say("still", self.stood, 0.0, body, level=self.stood.level)
                return True
        return False


def watches(name: str, rule: Alarm, *, series: Series, label: Text, tell: Tell, rated_kw: float | None) -> Watch | None:
    """The watch of a rule over a series; None where the rule has nothing to watch there."""
    places = {point.name: point for point in series.points}
    steps = _steps(rule)
    if rule.demand:
        if "power_active" not in places or not {"energy_import", "energy_total"} & places.keys():
            return None
        feed = DemandFeed(series, rated_kw=rated_kw)
        return Watch(name, rule, series, label, tell, {"en": "demand"}, "kW", steps, demand=feed)
    within_s = seconds(rule.within)
    changes = {key: Change(sign, within_s) for key, sign in (("rise", 1), ("fall", -1)) if key in steps}
    if rule.figure is not None:
        feed_ = FigureFeed(rule.figure, rule.stream)
        what = {"en": rule.figure, "th": rule.figure}
        return Watch(name, rule, series, label, tell, what, "", steps, figure=feed_, changes=changes)
    if rule.point not in places:
        return None
    point = places[rule.point]
    what = {"en": point.en, "th": point.th}
    feed__ = PointFeed(series, rule.point)
    return Watch(name, rule, series, label, tell, what, point.unit, steps, point=feed__, changes=changes)


def _steps(rule: Alarm) -> dict[str, Steps]:
    found: dict[str, Steps] = {}
    for key, limits in (("above", rule.above), ("below", rule.below), ("rise", rule.rise), ("fall", rule.fall),
                        ("demand", rule.demand)):  # fmt: skip
        if limits:
            levels = (rule.level,) if len(limits) == 1 else tuple(range(1, len(limits) + 1))
            demand = key == "demand"
            margin = DEMAND_MARGIN * limits[0] if demand and not rule.margin else rule.margin
            on_s = DEMAND_DELAY_S if demand and rule.delay_on is None else _span_s(rule.delay_on)
            off_s = CLEAR_S if rule.delay_off is None and rule.point is not None else _span_s(rule.delay_off)
            found[key] = Steps(-1 if key == "below" else 1, limits, levels, margin, on_s, off_s)
    return found


def _span_s(text: str | None) -> float:
    return 0.0 if text is None else seconds(text)


def longest_s(aggregate: Aggregate) -> float:
    """For how long after its end a window still speaks of now."""
    return 2.0 * LENGTHS_S[aggregate.stream] + 60.0
