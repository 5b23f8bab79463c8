"""Messages on their way to one broker: our window, and the fate that follows from every PUBACK.

Invariants:
1. A parcel is settled once, on the broker's own answer; what has no answer when the connection ends is not settled.
2. Never more in flight than the broker announced (receive maximum); topped up after every burst of PUBACKs, because
   a window that is sent and then waited for stalls on delayed ACKs (libraries.md 3).
3. A message larger than the broker announced is never sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from paho.mqtt.properties import Properties

from gateway.sinks import Fate, Settle
from gateway.sinks.mqtt_dial import Welcome
from gateway.sinks.mqtt_reasons import TOO_LARGE, Act, Refusal, Verdict, puback
from gateway.sinks.mqtt_session import Session

LOG: Final = logging.getLogger("citygate.sink.mqtt")
WINDOW: Final = 256  # parcels in our hands; in flight are at most IN_FLIGHT and what the broker allows
IN_FLIGHT: Final = 128
ANSWER_S: Final = 120.0  # a broker that answers pings but no PUBLISH for so long is given up
PAUSE_S: Final = 10.0
TRIES: Final = 3
TRIES_KEPT: Final = 4096
PARK_S: Final = 60.0
DEAD_AFTER_S: Final = 600.0
OVERHEAD_BYTES: Final = 16  # fixed header, topic length, packet id, property length


@dataclass(slots=True, eq=False)
class Message:
    """One PUBLISH on its way. `position` is None for what is ours: status, meta, health."""

    topic: str
    payload: bytes
    retain: bool = False
    properties: Properties | None = None
    position: int | None = None
    sent_s: float = 0.0
    answer: asyncio.Future[int] | None = None

    @property
    def size_bytes(self) -> int:
        """An upper bound of the packet's size."""
        extra = 0 if self.properties is None else len(self.properties.pack())  # type: ignore[no-untyped-call]
        return OVERHEAD_BYTES + len(self.topic) + len(self.payload) + extra


@dataclass(slots=True)
class Parked:
    """A topic that is refused while others are not: since when, and when it is tried again (loop time, s)."""

    since_s: float
    until_s: float


class Outbox:
    """Belongs to one sink; `begin` gives it a new connection. `knock` makes the message that tests the door."""

    def __init__(self, *, status_topic: str, hold: bool) -> None:
        self.knock: Callable[[], Message] = lambda: Message(status_topic, b"", retain=True)
        self.parked: dict[str, Parked] = {}
        self._status_topic = status_topic
        self._hold = hold
        self._session: Session | None = None
        self._welcome = Welcome(1, 0)
        self._settle: Settle = lambda _position, _fate, _reason: None
        self._waiting: deque[Message] = deque(maxlen=4 * WINDOW)
        self._in_flight: dict[int, Message] = {}
        self._tries: dict[int, int] = {}
        self._room = asyncio.Event()
        self._paused_until_s = 0.0
        self.sent_bytes = 0

    def begin(self, session: Session, *, welcome: Welcome, settle: Settle) -> None:
        """A connection stands: start with empty hands."""
        self.drop()
        self._session, self._welcome, self._settle = session, welcome, settle
        session.on_puback = self._answered
        session.on_idle = self.pump

    def drop(self) -> None:
        """The connection is over: forget what is in our hands; it waits in the journal."""
        self._waiting.clear()
        self._in_flight.clear()
        self._paused_until_s = 0.0
        self._session = None
        self._room.set()

    @property
    def held(self) -> int:
        """Messages in our hands: waiting here or in flight."""
        return len(self._waiting) + len(self._in_flight)

    async def room(self) -> None:
        """Wait until the window has room, or the connection is over."""
        while self.held >= WINDOW and self._session is not None and self._session.down is None:
            self._room.clear()
            self.pump()
            await self._room.wait()

    def put(self, message: Message) -> None:
        """Queue one message. A parcel of a parked topic, or one too large for this broker, goes no further."""
        refused = None if message.position is None else self._refused(message.topic)
        if message.position is not None and refused is not None:
            self._settle(message.position, *refused)
            return
        most = self._welcome.maximum_packet_size
        if most and message.size_bytes > most:
            self._oversize(message, f"{message.size_bytes} bytes; the broker takes {most} at most")
            return
        self._waiting.append(message)

    def _oversize(self, message: Message, fact: str) -> None:
        """Not sent: the broker would end the connection for it."""
        if message.position is not None:
            self._settle(message.position, Fate.DEAD, fact)
        elif message.topic == self._status_topic and self._session is not None:
            self._session.fail(Refusal(f"not even {message.topic} fits: {fact}", "CG-MQT-03", 60.0))
        else:
            LOG.warning("%s is left out: %s", message.topic, fact)

    def _poison(self) -> None:
        """The broker announced no limit and ended the connection for a packet's size: it must be the largest one."""
        largest = max(self._in_flight.values(), key=lambda message: message.size_bytes, default=None)
        if self._session is None or self._session.down_reason != TOO_LARGE or largest is None:
            return
        self._in_flight = {mid: message for mid, message in self._in_flight.items() if message is not largest}
        if largest.position is not None:
            self._settle(largest.position, Fate.DEAD, f"{largest.size_bytes} bytes: 0x95 packet too large")
        self._session.down_reason = 0

    def put_first(self, message: Message) -> None:
        """A last word: nothing else is sent any more."""
        self._waiting.clear()
        self._paused_until_s = 0.0
        self._waiting.append(message)
        self.pump()

    def settle(self, position: int, fate: Fate, reason: str) -> None:
        """A fate that needs no question to the broker."""
        self._settle(position, fate, reason)

    def _refused(self, topic: str) -> tuple[Fate, str] | None:
        """The fate of a parcel for a parked topic; None while the topic is open."""
        parked = self.parked.get(topic)
        if parked is None or asyncio.get_running_loop().time() >= parked.until_s:
            return None
        return _park_fate(parked, topic)

    def pump(self) -> None:
        """Publish what the broker's window lets through. Called after every burst of answers and every second."""
        session = self._session
        if session is None or session.down is not None:
            self._poison()
            self._fail_waiters()
            self._room.set()
            return
        now_s = asyncio.get_running_loop().time()
        most = min(IN_FLIGHT, self._welcome.receive_maximum)
        while self._waiting and len(self._in_flight) < most and now_s >= self._paused_until_s:
            message = self._waiting.popleft()
            message.sent_s = now_s
            self.sent_bytes += message.size_bytes
            mid = session.publish(message.topic, message.payload, retain=message.retain, properties=message.properties)
            self._in_flight[mid] = message
        oldest = next(iter(self._in_flight.values()), None)
        if oldest is not None and now_s - oldest.sent_s > ANSWER_S:
            session.fail(Refusal(f"no PUBACK for {ANSWER_S:.0f} s", "CG-MQT-01"))
        if self.held < WINDOW:
            self._room.set()

    def _fail_waiters(self) -> None:
        down = self._session.down if self._session is not None else None
        for message in [*self._waiting, *self._in_flight.values()]:
            if message.answer is not None and not message.answer.done() and down is not None:
                message.answer.set_exception(down)

    def _answered(self, mid: int, code: int) -> None:
        """A PUBACK. One for a packet we do not know (doubled, or invented) settles nothing."""
        message = self._in_flight.pop(mid, None)
        if message is None:
            return
        verdict = puback(code)
        if message.answer is not None and not message.answer.done():
            message.answer.set_result(code)
        elif message.topic == self._status_topic and code >= 0x80 and self._session is not None:
            self._session.fail(Refusal(f"{message.topic}: {verdict.text}", "CG-MQT-05", 60.0))
        if message.position is not None:
            fate, reason = self._judge(message, verdict, reason=f"0x{code:02x} {verdict.text}".strip())
            if fate is not Fate.AGAIN:
                self._tries.pop(message.position, None)
            self._settle(message.position, fate, reason)

    def _judge(self, message: Message, verdict: Verdict, *, reason: str) -> tuple[Fate, str]:
        act = verdict.act
        now_s = asyncio.get_running_loop().time()
        if act in {Act.DELIVERED, Act.UNHEARD}:
            self.parked.pop(message.topic, None)
        if act is Act.DELIVERED:
            return Fate.DELIVERED, ""
        if act is Act.UNHEARD:
            return (Fate.AGAIN if self._hold else Fate.UNHEARD), reason
        if act is Act.PARK:
            return self._park(message.topic, now_s)
        if act is Act.PAUSE:
            self._paused_until_s = now_s + PAUSE_S
            return Fate.AGAIN, reason
        return (Fate.DEAD, reason) if act is Act.DEAD else self._retry(message, reason)

    def _retry(self, message: Message, reason: str) -> tuple[Fate, str]:
        position = message.position or 0
        tries = self._tries[position] = self._tries.get(position, 0) + 1
        if len(self._tries) > TRIES_KEPT:
            self._tries.pop(next(iter(self._tries)))
        return (Fate.AGAIN, reason) if tries < TRIES else (Fate.DEAD, f"{reason}, {tries} times")

    def _park(self, topic: str, now_s: float) -> tuple[Fate, str]:
        """This topic waits; `status` is published again to learn whether the whole door is shut."""
        parked = self.parked.setdefault(topic, Parked(now_s, now_s))
        if now_s >= parked.until_s:
            parked.until_s = now_s + PARK_S
            LOG.warning("not authorised to publish %s; it waits for %.0f s", topic, PARK_S)
            self._waiting.appendleft(self.knock())
        return _park_fate(parked, topic)


def _park_fate(parked: Parked, topic: str) -> tuple[Fate, str]:
    """Waiting for ten minutes; then a dead letter, so that one refused topic does not hold up all others for ever."""
    waited_s = parked.until_s - parked.since_s
    if waited_s > DEAD_AFTER_S:
        return Fate.DEAD, f"0x87 not authorised to publish {topic}, for {waited_s:.0f} s now"
    return Fate.AGAIN, f"0x87 not authorised to publish {topic}"
