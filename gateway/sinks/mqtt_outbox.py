"""Messages on their way to one broker: our window, and the fate that follows from every PUBACK.

Invariants:
1. A parcel is settled once, on the broker's own answer; what has no answer when the connection ends is not settled.
2. Never more in flight than the broker announced (receive maximum); topped up after every burst of PUBACKs, because
   a window that is sent and then waited for stalls on delayed ACKs (libraries.md 3).
3. A message larger than the broker announced is never sent.
4. Nothing becomes a dead letter on a PUBACK before `status` was taken after it: a broker that refuses everything for a
   while refuses `status` too, and that ends the connection and keeps everything.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

import paho.mqtt.client as paho

from gateway.sinks import Fate, Settle
from gateway.sinks.mqtt_dial import Welcome
from gateway.sinks.mqtt_message import Message
from gateway.sinks.mqtt_parking import Parking
from gateway.sinks.mqtt_proof import WHY, Proof
from gateway.sinks.mqtt_reasons import BLAMES, TOO_LARGE, UNANSWERED, Act, Refusal, Verdict, puback
from gateway.sinks.mqtt_session import Session

LOG: Final = logging.getLogger("citygate.sink.mqtt")
WINDOW: Final = 256  # parcels in our hands; in flight are at most IN_FLIGHT and what the broker allows
IN_FLIGHT: Final = 128
ANSWER_S: Final = 120.0  # a broker that answers pings but no PUBLISH for so long is given up
PAUSE_S: Final = 10.0
TRIES: Final = 3
TRIES_KEPT: Final = 4096
KNOCK_S: Final = 1.0  # between two tests of the door


class Outbox:
    """Belongs to one sink; `begin` gives it a new connection. `knock` makes the message that tests the door."""

    def __init__(self, *, status_topic: str, hold: bool) -> None:
        self.knock: Callable[[], Message] = lambda: Message(status_topic, b"", retain=True)
        self.parking = Parking()
        self._proof = Proof()
        self.taken_back: Callable[[], Message | None] = lambda: None  # what waits for a quiet moment
        self._status_topic = status_topic
        self._hold = hold
        self._session: Session | None = None
        self._welcome = Welcome(1, 0)
        self._settle: Settle = lambda _position, _fate, _reason: None
        self._waiting: deque[Message] = deque(maxlen=4 * WINDOW)  # never full: see `put`
        self._condemned: dict[int, str] = {}  # to be dead letters, once a knock that is sent from now on is answered
        self._judged: dict[int, str] = {}  # the same, and that knock is on its way
        self._knock_due = self._knocking = self._ended = False
        self._knocked_s = float("-inf")
        self._in_flight: dict[int, Message] = {}
        self._tries: dict[int, int] = {}
        self._room = asyncio.Event()
        self._paused_until_s = 0.0
        self.sent_bytes = 0

    def begin(self, session: Session, *, welcome: Welcome, settle: Settle) -> None:
        """A connection stands: start with empty hands."""
        self.drop()
        self._session, self._welcome, self._settle = session, welcome, settle
        self._proof.begin(None if session.dial.protocol == paho.MQTTv5 else session)
        session.on_puback = self._answered
        session.on_idle = self.pump

    def drop(self) -> None:
        """The connection is over: forget what is in our hands; it waits in the journal."""
        self._mourn()
        self._proof.begin(None)
        for each in (self._waiting, self._in_flight, self._condemned, self._judged):
            each.clear()
        self._knock_due = self._knocking = self._ended = False
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
        """Queue one message. A parcel of a parked topic, or one too large for this broker, goes no further.

        Raises:
            OverflowError: `room` was not awaited; nothing is ever dropped silently.
        """
        if len(self._waiting) == self._waiting.maxlen:
            raise OverflowError("the outbox is full")
        refused = self._refused(message)
        if refused is not None:
            if message.position is not None:
                self._settle(message.position, *refused)
            return
        most = self._welcome.maximum_packet_size
        if most and message.size_bytes > most:
            self._oversize(message, f"{message.size_bytes} bytes; the broker takes {most} at most")
            return
        if message.position is not None and not self._proof.may_go(message.topic, message.payload):
            self._settle(message.position, Fate.AGAIN, "its topic is to be proven first")
            return
        self._waiting.append(message)

    def heard(self, topic: str, payload: bytes) -> None:
        """A message of our own has come back (3.1.1)."""
        for position in self._proof.heard(topic, payload):
            self.parking.taken(topic)
            self._settle(position, Fate.DELIVERED, "")

    def _unheard(self, now_s: float) -> None:
        for topic, positions in self._proof.overdue(now_s):
            fate, reason, fresh = self.parking.denied(topic, now_s, why=WHY)
            self._knock_due |= fresh
            for position in positions:
                self._settle(position, fate, reason)

    def _oversize(self, message: Message, fact: str) -> None:
        """Not sent: the broker would end the connection for it."""
        if message.position is not None:
            self._settle(message.position, Fate.DEAD, fact)
        elif message.topic == self._status_topic and self._session is not None:
            self._session.fail(Refusal(f"not even {message.topic} fits: {fact}", "CG-MQT-03", 60.0))
        else:
            LOG.warning("%s is left out: %s", message.topic, fact)

    def _mourn(self) -> None:
        """Once for each connection that was lost: who was in flight, and may have been the cause?"""
        session = self._session
        if session is None or session.down is None or self._ended:
            return
        self._ended = True
        reason, now_s = session.down_reason, _now_s()
        flight = [message for message in self._in_flight.values() if message.topic != self._status_topic]
        if reason == TOO_LARGE and flight:
            # The broker announced no limit: it must be the largest one.
            largest = max(flight, key=lambda message: message.size_bytes)
            if largest.position is not None:
                self._settle(largest.position, Fate.DEAD, f"{largest.size_bytes} bytes: 0x95 packet too large")
                return
        if reason == UNANSWERED:
            flight = [message for message in flight if now_s - message.sent_s > ANSWER_S]
        if flight and reason in BLAMES:
            self.parking.lost([(each.key, each.topic) for each in flight], now_s=now_s, why=str(session.down))

    def put_first(self, message: Message) -> None:
        """A last word: nothing else is sent any more."""
        self._waiting.clear()
        self._ended = True
        self._paused_until_s = 0.0
        self._waiting.append(message)
        self.pump()

    def settle(self, position: int, fate: Fate, reason: str) -> None:
        """A fate that needs no question to the broker."""
        self._settle(position, fate, reason)

    def _refused(self, message: Message) -> tuple[Fate, str] | None:
        """The fate of what is parked; None while it may go. `status` always may."""
        if not self.parking.any or message.topic == self._status_topic:
            return None
        return self.parking.refused(message.key, message.topic, now_s=_now_s())

    def pump(self) -> None:
        """Publish what the broker's window lets through. Called after every burst of answers and every second."""
        session = self._session
        if session is None or session.down is not None:
            self._mourn()
            self._fail_waiters()
            self._room.set()
            return
        now_s = _now_s()
        self._unheard(now_s)
        self._add_ours(now_s)
        most = min(IN_FLIGHT, self._welcome.receive_maximum)
        careful = self.parking.careful
        while self._waiting and len(self._in_flight) < most and now_s >= self._paused_until_s:
            if careful and self._must_wait(self._waiting[0]):
                break
            message = self._waiting.popleft()
            message.sent_s = now_s
            self.sent_bytes += message.size_bytes
            mid = session.publish(message.topic, message.payload, retain=message.retain, properties=message.properties)
            self._in_flight[mid] = message
        oldest = next(iter(self._in_flight.values()), None)
        if oldest is not None and now_s - oldest.sent_s > ANSWER_S:
            session.fail(Refusal(f"no PUBACK for {ANSWER_S:.0f} s", "CG-MQT-01"), reason=UNANSWERED)
        if self.held < WINDOW:
            self._room.set()

    def _add_ours(self, now_s: float) -> None:
        """What is not handed over: a knock at the door, and metas to be taken back, one at a time."""
        if self._ended:
            return  # the last word is said
        if (self._knock_due or self._condemned) and not self._knocking and now_s - self._knocked_s >= KNOCK_S:
            self._waiting.appendleft(self.knock())
            self._knocking, self._knock_due, self._knocked_s = True, False, now_s
            self._judged, self._condemned = self._condemned, {}
        late = self.taken_back() if self.held < WINDOW else None
        if late is not None:
            self.put(late)

    def _must_wait(self, message: Message) -> bool:
        """Whether it, or what is in flight, is to be alone; a birth and a goodbye wait for nobody."""
        if not self._in_flight or message.answer is not None:
            return False
        first = next(iter(self._in_flight.values()))
        return any(self.parking.alone(each.key, each.topic) for each in (message, first))

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
        elif message.topic == self._status_topic:
            self._door(code, verdict)
        held = message.position is not None and self._proof.due(message.topic)
        if self.parking.any:
            self.parking.answered(message.key)
            if code < 0x80 and not held:
                self.parking.taken(message.topic)
        if message.position is not None:
            if held:
                self._hold_back(message.topic, message.position)
            else:
                self._confirmed(message, message.position, verdict=verdict, code=code)

    def _hold_back(self, topic: str, position: int) -> None:
        """Confirmed, and not proven: what is not asked back any more has to go again."""
        if not self._proof.holds(topic, position, now_s=_now_s()):
            self._settle(position, Fate.AGAIN, f"{WHY} {topic}")

    def _confirmed(self, message: Message, position: int, *, verdict: Verdict, code: int) -> None:
        reason = f"0x{code:02x} {verdict.text}".strip() if code else ""
        fate, reason = self._judge(message, verdict, reason=reason)
        if fate is Fate.DEAD:
            self._condemned[position] = reason
            return
        if fate is not Fate.AGAIN:
            self._tries.pop(position, None)
        self._settle(position, fate, reason)

    def _door(self, code: int, verdict: Verdict) -> None:
        """The answer to a knock."""
        self._knocking = False
        if code >= 0x80 and self._session is not None:
            self._session.fail(Refusal(f"{self._status_topic}: {verdict.text}", "CG-MQT-05", 60.0))
            return
        judged, self._judged = self._judged, {}
        for position, reason in judged.items():
            self._tries.pop(position, None)
            self._settle(position, Fate.DEAD, reason)

    def _judge(self, message: Message, verdict: Verdict, *, reason: str) -> tuple[Fate, str]:
        act = verdict.act
        if act is Act.DELIVERED:
            return Fate.DELIVERED, ""
        if act is Act.UNHEARD:
            return (Fate.AGAIN if self._hold else Fate.UNHEARD), reason
        now_s = _now_s()
        if act is Act.PARK:
            fate, reason, fresh = self.parking.denied(message.topic, now_s)
            self._knock_due |= fresh
            return fate, reason
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


def _now_s() -> float:
    return asyncio.get_running_loop().time()
