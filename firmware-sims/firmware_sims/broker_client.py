"""One connection of the small broker: what its packets cause."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from firmware_sims import mqtt_packets as mqtt
from firmware_sims.broker_session import Session, Subscription
from firmware_sims.mqtt_packets import Connect, Fields, Malformed, Message, Packet, matches

if TYPE_CHECKING:
    from firmware_sims.broker import Broker

# MQTT 5 reason codes -> CONNACK return codes of 3.1.1.
_RETURN_CODES: Final = {0x84: 1, 0x85: 2, 0x88: 3, 0x89: 3, 0x86: 4, 0x87: 5}
_TAKEN_OVER: Final = 0x8E
_TOO_LARGE: Final = 0x95
_RECEIVE_MAXIMUM_EXCEEDED: Final = 0x93
BACKLOG_BYTES: Final = 1 << 20
NEVER: Final = 0xFFFF_FFFF
_numbers = itertools.count(1)


class _End(Exception):
    """The connection ends here; `will` tells whether the will is published."""

    def __init__(self, *, will: bool) -> None:
        super().__init__("end")
        self.will = will


@dataclass(eq=False)
class Client:
    """A connection, from its first byte to its end."""

    broker: Broker
    writer: asyncio.StreamWriter
    task: asyncio.Task[None] | None
    hello: Connect | None = None
    session: Session | None = None
    received: int = 0
    sent: int = 0
    unacknowledged: set[int] = field(default_factory=set)

    @property
    def version(self) -> int:
        """Protocol version, 4 or 5."""
        return self.hello.version if self.hello else 5

    def cut(self) -> asyncio.Task[None] | None:
        """End the connection without a word; returns the task to wait for."""
        self.writer.transport.abort()
        return self.task

    async def run(self, reader: asyncio.StreamReader) -> None:
        """Serve the connection to its end."""
        will = True
        buffer = bytearray()
        try:
            while True:
                limit = 1.5 * self.hello.keepalive_s if self.hello and self.hello.keepalive_s else None
                async with asyncio.timeout(limit if self.hello else 10):
                    data = await reader.read(65536)
                if not data:
                    break
                limit_bytes = self.broker.script.cut_in
                if limit_bytes is not None:
                    data = data[: max(limit_bytes - self.received, 0)]
                self.received += len(data)
                buffer += data
                for packet in mqtt.cut(buffer):
                    self._obey(packet)
                if limit_bytes is not None and self.received >= limit_bytes:
                    self.cut()
                    break
                await self.writer.drain()
        except _End as end:
            will = end.will
        except Malformed as fault:
            self._goodbye(fault.code)
        except UnicodeDecodeError:
            self._goodbye(0x81)
        except (ConnectionError, TimeoutError):
            pass
        finally:
            self.broker.detach(self, will=will)

    def put(self, data: bytes) -> None:
        """Bytes to the client, unless the script keeps the broker silent or cuts."""
        limit = self.broker.script.cut_out
        if self.broker.script.mute or self.writer.is_closing():
            return
        if limit is not None and self.sent + len(data) > limit:
            self.writer.write(data[: max(limit - self.sent, 0)])
            self.sent = limit
            self.writer.close()
            return
        self.sent += len(data)
        self.writer.write(data)

    def _obey(self, packet: Packet) -> None:
        limit = self.broker.script.maximum_packet_size
        if limit is not None and packet.size > limit:
            raise Malformed("packet too large", _TOO_LARGE)
        if (packet.kind == mqtt.CONNECT) != (self.hello is None):
            raise Malformed("CONNECT first, and once", 0x82)
        if packet.kind == mqtt.CONNECT:
            self._connect(mqtt.connect(packet.body))
        elif packet.kind == mqtt.PUBLISH:
            self._publish(packet)
        elif packet.kind == mqtt.PUBACK:
            self._acknowledged(Fields(packet.body).number(2))
        elif packet.kind == mqtt.SUBSCRIBE:
            self._subscribe(packet.body)
        elif packet.kind == mqtt.UNSUBSCRIBE:
            self._unsubscribe(packet.body)
        elif packet.kind == mqtt.PINGREQ:
            self.put(mqtt.packet(mqtt.PINGRESP, b""))
        elif packet.kind == mqtt.DISCONNECT:
            raise _End(will=bool(packet.body) and packet.body[0] == 0x04)
        else:
            raise Malformed("packet type", 0x82)

    # --- connecting

    def _connect(self, hello: Connect) -> None:
        self.hello = hello
        broker = self.broker
        code = broker.script.connack
        if not code and broker.users is not None:
            known = broker.users.get(hello.username or "")
            if known is None or known.encode() != hello.password:
                code = 0x86
        if code:
            reply = code if self.version == 5 else _RETURN_CODES.get(code, 3)
            tail = mqtt.properties({}, self.version)
            self.put(mqtt.packet(mqtt.CONNACK, bytes([0, reply]) + tail))
            raise _End(will=False)
        client_id = hello.client_id or f"auto-{next(_numbers)}"
        present = client_id in broker.sessions and not hello.clean
        self.session = broker.attach(self, client_id)
        self._welcome(client_id, present=present)
        broker.connects += 1
        self.flow()

    def _welcome(self, client_id: str, *, present: bool) -> None:
        script, hello = self.broker.script, self.hello
        found: mqtt.Properties = {mqtt.MAXIMUM_QOS: [1], mqtt.SHARED_AVAILABLE: [0]}
        if script.receive_maximum is not None:
            found[mqtt.RECEIVE_MAXIMUM] = [script.receive_maximum]
        if script.maximum_packet_size is not None:
            found[mqtt.MAXIMUM_PACKET_SIZE] = [script.maximum_packet_size]
        if hello is not None and not hello.client_id:
            found[mqtt.ASSIGNED_CLIENT_ID] = [client_id.encode()]
        self.put(mqtt.packet(mqtt.CONNACK, bytes([present, 0]) + mqtt.properties(found, self.version)))

    def taken_over(self) -> None:
        """Another connection has come with the same client id."""
        self._goodbye(_TAKEN_OVER)
        self.broker.detach(self, will=True)
        self.writer.close()

    def _goodbye(self, code: int) -> None:
        if self.hello is not None and self.version == 5:
            self.put(mqtt.packet(mqtt.DISCONNECT, bytes([code, 0])))

    # --- from the client

    def _publish(self, packet: Packet) -> None:
        broker, script = self.broker, self.broker.script
        message, packet_id = mqtt.publish(packet.body, packet.flags, version=self.version)
        if message.qos > 1:
            raise Malformed("QoS 2 is not supported", 0x9B)
        if not message.topic or set(message.topic) & set("+#\0"):
            raise Malformed("topic name", 0x90)
        self._may_end(message.topic)
        if any(matches(topics, message.topic) for topics in script.unanswered):
            return
        if message.qos:
            self.unacknowledged.add(packet_id)
            if script.receive_maximum is not None and len(self.unacknowledged) > script.receive_maximum:
                raise Malformed("receive maximum", _RECEIVE_MAXIMUM_EXCEEDED)
        code = next((code for topics, code in script.puback.items() if matches(topics, message.topic)), 0)
        if code < 0x80 and not script.lose_acknowledged:
            takers = broker.route(message, sender=self.session.client_id if self.session else "")
            if not takers and not code and script.no_subscribers:
                code = 0x10
        if message.qos and not script.puback_never:
            loop = asyncio.get_running_loop()
            if script.puback_delay_s:
                loop.call_later(script.puback_delay_s, self._acknowledge, packet_id, code)
            else:
                self._acknowledge(packet_id, code)

    def _may_end(self, topic: str) -> None:
        """As brokers do that end the connection of whoever publishes what it may not."""
        script = self.broker.script
        if any(matches(topics, topic) for topics in script.close):
            raise _End(will=True)
        for topics, code in script.disconnect.items():
            if matches(topics, topic):
                raise Malformed("scripted", code)

    def _acknowledge(self, packet_id: int, code: int) -> None:
        self.unacknowledged.discard(packet_id)
        reason = bytes([code, 0]) if code and self.version == 5 else b""
        if not self.writer.is_closing():
            self.broker.pubacks += 1
            self.put(mqtt.packet(mqtt.PUBACK, packet_id.to_bytes(2, "big") + reason))

    def _subscribe(self, body: bytes) -> None:
        fields = Fields(body)
        packet_id, found = fields.take(2), fields.properties(self.version)
        identifier = mqtt.number(found, mqtt.SUBSCRIPTION_ID, default=0) or None
        codes, fresh = bytearray(), []
        while fields.left:
            topic_filter, options = fields.string().decode(), fields.number(1)
            refused = [code for topics, code in self.broker.script.suback.items() if matches(topics, topic_filter)]
            if topic_filter.startswith("$share/"):
                refused.append(0x9E)
            if refused:
                codes.append(refused[0] if self.version == 5 else 0x80)
                continue
            sub = Subscription(min(options & 3, 1), bool(options & 4), bool(options & 8), identifier)
            if self.session is not None:
                new = topic_filter not in self.session.filters
                self.session.filters[topic_filter] = sub
                handling = options >> 4 & 3
                if handling == 0 or (handling == 1 and new):
                    fresh.append((topic_filter, sub))
            codes.append(sub.qos)
        self.put(mqtt.packet(mqtt.SUBACK, packet_id + mqtt.properties({}, self.version) + bytes(codes)))
        for topic_filter, sub in fresh:
            if self.session is not None:
                self.broker.send_retained(self.session, topic_filter, sub=sub)

    def _unsubscribe(self, body: bytes) -> None:
        fields = Fields(body)
        packet_id, _ = fields.take(2), fields.properties(self.version)
        codes = bytearray()
        while fields.left:
            known = self.session.filters.pop(fields.string().decode(), None) if self.session else None
            codes.append(0 if known else 0x11)
        tail = mqtt.properties({}, 5) + bytes(codes) if self.version == 5 else b""
        self.put(mqtt.packet(mqtt.UNSUBACK, packet_id + tail))

    # --- to the client

    def flow(self) -> None:
        """Send what is queued, as far as the client's receive maximum allows."""
        session, hello = self.session, self.hello
        if session is None or hello is None:
            return
        window = mqtt.number(hello.properties, mqtt.RECEIVE_MAXIMUM, default=64)
        limit = mqtt.number(hello.properties, mqtt.MAXIMUM_PACKET_SIZE, default=NEVER)
        transport = self.writer.transport
        while session.queue and (session.queue[0].qos == 0 or len(session.flying) < window):
            if transport.get_write_buffer_size() > BACKLOG_BYTES:
                break  # a client that does not read; the next event tries again
            message = session.queue.popleft()
            packet_id = self._fly(message) if message.qos else 0
            data = mqtt.publish_packet(message, packet_id, version=self.version)
            if len(data) > limit:  # MQTT 5: it is dropped as if it had been delivered
                session.flying.pop(packet_id, None)
                continue
            self.put(data)

    def _fly(self, message: Message) -> int:
        session = self.session
        if session is None:
            return 0
        while True:
            session.next_id = session.next_id % 0xFFFF + 1
            if session.next_id not in session.flying:
                break
        session.flying[session.next_id] = message
        return session.next_id

    def _acknowledged(self, packet_id: int) -> None:
        if self.session is not None:
            self.session.flying.pop(packet_id, None)
            self.flow()
