"""One MQTT connection: paho-mqtt driven from the event loop. No thread but the one that dials (TCP and TLS).

paho keeps no queue and no window here (both are the sink's): a packet that is handed over is written, and every
PUBACK comes back with its reason code. A new connection is a new object, so nothing is sent again behind our back.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.exception import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.sinks import Renewed, SinkDown
from gateway.sinks.mqtt_client import TidyClient
from gateway.sinks.mqtt_dial import ClosedEarly, Dial, ProtocolRefused, Redirected, Welcome
from gateway.sinks.mqtt_reasons import CLOSED, CONNACK, DISCONNECT, ELSEWHERE, Refusal

DIAL_S: Final = 10.0  # TCP and TLS
CONNACK_S: Final = 15.0
SESSION_MORE_S: Final = 10  # than the will's delay, or the session's end would send the will at once (3.1.2.5)
MAX_INBOUND_BYTES: Final = 262_144
TICK_S: Final = 1.0
_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
_HOSTILE: Final = (ValueError, KeyError, IndexError, AssertionError, struct.error, MQTTException, OSError)


class Session:
    """One connection from CONNECT to its end. Callbacks run on the event loop; `down` tells why it ended."""

    def __init__(self, dial: Dial) -> None:
        self.dial = dial
        self.url = ""
        self.down: SinkDown | None = None
        self.on_puback: Callable[[int, int], None] = lambda _mid, _code: None
        self.on_message: Callable[[str, bytes, bool], None] = lambda _topic, _payload, _retained: None
        self.on_idle: Callable[[], None] = lambda: None  # after a burst of answers, every second, and when it is over
        self._loop = asyncio.get_running_loop()
        self._welcome: asyncio.Future[Welcome] = self._loop.create_future()
        self._socket: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._heard_s = 0.0
        self._renewing: asyncio.Task[None] | None = None
        self.warning = ""
        self._client = self._build()

    def _build(self) -> paho.Client:
        dial = self.dial
        five = dial.protocol == paho.MQTTv5
        client = TidyClient(
            CallbackAPIVersion.VERSION2,
            client_id=dial.client_id,
            protocol=MQTTProtocolVersion(dial.protocol),
            clean_session=None if five else True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = DIAL_S
        client.max_inflight_messages_set(0)  # the window is the sink's; paho's own costs a scan per PUBACK
        client.username_pw_set(dial.username, dial.password)
        if dial.tls is not None:
            client.tls_set_context(dial.tls)
        will, later = dial.will, None
        if five and will.delay_s:
            later = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
            later.WillDelayInterval = will.delay_s
        client.will_set(will.topic, will.payload, qos=1, retain=will.retain, properties=later)
        client.on_socket_close = self._detach
        client.on_socket_register_write = self._want_write
        client.on_socket_unregister_write = self._no_write
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    async def connect(self) -> Welcome:
        """Dial, shake hands, and wait for the broker's word.

        Raises:
            ProtocolRefused: another version of the protocol may be spoken.
            SinkDown: unreachable, not trusted, or refused.
        """
        await self._dialled()
        self._attach()
        try:
            welcome = await asyncio.wait_for(asyncio.shield(self._welcome), CONNACK_S)
        except TimeoutError:
            raise SinkDown(f"{self.dial.where}: no answer to CONNECT", code="CG-MQT-01") from None
        if self.dial.renewal is not None:
            self._renewing = asyncio.create_task(self._renew(self.dial.renewal), name="tls-files")
        return welcome

    async def _renew(self, renewal: Callable[[Callable[[str], None]], Awaitable[object]]) -> None:
        await renewal(self._warn)
        self.fail(Refusal("the TLS files were renewed; connecting anew", "CG-MQT-08"), kind=Renewed)

    def _warn(self, text: str) -> None:
        self.warning = text

    async def _dialled(self) -> None:
        dialling = self._loop.run_in_executor(None, self._connect_blocking)
        try:
            await asyncio.shield(dialling)
        except asyncio.CancelledError:
            dialling.add_done_callback(lambda done: done.exception() if not done.cancelled() else None)
            dialling.add_done_callback(lambda _done: self._drop(self._client.socket()))
            raise
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or str(error)
            raise SinkDown(f"{self.dial.where}: TLS is refused: {reason}", code="CG-MQT-08") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise SinkDown(f"{self.dial.where}: cannot connect: {reason}", code="CG-MQT-01") from None

    def _connect_blocking(self) -> None:
        properties, delay_s = None, self.dial.will.delay_s
        if self.dial.protocol == paho.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = delay_s + SESSION_MORE_S if delay_s else 0
            properties.ReceiveMaximum = 20
            properties.MaximumPacketSize = MAX_INBOUND_BYTES
        # A clean start would end the old session and so send its delayed will, although we are back.
        clean: Any = not delay_s if self.dial.protocol == paho.MQTTv5 else paho.MQTT_CLEAN_START_FIRST_ONLY
        self._client.connect(
            self.dial.host, self.dial.port, self.dial.keepalive_s, clean_start=clean, properties=properties
        )

    def _attach(self) -> None:
        self._socket = self._client.socket()
        if self._socket is None:
            raise SinkDown(f"{self.dial.where}: the connection closed at once", code="CG-MQT-01")
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._heard_s = self._loop.time()
        self._loop.add_reader(self._socket.fileno(), self._readable)
        if self._client.want_write():
            self._loop.add_writer(self._socket.fileno(), self._writable)
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def _readable(self) -> None:
        self._heard_s = self._loop.time()
        try:
            self._client.loop_read()
            while isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
                self._client.loop_read()
            if self._socket is not None and _QUICKACK is not None:
                # The broker's next PUBACKs wait for our ACK (Nagle); the kernel forgets this option at every read.
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        except _HOSTILE as error:
            early = not self._welcome.done() and self.dial.protocol == paho.MQTTv5
            fact = f"sent a packet that cannot be read ({type(error).__name__}: {error})"
            self.fail(Refusal(fact, "CG-MQT-02"), kind=ProtocolRefused if early else SinkDown)
        self.on_idle()

    def _writable(self) -> None:
        try:
            self._client.loop_write()
        except _HOSTILE as error:
            self.fail(Refusal(f"writing failed ({error})", "CG-MQT-01"))

    def _tick(self) -> None:
        silent_s = self._loop.time() - self._heard_s
        if silent_s > 1.5 * self.dial.keepalive_s:
            self.fail(Refusal(f"silent for {silent_s:.0f} s", "CG-MQT-01"))
        else:
            self._client.loop_misc()
        if self.down is None:
            self._timer = self._loop.call_later(TICK_S, self._tick)
        self.on_idle()

    def _want_write(self, _client: paho.Client, _data: object, sock: Any) -> None:
        """Write soon, and let the loop tell when there is room only where the socket did not take it all."""
        if self._socket is not None and self._socket is sock:
            self._loop.call_soon(self._write_soon, sock)

    def _write_soon(self, sock: Any) -> None:
        if self.down is not None or self._socket is not sock:
            return
        self._writable()
        if self._socket is sock and self._client.want_write():
            self._loop.add_writer(sock.fileno(), self._writable)

    def _no_write(self, _client: paho.Client, _data: object, sock: Any) -> None:
        if self._socket is not None and self._socket is sock:
            self._loop.remove_writer(sock.fileno())

    def _detach(self, _client: paho.Client, _data: object, sock: Any) -> None:
        if self._socket is not None and sock.fileno() >= 0:
            self._loop.remove_reader(sock.fileno())
            self._loop.remove_writer(sock.fileno())
        self._socket = None

    def _on_connect(self, _client: paho.Client, _data: object, _flags: object, reason: Any, properties: Any) -> None:
        code = int(reason.value)
        if code == 0:
            five = self.dial.protocol == paho.MQTTv5
            # 3.1.1 announces nothing: 20 in flight is what small brokers are built for.
            most = getattr(properties, "ReceiveMaximum", 65535 if five else 20)
            if not self._welcome.done():
                self._welcome.set_result(Welcome(max(1, most), getattr(properties, "MaximumPacketSize", 0)))
            return
        refusal = CONNACK.get(code, Refusal(f"refused with reason 0x{code:02x}"))
        reference = getattr(properties, "ServerReference", "")
        kind = ProtocolRefused if code == 0x84 else SinkDown
        self._refused(code, refusal, reference=reference, kind=kind)

    def _refused(self, code: int, refusal: Refusal, *, reference: str, kind: type[SinkDown] = SinkDown) -> None:
        """The broker ends it, with a reason; where it sends us elsewhere, to where."""
        self.fail(refusal, kind=Redirected if code in ELSEWHERE else kind, reason=code)
        if isinstance(self.down, Redirected):
            self.down.reference = reference

    def _on_disconnect(self, _client: paho.Client, _data: object, flags: Any, reason: Any, properties: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            code = int(reason.value)
            refusal = DISCONNECT.get(code, Refusal(f"disconnected us with reason 0x{code:02x}"))
            self._refused(code, refusal, reference=getattr(properties, "ServerReference", ""))
        else:
            kind = SinkDown if self._welcome.done() else ClosedEarly
            self.fail(Refusal("the connection was lost", "CG-MQT-01"), kind=kind, reason=CLOSED)

    def _on_publish(self, _client: paho.Client, _data: object, mid: int, reason: Any, _properties: Any) -> None:
        self.on_puback(mid, int(reason.value))

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        self.on_message(message.topic, bytes(message.payload), bool(message.retain))

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, properties: Properties | None = None, qos: int = 1
    ) -> int:
        """Hand one message over; at QoS 1, the packet id whose PUBACK will come."""
        return self._client.publish(topic, payload, qos=qos, retain=retain, properties=properties).mid

    def flush(self) -> bool:
        """Write now what the socket takes; whether that was everything."""
        if self.down is None and self._client.want_write():
            self._writable()
        return self.down is None and not self._client.want_write()

    def subscribe(self, topic: str) -> None:
        """Ask for a topic of our own, without our own live messages where the protocol can say so."""
        if self.dial.protocol == paho.MQTTv5:
            self._client.subscribe(topic, options=SubscribeOptions(qos=1, noLocal=True))
        else:
            self._client.subscribe(topic, qos=1)

    def unsubscribe(self, topic: str) -> None:
        """No more of it."""
        if self.down is None:
            self._client.unsubscribe(topic)

    def fail(self, refusal: Refusal, *, kind: type[SinkDown] = SinkDown, extra: str = "", reason: int = 0) -> None:
        """The connection is over: keep why, and let go of the socket."""
        if self.down is not None:
            return
        self.down = kind(f"{self.dial.where}: {refusal.text}{extra}", code=refusal.code, retry_s=refusal.retry_s)
        self.down_reason = reason
        if not self._welcome.done():
            self._welcome.set_exception(self.down)
            self._welcome.exception()  # retrieved: `connect` may have given up already
        self._drop(self._socket)
        self._loop.call_soon(self.on_idle)

    down_reason: int = 0

    def close(self, *, goodbye: bool) -> None:
        """DISCONNECT (which withdraws the will) if `goodbye`, then let go. Harmless when it is over already."""
        for pending in (self._timer, self._renewing):
            if pending is not None:
                pending.cancel()
        if goodbye and self.down is None and self._socket is not None:
            with contextlib.suppress(*_HOSTILE):
                self._client.disconnect()
                self._client.loop_write()
        if self.down is None:
            self.down = SinkDown(f"{self.dial.where}: closed", code="CG-MQT-01")
        if not self._welcome.done():
            self._welcome.cancel()
        self._drop(self._socket or self._client.socket())

    def _drop(self, sock: Any) -> None:
        if sock is None:
            return
        self._detach(self._client, None, sock)
        with contextlib.suppress(OSError):
            sock.close()
