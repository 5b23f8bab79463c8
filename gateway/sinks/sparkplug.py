"""Sparkplug B sink: an edge node of Eclipse Sparkplug 3.0 over MQTT, for live use. Nobody confirms QoS 0: `sent`.

What comes late (backlog, amended records) is marked `is_historical`. NDEATH is the will and the goodbye; a host may ask
for a rebirth (NCMD, "Node Control/Rebirth").
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from gateway.clock import Clock
from gateway.config import Sink as Options
from gateway.sinks import UNFIT, Fate, Parcel, Settle, SinkDown, Site
from gateway.sinks.credentials import Files
from gateway.sinks.mqtt_dial import PROTOCOLS, ClosedEarly, ProtocolRefused, Will, dial
from gateway.sinks.mqtt_session import Session
from gateway.sinks.sparkplug_node import REBIRTH, Node, next_birth
from gateway.sinks.sparkplug_payload import decode

LOG: Final = logging.getLogger("citygate.sink.sparkplug")
WRITTEN_S: Final = 30.0  # a socket that takes nothing for so long is given up
BURST: Final = 32  # records that are written together
REBIRTH_S: Final = 5.0  # one rebirth in so long, however often a host asks
MAX_COMMAND_BYTES: Final = 4096
FRAME_BYTES: Final = 5  # of a PUBLISH at QoS 0: fixed header, topic length


class SparkplugSink:
    """One broker, or several urls of it, tried in turn. `memory` keeps the birth counter over restarts.

    Raises:
        ValueError: an id does not fit into a topic.
    """

    window = 256
    linger_s = 0.0

    def __init__(
        self, name: str, *, config: Options, site: Site, clock: Clock, files: Files, memory: Path | None = None
    ) -> None:
        self._config = config
        self._clock = clock
        self._files = files
        self._memory = memory
        self._node = Node(site, points=config.points, streams=config.streams)
        self._client_id = config.client_id or f"{site.city}-{site.gateway}-{name}"
        self._turn = 0
        self.sent_bytes = 0
        self._session: Session | None = None
        self._settle: Settle = lambda _position, _fate, _reason: None
        self._reborn_s = float("-inf")

    async def open(self, settle: Settle) -> None:
        """Count the birth, connect to the next url, and give birth to the node and all devices."""
        urls = self._config.urls
        if not urls:
            raise SinkDown("no url is configured", code="CG-MQT-01")
        url = urls[self._turn % len(urls)]
        self._turn += 1
        for protocol in PROTOCOLS[self._config.protocol]:
            try:
                await self._connect(url, protocol)
                break
            except (ProtocolRefused, ClosedEarly):
                if protocol == PROTOCOLS[self._config.protocol][-1]:
                    raise
        self._turn -= 1
        self._settle = settle
        session = self._standing()
        session.subscribe(self._node.topic("NCMD"))
        self._reborn_s = float("-inf")
        self._give_birth()
        await self._written(session)

    async def _connect(self, url: str, protocol: int) -> None:
        try:
            self._node.bdseq = await asyncio.to_thread(next_birth, self._memory, self._node.bdseq)
        except OSError as error:
            raise SinkDown(f"{self._memory}: {error.strerror or error}", code="CG-SNK-02") from None
        topic, payload = self._node.death(self._clock.wall_ms())
        called = await dial(
            url, protocol, config=self._config, files=self._files, client_id=self._client_id,
            will=Will(topic, payload, retain=False, delay_s=0),
        )  # fmt: skip
        session = Session(called)
        session.on_message = self._heard
        try:
            await session.connect()
        except BaseException:
            session.close(goodbye=False)
            raise
        self._session = session

    def _publish(self, session: Session, topic: str, payload: bytes) -> None:
        session.publish(topic, payload, qos=0)
        self.sent_bytes += FRAME_BYTES + len(topic) + len(payload)

    def _give_birth(self) -> None:
        self._reborn_s = asyncio.get_running_loop().time()
        for topic, payload in self._node.births(self._clock.wall_ms()):
            self._publish(self._standing(), topic, payload)

    async def send(self, parcels: Sequence[Parcel]) -> None:
        """Publish, in order; `sent` once the socket has taken it."""
        session = self._standing()
        fates: list[tuple[int, Fate, str]] = []
        for parcel in parcels:
            try:
                messages = self._node.data(parcel.record, self._clock.wall_ms())
            except UNFIT as error:
                fates.append((parcel.position, Fate.DEAD, f"it cannot be encoded: {error}"))
                continue
            for topic, payload in messages:
                self._publish(session, topic, payload)
            fates.append((parcel.position, Fate.SENT, ""))
            if len(fates) % BURST == 0:
                await self._written(session)
        await self._written(session)
        for fate in fates:
            self._settle(*fate)

    async def _written(self, session: Session) -> None:
        """Wait until the socket has taken everything. Raises `SinkDown`."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + WRITTEN_S
        while not session.flush():
            if session.down is not None:
                raise session.down
            if loop.time() > until_s:
                raise SinkDown(f"{session.dial.where}: takes nothing for {WRITTEN_S:.0f} s", code="CG-MQT-01")
            await asyncio.sleep(0.005)

    async def health(self, report: Mapping[str, object]) -> None:
        """Not published: Sparkplug has no place for it."""

    async def close(self) -> None:
        """NDEATH and DISCONNECT, if the connection stands."""
        session, self._session = self._session, None
        if session is None:
            return
        if session.down is None:
            session.publish(*self._node.death(self._clock.wall_ms()), qos=1)
        session.close(goodbye=True)

    def down(self) -> SinkDown | None:
        """Why the connection ended, or None while it stands."""
        return SinkDown("not connected", code="CG-MQT-01") if self._session is None else self._session.down

    def _standing(self) -> Session:
        down = self.down()
        if self._session is None or down is not None:
            raise down or SinkDown("not connected", code="CG-MQT-01")
        return self._session

    def _heard(self, topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001 - the session's order
        """A node command: a rebirth is given, everything else is none of our business. Retained ones are ignored."""
        if retained or topic != self._node.topic("NCMD") or len(payload) > MAX_COMMAND_BYTES:
            return
        try:
            asked = any(one.get("name") == REBIRTH and one["value"] is True for one in decode(payload)["metrics"])
        except ValueError as error:
            LOG.debug("a node command that cannot be read: %s", error)
            return
        if asked and self.down() is None and asyncio.get_running_loop().time() - self._reborn_s >= REBIRTH_S:
            self._give_birth()
