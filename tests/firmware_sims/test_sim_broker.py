"""The small broker against two independent clients, and its script of misbehaviour."""

import asyncio
import threading
from contextlib import asynccontextmanager, suppress

import aiomqtt
import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from firmware_sims import mqtt_packets as mqtt
from firmware_sims.broker import Broker
from firmware_sims.broker_session import Script

V5, V311 = aiomqtt.ProtocolVersion.V5, aiomqtt.ProtocolVersion.V311


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 30))


async def until(condition, timeout_s=5.0):
    end = asyncio.get_running_loop().time() + timeout_s
    while not condition():
        assert asyncio.get_running_loop().time() < end, "it did not happen in time"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def client(broker, name, **options):
    options.setdefault("protocol", V5)
    async with aiomqtt.Client("127.0.0.1", broker.port, identifier=name, **options) as found:
        yield found


async def next_of(messages):
    return await asyncio.wait_for(anext(messages), 5)


class Paho:
    """A paho client with what its callbacks said."""

    def __init__(self, broker, *, version=paho.MQTTv5, name="paho", properties=None, **options):
        self.client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=version, **options)
        self.acks, self.connected, self.left = {}, [], []
        self.client.on_connect = lambda _c, _u, _f, reason, props: self.connected.append((reason.value, props))
        self.client.on_disconnect = lambda _c, _u, _f, reason, _p: self.left.append(reason.value)
        self.client.on_publish = lambda _c, _u, mid, reason, _p: self.acks.__setitem__(mid, reason.value)
        self.lock = threading.Lock()
        self.client.connect("127.0.0.1", broker.port, keepalive=30, properties=properties)
        self.client.loop_start()

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@asynccontextmanager
async def paho_client(broker, **options):
    found = await asyncio.to_thread(Paho, broker, **options)
    try:
        yield found
    finally:
        await asyncio.to_thread(found.close)


@pytest.mark.parametrize("version", [V5, V311])
def test_publish_subscribe_and_retained(version):
    async def scene():
        async with Broker() as broker, client(broker, "a", protocol=version) as a:
            await a.publish("city/x/status", b"on", qos=1, retain=True)
            async with client(broker, "b", protocol=version) as b:
                await b.subscribe("city/+/#", qos=1)
                got = await next_of(b.messages)
                assert (str(got.topic), got.payload, got.retain, got.qos) == ("city/x/status", b"on", True, 1)
                await a.publish("city/y/raw", b"1", qos=1)
                await a.publish("town/y/raw", b"2", qos=1)
                await a.publish("city/z/raw", b"3", qos=0)
                got = [await next_of(b.messages) for _ in range(2)]
                assert [(m.payload, m.retain, m.qos) for m in got] == [(b"1", False, 1), (b"3", False, 0)]
                await a.publish("city/x/status", b"still on", qos=1, retain=True)
                assert not (await next_of(b.messages)).retain  # to those who are there it is news
                await b.unsubscribe("city/+/#")
                await a.publish("city/x/status", b"", qos=1, retain=True)
                assert broker.retained == {}

    run(scene())


def test_many_messages_in_order():
    async def scene():
        async with Broker() as broker, client(broker, "b", max_queued_incoming_messages=3000) as b:
            await b.subscribe("t/#", qos=1)
            async with client(broker, "a") as a:
                for n in range(500):
                    await a.publish(f"t/{n % 7}", str(n), qos=1)
            got = [int((await next_of(b.messages)).payload) for _ in range(500)]
        assert got == list(range(500))

    run(scene())


@pytest.mark.parametrize(
    ("code", "matched", "expected"), [(0x87, True, 0x87), (0x97, True, 0x97), (0, True, 0), (0, False, 0x10)]
)
def test_reason_codes_of_publish(code, matched, expected):
    async def scene():
        script = Script(puback={"denied/#": code} if code else {})
        async with Broker(script=script) as broker, client(broker, "b") as b, paho_client(broker) as p:
            if matched:
                await b.subscribe("denied/#")
            info = p.client.publish("denied/x", b"1", qos=1)
            await until(lambda: info.mid in p.acks)
            assert p.acks[info.mid] == expected
            assert len(broker.messages) == (code == 0)
            script.puback.clear()
            info = p.client.publish("denied/x", b"2", qos=1)
            await until(lambda: info.mid in p.acks)
            assert p.acks[info.mid] in {0, 0x10}

    run(scene())


@pytest.mark.parametrize("version", [paho.MQTTv5, paho.MQTTv311])
@pytest.mark.parametrize("script", [Script(disconnect={"denied/#": 0x87}), Script(close={"denied/#"})])
def test_a_publish_that_ends_the_connection(script, version):
    async def scene():
        async with (
            Broker(script=script) as broker,
            paho_client(broker, version=version, reconnect_on_failure=False) as p,
        ):
            allowed = p.client.publish("open/x", b"1", qos=1)
            await until(lambda: allowed.mid in p.acks)
            denied = p.client.publish("denied/x", b"1", qos=1)
            await until(lambda: p.left)
            by_name = version == paho.MQTTv5 and script.disconnect
            assert p.left == [0x87 if by_name else 0x80]  # of 0x80 paho makes "unspecified"
            assert denied.mid not in p.acks
            assert [message.topic for message in broker.messages] == ["open/x"]

    run(scene())


def test_a_topic_without_an_answer():
    async def scene():
        async with Broker(script=Script(unanswered={"denied/#"})) as broker, paho_client(broker) as p:
            denied = p.client.publish("denied/x", b"1", qos=1)
            allowed = p.client.publish("open/x", b"1", qos=1)
            await until(lambda: allowed.mid in p.acks)
            assert denied.mid not in p.acks
            assert [message.topic for message in broker.messages] == ["open/x"]

    run(scene())


def test_acknowledgements_late_or_never():
    async def scene():
        script = Script(puback_delay_s=0.15)
        async with Broker(script=script) as broker, paho_client(broker) as p:
            loop = asyncio.get_running_loop()
            started = loop.time()
            info = p.client.publish("t", b"1", qos=1)
            await until(lambda: info.mid in p.acks)
            assert loop.time() - started >= 0.15
            script.puback_never = True
            info = p.client.publish("t", b"2", qos=1)
            await until(lambda: len(broker.messages) == 2)
            await asyncio.sleep(0.05)
            assert info.mid not in p.acks

    run(scene())


def test_users_and_refused_connections():
    async def scene():
        async with Broker(users={"kkc": "secret"}) as broker:
            with pytest.raises(aiomqtt.MqttError):
                async with client(broker, "a", username="kkc", password="wrong"):
                    pass
            with pytest.raises(aiomqtt.MqttError):
                async with client(broker, "a", protocol=V311):
                    pass
            async with client(broker, "a", username="kkc", password="secret"):
                assert broker.connects == 1
            broker.script.connack = 0x97
            async with paho_client(broker, reconnect_on_failure=False) as p:
                await until(lambda: p.connected)
                assert p.connected[0][0] == 0x97

    run(scene())


def test_refused_subscriptions():
    async def scene():
        async with Broker(script=Script(suback={"secret/#": 0x87})) as broker, client(broker, "a") as a:
            assert [code.value for code in await a.subscribe("secret/x")] == [0x87]
            assert [code.value for code in await a.subscribe("open/x", qos=1)] == [1]
            assert broker.sessions["a"].filters.keys() == {"open/x"}

    run(scene())


def test_will_at_once_late_or_not_at_all():
    def will(delay_s):
        found = Properties(PacketTypes.WILLMESSAGE)
        found.WillDelayInterval = delay_s
        return aiomqtt.Will("status", b"offline", qos=1, retain=True, properties=found)

    async def scene():
        keep = Properties(PacketTypes.CONNECT)
        keep.SessionExpiryInterval = 60
        async with Broker() as broker:
            async with client(broker, "a", will=will(0)):
                pass
            assert broker.messages == type(broker.messages)()  # a clean end sends no will
            with suppress(aiomqtt.MqttError):
                async with client(broker, "a", will=will(0)):
                    await broker.cut()
            await until(lambda: [m.payload for m in broker.messages] == [b"offline"])
            with suppress(aiomqtt.MqttError):
                async with client(broker, "b", will=will(30), properties=keep):
                    await broker.cut()
            assert "b" in broker.wills
            async with client(broker, "b", properties=keep):  # back in time: no will
                assert broker.wills == {}
            assert len(broker.messages) == 1
            with suppress(aiomqtt.MqttError):
                async with client(broker, "c", will=will(1), properties=keep):
                    await broker.cut()
            assert len(broker.messages) == 1
            await until(lambda: len(broker.messages) == 2)

    run(scene())


def test_a_session_keeps_what_its_client_missed():
    async def scene():
        keep = Properties(PacketTypes.CONNECT)
        keep.SessionExpiryInterval = 60
        options = {"clean_start": False, "properties": keep}
        async with Broker() as broker:
            async with client(broker, "b", **options) as b:
                await b.subscribe("t", qos=1)
            async with client(broker, "a") as a:
                for n in range(3):
                    await a.publish("t", str(n), qos=1)
            async with client(broker, "b", **options) as b:
                assert [(await next_of(b.messages)).payload for _ in range(3)] == [b"0", b"1", b"2"]
            async with client(broker, "b", clean_start=True) as b:
                assert broker.sessions["b"].filters == {}

    run(scene())


def test_takeover():
    async def scene():
        async with Broker() as broker, paho_client(broker, name="same", reconnect_on_failure=False) as first:
            await until(lambda: first.connected)
            async with client(broker, "same"):
                await until(lambda: first.left)
                assert first.left[0] == 0x8E

    run(scene())


def test_announced_limits_are_enforced():
    async def scene():
        script = Script(receive_maximum=5, maximum_packet_size=300)
        async with Broker(script=script) as broker, paho_client(broker, reconnect_on_failure=False) as p:
            await until(lambda: p.connected)
            assert p.connected[0][1].ReceiveMaximum == 5
            assert p.connected[0][1].MaximumPacketSize == 300
            p.client.publish("t", bytes(400), qos=1)
            await until(lambda: p.left)
            assert p.left[0] == 0x95

    run(scene())


@pytest.mark.parametrize("side", ["cut_in", "cut_out"])
def test_cut_after_any_byte(side):
    hello = mqtt.packet(mqtt.CONNECT, mqtt.string(b"MQTT") + b"\x05\x02\0\x3c\0" + mqtt.string(b"k"))
    publish = mqtt.publish_packet(mqtt.Message("t", b"payload", 1), 7, version=5)

    async def scene():
        async with Broker() as broker:
            for k in range(len(hello + publish) if side == "cut_in" else 14):
                setattr(broker.script, side, k)
                broker.messages.clear()
                reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
                writer.write(hello + publish)
                try:
                    answer = await reader.read()
                except ConnectionError:
                    answer = b""
                writer.close()
                if side == "cut_in":
                    assert len(broker.messages) == 0
                else:
                    assert len(answer) == k
            await until(lambda: not broker.open)
            setattr(broker.script, side, None)
            reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
            writer.write(hello + publish)
            assert (await reader.readexactly(4))[2:] == b"\0\0"  # accepted, no session was present
            await until(lambda: len(broker.messages) >= 1)
            writer.close()

    run(scene())


def test_a_killed_broker_comes_back_on_its_port():
    async def scene():
        async with Broker() as broker:
            port = broker.port
            await broker.stop()
            with pytest.raises(aiomqtt.MqttError):
                async with client(broker, "a"):
                    pass
            await broker.start()
            async with client(broker, "a"):
                assert broker.port == port

    run(scene())


def test_silence_is_noticed_by_keepalive():
    async def scene():
        async with Broker() as broker:
            reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
            writer.write(mqtt.packet(mqtt.CONNECT, mqtt.string(b"MQTT") + b"\x04\x02\0\x01" + mqtt.string(b"k")))
            await reader.readexactly(4)
            assert await asyncio.wait_for(reader.read(), 8) == b""  # 1.5 s after the last packet
            writer.close()
            broker.script.mute = True
            reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
            writer.write(mqtt.packet(mqtt.CONNECT, mqtt.string(b"MQTT") + b"\x04\x02\0\x0a" + mqtt.string(b"k")))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.2)
            writer.close()

    run(scene())


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/+", "a/b", True),
        ("a/+", "a/b/c", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("+/+", "/x", True),
        ("a", "a/b", False),
    ],
)
def test_wildcards(topic_filter, topic, expected):
    assert mqtt.matches(topic_filter, topic) == expected


@given(st.integers(0, 268_435_455))
def test_variable_integers(number):
    assert mqtt.Fields(mqtt.variable(number)).variable() == number


@given(st.binary(max_size=200))
def test_garbage_never_kills_the_parser(data):
    buffer = bytearray(data)
    try:
        for packet in mqtt.cut(buffer):
            if packet.kind == mqtt.CONNECT:
                mqtt.connect(packet.body)
            elif packet.kind == mqtt.PUBLISH:
                mqtt.publish(packet.body, packet.flags, version=5)
    except (mqtt.Malformed, UnicodeDecodeError):
        pass
