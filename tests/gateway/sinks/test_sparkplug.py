"""Sparkplug B: births name every metric before data, numbers never jump, and mosquitto's subscribers see it so."""

import asyncio
import contextlib
from math import nan

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from parts import Listener, Mosquitto
from sink_cases import AIR, METER, SITE, T0_MS, Book, event, options, parcels, raw, until, window

from firmware_sims.broker import Broker
from firmware_sims.mqtt_packets import Message
from gateway.clock import FakeClock
from gateway.sinks import Fate, SinkDown
from gateway.sinks.credentials import Files
from gateway.sinks.sparkplug import SparkplugSink
from gateway.sinks.sparkplug_node import REBIRTH, Node, next_birth
from gateway.sinks.sparkplug_payload import Metric, decode, encode

HEAD = "spBv1.0/khon-kaen"
NODE = "kkc-0412"
CLOCK = FakeClock(wall_ms=T0_MS)


def sink(broker, **more):
    config = options("sparkplug", urls=(f"mqtt://127.0.0.1:{broker.port}",), streams=("raw", "1h", "event"))
    return SparkplugSink("scada", config=config, site=SITE, clock=CLOCK, files=Files(), **more)


def told(messages):
    return [(message.topic, decode(message.payload)) for message in messages if message.topic.startswith(HEAD)]


class Host:
    """A host application's reading of the rules (Sparkplug 3.0, ch. 4 to 6): `take` fails where one is broken."""

    def __init__(self):
        self.seq = self.bdseq = None
        self.known = {}
        self.values = {}

    def take(self, topic, payload):
        kind, _node, *device = topic.removeprefix(HEAD + "/").split("/")
        device = device[0] if device else ""
        rows = {row.get("name"): row for row in payload["metrics"]}
        if kind == "NDEATH":
            assert payload["seq"] is None
            assert rows["bdSeq"]["value"] == self.bdseq
            return
        if kind == "NBIRTH":
            assert payload["seq"] == 0
            assert rows[REBIRTH]["value"] is False
            self.bdseq = rows["bdSeq"]["value"]
            self.known.clear()
        else:
            assert payload["seq"] == (self.seq + 1) % 256, "a number is missing"
        self.seq = payload["seq"]
        if kind.endswith("BIRTH"):
            self.known[device] = set(rows)
        else:
            assert rows.keys() <= self.known[device], f"{device}: data before its birth"
        for name, row in rows.items():
            self.values[device, name] = row


def test_births_then_data_and_a_goodbye():
    async def story():
        async with Broker() as broker:
            one, book = sink(broker), Book()
            await one.open(book)
            records = [raw(1), raw(2, values=(nan, 18.0), codes=(201, 101)), window(1), event(1), raw(3, late=True)]
            await one.send(parcels(records))
            assert book.of(Fate.SENT) == list(range(5))
            await one.close()
            await until(lambda: any("NDEATH" in message.topic for message in broker.messages))
            return told(broker.messages)

    messages = asyncio.run(story())
    host = Host()
    for topic, payload in messages:
        host.take(topic, payload)
    kinds = [topic.split("/")[2] for topic, _ in messages]
    assert kinds[:5] == ["NBIRTH", "DBIRTH", "DBIRTH", "DBIRTH", "DDATA"]
    failed = messages[5][1]["metrics"]
    assert (failed[0]["name"], failed[0]["value"]) == ("pm2_5", None)
    assert failed[0]["properties"] == {"Quality": 0, "q": "b:timeout"}
    assert failed[1]["properties"] == {"Quality": 192, "q": "u:stuck"}
    assert host.values["air-north", "1h/pm2_5/mean"]["value"] == 12.1
    assert host.values["air-north", "1h/aqi_th"]["value"] == 20.0  # an indicator: its birth came before it
    assert host.values["", "event/code"]["value"] == "CG-JRN-01"
    assert host.values["air-north", "pm2_5"]["is_historical"]
    assert kinds[-1] == "NDEATH"


def test_a_rebirth_when_the_host_asks_and_only_then(monkeypatch):
    async def story():
        async with Broker() as broker:
            one, book = sink(broker), Book()
            await one.open(book)
            await one.send(parcels([raw(1)]))
            command = encode([Metric(REBIRTH, "Boolean", True, T0_MS)], t_ms=T0_MS, seq=None)

            def births():
                return sum("NBIRTH" in message.topic for message in broker.messages)

            await until(lambda: broker.sessions[one._client_id].filters)
            for junk in (b"", b"\xff" * 40, encode([], t_ms=0, seq=None), command):
                broker.route(Message(f"{HEAD}/NCMD/{NODE}", junk, qos=0))
            await asyncio.sleep(0.1)  # the first five seconds of a life have their birth
            assert births() == 1
            monkeypatch.setattr("gateway.sinks.sparkplug.REBIRTH_S", 0.0)
            broker.route(Message(f"{HEAD}/NCMD/{NODE}", command, qos=0))
            await until(lambda: births() == 2)
            assert one.down() is None
            await one.close()
            return told(message for message in broker.messages if "NCMD" not in message.topic)

    host = Host()
    for topic, payload in asyncio.run(story()):
        host.take(topic, payload)
    assert host.values["air-north", "pm2_5"]["value"] == 12.0  # the newest value stands in the birth


def test_the_birth_counter_rises_with_every_connect_and_over_restarts(tmp_path):
    file = tmp_path / "count"

    async def story():
        async with Broker() as broker:
            for _ in range(2):
                one = sink(broker, memory=file)
                for _ in range(2):
                    await one.open(Book())
                    await one.close()
            await until(lambda: sum("NDEATH" in message.topic for message in broker.messages) == 4)
            return told(broker.messages)

    births = [payload for topic, payload in asyncio.run(story()) if "NBIRTH" in topic]
    assert [row["value"] for one in births for row in one["metrics"] if row["name"] == "bdSeq"] == [0, 1, 2, 3]
    file.write_text("torn\0")
    assert next_birth(file, 7) == 8
    file.write_text("255")
    assert next_birth(file, 3) == 0


def test_a_cut_connection_sends_the_will_and_what_was_not_written_waits():
    async def story():
        async with Broker() as broker:
            one, book = sink(broker), Book()
            await one.open(book)
            await broker.cut()
            await until(lambda: one.down() is not None)
            with pytest.raises(SinkDown):
                await one.send(parcels([raw(1)]))
            assert book.fates == []
            await one.close()
            assert told(broker.messages)[-1][0] == f"{HEAD}/NDEATH/{NODE}"
            assert not broker.retained
            await one.open(book)
            await one.send(parcels([raw(1)]))
            assert book.of(Fate.SENT) == [0]
            await one.close()

    asyncio.run(story())


@pytest.mark.parts
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_real_broker_carries_it(protocol):
    async def story(broker, listener):
        config = options("sparkplug", urls=(broker.url,), streams=("raw",), protocol=protocol)
        one, book = SparkplugSink("scada", config=config, site=SITE, clock=CLOCK, files=Files()), Book()
        await one.open(book)
        for at in range(0, 600, 100):
            await one.send(parcels([raw(seq) for seq in range(at, at + 100)], first=at))
            await until(lambda at=at: sum("DDATA" in message.topic for message in listener.messages) == at + 100)
        await one.close()
        await until(lambda: any("NDEATH" in message.topic for message in listener.messages))
        return book

    with Mosquitto() as broker, Listener(broker.port, "spBv1.0/#") as listener:
        book = asyncio.run(story(broker, listener))
        host = Host()
        for topic, payload in told(listener.messages):
            host.take(topic, payload)
    assert book.of(Fate.SENT) == list(range(600))
    assert sum("DDATA" in message.topic for message in listener.messages) == 600
    assert not any(message.retain for message in listener.messages)


texts = st.text(max_size=20)
numbers = st.floats(allow_nan=False) | st.none()


@settings(max_examples=200)
@given(st.lists(st.tuples(texts, numbers, st.booleans(), st.dictionaries(texts, texts, max_size=2)), max_size=5),
       st.integers(0, 2**48), st.integers(0, 255) | st.none())  # fmt: skip
def test_what_is_encoded_is_what_is_decoded(rows, t_ms, seq):
    metrics = [Metric(name, "Double", value, t_ms, past, about) for name, value, past, about in rows]
    found = decode(encode(metrics, t_ms=t_ms, seq=seq))
    assert (found["seq"], found["timestamp"]) == (seq, t_ms)
    for row, (name, value, past, about) in zip(found["metrics"], rows, strict=True):
        assert (row["name"], row["value"], row.get("is_historical", False)) == (name, value, past)
        assert row.get("properties", {}) == about


@settings(max_examples=300)
@given(st.binary(max_size=80))
@example(bytes.fromhex("1207200a6a03010203"))  # a double of three bytes
def test_hostile_bytes_are_refused_or_read_but_never_crash(data):
    with contextlib.suppress(ValueError):  # UnicodeDecodeError is one
        assert set(decode(data)) == {"seq", "timestamp", "metrics"}


@pytest.mark.parametrize("device", ["../up", "a/b", "+", "#", "", "NCMD"])
def test_a_hostile_device_is_refused(device):
    record = raw(1)
    node = Node(SITE)
    with pytest.raises(ValueError, match="is no id"):
        node.data(type(record)(device, "raw", T0_MS, record.epoch, 1, record.body), T0_MS)


def test_the_points_that_are_chosen():
    node = Node(SITE, points=("pm2_5",), streams=("raw",))
    births = {topic: decode(payload) for topic, payload in node.births(T0_MS)}
    names = {row["name"] for row in births[f"{HEAD}/DBIRTH/{NODE}/{AIR.id}"]["metrics"]}
    assert names == {"pm2_5"}
    assert births[f"{HEAD}/DBIRTH/{NODE}/{METER.id}"]["metrics"] == []


def births_of(node, device=AIR.id):
    births = {topic: decode(payload) for topic, payload in node.births(T0_MS)}
    return {row["name"]: row for row in births[f"{HEAD}/DBIRTH/{NODE}/{device}"]["metrics"]}


def test_a_birth_tells_the_newest_value_as_a_present_one_even_where_it_came_late():
    node = Node(SITE, streams=("raw",))
    node.data(raw(5, late=True, values=(77.0, 78.0)), T0_MS)
    row = births_of(node)["pm2_5"]
    assert (row["value"], row["timestamp"], row.get("is_historical", False)) == (77.0, T0_MS + 5000, False)


def test_the_newest_is_what_was_recorded_last_not_what_a_clock_that_was_ahead_dated_last():
    node = Node(SITE, streams=("raw",))
    ahead = raw(1, values=(99.0, 99.0))
    node.data(type(ahead)(AIR.id, "raw", T0_MS + 30 * 86_400_000, ahead.epoch, 1, ahead.body), T0_MS)
    node.data(raw(2, values=(12.5, 13.0)), T0_MS)
    assert births_of(node)["pm2_5"]["value"] == 12.5
    node.data(raw(3, values=(nan, 13.0), codes=(201, 0)), T0_MS)
    node.data(raw(2, values=(12.5, 13.0), late=True), T0_MS)  # a failed read is not filled up with an older value
    assert births_of(node)["pm2_5"]["value"] is None
