"""Brokers that end the connection for one publish, refuse everything for a while, or send more than they should."""

import asyncio
import contextlib
from dataclasses import replace

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from ram_journal import RamJournal
from sink_cases import AIR, METER, SITE, T0_MS, Book, options, parcels, raw, until

from firmware_sims.broker import Broker
from firmware_sims.mqtt_packets import Message
from gateway import shipper
from gateway.clock import FakeClock
from gateway.codec import Codec
from gateway.config import Sink
from gateway.lanes import Lanes
from gateway.ledger import Ledger
from gateway.selection import Selection
from gateway.shipper import Shipper
from gateway.sinks import Fate, SinkDown, mqtt_outbox, mqtt_parking, mqtt_proof
from gateway.sinks.mqtt_message import Message as Outgoing
from gateway.sinks.mqtt_reasons import CONNACK, DISCONNECT, PUBACK
from gateway.sinks.registry import make_sink

PREFIX = "citygate/khon-kaen/kkc-0412"


def city(broker, site=SITE, **more):
    config = options("mqtt", **({"urls": (f"mqtt://127.0.0.1:{broker.port}",)} | more))
    return make_sink("city", config, site=site, clock=FakeClock(wall_ms=T0_MS))


class Bench:
    """A real shipper before a real sink, with a journal in memory."""

    def __init__(self, sink, series=(AIR, METER)):
        self.journal, self.codec = RamJournal(), Codec({})
        for each in series:
            self.journal.mark(*self.codec.schema_marks(each))
        chosen = Selection(Sink(kind="memory", streams=("raw",)), personal=frozenset())
        lanes = Lanes(ledger=Ledger(low=0), selection=chosen, journal=self.journal, codec=self.codec)
        self.shipper = Shipper("city", sink=sink, lanes=lanes)
        sleep = self.shipper._sleep
        self.shipper._sleep = lambda wait_s: sleep(min(wait_s, 0.02))  # a loss is seen at once
        self.buried = []
        self.shipper.bury = lambda _name, record, why: self.buried.append((record.device, why))

    def append(self, record):
        self.shipper.offer(self.journal.append(*self.codec.encode(record)), record)
        self.journal.commit_now()
        self.shipper.committed()

    @contextlib.asynccontextmanager
    async def running(self):
        task = asyncio.create_task(self.shipper.run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @property
    def report(self):
        return self.shipper.report()


@pytest.fixture
def quick(monkeypatch):
    """Ten minutes pass in a second."""
    monkeypatch.setattr(mqtt_parking, "PARK_S", 0.2)
    monkeypatch.setattr(mqtt_parking, "PARK_MOST_S", 0.3)
    monkeypatch.setattr(mqtt_parking, "OTHERS_S", 0.05)
    monkeypatch.setattr(mqtt_parking, "DEAD_AFTER_S", 1.0)
    monkeypatch.setattr(mqtt_outbox, "KNOCK_S", 0.0)
    monkeypatch.setattr(shipper, "PARK_S", 0.05)
    monkeypatch.setattr(shipper, "wait_s", lambda *_args, **_more: 0.02)


ENDS = [("5", "disconnect"), ("5", "close"), ("3.1.1", "close")]


def forbid(broker, how, topic):
    if how == "disconnect":
        broker.script.disconnect[topic] = 0x87
    else:
        broker.script.close.add(topic)


@pytest.mark.parametrize(("protocol", "how"), ENDS)
def test_a_forbidden_topic_that_ends_the_connection_holds_up_nobody_for_ever(quick, protocol, how):
    async def story():
        async with Broker() as broker:
            broker.script.no_subscribers = False
            forbid(broker, how, f"{PREFIX}/air-north/raw")
            bench = Bench(city(broker, protocol=protocol))
            for seq in range(1, 41):
                bench.append(raw(seq))
                bench.append(raw(seq, series=METER, values=(1.0, 230.0)))
            async with bench.running():
                await until(lambda: bench.report["delivered"] == 40)
                await until(lambda: "air-north/raw" in bench.report.get("warning", ""))
                assert bench.report["dead"] == 0
                await until(lambda: bench.report["waiting"] == 0)
            assert {device for device, _ in bench.buried} == {"air-north"}
            assert len(bench.buried) == 40
            assert all("ends the connection at" in why for _, why in bench.buried)
            assert sum(m.topic.endswith("meter/raw") for m in broker.messages) >= 40
            assert broker.connects < 40

    asyncio.run(story())


@pytest.mark.parametrize(("protocol", "how"), ENDS)
def test_a_ban_that_is_lifted_in_time_costs_nothing(quick, monkeypatch, protocol, how):
    monkeypatch.setattr(mqtt_parking, "DEAD_AFTER_S", 30.0)

    async def story():
        async with Broker() as broker:
            broker.script.no_subscribers = False
            forbid(broker, how, f"{PREFIX}/air-north/raw")
            bench = Bench(city(broker, protocol=protocol))
            for seq in range(1, 6):
                bench.append(raw(seq))
            async with bench.running():
                await until(lambda: bench.report.get("warning"))
                broker.script.disconnect.clear()
                broker.script.close.clear()
                await until(lambda: bench.report["delivered"] == 5)
                await until(lambda: not bench.report.get("warning"))
            assert bench.buried == []

    asyncio.run(story())


@pytest.mark.parametrize(("protocol", "how"), ENDS)
def test_a_forbidden_meta_is_left_out_and_the_sink_comes_up(quick, protocol, how):
    async def story():
        async with Broker() as broker:
            broker.script.no_subscribers = False
            forbid(broker, how, f"{PREFIX}/meter/meta")
            bench = Bench(city(broker, protocol=protocol))
            async with bench.running():
                bench.append(raw(1))
                await until(lambda: bench.report["delivered"] == 1)
                await until(lambda: f"{PREFIX}/air-north/meta" in broker.retained)
            assert f"{PREFIX}/meter/meta" not in broker.retained

    asyncio.run(story())


def test_one_publish_that_is_never_answered_holds_up_nobody_for_ever(quick, monkeypatch):
    monkeypatch.setattr(mqtt_outbox, "ANSWER_S", 0.3)
    monkeypatch.setattr("gateway.sinks.mqtt_session.TICK_S", 0.05)

    async def story():
        async with Broker() as broker:
            broker.script.no_subscribers = False
            broker.script.unanswered.add(f"{PREFIX}/air-north/raw")
            bench = Bench(city(broker))
            async with bench.running():
                for seq in range(1, 4):
                    bench.append(raw(seq))
                    bench.append(raw(seq, series=METER, values=(1.0, 230.0)))
                await until(lambda: bench.report["delivered"] == 3 and bench.report["dead"] == 3)

    asyncio.run(story())


@pytest.mark.parametrize("code", [0x80, 0x83, 0x90, 0x99])
def test_a_broker_that_refuses_everything_for_a_while_buries_nothing(quick, code):
    async def story():
        async with Broker() as broker:
            broker.script.no_subscribers = False
            bench = Bench(city(broker))
            async with bench.running():
                bench.append(raw(1))
                await until(lambda: bench.report["delivered"] == 1)
                broker.script.puback["#"] = code
                for seq in range(2, 12):
                    bench.append(raw(seq))
                connects = broker.connects
                await until(lambda: broker.connects > connects + 2)
                assert bench.report["code"] == "CG-MQT-05"
                broker.script.puback.clear()
                await until(lambda: bench.report["delivered"] == 11)
            assert bench.buried == []

    asyncio.run(story())


def test_more_devices_than_a_window_are_announced():
    many = tuple(replace(AIR, id=f"d{n}", device=f"d{n}") for n in range(1500))

    async def story():
        async with Broker() as broker:
            sink = city(broker, site=replace(SITE, series=many, devices={}))
            await sink.open(Book())
            await until(lambda: len(broker.retained) == 1502)
            await sink.close()

    asyncio.run(story())


def test_an_outbox_that_is_full_says_so():
    outbox = mqtt_outbox.Outbox(status_topic="s", hold=False)
    with pytest.raises(OverflowError):
        for n in range(100_000):
            outbox.put(Outgoing(f"t/{n}", b""))


def test_a_flood_of_foreign_metas_pushes_no_record_out():
    async def story():
        async with Broker() as broker:
            broker.script.no_subscribers = False
            for n in range(1900):
                broker.route(Message(f"{PREFIX}/x{n}/meta", b"x", qos=1, retain=True))
            sink, book = city(broker), Book()
            await sink.open(book)
            highest = 0
            for first in range(0, 600, 20):
                await sink.send(parcels([raw(first + n) for n in range(20)], first=first))
                highest = max(highest, sink._outbox.held)
                await asyncio.sleep(0.01)
            await book.until(600)
            assert sorted(book.delivered) == list(range(600))
            assert highest <= mqtt_outbox.WINDOW + 1
            await until(lambda: len(broker.retained) < 1000)
            await sink.close()
            await sink.open(book)  # what one connection did not take back, the next one does
            ours = {f"{PREFIX}/{name}meta" for name in ("", "air-north/", "road-lane1/", "meter/")} | {
                f"{PREFIX}/status"
            }
            await until(lambda: broker.retained.keys() == ours)
            await sink.close()

    asyncio.run(story())


def codes(packet):
    """Every reason of MQTT 5 that paho knows for a packet."""
    names = ReasonCode(packet).names
    return {value for value, packets in names.items() if any(packet in kinds for kinds in packets.values())}


def test_every_reason_of_the_standard_stands_in_its_table():
    assert codes(PacketTypes.CONNACK) - {0} <= CONNACK.keys()
    assert codes(PacketTypes.DISCONNECT) <= DISCONNECT.keys()
    assert codes(PacketTypes.PUBACK) == PUBACK.keys()
    for code in range(1, 6):  # of MQTT 3.1.1
        assert paho.convert_connack_rc_to_reason_code(code).value in CONNACK


@pytest.mark.parametrize("code", sorted(codes(PacketTypes.CONNACK) - {0}))
def test_a_refused_connect_is_told_in_words(code):
    async def story():
        async with Broker() as broker:
            broker.script.connack = code
            sink = city(broker, protocol="5")
            with pytest.raises(SinkDown) as caught:
                await sink.open(Book())
            await sink.close()
            assert "reason 0x" not in str(caught.value)

    asyncio.run(story())


@pytest.mark.parametrize("code", sorted(codes(PacketTypes.DISCONNECT)))
def test_an_ended_connection_is_told_in_words_and_settles_nothing(code):
    async def story():
        async with Broker() as broker:
            broker.script.disconnect[f"{PREFIX}/air-north/raw"] = code
            sink, book = city(broker, protocol="5"), Book()
            await sink.open(book)
            with contextlib.suppress(SinkDown):
                await sink.send(parcels([raw(1)]))
            await until(lambda: sink.down() is not None)
            assert "reason 0x" not in str(sink.down())
            assert book.of(Fate.DELIVERED) == []
            await sink.close()

    asyncio.run(story())


@pytest.mark.parametrize("way", ["drops", "may not read"])
def test_on_3_1_1_a_topic_that_does_not_come_back_is_not_delivered(quick, monkeypatch, way):
    """A PUBACK of 3.1.1 is the same for what is dropped."""
    monkeypatch.setattr(mqtt_proof, "ECHO_S", 0.2)
    monkeypatch.setattr("gateway.sinks.mqtt_session.TICK_S", 0.05)
    topic = f"{PREFIX}/air-north/raw"

    async def story():
        async with Broker() as broker:
            (broker.script.puback if way == "drops" else broker.script.suback)[topic] = 0x87
            bench = Bench(city(broker, protocol="3.1.1"))
            async with bench.running():
                for seq in range(1, 6):
                    bench.append(raw(seq))
                    bench.append(raw(seq, series=METER, values=(1.0, 230.0)))
                await until(lambda: bench.report["delivered"] == 5)
                await until(lambda: "air-north/raw" in bench.report.get("warning", ""))
                await until(lambda: bench.report["dead"] == 5)
            assert bench.report["delivered"] == 5
            assert all("does not come back" in why for _, why in bench.buried)

    asyncio.run(story())


def test_on_3_1_1_every_topic_is_proven_once_for_each_connection():
    many = tuple(replace(AIR, id=f"d{n}", device=f"d{n}") for n in range(100))

    async def story():
        async with Broker() as broker:
            sink, book = city(broker, protocol="3.1.1", site=replace(SITE, series=many, devices={})), Book()
            await sink.open(book)
            records = [raw(seq, series=each) for seq in (1, 2) for each in many]
            done = set()
            while len(done) < len(records):
                await sink.send([one for one in parcels(records) if one.position not in done])
                await until(lambda: len(book.fates) >= len(records))
                done = set(book.delivered)
                book.fates = [fate for fate in book.fates if fate[1] is Fate.DELIVERED]
            assert sum(m.topic.endswith("/raw") for m in broker.messages) == len(records)
            assert not [name for name in broker.sessions[sink._client_id].filters if name.endswith("/raw")]
            await sink.close()

    asyncio.run(story())
