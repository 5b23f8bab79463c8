"""A small MQTT broker for demos and fault tests: QoS 0 and 1, retained messages, wills, and a script of misbehaviour.

MQTT 5.0 and 3.1.1, bounded in everything, in memory only. It is a simulator: no product part runs on it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Final, Self

from firmware_sims.broker_client import NEVER, Client
from firmware_sims.broker_session import Script, Session, Subscription
from firmware_sims.mqtt_packets import MESSAGE_EXPIRY, SESSION_EXPIRY, WILL_DELAY, Message, matches, number

RETAINED: Final = 10_000


@dataclass
class Broker:
    """`async with Broker() as broker:` listens on `host`:`port` (0 = a free one, `port` tells which then).

    `users` (name -> password) switches authentication on. `messages` keeps the last accepted messages, oldest first.
    """

    port: int = 0
    host: str = "127.0.0.1"
    users: Mapping[str, str] | None = None
    script: Script = field(default_factory=Script)
    messages: deque[Message] = field(default_factory=lambda: deque(maxlen=100_000), repr=False)
    connects: int = 0
    pubacks: int = 0
    retained: dict[str, tuple[Message, float]] = field(default_factory=dict, repr=False)
    sessions: dict[str, Session] = field(default_factory=dict, repr=False)
    clients: dict[str, Client] = field(default_factory=dict, repr=False)
    open: set[Client] = field(default_factory=set, repr=False)
    wills: dict[str, asyncio.TimerHandle] = field(default_factory=dict, repr=False)
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        for session in self.sessions.values():
            if session.expiry is not None:
                session.expiry.cancel()
        for timer in self.wills.values():
            timer.cancel()

    async def start(self) -> None:
        """Listen (again, on the same port)."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, self.host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and cut every connection without a word, as a killed broker does. Sessions stay."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    async def cut(self) -> None:
        """Cut every connection."""
        waiting = [client.cut() for client in self.open]
        if waiting:
            await asyncio.wait([task for task in waiting if task is not None])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(self, writer, asyncio.current_task())
        self.open.add(client)
        try:
            await client.run(reader)
        finally:
            self.open.discard(client)
            writer.close()

    def route(self, message: Message, *, sender: str = "") -> int:
        """Hand a message to everybody subscribed and keep it where it is retained; returns how many wanted it."""
        self.messages.append(message)
        if message.retain:
            if not message.payload:
                self.retained.pop(message.topic, None)
            elif message.topic in self.retained or len(self.retained) < RETAINED:
                self.retained[message.topic] = (replace(message, duplicate=False), time.monotonic())
        takers = 0
        for session in list(self.sessions.values()):
            sub = session.wanted(message.topic)
            if sub is None or (sub.no_local and session.client_id == sender):
                continue
            takers += 1
            self.deliver(session, replace(message, retain=message.retain and sub.as_published), sub=sub)
        return takers

    def deliver(self, session: Session, message: Message, *, sub: Subscription) -> None:
        """Queue a message for a session and send what its client may get now."""
        found = dict(message.properties)
        if sub.identifier is not None:
            found[0x0B] = [sub.identifier]
        message = replace(message, qos=min(message.qos, sub.qos, 1), properties=found, duplicate=False)
        client = self.clients.get(session.client_id)
        if message.qos == 0 and client is None:
            return
        session.queue.append(message)
        if client is not None:
            client.flow()

    def send_retained(self, session: Session, topic_filter: str, *, sub: Subscription) -> None:
        """Retained messages under a filter, with what is left of their expiry."""
        for topic, (message, since) in list(self.retained.items()):
            if not matches(topic_filter, topic):
                continue
            found = dict(message.properties)
            if MESSAGE_EXPIRY in found:
                left = number(found, MESSAGE_EXPIRY, default=0) - int(time.monotonic() - since)
                if left <= 0:
                    del self.retained[topic]
                    continue
                found[MESSAGE_EXPIRY] = [left]
            self.deliver(session, replace(message, retain=True, properties=found), sub=sub)

    def attach(self, client: Client, client_id: str) -> Session:
        """Give a client its session: the one it left behind, or a clean one; a rival of that id is thrown out."""
        rival = self.clients.get(client_id)
        if rival is not None:
            rival.taken_over()
        if client_id in self.wills:
            self.wills.pop(client_id).cancel()
        session = self.sessions.get(client_id)
        if session is not None and session.expiry is not None:
            session.expiry.cancel()
            session.expiry = None
        if session is None or (client.hello is not None and client.hello.clean):
            session = Session(client_id)
        # What flew when the connection broke is sent again, marked as a duplicate.
        session.queue.extendleft(replace(message, duplicate=True) for message in reversed(session.flying.values()))
        session.flying.clear()
        self.sessions[client_id] = session
        self.clients[client_id] = client
        return session

    def detach(self, client: Client, *, will: bool) -> None:
        """A connection has ended: its session waits or goes, its will is published now, later or not at all."""
        session, hello = client.session, client.hello
        if session is None or hello is None or self.clients.get(session.client_id) is not client:
            return
        del self.clients[session.client_id]
        loop = asyncio.get_running_loop()
        default = 0 if hello.clean or hello.version == 5 else NEVER
        expiry_s = number(hello.properties, SESSION_EXPIRY, default=default)
        if expiry_s == 0:
            self.forget_session(session.client_id)
        elif expiry_s != NEVER:
            session.expiry = loop.call_later(expiry_s, self.forget_session, session.client_id)
        if will and hello.will is not None:
            delay_s = min(number(hello.will_properties, WILL_DELAY, default=0), expiry_s)
            if delay_s:
                timer = loop.call_later(delay_s, self.publish_will, session.client_id, hello.will)
                self.wills[session.client_id] = timer
            else:
                self.publish_will(session.client_id, hello.will)

    def forget_session(self, client_id: str) -> None:
        """End a session that no client took up again."""
        self.sessions.pop(client_id, None)

    def publish_will(self, client_id: str, will: Message) -> None:
        """Publish a will whose delay is over."""
        self.wills.pop(client_id, None)
        self.route(will, sender=client_id)
