"""MQTT sink: connect, birth and meta, and one PUBLISH at QoS 1 per record (contracts.md, "MQTT").

A sink is up only after its own `status` was taken: on MQTT 5 the PUBACK says so; on 3.1.1, where a broker may confirm
and drop, `status` must come back to us.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.clock import Clock
from gateway.config import Sink as Options
from gateway.reading import LENGTHS_S
from gateway.record import Record
from gateway.sinks import UNFIT, Fate, Parcel, Settle, SinkDown, Site, announce
from gateway.sinks.credentials import Files
from gateway.sinks.mqtt_dial import PROTOCOLS, ClosedEarly, ProtocolRefused, Redirected, Will, dial
from gateway.sinks.mqtt_message import Message
from gateway.sinks.mqtt_metas import Metas
from gateway.sinks.mqtt_outbox import WINDOW, Outbox
from gateway.sinks.mqtt_reasons import puback
from gateway.sinks.mqtt_session import Session
from gateway.sinks.mqtt_urls import Urls
from gateway.sinks.payload import Payload
from gateway.sinks.senml import SenML
from gateway.sinks.topics import Topics

RETAINED: Final = ("15m", "1h")
BIRTH_S: Final = 15.0
SHUT_TIMES: Final = 3
GOODBYE_S: Final = 2.0
LISTEN_S: Final = 5.0  # how long retained metas of removed devices are looked for


class MqttSink:
    """One broker, or several urls of it, tried in turn.

    Raises:
        ValueError: the topic template or an id does not fit into a topic.
    """

    window = WINDOW
    linger_s = 0.0

    def __init__(self, name: str, *, config: Options, site: Site, clock: Clock, files: Files) -> None:
        self._config = config
        self._site = site
        self._clock = clock
        self._files = files
        self._topics = Topics(config.topic, site)
        self._encode = _encoder(config, site)
        self._client_id = config.client_id or f"{site.city}-{site.gateway}-{name}"
        self._urls = Urls(config.urls)
        self._session: Session | None = None
        self._outbox = Outbox(status_topic=self._topics.status, hold=config.no_subscriber == "hold")
        self._outbox.knock = lambda: Message(self._topics.status, self._birth, retain=True)
        self._metas = Metas(site, self._topics, points=config.points)
        self._outbox.taken_back = self._metas.taken_back
        self._birth = b""
        self._echo: asyncio.Future[int] | None = None
        self._shown: dict[str, tuple[str, int]] = {}  # what is retained: its place among the records of its topic
        self._spoke_five: set[str] = set()
        self._shut: dict[str, int] = {}
        self._properties: dict[tuple[bool, int], Properties | None] = {}

    async def open(self, settle: Settle) -> None:
        """Try every url, MQTT 5 before 3.1.1; then birth, metas, and proof that `status` is taken.

        3.1.1 says nothing of refusals, so it is fallen back to only where MQTT 5 is refused by name, or where a broker
        that never spoke it closes on it `SHUT_TIMES` times in a row.
        """
        last = SinkDown("no url is configured", code="CG-MQT-01")
        urls = self._urls.order()
        while urls:
            url = urls.pop(0)
            for protocol in PROTOCOLS[self._config.protocol]:
                try:
                    await self._connect(url, protocol, settle=settle)
                except Redirected as down:
                    last, to = down, self._urls.sent_on(url, down)
                    urls = [to, *(one for one in urls if one != to)] if to in urls else urls
                    break
                except SinkDown as down:
                    last = down
                    if not self._may_fall_back(url, down):
                        break
                else:
                    self._spoke_five |= {url} if protocol == paho.MQTTv5 else set()
                    self._shut.pop(url, None)
                    self._urls.took(url)
                    await self._announce()
                    return
        self._urls.turn()
        raise last

    def _may_fall_back(self, url: str, down: SinkDown) -> bool:
        """Whether the older protocol may be tried on `url` after `down`."""
        if url in self._spoke_five:
            return False
        early = isinstance(down, ClosedEarly)
        self._shut[url] = self._shut.get(url, 0) + 1 if early else 0
        return isinstance(down, ProtocolRefused) or (early and self._shut[url] >= SHUT_TIMES)

    async def send(self, parcels: Sequence[Parcel]) -> None:
        """Hand the parcels to the connection, in order; waits while the window is full."""
        for parcel in parcels:
            await self._outbox.room()
            session = self._standing()
            try:
                message = self._message(parcel, five=session.dial.protocol == paho.MQTTv5)
            except UNFIT as error:
                self._outbox.settle(parcel.position, Fate.DEAD, f"it cannot be encoded: {error}")
            else:
                self._outbox.put(message)
        self._outbox.pump()

    async def health(self, report: Mapping[str, object]) -> None:
        """Published, not retained, not journaled; left out while the window is full."""
        if self.down() is None and self._outbox.held < WINDOW:
            self._outbox.put(Message(self._topics.health, announce.health(self._site, report)))
            self._outbox.pump()

    async def close(self) -> None:
        """Say `offline` and disconnect, if the connection stands."""
        session, self._session = self._session, None
        if session is None:
            return
        try:
            if session.down is None:
                await self._goodbye(session)
            elif isinstance(session.down, Redirected):
                with contextlib.suppress(SinkDown):  # it leads nowhere: the next url is tried, and `warning` tells
                    self._urls.sent_on(session.url, session.down)
        finally:
            self._outbox.drop()
            session.close(goodbye=True)

    def down(self) -> SinkDown | None:
        """Why the connection ended, or None while it stands."""
        if self._session is None:
            return SinkDown("not connected", code="CG-MQT-01")
        return self._session.down

    @property
    def sent_bytes(self) -> int:
        """Bytes of all PUBLISH packets since the sink was made."""
        return self._outbox.sent_bytes

    def warning(self) -> str:
        """What does not work as it should while the sink is up, in one sentence; empty if all is well."""
        refused = sorted(self._outbox.parking.topics)
        told = f"the broker refuses {', '.join(refused[:3])}" if refused else ""
        session = "" if self._session is None else self._session.warning
        return "; ".join(text for text in (told, session, self._urls.warning) if text)

    async def _connect(self, url: str, protocol: int, *, settle: Settle) -> None:
        will = Will(self._topics.status, announce.status(self._site, state="offline"))
        called = await dial(
            url, protocol, config=self._config, files=self._files, client_id=self._client_id, will=will
        )  # fmt: skip
        session = Session(called)
        session.url = url
        session.on_message = self._heard
        try:
            welcome = await session.connect()
        except BaseException:
            session.close(goodbye=False)
            raise
        self._session = session
        self._outbox.begin(session, welcome=welcome, settle=settle)

    async def _announce(self) -> None:
        """Birth; then meta of the gateway and of every device. `status` must be taken, or nothing is."""
        session = self._standing()
        self._birth = announce.status(self._site, state="online", t_ms=self._now_ms())
        loop = asyncio.get_running_loop()
        birth = self._outbox.knock()
        birth.answer = loop.create_future()
        self._outbox.put(birth)
        echo = loop.create_future() if session.dial.protocol != paho.MQTTv5 else None
        self._echo = echo
        if echo is not None:
            session.subscribe(self._topics.status)
        self._outbox.pump()
        code = await self._answer(session, birth.answer)
        if code >= 0x80:
            fact = f"{session.dial.where}: {self._topics.status}: {puback(code).text}"
            raise SinkDown(fact, code="CG-MQT-05", retry_s=60.0)
        if echo is not None:
            await self._answer(session, echo)
            session.unsubscribe(self._topics.status)
        self._metas.gone.clear()
        for meta in self._metas.births():
            await self._outbox.room()
            self._standing()
            self._outbox.put(meta)
        session.subscribe(self._topics.device_metas)
        loop.call_later(LISTEN_S, session.unsubscribe, self._topics.device_metas)
        self._outbox.pump()

    async def _answer(self, session: Session, answer: asyncio.Future[int]) -> int:
        deadline = asyncio.get_running_loop().time() + BIRTH_S
        while not answer.done() and session.down is None and asyncio.get_running_loop().time() < deadline:
            await asyncio.wait({answer}, timeout=0.2)
        if answer.done():
            return answer.result()
        if session.down is not None:
            raise session.down
        if answer is not self._echo:
            raise SinkDown(f"{session.dial.where}: no answer to our status", code="CG-MQT-01")
        raise SinkDown(
            f"{session.dial.where}: our own {self._topics.status} does not come back: the broker drops what we "
            "publish, or we may not read it (MQTT 3.1.1 cannot tell which; MQTT 5 can)",
            code="CG-MQT-05",
            retry_s=60.0,
        )

    async def _goodbye(self, session: Session) -> None:
        farewell = Message(
            self._topics.status, announce.status(self._site, state="offline", t_ms=self._now_ms()), retain=True
        )
        farewell.answer = asyncio.get_running_loop().create_future()
        self._outbox.put_first(farewell)
        with contextlib.suppress(SinkDown):
            await asyncio.wait({farewell.answer}, timeout=GOODBYE_S)
        if farewell.answer.done():
            farewell.answer.exception()
        else:
            farewell.answer.cancel()

    def _standing(self) -> Session:
        down = self.down()
        if self._session is None or down is not None:
            raise down or SinkDown("not connected", code="CG-MQT-01")
        return self._session

    def _now_ms(self) -> int | None:
        return self._clock.wall_ms() if self._clock.trusted() else None

    def _message(self, parcel: Parcel, *, five: bool) -> Message:
        record = parcel.record
        topic = self._topics.of(record.device, record.stream)
        body = self._encode(record)
        place = record.epoch, record.seq  # not the time: a clock that was ahead would show its last record for ever
        retain = record.stream in RETAINED and not record.late and place >= self._shown.get(topic, place)
        if retain:
            self._shown[topic] = place
        properties = self._properties_of(record, retain=retain) if five else None
        return Message(topic, body, retain, properties, parcel.position)

    def _properties_of(self, record: Record, *, retain: bool) -> Properties | None:
        key = record.late, 2 * LENGTHS_S[record.stream] if retain else 0
        if key not in self._properties:
            properties = Properties(PacketTypes.PUBLISH) if any(key) else None  # type: ignore[no-untyped-call]
            if properties is not None and key[0]:
                properties.UserProperty = ("late", "true")
            if properties is not None and key[1]:
                properties.MessageExpiryInterval = key[1]
            self._properties[key] = properties
        return self._properties[key]

    def _heard(self, topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001 - the session's order
        """Our own status (the proof on 3.1.1), or a device's meta: that of a removed device is emptied."""
        if topic == self._topics.status:
            if payload == self._birth and self._echo is not None and not self._echo.done():
                self._echo.set_result(0)
            return
        if retained:
            self._metas.heard(topic, payload)
        else:
            self._outbox.heard(topic, payload)


def _encoder(config: Options, site: Site) -> Callable[[Record], bytes]:
    """How records become bytes, as `encoding` says; "json+deflate" is JSON in a zlib stream (RFC 1950)."""
    if config.encoding == "senml":
        return SenML(site, points=config.points).encode
    encode = Payload(config.points).encode
    if config.encoding == "json":
        return encode
    return lambda record: zlib.compress(encode(record), 6)
