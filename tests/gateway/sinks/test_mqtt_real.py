"""MQTT against a real mosquitto: TLS, passwords, refusals, what is retained, what is said at the end."""

import asyncio
import json

import pytest
from parts import Certificates, Listener, Mosquitto
from sink_cases import METER, SITE, T0_MS, Book, options, parcels, raw, until, window

from gateway.clock import FakeClock
from gateway.sinks import Fate, SinkDown
from gateway.sinks.credentials import Files
from gateway.sinks.mqtt import MqttSink

pytestmark = pytest.mark.parts
PREFIX = "citygate/khon-kaen/kkc-0412"


def sink(url, now_ms=T0_MS, **more):
    config = options("mqtt", urls=(url,), **more)
    return MqttSink("city", config=config, site=SITE, clock=FakeClock(wall_ms=now_ms), files=Files())


def secret(folder, text):
    file = folder / "mqtt.password"
    file.write_text(text + "\n")
    file.chmod(0o600)
    return str(file)


async def sent(one, records, book=None):
    book = book or Book()
    await one.open(book)
    await one.send(parcels(records))
    await book.until(len(records))
    return book


@pytest.mark.parametrize("protocol", ["5", "3.1.1", "auto"])
def test_tls_and_password(tmp_path, protocol):
    tls = Certificates(tmp_path / "ca")
    password = secret(tmp_path, "s3cret")
    with (
        Mosquitto(tls=tls, users={"kkc": "s3cret", "platform": "p"}) as broker,
        Listener(broker.plain_port, "citygate/#", username="platform", password="p") as platform,
    ):
        one = sink(broker.url, protocol=protocol, ca_file=str(tls.ca), username="kkc", password_file=password)

        async def story():
            book = await sent(one, [raw(seq) for seq in range(1, 21)])
            assert book.delivered == list(range(20))
            await until(lambda: len(platform.forms("/raw")) == 20)
            await one.close()

        asyncio.run(story())
        assert "s3cret" not in broker.log()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"password": "wrong"}, "CG-MQT-05"),
        ({"ca": "other"}, "CG-MQT-08"),
        ({"host": "127.0.0.2"}, None),
        ({"port": 1}, "CG-MQT-01"),
    ],
)
def test_a_door_that_stays_shut_is_said(tmp_path, change, code):
    tls = Certificates(tmp_path / "ca")
    ca = Certificates(tmp_path / "other").ca if change.get("ca") else tls.ca
    with Mosquitto(tls=tls, users={"kkc": "s3cret"}) as broker:
        url = broker.url
        if "host" in change:
            url = url.replace("localhost", change["host"])
        if "port" in change:
            url = f"mqtts://localhost:{change['port']}"
        password = secret(tmp_path, change.get("password", "s3cret"))

        async def story():
            one = sink(url, ca_file=str(ca), username="kkc", password_file=password)
            with pytest.raises(SinkDown) as down:
                await one.open(Book())
            await one.close()
            return down.value

        down = asyncio.run(story())
    assert code is None or down.code == code
    assert down.code.startswith("CG-MQT-")
    assert "s3cret" not in str(down)


def test_a_topic_that_the_broker_denies_is_never_delivered():
    acl = ["user kkc", f"topic write {PREFIX}/status", f"topic write {PREFIX}/meta", f"topic write {PREFIX}/meter/raw"]
    with Mosquitto(extra=["allow_anonymous true"], acl=[line for line in acl if "user" not in line]) as broker:

        async def story():
            one, book = sink(broker.url), Book()
            await one.open(book)
            await one.send(parcels([raw(1), raw(2)]))
            await book.until(2)
            assert one.warning()
            await one.close()
            return book

        book = asyncio.run(story())
    assert book.delivered == []
    assert {fate for _, fate, _ in book.fates} == {Fate.AGAIN}
    assert "0x87" in book.reason(0)


def test_on_3_1_1_a_topic_that_the_broker_denies_is_never_delivered(monkeypatch):
    """It answers with the same PUBACK as to what it takes; `status` alone passes."""
    monkeypatch.setattr("gateway.sinks.mqtt_proof.ECHO_S", 0.5)
    acl = [f"topic readwrite {PREFIX}/{name}" for name in ("status", "meter/raw")] + [f"topic read {PREFIX}/#"]
    with Mosquitto(extra=["allow_anonymous true"], acl=acl) as broker:

        async def story():
            one = sink(broker.url, protocol="3.1.1")
            book = await sent(one, [raw(1), raw(1, series=METER, values=(1.0, 230.0)), raw(2)])
            await one.close()
            return book

        book = asyncio.run(story())
    assert book.delivered == [1]
    assert book.of(Fate.AGAIN) == [0, 2]
    assert "does not come back" in book.reason(0)


@pytest.mark.parametrize(("no_subscriber", "fate"), [("pass", Fate.UNHEARD), ("hold", Fate.AGAIN)])
def test_nobody_listens(mosquitto, no_subscriber, fate):
    async def story():
        one = sink(mosquitto.url, no_subscriber=no_subscriber)
        book = await sent(one, [raw(1)])
        await one.close()
        return book

    assert [found for _, found, _ in asyncio.run(story()).fates] == [fate]


def test_what_is_retained_and_what_is_said_at_the_end(mosquitto):
    hour = window(0)
    late = window(1, late=True)

    async def story():
        one = sink(mosquitto.url, now_ms=hour.body.end_ms + 5000)
        await sent(one, [raw(1), hour, late])
        with Listener(mosquitto.port, "citygate/#") as fresh:
            await until(lambda: len(fresh.messages) >= 4)
            kept = {m.topic.removeprefix(PREFIX + "/"): json.loads(m.payload) for m in fresh.messages if m.retain}
            expiry = {m.topic: getattr(m.properties, "MessageExpiryInterval", None) for m in fresh.messages}
        await one.close()
        with Listener(mosquitto.port, f"{PREFIX}/status") as fresh:
            await until(lambda: fresh.messages)
            gone = json.loads(fresh.messages[0].payload)
        return kept, expiry, gone

    kept, expiry, gone = asyncio.run(story())
    assert kept["status"]["state"] == "online"
    assert {"status", "meta", "air-north/meta", "meter/meta", "air-north/1h"} <= set(kept)
    assert kept["air-north/1h"]["t"] == "2026-11-21T02:00:00.000Z"
    assert "air-north/raw" not in kept
    assert 7000 <= expiry[f"{PREFIX}/air-north/1h"] <= 7200
    assert gone["state"] == "offline"


def test_the_will_says_that_the_gateway_is_gone():
    with Mosquitto() as broker, Listener(broker.port, f"{PREFIX}/status") as platform:

        async def story():
            one = sink(broker.url, protocol="3.1.1")
            await one.open(Book())
            await until(lambda: platform.forms("/status"))
            one._session._client.socket().shutdown(2)  # the cable is cut
            await until(lambda: platform.forms("/status")[-1]["state"] == "offline")
            await one.close()

        asyncio.run(story())
    assert "t" not in platform.forms("/status")[-1]


class Door:
    """A TCP proxy that closes the first `resets` connections before a byte of answer, then lets through."""

    def __init__(self, port, resets):
        self.port, self.resets, self.seen, self.tasks = port, resets, 0, []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"mqtt://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def serve(self, reader, writer):
        self.tasks.append(asyncio.current_task())
        self.seen += 1
        back = None
        try:
            if self.seen <= self.resets:
                await reader.read(4)
                return
            there, back = await asyncio.open_connection("127.0.0.1", self.port)
            await asyncio.gather(self.pipe(reader, back), self.pipe(there, writer), return_exceptions=True)
        finally:
            for end in filter(None, (writer, back)):
                end.close()

    async def pipe(self, source, sink):
        while data := await source.read(4096):
            sink.write(data)
        sink.close()


def test_a_reset_at_the_door_does_not_make_refused_records_delivered():
    acl = [f"topic readwrite {PREFIX}/status", f"topic write {PREFIX}/meta"]
    with Mosquitto(extra=["allow_anonymous true"], acl=acl) as broker:

        async def story():
            async with Door(broker.port, resets=1) as door:
                one, book = sink(door.url), Book()
                with pytest.raises(SinkDown):
                    await one.open(book)
                await one.close()
                await one.open(book)
                await one.send(parcels([raw(1)]))
                await book.until(1)
                await one.close()
                return book

        assert asyncio.run(story()).delivered == []
