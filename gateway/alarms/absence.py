"""Absence: devices that give no usable value, and what is behind it: their bus, or all that the gateway reads.

One rule, its silences (one for each configured device), and the causes that it folds them into. A device that is
silent for longer than its cause is told by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.alarms.words import CAUSE, SILENT, Saying, Tell, Text, span
from gateway.config import Alarm
from gateway.config.duration import seconds

SILENT_PERIODS: Final = 3.0
SILENT_S: Final = 5.0
LEAST_PERIODS: Final = 2.5  # an absence shorter than this is one missed poll
WIRE: Final = "CG-BUS-01"


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
        self._label = label
        self._off_s = 0.0 if rule.delay_off is None else seconds(rule.delay_off)
        self._silences = {one.device: one for one in silences}
        self.watched = {ident: one for one in self._silences.values() for ident in one.ids}
        self._causes: dict[str, int] = {}  # id -> since ms
        self._gone_s: dict[str, float] = {}
        self._now_s = 0.0

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
            return self._raise(f"alarm-{self.name}-gateway", self._label, 3, one=one)
        if len(here) > 1 and all(other.silent(now_s) for other in here):
            label = {"en": f"bus {one.bus}", "th": f"บัส {one.bus}"}
            return self._raise(f"alarm-{self.name}-bus-{one.bus}", label, self.rule.level, one=one)
        return ""

    def _raise(self, ident: str, label: Text, level: int, *, one: Silence) -> str:
        """Raise the cause of `one` where it does not stand, and fold into it what was told before."""
        if ident not in self._causes:
            self._causes[ident] = one.since_ms
            self._tell(Saying(ident, "_gateway", CAUSE, level, label, "none", since_ms=one.since_ms, rule=self.name))
            for other in self._members(ident):
                if other.raised and not other.folded and other is not one:
                    other.folded = ident
                    self._say(other, "silent", self._now_s)
        return ident

    def _members(self, ident: str) -> Iterator[Silence]:
        for one in self._silences.values():
            if ident in {f"alarm-{self.name}-gateway", f"alarm-{self.name}-bus-{one.bus}"}:
                yield one

    def _end_causes(self, now_s: float, now_ms: int) -> None:
        for ident, since_ms in list(self._causes.items()):
            if all(one.silent(now_s) for one in self._members(ident)):
                continue
            del self._causes[ident]
            self._gone_s[ident] = now_s
            bus = ident.removeprefix(f"alarm-{self.name}-bus-")
            label = self._label if ident.endswith("-gateway") else {"en": f"bus {bus}", "th": f"บัส {bus}"}
            self._tell(Saying(ident, "_gateway", CAUSE, 0, label, "some", since_ms=since_ms, rule=self.name))

    def _say(self, one: Silence, phrase: str, now_s: float, *, gone_ms: int = 0) -> None:
        lasted_s = gone_ms / 1000 if gone_ms else now_s - one.heard_s
        body: Mapping[str, object] = {"folded_into": one.folded} if one.folded and one.raised else {}
        self._tell(Saying(
            f"alarm-{self.name}-{one.device}", one.told_as, SILENT, self.rule.level if one.raised else 0, one.label,
            phrase, {"value": span(lasted_s)}, body, since_ms=one.since_ms, rule=self.name,
        ))  # fmt: skip

    def restore(self, ident: str, since_ms: int, *, now_s: float) -> bool:
        """Stand as a process before this one left it; evidence will clear it. False where it is not one of ours."""
        members = list(self._members(ident))
        one = next((one for one in self._silences.values() if f"alarm-{self.name}-{one.device}" == ident), None)
        if members:
            self._causes[ident] = since_ms
            level = 3 if ident.endswith("-gateway") else self.rule.level
            label = self._label if level == 3 else {"en": f"bus {members[0].bus}", "th": f"บัส {members[0].bus}"}
            said = Saying(ident, "_gateway", CAUSE, level, label, "still", since_ms=since_ms, rule=self.name)
        elif one is not None:
            one.raised, one.since_ms = True, since_ms
            one.heard_s = now_s - max(one.after_s, SILENT_PERIODS * one.every_s, SILENT_S) - 1.0
            said = Saying(
                ident, one.told_as, SILENT, self.rule.level, one.label, "still", since_ms=since_ms, rule=self.name
            )
        else:
            return False
        self._tell(said)
        return True
