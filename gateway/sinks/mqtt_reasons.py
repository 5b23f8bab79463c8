"""What every MQTT answer means for a record and for the connection (MQTT 5.0, section 2.4). One table per packet.

A PUBACK is no proof of delivery: it may carry a refusal. Only 0x00 is delivered; 0x10 is taken but unheard.
Nothing is ever split: one record is one PUBLISH, so what is too large is so as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Act(Enum):
    """What the sink does with the record of a PUBACK."""

    DELIVERED = "delivered"
    UNHEARD = "unheard"  # or held, with `no_subscriber = "hold"`
    RETRY = "retry"  # again a few times, then a dead letter
    PARK = "park"  # this topic waits and is tried again; the door is tested with `status`
    PAUSE = "pause"  # the whole sink waits: a quota is spent
    DEAD = "dead"  # this record will never be taken


@dataclass(frozen=True, slots=True)
class Verdict:
    """The act, and the words for the record's reason."""

    act: Act
    text: str


PUBACK: Final[Mapping[int, Verdict]] = {
    0x00: Verdict(Act.DELIVERED, ""),
    0x10: Verdict(Act.UNHEARD, "no subscriber"),
    0x80: Verdict(Act.RETRY, "refused without a reason"),
    0x83: Verdict(Act.RETRY, "refused by a rule of the broker"),
    0x87: Verdict(Act.PARK, "not authorised to publish here"),
    0x90: Verdict(Act.DEAD, "topic name invalid"),
    0x91: Verdict(Act.RETRY, "packet identifier in use"),
    0x97: Verdict(Act.PAUSE, "quota exceeded"),
    0x99: Verdict(Act.DEAD, "payload format invalid"),
}


def puback(code: int) -> Verdict:
    """The verdict on a PUBACK's reason code; one that the standard does not know is tried again, then buried."""
    return PUBACK.get(code, Verdict(Act.RETRY, "unknown reason"))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the connection is refused or ended: words, catalogue code, and the least wait before the next try (s)."""

    text: str
    code: str = "CG-MQT-02"
    retry_s: float | None = None


CONNACK: Final[Mapping[int, Refusal]] = {
    0x80: Refusal("refused without a reason", "CG-MQT-02", 30.0),
    0x81: Refusal("the CONNECT packet is malformed to the broker", "CG-MQT-03", 60.0),
    0x82: Refusal("the CONNECT packet breaks the protocol as the broker reads it", "CG-MQT-03", 60.0),
    0x83: Refusal("refused by a rule of the broker", "CG-MQT-02", 60.0),
    0x84: Refusal("this protocol version is not spoken", "CG-MQT-03"),
    0x85: Refusal("the client id is not accepted", "CG-MQT-04", 60.0),
    0x86: Refusal("wrong user name or password", "CG-MQT-05", 60.0),
    0x87: Refusal("not authorised to connect", "CG-MQT-05", 60.0),
    0x88: Refusal("the broker is unavailable", "CG-MQT-02", 10.0),
    0x89: Refusal("the broker is busy", "CG-MQT-02", 30.0),
    0x8A: Refusal("banned by the broker", "CG-MQT-05", 600.0),
    0x8C: Refusal("wrong authentication method", "CG-MQT-05", 60.0),
    0x90: Refusal("the topic of our will is not accepted", "CG-MQT-03", 60.0),
    0x95: Refusal("the CONNECT packet is too large for the broker", "CG-MQT-03", 60.0),
    0x97: Refusal("the broker's quota is exceeded", "CG-MQT-07", 60.0),
    0x99: Refusal("the payload of our will is not accepted", "CG-MQT-03", 60.0),
    0x9A: Refusal("the broker keeps no retained messages", "CG-MQT-03", 60.0),
    0x9B: Refusal("the broker does not offer QoS 1", "CG-MQT-03", 60.0),
    0x9C: Refusal("the broker asks to use another server", "CG-MQT-02"),
    0x9D: Refusal("the broker has moved", "CG-MQT-02"),
    0x9F: Refusal("connecting too often", "CG-MQT-07", 60.0),
}
TOO_LARGE: Final = 0x95
ELSEWHERE: Final = (0x9C, 0x9D)  # use another server, server moved: with a Server Reference, or none
DISCONNECT: Final[Mapping[int, Refusal]] = {
    0x00: Refusal("the broker ended the connection", "CG-MQT-02"),
    0x04: Refusal("the broker ended the connection and sends our will", "CG-MQT-02"),
    0x80: Refusal("disconnected without a reason"),
    0x81: Refusal("a packet of ours is malformed to the broker"),
    0x82: Refusal("a packet of ours breaks the protocol as the broker reads it"),
    0x83: Refusal("disconnected by a rule of the broker"),
    0x87: Refusal("not authorised", "CG-MQT-05"),
    0x89: Refusal("the broker is busy", "CG-MQT-02", 30.0),
    0x8B: Refusal("the broker is shutting down", "CG-MQT-01", 5.0),
    0x8C: Refusal("wrong authentication method", "CG-MQT-05", 60.0),
    0x8D: Refusal("keep-alive timeout", "CG-MQT-01"),
    0x8E: Refusal("another client took over our client id", "CG-MQT-06", 60.0),
    0x8F: Refusal("a topic filter is invalid to the broker"),
    0x90: Refusal("a topic name is invalid to the broker"),
    0x93: Refusal("the broker's receive maximum was exceeded", "CG-MQT-02"),
    0x94: Refusal("a topic alias is invalid to the broker"),
    0x95: Refusal("a packet was too large for the broker", "CG-MQT-02"),
    0x96: Refusal("the message rate is too high", "CG-MQT-07", 30.0),
    0x97: Refusal("the broker's quota is exceeded", "CG-MQT-07", 60.0),
    0x98: Refusal("closed by the broker's operator", "CG-MQT-02", 60.0),
    0x99: Refusal("a payload's format is invalid to the broker"),
    0x9A: Refusal("the broker keeps no retained messages", "CG-MQT-03"),
    0x9B: Refusal("the broker does not offer QoS 1", "CG-MQT-03"),
    0x9C: Refusal("the broker asks to use another server", "CG-MQT-02"),
    0x9D: Refusal("the broker has moved", "CG-MQT-02"),
    0x9E: Refusal("the broker offers no shared subscriptions", "CG-MQT-03", 60.0),
    0x9F: Refusal("connecting too often", "CG-MQT-07", 60.0),
    0xA0: Refusal("the broker's longest time of a connection is over", "CG-MQT-02"),
    0xA1: Refusal("the broker offers no subscription identifiers", "CG-MQT-03", 60.0),
    0xA2: Refusal("the broker offers no wildcard subscriptions", "CG-MQT-03", 60.0),
}
CLOSED: Final = -1  # the broker closed the connection without a word
UNANSWERED: Final = -2  # it answers pings, and a PUBLISH never
BLAMES: Final = frozenset({CLOSED, UNANSWERED, 0x80, 0x81, 0x82, 0x83, 0x87, 0x90, 0x94, TOO_LARGE, 0x99, 0x9A, 0x9B})
"""Ends of a connection that a PUBLISH in flight may be the cause of."""
