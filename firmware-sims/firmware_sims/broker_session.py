"""What the small broker keeps: the script of its misbehaviour, subscriptions, sessions."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from firmware_sims.mqtt_packets import Message, matches

QUEUE: Final = 2000


@dataclass
class Script:
    """What the broker does wrong or announces; may be changed while it runs.

    Attributes:
        connack: reason code for every CONNECT, 0 = accept (3.1.1 clients get the nearest return code).
        puback, suback: topic filter -> reason code; the first match counts. Refused messages (0x80 and above) are
            dropped, with a PUBACK that 3.1.1 clients cannot tell from success.
        disconnect: topic filter -> reason code; a publish there ends the connection, with DISCONNECT on MQTT 5.
        close: topic filters; a publish there ends the connection without a word.
        unanswered: topic filters; a publish there is dropped and never answered.
        puback_delay_s: every PUBACK waits this long. puback_never: no PUBACK at all.
        lose_acknowledged: a lie: messages are acknowledged and dropped.
        cut_in, cut_out: every connection is cut after so many bytes from (to) the client.
        receive_maximum, maximum_packet_size: announced and enforced.
        no_subscribers: answer 0x10 where nobody listens, as MQTT 5 allows.
        mute: nothing is answered at all, connections stay open (a half-open peer).
    """

    connack: int = 0
    puback: dict[str, int] = field(default_factory=dict)
    suback: dict[str, int] = field(default_factory=dict)
    disconnect: dict[str, int] = field(default_factory=dict)
    close: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    puback_delay_s: float = 0.0
    puback_never: bool = False
    lose_acknowledged: bool = False
    cut_in: int | None = None
    cut_out: int | None = None
    receive_maximum: int | None = None
    maximum_packet_size: int | None = None
    no_subscribers: bool = True
    mute: bool = False


@dataclass
class Subscription:
    """One filter of a session with its options."""

    qos: int
    no_local: bool = False
    as_published: bool = False
    identifier: int | None = None


@dataclass
class Session:
    """What the broker knows of a client id between connections: filters, and QoS 1 messages on their way."""

    client_id: str
    filters: dict[str, Subscription] = field(default_factory=dict)
    queue: deque[Message] = field(default_factory=lambda: deque(maxlen=QUEUE))
    flying: dict[int, Message] = field(default_factory=dict)
    next_id: int = 0
    expiry: asyncio.TimerHandle | None = None

    def wanted(self, topic: str) -> Subscription | None:
        """The subscription of highest QoS that a topic falls under."""
        found = [sub for topic_filter, sub in self.filters.items() if matches(topic_filter, topic)]
        return max(found, key=lambda sub: sub.qos) if found else None
