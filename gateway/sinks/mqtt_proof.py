"""MQTT 3.1.1: a PUBACK says nothing of refusals, so on each connection every topic must come back to us once.

The first record of a topic is subscribed to before it is published; until it is heard again, nothing of its topic
counts as delivered. What does not come back in `ECHO_S` is treated as MQTT 5's 0x87 is: a broker that drops what we
publish, and one that does not let us read it, look the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

ECHO_S: Final = 15.0
ECHOES: Final = 64
AT_A_TIME: Final = 32  # subscriptions; brokers limit their number
WHY: Final = "MQTT 3.1.1: what we publish does not come back (the broker drops it, or we may not read it):"


class Subscribes(Protocol):
    """The connection, as far as it is needed here."""

    def subscribe(self, topic: str) -> None:
        """Ask for a topic."""

    def unsubscribe(self, topic: str) -> None:
        """No more of it."""


@dataclass(slots=True)
class _Asked:
    payloads: set[bytes]  # of the first `ECHOES`: a broker of several nodes may subscribe later than it takes
    since_s: float = 0.0  # of the first PUBACK
    held: list[int] = field(default_factory=list)


class Proof:
    """Belongs to one outbox. Times are the loop's (s)."""

    def __init__(self) -> None:
        self._session: Subscribes | None = None
        self._proven: set[str] = set()
        self._asked: dict[str, _Asked] = {}

    def begin(self, session: Subscribes | None) -> None:
        """A new connection, or None where there is none or it tells of refusals itself."""
        self._session = session
        self._proven.clear()
        self._asked.clear()

    def may_go(self, topic: str, payload: bytes) -> bool:
        """Whether a record of the topic may be published now; the first of its topic is asked back."""
        asked = self._asked.get(topic)
        if asked is not None and len(asked.payloads) < ECHOES:
            asked.payloads.add(payload)
        if self._session is None or topic in self._proven or asked is not None:
            return True
        if len(self._asked) >= AT_A_TIME:
            return False
        self._asked[topic] = _Asked({payload})
        self._session.subscribe(topic)
        return True

    def due(self, topic: str) -> bool:
        """Whether a PUBACK on this topic alone says nothing: it has to be proven, and was not yet."""
        return self._session is not None and topic not in self._proven

    def holds(self, topic: str, position: int, *, now_s: float) -> bool:
        """A PUBACK has come on a topic that is due: kept until it is proven; false where it is not asked for now."""
        asked = self._asked.get(topic)
        if asked is not None:
            asked.since_s = asked.since_s if asked.held else now_s
            asked.held.append(position)
        return asked is not None

    def heard(self, topic: str, payload: bytes) -> list[int]:
        """A message has come: the positions that are delivered by it."""
        asked = self._asked.get(topic)
        if asked is None or payload not in asked.payloads or self._session is None:
            return []
        self._proven.add(topic)
        return self._over(topic)

    def overdue(self, now_s: float) -> list[tuple[str, list[int]]]:
        """The topics that did not come back, with what the broker has confirmed there."""
        late = [topic for topic, asked in self._asked.items() if asked.held and now_s - asked.since_s > ECHO_S]
        return [(topic, self._over(topic)) for topic in late]

    def _over(self, topic: str) -> list[int]:
        if self._session is not None:
            self._session.unsubscribe(topic)
        return self._asked.pop(topic).held
