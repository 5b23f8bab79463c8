"""Where an MQTT connection goes, as whom, and with which last will; what the broker answered."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import paho.mqtt.client as paho

from gateway.config import Sink as Options
from gateway.config.duration import seconds
from gateway.sinks import SinkDown
from gateway.sinks.credentials import Files, read
from gateway.sinks.renewal import TLS_FILES, renewed, stamp

PROTOCOLS: Final = {"auto": (paho.MQTTv5, paho.MQTTv311), "5": (paho.MQTTv5,), "3.1.1": (paho.MQTTv311,)}


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for us when we vanish (QoS 1). `delay_s`: on MQTT 5 only; 0 is at once, no session kept."""

    topic: str
    payload: bytes
    retain: bool = True
    delay_s: int = 20


@dataclass(frozen=True, slots=True)
class Dial:
    """Where to connect, as whom, and the will. `protocol`: 5 or 4 (3.1.1).

    `renewal` returns when the TLS files were renewed and load; until then it tells its argument what is wrong with
    them. None: there are none.
    """

    host: str
    port: int
    protocol: int
    client_id: str
    keepalive_s: int
    will: Will
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    renewal: Callable[[Callable[[str], None]], Awaitable[object]] | None = field(default=None, repr=False)

    @property
    def where(self) -> str:
        """The endpoint, for messages."""
        return f"{self.host}:{self.port}"


async def dial(url: str, protocol: int, *, config: Options, files: Files, client_id: str, will: Will) -> Dial:
    """The call to `url`, with secrets and certificates read anew. Raises `SinkDown` where one cannot be used."""
    host, port, tls = address(url)
    since = await asyncio.to_thread(stamp, config, files) if tls else ()
    card = await asyncio.to_thread(read, config, files, tls=tls)

    def renewal(tell: Callable[[str], None]) -> Awaitable[object]:
        return renewed(config, files, since=since, tls=True, keys=TLS_FILES, tell=tell)

    return Dial(
        host=host,
        port=port,
        protocol=protocol,
        client_id=client_id,
        keepalive_s=max(2, round(seconds(config.keepalive))),
        will=will,
        tls=card.tls,
        username=card.username,
        password=card.secret,
        renewal=renewal if since else None,
    )


def address(url: str) -> tuple[str, int, bool]:
    """Host, port and whether TLS is spoken."""
    parts = urlsplit(url)
    tls = parts.scheme == "mqtts"
    return parts.hostname or "", parts.port or (8883 if tls else 1883), tls


@dataclass(frozen=True, slots=True)
class Welcome:
    """What the broker announced. Packet sizes in bytes; 0 is no limit."""

    receive_maximum: int
    maximum_packet_size: int


class ProtocolRefused(SinkDown):
    """The broker does not speak this version of the protocol; an older one may do."""


class Redirected(SinkDown):
    """The broker names another server, or none. `reference`: hosts with or without ports, as it wrote them."""

    reference = ""


class ClosedEarly(SinkDown):
    """The connection was closed before any answer to CONNECT: an old broker, or one that is just starting."""
