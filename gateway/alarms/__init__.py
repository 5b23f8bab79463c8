"""Alarms: rules of the config over readings, windows and silence; each change of level is an event in the journal.

`Alarms` listens to the pipeline, so it sees what was dated and journaled, and nothing that waits for the clock. What
stands is kept as a mark of the journal, and told again after a start: nothing that was raised is ever left standing
outside without anybody to clear it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from drivers.sample import FIRST_BAD
from gateway.alarms.absence import WIRE, Absence, Silence
from gateway.alarms.expiry import RULE, Certificate, Expiry
from gateway.alarms.watch import Watch, longest_s, watches
from gateway.alarms.words import GONE, Saying, Text, event, of_today
from gateway.calibration import Curve
from gateway.clock import Clock
from gateway.config import Alarm, Config, Gateway
from gateway.config.duration import seconds
from gateway.config.patterns import chosen
from gateway.inventory import Item
from gateway.journal import Journal
from gateway.reading import Aggregate, Event, Reading
from gateway.record import Record

MARK: Final = "alarms"
TICK_S: Final = 1.0
NOW_S: Final = 60.0  # a reading that was measured longer ago says nothing about now
ABSENT: Final = "absent"
ABSENT_S: Final = 60.0
ABSENT_PERIODS: Final = 5.0
STANDING_MAX: Final = 500
LABEL: Final[Text] = {"en": "all devices of this gateway", "th": "อุปกรณ์ทั้งหมดของเกตเวย์นี้"}


class Alarms:
    """All rules of one gateway, with a rule `absent` over every device unless the config has one of this name."""

    def __init__(
        self,
        config: Config,
        items: Iterable[Item],
        *,
        clock: Clock,
        journal: Journal,
        tell: Callable[[Event], None],
        dated: Callable[[], bool] = lambda: True,
    ) -> None:
        self.standing: dict[str, tuple[str, str, int, int, float | None]] = {}
        self._clock = clock
        self._journal = journal
        self._event = tell
        self._dated = dated
        self._restored = False
        self._watches: dict[str, list[Watch]] = {}
        self._demands: list[Watch] = []
        self._absences: list[Absence] = []
        everything, rules, gateway = tuple(items), config.alarm, config.gateway
        for name, rule in {ABSENT: Alarm(absent=f"{ABSENT_S:g}s"), **rules}.items():
            if rule.absent is not None:
                self._absences.append(self._absence(name, rule, everything, gateway, built_in=name not in rules))
            else:
                self._watch(name, rule, everything)
        self._expiry = Expiry(_certificates(everything, gateway), tell=self._say)

    def _watch(self, name: str, rule: Alarm, items: tuple[Item, ...]) -> None:
        for item in items:
            for series in item.series.values():
                if chosen(series.id, rule.devices):
                    rated_kw = item.config.options.get("rated_kw")
                    label = _label(item, series.id)
                    found = watches(name, rule, series=series, label=label, tell=self._say, rated_kw=rated_kw)
                    if found is not None:
                        self._watches.setdefault(series.id, []).append(found)
                        self._demands += [found] if found.demand is not None else []

    def _absence(self, name: str, rule: Alarm, items: tuple[Item, ...], gateway: Gateway, *, built_in: bool) -> Absence:
        """Event streams are watched only where a rule names them in full: no vehicle for a while is no fault."""
        found = []
        for item in items:
            ids = [one.id for one in item.series.values() if chosen(one.id, rule.devices)
                   and (one.every_ms or one.id in rule.devices)
                   and (rule.point is None or rule.point in {point.name for point in one.points})]  # fmt: skip
            if ids:
                after_s = max(ABSENT_S, ABSENT_PERIODS * item.every_s) if built_in else seconds(rule.absent or "60s")
                found.append(Silence(item.id, ids[0], item.config.bus, _label(item, item.id), item.every_s, after_s,
                                     frozenset(ids), self._clock.mono_ns() / 1e9))  # fmt: skip
        label = {lang: f"{gateway.name.get(lang, gateway.id)}, {LABEL[lang]}" for lang in LABEL}
        return Absence(name, rule, silences=found, tell=self._say, label=label)

    # --- taking what the pipeline journals

    def note(self, _position: int, record: Record | None) -> None:
        """Listens to the pipeline; the last of its listeners, since it may journal an event of its own."""
        if record is None or record.estimated:
            return
        body = record.body
        if isinstance(body, Reading):
            self._reading(body)
        elif isinstance(body, Aggregate):
            age_s = (self._clock.wall_ms() - body.end_ms) / 1000
            if not body.rev and age_s <= longest_s(body):
                for watch in self._watches.get(record.device, ()):
                    watch.aggregate(body)
        elif body.code == WIRE:
            bus = body.id.removeprefix("link-").removesuffix(f"-{WIRE}")
            for absence in self._absences:
                absence.link(bus, body.id, up=body.state == "cleared", now_s=self._clock.mono_ns() / 1e9)

    def _reading(self, reading: Reading) -> None:
        t_s = reading.t_mono_ns / 1e9
        if not 0 <= self._clock.mono_ns() / 1e9 - t_s <= NOW_S:
            return
        for absence in self._absences:
            silence = absence.watched.get(reading.series.id)
            if silence is not None and _usable(reading, absence.rule.point):
                absence.heard(silence, t_s)
        for watch in self._watches.get(reading.series.id, ()):
            watch.reading(reading)

    # --- time

    async def run(self) -> None:
        """Until cancelled: what is decided by silence, once a second."""
        while True:
            self.tick()
            await asyncio.sleep(TICK_S)

    def tick(self) -> None:
        """Absences and certificates; before the clock is trusted nothing is decided.

        Nor is silence while what comes in is held (`dated`): a backlog is being dated, or the wall clock stands still.
        """
        now_s, now_ms = self._clock.mono_ns() / 1e9, self._clock.wall_ms()
        if not self._clock.trusted():
            for absence in self._absences:
                absence.wait(now_s)
            return
        if not self._restored:
            self._restored = True
            self._restore(now_s)
        dated = self._dated()
        for absence in self._absences:
            if dated:
                absence.tick(now_s, now_ms)
            else:
                absence.wait(now_s)
        self._expiry.tick(now_ms)
        for watch in self._demands:
            watch.tick(now_ms)

    # --- telling, and standing over a start

    def _say(self, saying: Saying) -> None:
        if saying.level and (saying.ident in self.standing or len(self.standing) < STANDING_MAX):
            self.standing[saying.ident] = saying.rule, saying.device, saying.level, saying.since_ms, saying.limit
        elif not saying.level:
            self.standing.pop(saying.ident, None)
        self._journal.mark(MARK, msgspec.msgpack.encode([1, self.standing]))
        self._event(event(saying, now_ms=self._clock.wall_ms()))

    def _restore(self, now_s: float) -> None:
        """What stood when the process before this one ended stands on; what no rule knows any more is cleared."""
        blob = self._journal.marks.get(MARK)
        before = {} if blob is None else msgspec.msgpack.decode(blob)[1]
        watches_ = {watch.ident: watch for rows in self._watches.values() for watch in rows}
        for told_as, (rule, device, _level, since_ms, limit) in before.items():
            if told_as in self.standing:
                continue
            ident = of_today(told_as, rule)
            watch = watches_.get(ident)
            known = watch is not None and limit is not None and watch.restore(limit, since_ms)
            known = known or (rule == RULE and self._expiry.restore(ident))
            known = known or any(
                one.restore(ident, since_ms, now_s=now_s) for one in self._absences if one.name == rule
            )
            if not known or ident != told_as:
                label, why = {"en": rule}, "renamed" if known else "gone"
                self._say(Saying(told_as, device, GONE, 0, label, why, since_ms=since_ms, limit=limit, rule=rule))


def _usable(reading: Reading, point: str | None) -> bool:
    """Whether it holds a good or uncertain value, of this point where one is named."""
    if point is None:
        return min(reading.codes) < FIRST_BAD
    named = zip(reading.series.points, reading.codes, strict=True)
    return any(code < FIRST_BAD for one, code in named if one.name == point)


def _label(item: Item, ident: str) -> Text:
    """The device's name; its id where it has none, or where it is one of several parts."""
    return item.config.name if item.config.name and ident == item.id else {"en": ident, "th": ident}


def _certificates(items: tuple[Item, ...], gateway: Gateway) -> list[Certificate]:
    found = []
    for item in items:
        points = {point.name: point for one in item.series.values() for point in one.points}
        for name, one in item.config.calibration.items():
            curve = Curve.of(one, zone=ZoneInfo(gateway.timezone or "UTC"))
            what = {"en": points[name].en, "th": points[name].th}
            told_as = next(iter(item.series.values())).id
            found.append(Certificate(told_as, _label(item, item.id), what, name, curve.ends_ms))
    return found
