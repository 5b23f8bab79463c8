"""Topics and records that one broker does not take while it takes others: they wait, and do not hold up the rest.

A broker says so in a PUBACK (0x87), or it ends the connection (MQTT 3.1.1 knows no other way; some brokers do it on
MQTT 5, too) and does not say which of the messages in flight it was. So who is in flight at such a loss is under
suspicion from the second time on, and then is sent alone: what is alone at the third was the cause. Its topic is
parked. The state outlives connections, not the process.

Invariants:
1. Only ours (`status`) is never left out: it is the test of the door.
2. What ends connections becomes a dead letter when a trial fails `DEAD_AFTER_S` after the first, and `TRIALS` have;
   each on a connection that had taken `status` before.
3. That a broker ends the connection at one record does not condemn its topic: a second record must meet with the same.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from gateway.sinks import Fate

LOG: Final = logging.getLogger("citygate.sink.mqtt")
PARK_S: Final = 60.0
PARK_MOST_S: Final = 240.0  # of what costs a connection each time it is tried
DEAD_AFTER_S: Final = 600.0
OTHERS_S: Final = 10.0  # by which the others of a topic are tried before the record that was its undoing
DENIED: Final = "0x87 not authorised to publish"
SUSPECT_AT: Final = 2
TRIALS: Final = 4
KEPT: Final = 4096

Key: TypeAlias = int | str
"""A message over several connections: the record's position, or the topic of what is ours."""


@dataclass(slots=True)
class Parked:
    """Not taken: since when, and when it is tried again (loop time, s); `ended` by which messages, in `trials`."""

    since_s: float
    until_s: float
    why: str = DENIED
    trials: int = 0
    ended: set[Key] = field(default_factory=set)
    tried_s: float = 0.0

    def tried(self, now_s: float, why: str) -> None:
        """It has ended the connection, once more."""
        self.trials += 1
        self.why, self.tried_s = why, now_s
        self.until_s = now_s + min(PARK_S * self.trials, PARK_MOST_S)

    @property
    def hopeless(self) -> bool:
        """Whether it ended connections for so long that it will not be taken any more."""
        return self.trials >= TRIALS and self.tried_s - self.since_s >= DEAD_AFTER_S

    @property
    def told(self) -> str:
        """For the dead letter."""
        return f"{self.why}, {self.trials} times in {self.tried_s - self.since_s:.0f} s"


class Parking:
    """Belongs to one sink. All times are the loop's, in seconds."""

    def __init__(self) -> None:
        self.topics: dict[str, Parked] = {}
        self._guilty: dict[int, Parked] = {}
        self._losses: dict[Key, int] = {}

    @property
    def any(self) -> bool:
        """Whether there is anything to be asked for at all."""
        return bool(self.topics or self._losses or self._guilty)

    @property
    def careful(self) -> bool:
        """Whether any message must be sent alone."""
        return bool(self._losses or self._guilty) or any(each.trials for each in self.topics.values())

    def alone(self, key: Key, topic: str) -> bool:
        """Whether nothing else may be in flight beside it."""
        parked = self.topics.get(topic)
        return (
            self._losses.get(key, 0) >= SUSPECT_AT
            or key in self._guilty
            or (parked is not None and parked.trials > 0)
        )  # fmt: skip

    def refused(self, key: Key, topic: str, *, now_s: float) -> tuple[Fate, str] | None:
        """The fate of what is parked; None where it may be sent."""
        parked = self.topics.get(topic)
        guilt = self._guilty.get(key) if isinstance(key, int) else None
        if guilt is not None and guilt.hopeless:
            self.answered(key)
            return Fate.DEAD, guilt.told
        if parked is not None and now_s < parked.until_s and (parked.trials or isinstance(key, int)):
            fate, why = _fate(parked, topic)
            if fate is Fate.DEAD:
                self.answered(key)
            return fate, why
        others_s = 0.0 if parked is None else parked.until_s + OTHERS_S
        if guilt is not None and now_s < max(guilt.until_s, others_s):
            return Fate.AGAIN, guilt.why
        return None

    def denied(self, topic: str, now_s: float, *, why: str = DENIED) -> tuple[Fate, str, bool]:
        """A PUBACK with 0x87: the record's fate, its reason, and whether the door is to be tested."""
        parked = self.topics.setdefault(topic, Parked(now_s, now_s, why))
        fresh = now_s >= parked.until_s
        if fresh:
            parked.until_s = now_s + PARK_S
            LOG.warning("%s %s; it waits for %.0f s", why, topic, PARK_S)
        return *_fate(parked, topic), fresh

    def answered(self, key: Key) -> None:
        """The broker has answered: whatever it said, this message does not end connections."""
        self._losses.pop(key, None)
        if isinstance(key, int):
            self._guilty.pop(key, None)

    def taken(self, topic: str) -> None:
        """The broker takes messages of this topic."""
        self.topics.pop(topic, None)

    def lost(self, flight: Sequence[tuple[Key, str]], *, now_s: float, why: str) -> None:
        """The broker has ended the connection with these in flight, key and topic."""
        if len(flight) == 1 and self.alone(*flight[0]):
            self._convict(*flight[0], now_s=now_s, why=why)
            return
        for key, _topic in flight:
            self._losses[key] = self._losses.pop(key, 0) + 1
        while len(self._losses) > KEPT:
            del self._losses[next(iter(self._losses))]

    def _convict(self, key: Key, topic: str, *, now_s: float, why: str) -> None:
        self._losses.pop(key, None)
        why = f"the broker ends the connection at {topic}: {why}"
        first = True
        if isinstance(key, int):
            first = key not in self._guilty
            self._guilty.setdefault(key, Parked(now_s, now_s)).tried(now_s, why)
            if len(self._guilty) > KEPT:
                del self._guilty[next(iter(self._guilty))]
        if first or topic in self.topics:  # else others of this topic were taken since: it is the record's own fault
            parked = self.topics.setdefault(topic, Parked(now_s, now_s))
            parked.tried(now_s, why)
            if len(parked.ended) < TRIALS:
                parked.ended.add(key)
            LOG.warning("%s; the topic waits for %.0f s", why, parked.until_s - now_s)


def _fate(parked: Parked, topic: str) -> tuple[Fate, str]:
    """Waiting for ten minutes; then a dead letter, so that one refused topic does not hold up all others for ever."""
    if parked.trials:
        over = parked.hopeless and len(parked.ended) > 1
        return (Fate.DEAD, parked.told) if over else (Fate.AGAIN, parked.why)
    waited_s, why = parked.until_s - parked.since_s, f"{parked.why} {topic}"
    return (Fate.DEAD, f"{why}, for {waited_s:.0f} s now") if waited_s > DEAD_AFTER_S else (Fate.AGAIN, why)
