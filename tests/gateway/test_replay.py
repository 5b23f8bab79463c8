"""Sending again: what a broker lost comes back, the ledger stays balanced, dead letters are taken or stay."""

import asyncio
import json
import random
import threading

import msgspec
import paho.mqtt.client as paho
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_records import raw, series, window
from parts import Mosquitto, poll
from ram_journal import RamJournal
from sink_cases import SITE

from firmware_sims import virtual_time
from gateway.clock import FakeClock
from gateway.codec import DEAD, REQUEUED, Codec
from gateway.config import Sink
from gateway.lanes import Lanes
from gateway.ledger import MAX_UNHEARD, Ledger
from gateway.order import Order, OrderGoesOn
from gateway.replay import READ_BYTES, Replay
from gateway.revisions import Revisions
from gateway.selection import Selection
from gateway.shipper import Shipper
from gateway.sinks import Fate, SinkDown
from gateway.sinks.memory import MemorySink
from gateway.sinks.registry import make_sink

STEP_MS = 1000


class Bench:
    """A journal, a ledger and a shipper over `sink`; `run(act)` ends when nothing waits and no order is open."""

    def __init__(self, sink):
        self.journal, self.codec, self.meter = RamJournal(), Codec({}), series()
        self.journal.mark(*self.codec.schema_marks(self.meter))
        self.sink = sink
        self.ledger = Ledger(low=0)
        selection = Selection(Sink(kind="memory", streams=("raw", "1m")), personal=frozenset())
        lanes = Lanes(ledger=self.ledger, selection=selection, journal=self.journal, codec=self.codec)
        self.shipper = Shipper("mem", sink=sink, lanes=lanes)
        self.shipper.replay = Replay(
            "mem", journal=self.journal, codec=self.codec, ledger=self.ledger, selection=selection, note=self.note
        )
        self.shipper.bury = self.bury
        self.count = 0

    def note(self, kind, payload):
        self.shipper.offer(self.journal.append(kind, payload), None)

    def bury(self, sink, record, reason):
        self.note(DEAD, msgspec.msgpack.encode([1, sink, reason, *self.codec.encode(record)]))

    def append(self, many):
        for _ in range(many):
            self.count += 1
            self.add(raw(self.meter, self.count, self.count))
        self.commit()

    def add(self, record):
        self.shipper.offer(self.journal.append(*self.codec.encode(record)), record)

    def commit(self):
        self.journal.commit_now()
        self.shipper.committed()

    def letters(self):
        entries = self.journal.read(0, limit_bytes=1 << 30)
        gone = {msgspec.msgpack.decode(e.payload)[1] for e in entries if e.kind == REQUEUED}
        return [e.position for e in entries if e.kind == DEAD and e.position not in gone]

    async def run(self, act, *, deadline_s=200.0):
        task = asyncio.create_task(self.shipper.run())
        await self.calm(deadline_s)
        await act()
        await self.calm(deadline_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert self.ledger.selected == sum(self.ledger.counts.values()) == self.count

    async def calm(self, deadline_s):
        loop = asyncio.get_running_loop()
        until_s = loop.time() + deadline_s
        while loop.time() < until_s:
            await asyncio.sleep(0.1)
            order = self.shipper.replay.order
            if not self.ledger.waiting and self.shipper.state == "up" and (order is None or order.done):
                return
        raise AssertionError(self.shipper.report())

    def seqs(self):
        return [record.seq for record in self.sink.records]


def order(first, last, **more):
    at = raw(series(), 0, 0).t_ms
    step_ms = raw(series(), 1, 1).t_ms - at
    return Order(at + first * step_ms, at + last * step_ms, **more)


def test_a_range_goes_again_in_order_with_its_identity():
    bench = Bench(MemorySink(window=10))

    async def act():
        bench.sink.taken.clear()
        bench.shipper.send_again(order(20, 60))

    bench.append(100)
    virtual_time.run(bench.run(act))
    assert bench.seqs() == list(range(20, 60))
    assert bench.shipper.replay.order.fates == {"delivered": 40}
    assert bench.ledger.counts["delivered"] == 100


def test_live_records_go_before_a_replay_and_a_lost_connection_does_not_lose_it():
    bench = Bench(MemorySink(window=10))

    async def act():
        bench.sink.taken.clear()
        bench.sink.answer = lambda record: (
            None if record.seq % 7 == 0 and len(bench.sink.taken) < 60 else (Fate.DELIVERED, "")
        )
        bench.shipper.send_again(order(1, 301))
        await asyncio.sleep(0.3)
        bench.append(1)
        await asyncio.sleep(1.0)
        bench.sink.lose(SinkDown("cut", code="CG-MQT-01"))
        bench.shipper.committed()

    bench.append(300)
    virtual_time.run(bench.run(act))
    assert set(bench.seqs()) == set(range(1, 302))
    assert bench.shipper.replay.order.fates == {"delivered": 300}


@pytest.mark.parametrize("seed", range(4))
def test_unheard_records_alone_go_again_and_become_delivered(seed):
    dice = random.Random(seed)
    bench = Bench(MemorySink(window=10))
    deaf = set()

    def answer(record):
        if record.seq in deaf:
            return Fate.UNHEARD, "0x10"
        return Fate.DELIVERED, ""

    bench.sink.answer = answer
    bench.count = 0
    while len(deaf) < 60:
        first = dice.randrange(1, 380)
        deaf |= set(range(first, first + dice.randrange(1, 20)))
    heard = set(deaf)

    async def act():
        assert bench.ledger.counts["unheard"] == len(heard)
        deaf.clear()
        bench.sink.taken.clear()
        bench.shipper.send_again(order(1, 401, unheard=True))

    bench.append(400)
    virtual_time.run(bench.run(act))
    assert set(bench.seqs()) == heard
    assert bench.ledger.counts["unheard"] == 0
    assert bench.ledger.counts["delivered"] == 400


def test_dead_letters_are_taken_or_stay():
    bench = Bench(MemorySink(window=10))
    bench.sink.answer = lambda record: (Fate.DEAD, "no") if record.seq % 10 == 0 else (Fate.DELIVERED, "")

    async def act():
        letters = bench.letters()
        assert len(letters) == 5
        bench.sink.answer = lambda record: (Fate.DEAD, "no") if record.seq == 50 else (Fate.DELIVERED, "")
        bench.shipper.send_again(Order(letters=(*letters, 3, 10**9)))  # a record's place, and none: neither is a letter

    bench.append(50)
    virtual_time.run(bench.run(act))
    assert bench.shipper.replay.order.fates == {"delivered": 4, "dead": 1}
    assert len(bench.letters()) == 1
    assert (bench.ledger.counts["dead"], bench.ledger.counts["delivered"]) == (1, 49)


def test_one_order_at_a_time_and_each_keeps_its_own_account():
    bench = Bench(MemorySink(window=10))
    bench.sink.answer = lambda record: (Fate.DEAD, "no") if record.seq % 10 == 0 else (Fate.DELIVERED, "")

    async def act():
        bench.sink.answer = lambda _record: None  # on its way, without an answer
        replay = bench.shipper.replay
        bench.shipper.send_again(order(1, 51))
        await asyncio.sleep(3.0)
        assert (replay.active, replay.in_hand) == (True, 10)
        with pytest.raises(OrderGoesOn):
            bench.shipper.send_again(Order(letters=tuple(bench.letters())))
        replay.stop()
        assert replay.active  # ten are out
        for position in list(replay._out):
            bench.shipper.settle(position, Fate.DELIVERED, "")
        assert (replay.order.fates, replay.active) == ({"delivered": 10}, False)
        bench.sink.answer = lambda _record: (Fate.DELIVERED, "")
        bench.shipper.send_again(Order(letters=tuple(bench.letters())))
        await bench.calm(20.0)
        assert [one.number for one in replay.orders] == [1, 2]
        assert [one.fates for one in replay.orders] == [{"delivered": 10}, {"delivered": 5}]

    bench.append(50)
    virtual_time.run(bench.run(act))
    assert (bench.ledger.counts["dead"], bench.ledger.counts["delivered"]) == (0, 50)


def test_a_letter_goes_once_and_to_its_own_sink():
    bench = Bench(MemorySink(window=10))
    bench.sink.answer = lambda record: (Fate.DEAD, "no") if record.seq % 10 == 0 else (Fate.DELIVERED, "")

    async def act():
        bench.sink.answer = lambda _record: (Fate.DELIVERED, "")
        letters = bench.letters()
        bench.bury("another", raw(bench.meter, 7, 7), "no")
        bench.commit()
        bench.sink.taken.clear()
        for _ in range(3):
            bench.shipper.send_again(Order(letters=(*letters, *letters, bench.journal.committed - 1)))
            await bench.calm(20.0)

    bench.append(50)
    virtual_time.run(bench.run(act))
    assert bench.seqs() == [10, 20, 30, 40, 50]
    assert [one.found for one in bench.shipper.replay.orders] == [5, 0, 0]
    assert (bench.ledger.counts["dead"], bench.ledger.counts["delivered"]) == (0, 50)


@pytest.mark.parametrize("refused", [False, True])
def test_a_letter_never_goes_over_a_higher_revision_that_was_taken(refused):
    bench = Bench(MemorySink(window=10))
    bench.sink.answer = lambda record: (Fate.DEAD, "no") if record.rev == 0 or refused else (Fate.DELIVERED, "")

    async def act():
        bench.sink.answer = lambda _record: (Fate.DELIVERED, "")
        bench.sink.taken.clear()
        bench.shipper.send_again(Order(letters=tuple(bench.letters())))

    for rev in (0, 1):
        bench.add(window(bench.meter, 0, 1, rev=rev))
        bench.count += 1
    bench.commit()
    virtual_time.run(bench.run(act))
    assert [record.rev for record in bench.sink.records] == ([0, 1] if refused else [])
    assert bench.shipper.replay.order.fates == ({"delivered": 2} if refused else {"superseded": 1})
    assert bench.letters() == []
    assert (bench.ledger.letters, bench.ledger.counts["dead"]) == ((0, 0) if refused else (0, 1))


def test_of_unheard_ones_none_goes_over_a_higher_revision_that_was_heard():
    bench = Bench(MemorySink(window=10))
    bench.sink.answer = lambda record: (Fate.UNHEARD, "0x10") if record.rev == 0 else (Fate.DELIVERED, "")

    async def act():
        bench.sink.taken.clear()
        bench.sink.answer = lambda _record: (Fate.DELIVERED, "")
        bench.shipper.send_again(order(0, 10**7, unheard=True))
        await bench.calm(20.0)

    for number, revs in enumerate(((0, 1), (0,), (0, 1, 2))):
        for rev in revs:
            bench.add(window(bench.meter, 60_000 * number, number, rev=rev))
            bench.count += 1
    bench.commit()
    virtual_time.run(bench.run(act))
    # Which ones were unheard is known by ranges, so one that was heard may go again; a lower revision may not.
    assert {(record.t_ms, record.rev) for record in bench.sink.records} - {(0, 1), (120_000, 2)} == {(60_000, 0)}


def test_an_amendment_that_comes_while_the_journal_is_read_counts():
    bench = Bench(MemorySink(window=10))
    bench.sink.answer = lambda _record: (Fate.DEAD, "no")

    async def act():
        bench.sink.answer = lambda _record: (Fate.DELIVERED, "")
        bench.sink.taken.clear()
        bench.shipper.send_again(Order(letters=tuple(bench.letters())))
        bench.shipper.replay.next(10, 0.0)  # the letters are read
        bench.add(window(bench.meter, 0, 1, rev=1))
        bench.count += 1
        bench.commit()

    bench.add(window(bench.meter, 0, 1))
    bench.count += 1
    bench.commit()
    virtual_time.run(bench.run(act))
    assert [record.rev for record in bench.sink.records] == [1]


@pytest.mark.parametrize("unheard", [False, True])
@pytest.mark.parametrize("weighed", [3, 7])
def test_few_windows_wait_in_memory_at_once(monkeypatch, weighed, unheard):
    monkeypatch.setattr("gateway.replay.WEIGHED", weighed)
    monkeypatch.setattr("gateway.replay.LETTERS", 2)
    bench, most, decide = Bench(MemorySink(window=10)), [], Revisions.decide
    monkeypatch.setattr(Revisions, "decide", lambda self, records: (most.append(len(records)), decide(self, records)))
    bench.sink.answer = lambda _record: (Fate.UNHEARD, "0x10") if unheard else (Fate.DEAD, "no")

    async def act():
        bench.sink.taken.clear()
        bench.sink.answer = lambda _record: (Fate.DELIVERED, "")
        bench.shipper.send_again(order(0, 10**7, unheard=True) if unheard else Order(letters=tuple(bench.letters())))
        await bench.calm(60.0)

    for number in range(40):
        bench.add(window(bench.meter, 60_000 * number, number))
        bench.count += 1
    bench.commit()
    virtual_time.run(bench.run(act))
    assert [record.seq for record in bench.sink.records] == list(range(40))
    assert 0 < max(most) <= weighed + 1


def test_not_now_is_waited_for_and_a_stopped_order_never_goes_on():
    bench = Bench(MemorySink(window=10))

    async def act():
        asked = []
        loop = asyncio.get_running_loop()
        bench.sink.answer = lambda record: (
            asked.append(loop.time()) or ((Fate.AGAIN, "parked") if len(asked) <= 30 else (Fate.DELIVERED, ""))
        )
        bench.shipper.send_again(order(1, 11))
        await bench.calm(60.0)
        assert asked[-1] - asked[0] >= 10.0
        assert bench.shipper.replay.order.fates == {"delivered": 10}
        bench.sink.answer = lambda _record: None
        bench.shipper.send_again(order(1, 11))
        await asyncio.sleep(2.0)
        bench.shipper.replay.stop()
        bench.sink.taken.clear()
        bench.sink.lose(SinkDown("cut", code="CG-MQT-01"))
        bench.shipper.committed()
        await asyncio.sleep(100.0)
        assert bench.sink.records == []
        assert bench.shipper.replay.order.done

    bench.append(10)
    virtual_time.run(bench.run(act))


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_answered_the_highest_revision_comes_last(seed):
    dice = random.Random(seed)
    bench = Bench(MemorySink(window=4))

    async def act():
        bench.sink.taken.clear()
        bench.sink.answer = lambda _record: (Fate.AGAIN, "later") if dice.random() < 0.4 else (Fate.DELIVERED, "")
        bench.shipper.send_again(order(0, 10**7))
        await bench.calm(60.0)

    for number in range(12):
        bench.add(window(bench.meter, 60_000 * (number // 3), number, rev=number % 3))
        bench.count += 1
    bench.commit()
    virtual_time.run(bench.run(act))
    last = {record.t_ms: record.rev for record in bench.sink.records}
    assert set(last.values()) == {2}


def test_one_call_reads_a_slice_of_the_journal_and_no_more():
    bench = Bench(MemorySink(window=10))
    bench.append(9000)
    replay, sizes = bench.shipper.replay, []
    read = bench.journal.read
    bench.journal.read = lambda at, *, limit_bytes: sizes.append(limit_bytes) or read(at, limit_bytes=limit_bytes)
    replay.begin(order(20_000, 30_000))
    while replay.reading:
        before = len(sizes)
        assert replay.next(10, 0.0) == []
        assert sizes[before:] == [READ_BYTES]
    assert len(sizes) > 1
    assert replay.order.done


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(st.integers(0, 500), st.sampled_from(["unheard", "delivered"])),
        max_size=300,
        unique_by=lambda p: p[0],
    )
)
def test_no_unheard_position_is_ever_forgotten(fates):
    ledger = Ledger(low=0)
    for position, fate in fates:
        ledger.book(position, fate)
    assert all(ledger.was_unheard(position) for position, fate in fates if fate == "unheard")
    assert len(ledger.unheard) <= MAX_UNHEARD
    again = Ledger.from_bytes(ledger.to_bytes())
    assert (again.unheard, again.since) == (ledger.unheard, ledger.since)


class Platform:
    """A persistent MQTT 5 session that is online only while it is asked to be."""

    def __init__(self, port):
        self.seqs = []
        self._port = port

    def __enter__(self):
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="platform", protocol=paho.MQTTv5)
        self.client.on_message = lambda _c, _d, message: self.seqs.append(json.loads(message.payload)["seq"])
        ready = threading.Event()
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.on_connect = lambda client, *_: client.subscribe("citygate/+/+/+/raw", qos=1)
        properties = paho.Properties(paho.PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        self.client.connect("127.0.0.1", self._port, clean_start=False, properties=properties)
        self.client.loop_start()
        assert ready.wait(10)
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.mark.parts
@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.soak)])
def test_a_broker_that_was_killed_after_its_pubacks_is_repaired_by_a_replay(count):
    """R14: mosquitto keeps messages for an absent subscriber in memory; SIGKILL; a replay brings all of them back."""
    with Mosquitto(extra=("max_queued_messages 200000", "set_tcp_nodelay true")) as broker:
        platform = Platform(broker.port)
        with platform:
            pass  # it has its session now, and is away
        config = Sink(kind="mqtt", urls=(broker.url,))
        bench = Bench(make_sink("city", config, site=SITE, clock=FakeClock(wall_ms=0)))

        async def act():
            assert bench.ledger.counts["delivered"] == count
            await asyncio.to_thread(broker.stop, kill=True)
            await asyncio.to_thread(broker.start)
            with platform:
                lost = count - len(platform.seqs)
                assert lost == count
                bench.shipper.send_again(order(1, count + 1))
                await bench.calm(60.0)
                await asyncio.to_thread(poll, lambda: len(platform.seqs) >= count, what="replayed records")
            print(f"R14: {lost} of {count} lost by the broker; missing after replay: {count - len(set(platform.seqs))}")

        bench.append(count)
        asyncio.run(bench.run(act))
    assert sorted(set(platform.seqs)) == list(range(1, count + 1))
