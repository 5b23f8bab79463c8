"""Absence: devices that give no usable value, and what is behind it: their bus, or all that the gateway reads.

One rule, its silences (one for each configured device), and the causes that it folds them into. A device that is
silent for longer than its cause is told by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.alarms.words import CAUSE, SILENT, Saying, Tell, Text, alarm_id, span
from gateway.config import Alarm
from gateway.config.duration import seconds

SILENT_PERIODS: Final = 3.0
SILENT_S: Final = 5.0
LEAST_PERIODS: Final = 2.5  # an absence shorter than this is one missed poll
WIRE: Final = "CG-BUS-01"


@dataclass(frozen=True, slots=True)
class Cause:
    """What may be behind silences: a bus, or the whole gateway (`bus` None)."""

    ident: str
    bus: str | None
    label: Text
    level: int


@dataclass(slots=True)
class Silence:
    """One configured device: when it last gave a usable value (monotonic s), and whether its absence stands.

    `ids` are those of its outside devices that the rule watches.
    """

    device: str
    told_as: str
    bus: str
    label: Text
    every_s: float
    after_s: float
    ids: frozenset[str]
    heard_s: float = 0.0
    back_s: float | None = None
    raised: bool = False
    folded: str = ""
    since_ms: int = 0

    def silent(self, now_s: float) -> bool:
        """Whether it is quiet right now."""
        return now_s - self.heard_s > max(SILENT_PERIODS * self.every_s, SILENT_S)

    def absent(self, now_s: float) -> bool:
        """Whether it has been quiet for long enough."""
        return now_s - self.heard_s >= max(self.after_s, LEAST_PERIODS * self.every_s)


class Absence:
    """One rule. `heard` takes evidence, `tick` decides; `wires` holds the ids of link alarms that stand, by bus."""

    def __init__(self, name: str, rule: Alarm, *, silences: Iterable[Silence], tell: Tell, label: Text) -> None:
        self.name = name
        self.rule = rule
        self.wires: dict[str, str] = {}
        self._tell = tell
        self._off_s = 0.0 if rule.delay_off is None else seconds(rule.delay_off)
        self._silences = {one.device: one for one in silences}
        self.watched = {ident: one for one in self._silences.values() for ident in one.ids}
        self._roots = {one.ident: one for one in self._possible(label)}
        self._causes: dict[str, int] = {}  # id -> since ms
        self._gone_s: dict[str, float] = {}
        self._now_s = 0.0

    def _possible(self, label: Text) -> Iterator[Cause]:
        yield Cause(self._ident("gateway"), None, label, 3)
        for bus in dict.fromkeys(one.bus for one in self._silences.values()):
            name = {"en": f"bus {bus}", "th": f"บัส {bus}"}
            yield Cause(self._ident(f"bus-{bus}"), bus, name, self.rule.level)

    def _ident(self, word: str) -> str:
        """The id of a cause; a device may have the same word as its id, but none begins with `_`."""
        return alarm_id(self.name, f"{'_' if word in self._silences else ''}{word}")

    def heard(self, one: Silence, t_s: float) -> None:
        """A device that is `watched` gave a usable value."""
        if one.raised and one.silent(t_s):
            one.back_s = t_s
        one.heard_s = t_s

    def wait(self, now_s: float) -> None:
        """Nothing can be known yet: the clock is not trusted, and nothing is dated."""
        for one in self._silences.values():
            if not one.raised:
                one.heard_s = now_s

    def link(self, bus: str, ident: str, *, up: bool, now_s: float) -> None:
        """A wire was lost, or is back: its alarm has this id."""
        if up:
            self.wires.pop(bus, None)
            self._gone_s[ident] = now_s
        else:
            self.wires[bus] = ident

    def tick(self, now_s: float, now_ms: int) -> None:
        """Raise and clear what is due."""
        self._now_s = now_s
        self._end_causes(now_s, now_ms)
        for one in self._silences.values():
            if not one.raised and one.absent(now_s):
                one.raised, one.back_s = True, None
                one.since_ms = now_ms - round((now_s - one.heard_s) * 1000)
                one.folded = self._cause(one, now_s, now_ms)
                self._say(one, "silent", now_s)
            elif one.raised and not one.silent(now_s) and now_s - (one.back_s or one.heard_s) >= self._off_s:
                one.raised = False
                self._say(one, "speaks", now_s, gone_ms=now_ms - one.since_ms)
            elif one.raised and one.folded and self._outlasts(one, now_s):
                one.folded = ""
                self._say(one, "silent", now_s)

    def _outlasts(self, one: Silence, now_s: float) -> bool:
        standing = one.folded in self._causes or one.folded in self.wires.values()
        return not standing and one.silent(now_s) and now_s - self._gone_s.get(one.folded, now_s) >= one.after_s

    def _cause(self, one: Silence, now_s: float, now_ms: int) -> str:
        """The id of the alarm behind this silence, raised now where it does not stand yet; "" where there is none."""
        if one.bus in self.wires:
            return self.wires[one.bus]
        everyone = list(self._silences.values())
        here = [other for other in everyone if other.bus == one.bus]
        if len({other.bus for other in everyone}) > 1 and all(other.silent(now_s) for other in everyone):
            return self._raise(self._ident("gateway"), one)
        if len(here) > 1 and all(other.silent(now_s) for other in here):
            return self._raise(self._ident(f"bus-{one.bus}"), one)
        return ""

    def _raise(self, ident: str, one: Silence) -> str:
        """Raise the cause of `one` where it does not stand, and fold into it what was told before."""
        if ident not in self._causes:
            self._causes[ident] = one.since_ms
            self._say_cause(ident, "none", since_ms=one.since_ms)
            for other in self._members(ident):
                if other.raised and not other.folded and other is not one:
                    other.folded = ident
                    self._say(other, "silent", self._now_s)
        return ident

    def _members(self, ident: str) -> list[Silence]:
        root = self._roots.get(ident)
        return [one for one in self._silences.values() if root is not None and root.bus in {None, one.bus}]

    def _end_causes(self, now_s: float, now_ms: int) -> None:
        for ident, since_ms in list(self._causes.items()):
            if all(one.silent(now_s) for one in self._members(ident)):
                continue
            del self._causes[ident]
            self._gone_s[ident] = now_s
            self._say_cause(ident, "some", since_ms=since_ms)

    def _say_cause(self, ident: str, phrase: str, *, since_ms: int) -> None:
        root = self._roots[ident]
        level = 0 if phrase == "some" else root.level
        self._tell(Saying(ident, "_gateway", CAUSE, level, root.label, phrase, since_ms=since_ms, rule=self.name))

    def _say(self, one: Silence, phrase: str, now_s: float, *, gone_ms: int = 0) -> None:
        lasted_s = gone_ms / 1000 if gone_ms else now_s - one.heard_s
        body: Mapping[str, object] = {"folded_into": one.folded} if one.folded and one.raised else {}
        self._tell(Saying(
            alarm_id(self.name, one.device), one.told_as, SILENT, self.rule.level if one.raised else 0, one.label,
            phrase, {"value": span(lasted_s)}, body, since_ms=one.since_ms, rule=self.name,
        ))  # fmt: skip

    def restore(self, ident: str, since_ms: int, *, now_s: float) -> bool:
        """Stand as a process before this one left it; evidence will clear it. False where it is not one of ours."""
        one = next((one for one in self._silences.values() if alarm_id(self.name, one.device) == ident), None)
        if self._members(ident):
            self._causes[ident] = since_ms
            self._say_cause(ident, "still", since_ms=since_ms)
        elif one is not None:
            one.raised, one.since_ms = True, since_ms
            one.heard_s = now_s - max(one.after_s, SILENT_PERIODS * one.every_s, SILENT_S) - 1.0
            self._tell(Saying(
                ident, one.told_as, SILENT, self.rule.level, one.label, "still", since_ms=since_ms, rule=self.name
            ))  # fmt: skip
        else:
            return False
        return True
