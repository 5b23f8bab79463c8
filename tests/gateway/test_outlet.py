"""What a sink may tell of the gateway's devices: those that it takes, in metas, births and health; no others at all."""

import asyncio
import json

import pytest

from firmware_sims.broker import Broker
from firmware_sims.mqtt_packets import Message
from gateway.clock import SystemClock
from gateway.config.load import load
from gateway.daemon import Daemon
from gateway.outlet import ANNOUNCE
from gateway.sinks.mqtt import MqttSink

PREFIX = "citygate/khon-kaen/kkc-0412"
SITE = """schema = 1
[gateway]
id = "kkc-0412"
city = "khon-kaen"
state_dir = "{folder}"
[clock]
trust = "system"
[bus.a]
kind = "tcp"
host = "127.0.0.1"
port = 1
framing = "tcp"
[device.main-meter]
bus = "a"
profile = "eastron-sdm630"
unit = 1
every = "1s"
[device.flat-12]
bus = "a"
profile = "eastron-sdm630"
unit = 2
every = "1s"
personal = true
serial = "METER-OF-MR-SOMCHAI"
name = {{ en = "Flat 12, Mr Somchai" }}
location = {{ latitude = 16.4, longitude = 102.8 }}
[device.secret-pump]
bus = "a"
profile = "eastron-sdm630"
unit = 3
every = "1s"
name = {{ en = "Well 9" }}
[sink.one]
kind = "{kind}"
urls = ["mqtt://127.0.0.1:{port}"]
streams = ["raw", "event"]
devices = {devices}
{more}
"""
WORDS = (b"flat-12", b"Somchai", b"SOMCHAI", b"secret-pump", b"Well 9")


def waits(sink):
    return isinstance(sink, MqttSink) and sink._outbox.held


async def seen(folder, broker, *, kind="mqtt", devices='["*", "!secret-pump"]', more="", done=lambda: True):
    """All that the sinks of one gateway publish at birth, and its health."""
    config = folder / "gateway.toml"
    config.write_text(SITE.format(folder=folder, port=broker.port, kind=kind, devices=devices, more=more))
    daemon = Daemon(load(config), clock=SystemClock("system"))
    report = daemon.health.report()
    assert "flat-12" in report["devices"]
    assert "flat-12" in report["buses"]["a"]["devices"]
    for shipper in daemon.shippers:
        await shipper.sink.open(shipper.settle)
        await shipper.sink.health(report)
    async with asyncio.timeout(20):
        while not done() or any(waits(each.sink) for each in daemon.shippers):
            await asyncio.sleep(0.01)
    for shipper in daemon.shippers:
        await shipper.sink.close()
    await daemon.journal.close()
    return list(broker.messages)


@pytest.mark.parametrize("kind", sorted(ANNOUNCE))
def test_a_device_that_a_sink_does_not_take_is_not_told_by_it(tmp_path, kind):
    async def story():
        async with Broker() as broker:
            return await seen(tmp_path, broker, kind=kind)

    messages = asyncio.run(story())
    assert any(b"main-meter" in message.payload or "main-meter" in message.topic for message in messages)
    for message in messages:
        assert not [word for word in WORDS if word in message.topic.encode() + message.payload]


@pytest.mark.parametrize("kind", sorted(ANNOUNCE))
def test_a_sink_that_names_it_tells_it(tmp_path, kind):
    async def story():
        async with Broker() as broker:
            return await seen(tmp_path, broker, kind=kind, devices='["flat-12"]')

    messages = asyncio.run(story())
    assert any("flat-12" in message.topic for message in messages)
    assert not any("main-meter" in message.topic for message in messages)
    if kind == "mqtt":
        (health,) = [json.loads(message.payload) for message in messages if message.topic.endswith("/health")]
        assert list(health["devices"]) == list(health["buses"]["a"]["devices"]) == ["flat-12"]


def test_what_was_told_once_is_taken_back_and_what_another_sink_tells_is_left(tmp_path):
    other = '[sink.two]\nkind = "mqtt"\nurls = ["mqtt://127.0.0.1:{port}"]\ndevices = ["secret-pump"]\n'

    async def story():
        async with Broker() as broker:
            for name in ("flat-12", "gone", "main-meter", "secret-pump"):
                broker.route(Message(f"{PREFIX}/{name}/meta", b'{"old":1}', qos=1, retain=True))

            def done():
                return not broker.retained.keys() & {f"{PREFIX}/flat-12/meta", f"{PREFIX}/gone/meta"}

            await seen(tmp_path, broker, more=other.format(port=broker.port), done=done)
            return {topic: message.payload for topic, (message, _) in broker.retained.items()}

    retained = asyncio.run(story())
    for name in ("main-meter", "secret-pump"):
        assert json.loads(retained[f"{PREFIX}/{name}/meta"])["id"] == name
