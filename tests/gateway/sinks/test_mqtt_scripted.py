"""A broker that refuses, lies, falls silent or cuts: no record counts as delivered without the broker's own word."""

import asyncio
import contextlib
import json
import logging
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sink_cases import EPOCH, SITE, T0_MS, Book, options, parcels, raw, until, window

from firmware_sims.broker import Broker
from firmware_sims.mqtt_packets import Message
from gateway.clock import FakeClock
from gateway.record import Record
from gateway.sinks import Fate, SinkDown, mqtt, mqtt_outbox, mqtt_parking
from gateway.sinks.mqtt_reasons import PUBACK, Act, puback
from gateway.sinks.registry import make_sink
from gateway.sinks.topics import Topics, valid_id

CLOCK = FakeClock(wall_ms=T0_MS)
PREFIX = "citygate/khon-kaen/kkc-0412"


@contextlib.asynccontextmanager
async def opened(broker, **more):
    sink, book = make_city(broker, **more), Book()
    try:
        await sink.open(book)
        yield sink, book
    finally:
        await sink.close()


def make_city(broker, **more):
    config = options("mqtt", **({"urls": (f"mqtt://127.0.0.1:{broker.port}",)} | more))
    return make_sink("city", config, site=SITE, clock=CLOCK)


def story(coroutine):
    asyncio.run(coroutine)


def seqs(broker, device="air-north"):
    return [json.loads(m.payload)["seq"] for m in broker.messages if m.topic == f"{PREFIX}/{device}/raw"]


@pytest.mark.parametrize("code", sorted(PUBACK))
def test_every_reason_has_its_fate(code, monkeypatch):
    fates = {
        Act.DELIVERED: Fate.DELIVERED, Act.UNHEARD: Fate.UNHEARD, Act.DEAD: Fate.DEAD,
        Act.RETRY: Fate.AGAIN, Act.PARK: Fate.AGAIN, Act.PAUSE: Fate.AGAIN,
    }  # fmt: skip
    monkeypatch.setattr(mqtt_outbox, "PAUSE_S", 0.01)

    async def tell():
        async with Broker() as broker:
            broker.script.no_subscribers = False
            broker.script.puback[f"{PREFIX}/air-north/raw"] = code
            async with opened(broker) as (sink, book):
                await sink.send(parcels([raw(1), raw(1, series=SITE.series[2], values=(1.0, 230.0))]))
                await book.until(2)
                assert sink.down() is None
                found = {position: fate for position, fate, _ in book.fates}
                assert found == {0: fates[puback(code).act], 1: Fate.DELIVERED}
                assert code in {0, 0x10} or f"0x{code:02x}" in book.reason(0)
            assert (seqs(broker) == [1]) is (code < 0x80)

    story(tell())


def test_a_refusal_without_end_becomes_a_dead_letter(monkeypatch):
    async def tell():
        async with Broker() as broker:
            broker.script.puback[f"{PREFIX}/air-north/raw"] = 0x83
            async with opened(broker) as (sink, book):
                for turn in range(3):
                    await sink.send(parcels([raw(1)]))
                    await book.until(turn + 1)
                assert [fate for _, fate, _ in book.fates] == [Fate.AGAIN, Fate.AGAIN, Fate.DEAD]

    story(tell())


def test_a_denied_topic_waits_and_others_go_on(monkeypatch):
    async def tell():
        async with Broker() as broker:
            broker.script.no_subscribers = False
            broker.script.puback[f"{PREFIX}/air-north/raw"] = 0x87
            async with opened(broker) as (sink, book):
                await sink.send(parcels([raw(1)]))
                await book.until(1)
                asked = broker.pubacks
                await sink.send(parcels([raw(2), raw(3)], first=1))  # the topic is parked: nobody is asked
                assert book.of(Fate.AGAIN) == [0, 1, 2]
                await until(lambda: broker.pubacks == asked + 1)  # status, to test the door
                assert "air-north/raw" in sink.warning()
                assert sink.down() is None
                monkeypatch.setattr(mqtt_parking, "DEAD_AFTER_S", 30.0)
                await sink.send(parcels([raw(4)], first=3))
                assert book.of(Fate.DEAD) == [3]

    story(tell())


def test_a_door_that_is_shut_ends_the_connection_and_keeps_everything():
    async def tell():
        async with Broker() as broker:
            async with opened(broker) as (sink, book):
                broker.script.puback["#"] = 0x87
                await sink.send(parcels([raw(1)]))
                await until(lambda: sink.down() is not None)
                assert sink.down().code == "CG-MQT-05"
                assert sink.down().retry_s >= 60
                assert book.of(Fate.DEAD) == book.delivered == []
            sink = make_city(broker)
            with pytest.raises(SinkDown) as caught:
                await sink.open(Book())
            assert caught.value.code == "CG-MQT-05"
            await sink.close()

    story(tell())


def test_on_3_1_1_a_broker_that_drops_silently_is_found_out_before_any_record_goes(monkeypatch):
    monkeypatch.setattr(mqtt, "BIRTH_S", 0.4)

    async def tell():
        async with Broker() as broker:
            broker.script.puback["#"] = 0x87  # a 3.1.1 client sees a plain PUBACK
            sink = make_city(broker, protocol="3.1.1")
            with pytest.raises(SinkDown) as caught:
                await sink.open(Book())
            assert caught.value.code == "CG-MQT-05"
            assert "does not come back" in str(caught.value)
            await sink.close()

    story(tell())


@pytest.mark.parametrize("most", [1, 2, 20])
def test_the_broker_s_window_is_never_exceeded(most):
    async def tell():
        async with Broker() as broker:
            broker.script.receive_maximum = most
            broker.script.puback_delay_s = 0.001
            async with opened(broker) as (sink, book):
                await sink.send(parcels([raw(seq) for seq in range(1, 101)]))
                await book.until(100)
                assert sink.down() is None
            assert seqs(broker) == list(range(1, 101))

    story(tell())


def test_a_record_too_large_for_the_broker_is_never_sent():
    async def tell():
        async with Broker() as broker:
            broker.script.maximum_packet_size = 420
            broker.script.no_subscribers = False
            async with opened(broker) as (sink, book):
                await sink.send(parcels([raw(1), window(1), raw(2)]))
                await book.until(3)
                assert (sorted(book.delivered), book.of(Fate.DEAD)) == ([0, 2], [1])
                assert "420" in book.reason(1)

    story(tell())


def test_a_record_that_ends_the_connection_by_its_size_is_not_tried_for_ever():
    async def tell():
        async with Broker() as broker, opened(broker) as (sink, book):
            await until(lambda: broker.pubacks >= 5)
            broker.script.maximum_packet_size = 420  # enforced, but it was never announced
            with contextlib.suppress(SinkDown):
                await sink.send(parcels([raw(1), window(1), raw(2)]))
            await until(lambda: sink.down() is not None)
            await until(lambda: book.of(Fate.DEAD) == [1])

    story(tell())


@pytest.mark.parametrize("code", [0x95, 0x01, 0xFF])
def test_a_reason_outside_the_standard_is_no_delivery(code):
    async def tell():
        async with Broker() as broker:
            broker.script.puback[f"{PREFIX}/air-north/raw"] = code
            async with opened(broker) as (sink, book):
                with contextlib.suppress(SinkDown):
                    await sink.send(parcels([raw(1)]))
                await until(lambda: sink.down() is not None or book.fates)
                assert book.delivered == []

    story(tell())


def test_half_open_is_noticed_within_one_and_a_half_keepalives():
    async def tell():
        async with Broker() as broker, opened(broker, keepalive="2s") as (sink, book):
            broker.script.mute = True
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            await sink.send(parcels([raw(1)]))
            await until(lambda: sink.down() is not None)
            assert loop.time() - began_s < 1.5 * 2 + 2.5  # the rest is the one-second tick, and a busy machine
            assert "silent" in str(sink.down())  # our own watch, before paho's two keepalives
            assert book.fates == []

    story(tell())


def test_a_rival_with_our_id_is_not_fought():
    async def tell():
        async with Broker() as broker, opened(broker) as (sink, _), opened(broker) as (rival, _):
            await until(lambda: sink.down() is not None)
            assert (sink.down().code, sink.down().retry_s) == ("CG-MQT-06", 60.0)
            assert rival.down() is None

    story(tell())


def test_the_next_url_is_taken_when_one_is_dead():
    async def tell():
        async with Broker() as dead:
            url = f"mqtt://127.0.0.1:{dead.port}"
        async with Broker() as broker:
            urls = (url, f"mqtt://127.0.0.1:{broker.port}")
            async with opened(broker, urls=urls) as (sink, book):
                await sink.send(parcels([raw(1)]))
                await book.until(1)
            assert seqs(broker) == [1]

    story(tell())


async def _deliver_through_cuts(broker, records):
    """As the shipper does: reopen after every loss, send again what has no fate."""
    sink, book = make_city(broker), Book()
    done = set()
    for attempt in range(60):
        if attempt == 2:
            broker.script.cut_in = broker.script.cut_out = None
        try:
            await sink.open(book)
            waiting = [parcel for parcel in parcels(records) if parcel.position not in done]
            await sink.send(waiting)
            await until(lambda: sink.down() is not None or len(set(book.delivered)) == len(records))
        except SinkDown:
            pass
        finally:
            await sink.close()
        done = set(book.delivered)
        if len(done) == len(records):
            break
    return book, attempt + 1


@pytest.mark.parametrize("side", ["cut_in", "cut_out"])
def test_a_cut_after_any_byte_loses_nothing_and_invents_nothing(side):
    """Every 97th byte to the broker and every 13th from it; every single one under `soak`."""
    story(_sweep(side, step=97 if side == "cut_in" else 13))


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("side", ["cut_in", "cut_out"])
def test_a_cut_after_every_single_byte(side):
    """R16: connect and 100 publishes."""
    cuts = asyncio.run(_sweep(side, step=1, count=100))
    print(f"R16 {side}: cut after every one of {cuts} bytes of connect + 100 publishes: 0 lost, 0 doubles that differ")


async def _sweep(side, *, step, count=20):
    records = [raw(seq) for seq in range(1, count + 1)]
    expected = dict.fromkeys(range(1, count + 1))
    limit = 1
    while True:
        async with Broker() as broker:
            broker.script.no_subscribers = False
            setattr(broker.script, side, limit)
            book, attempts = await _deliver_through_cuts(broker, records)
            assert sorted(set(book.delivered)) == list(range(count)), limit
            assert len(book.delivered) == count, "settled once"
            bodies = {}
            for message in broker.messages:
                if message.topic.endswith("/air-north/raw"):
                    seq = json.loads(message.payload)["seq"]
                    assert bodies.setdefault(seq, message.payload) == message.payload, "a double differs"
            assert bodies.keys() == expected.keys(), limit
            if attempts == 1:
                break  # the whole session fitted under the limit
        limit += step
    assert limit > (2500 if side == "cut_in" else 100), "the sweep went through a whole session"
    return limit


def test_the_meta_of_a_removed_device_is_emptied():
    async def tell():
        async with Broker() as broker:
            for topic in (f"{PREFIX}/gone/meta", f"{PREFIX}/air-north/meta", "citygate/khon-kaen/other/gone/meta"):
                broker.route(Message(topic, b'{"schema":1}', qos=1, retain=True))
            async with opened(broker):
                await until(lambda: f"{PREFIX}/gone/meta" not in broker.retained)
            assert f"{PREFIX}/air-north/meta" in broker.retained
            assert "citygate/khon-kaen/other/gone/meta" in broker.retained

    story(tell())


def test_secrets_are_never_told(tmp_path, caplog):
    secret = "canary-7d1f"
    file = tmp_path / "secret"
    file.write_text(secret)

    async def tell():
        async with Broker(users={"kkc": secret}) as broker:
            more = {"username": "kkc", "password_file": str(file)}
            async with opened(broker, **more) as (sink, book):
                await sink.send(parcels([raw(1)]))
                await book.until(1)
                assert secret not in repr(vars(sink._session)) + repr(sink._session.dial)
            file.write_text("wrong-" + secret)
            sink = make_city(broker, **more)
            with pytest.raises(SinkDown) as caught:
                await sink.open(Book())
            assert (caught.value.code, secret in str(caught.value)) == ("CG-MQT-05", False)
            await sink.close()

    with caplog.at_level(logging.DEBUG):
        story(tell())
    assert secret not in caplog.text


@settings(max_examples=300)
@given(st.text(max_size=40) | st.sampled_from(["a/b", "+", "#", "../x", "status", "cmd", "a\n", "A", "", "$share"]))
def test_no_name_leaves_our_prefix(name):
    topics = Topics("citygate/{city}/{gateway}", SITE)
    if valid_id(name):
        assert topics.of(name, "raw") == f"{PREFIX}/{name}/raw"
        assert not set(name) & set("/+#$\0\n ")
    else:
        with pytest.raises(ValueError, match="is no id"):
            topics.of(name, "raw")


def test_a_hostile_id_is_a_dead_letter():
    async def tell():
        async with Broker() as broker, opened(broker) as (sink, book):
            await sink.send(parcels([Record("x/#", "raw", T0_MS, EPOCH, 1, raw(1).body)]))
            await book.until(1)
            assert book.fates[0][1] is Fate.DEAD
            assert all(message.topic.startswith(PREFIX) for message in broker.messages)

    story(tell())


def test_what_is_retained_is_what_was_recorded_last_not_what_a_clock_that_was_ahead_dated_last():
    ahead, older, newer = window(700), window(2), window(3)

    async def tell():
        async with Broker() as broker, opened(broker) as (sink, book):
            records = [replace(ahead, seq=1), older, newer, replace(older, late=True), replace(older, rev=1)]
            await sink.send(parcels(records))
            await book.until(5)
            return broker.retained[f"{PREFIX}/air-north/1h"][0].payload

    assert json.loads(asyncio.run(tell()))["seq"] == newer.seq
