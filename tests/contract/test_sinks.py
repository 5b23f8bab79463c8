"""Every sink, the same questions. A new sink adds one case here and passes them all.

Order is kept; every parcel is settled exactly once; a lost peer leaves what it did not answer unsettled; what is sent
again after a reopening arrives; closing is harmless at any time; one malformed record never stops the others.
"""

import asyncio
import contextlib
import csv
import json
from datetime import datetime
from math import nan

import pytest
from context_broker import ContextBroker
from parts import Influx1, Listener, Mosquitto, VictoriaMetrics
from sink_cases import SITE, T0_MS, Book, event, options, parcels, raw, until, window

from firmware_sims.broker import Broker
from gateway.clock import FakeClock
from gateway.record import Record
from gateway.sinks import Fate, SinkDown
from gateway.sinks.memory import MemorySink
from gateway.sinks.registry import make_sink
from gateway.sinks.sparkplug_payload import decode

CLOCK = FakeClock(wall_ms=T0_MS)


class MemoryCase:
    def __init__(self, folder):
        self._sink = MemorySink(window=100)

    async def start(self):
        self._sink.refuse_open = self._sink.refuse_send = None

    async def stop(self):
        self._sink.refuse_open = SinkDown("away", code="CG-SNK-02")
        self._sink.lose(self._sink.refuse_open)

    def sink(self):
        return self._sink

    async def seqs(self):
        return [record.seq for record in self._sink.records]


class FileCase:
    """The peer of a file is its folder: taken away and brought back."""

    format = "jsonl"

    def __init__(self, folder):
        self._home = folder / "out"
        self._away = folder / "away"
        self._home.mkdir()

    async def start(self):
        if self._away.exists():
            self._away.rename(self._home)

    async def stop(self):
        self._home.rename(self._away)

    def sink(self):
        path = str(self._home / "records")
        return make_sink("archive", options("file", path=path, format=self.format), site=SITE)

    async def seqs(self):
        lines = (self._home / "records").read_text().splitlines()
        return [json.loads(text)["seq"] for text in lines if json.loads(text)["stream"] == "raw"]


class LinesCase(FileCase):
    format = "lp"

    async def seqs(self):
        lines = (self._home / "records").read_text().splitlines()
        return [int(text.split("seq=")[1].split("i")[0]) for text in lines if text.startswith("air,")]


class TableCase(FileCase):
    format = "csv"

    async def seqs(self):
        rows = csv.DictReader((self._home / "records").read_text().splitlines())
        return list(dict.fromkeys(int(row["seq"]) for row in rows if row["stream"] == "raw"))


class MqttCase:
    protocol = "5"

    def __init__(self, folder):
        self._broker = None
        self._listener = None

    async def start(self):
        if self._broker is None:
            self._broker = Mosquitto()
            self._broker.__enter__()
            self._listener = Listener(self._broker.port, "citygate/khon-kaen/kkc-0412/#").__enter__()
        else:
            self._listener.ready.clear()
            self._broker.start()
            assert await asyncio.to_thread(self._listener.ready.wait, 10)

    async def stop(self):
        self._broker.stop(kill=True)

    async def end(self):
        self._listener.__exit__(None, None, None)
        self._broker.__exit__(None, None, None)

    def sink(self):
        config = options("mqtt", urls=(self._broker.url,), protocol=self.protocol)
        return make_sink("city", config, site=SITE, clock=CLOCK)

    async def seqs(self):
        return [form["seq"] for form in self._listener.forms("/raw")]


class Mqtt311Case(MqttCase):
    protocol = "3.1.1"


class SimulatedBrokerCase:
    def __init__(self, folder):
        self._broker = Broker()
        self._broker.script.receive_maximum = 7
        self._broker.script.no_subscribers = False

    async def start(self):
        await self._broker.start()

    async def stop(self):
        await self._broker.stop()

    async def end(self):
        await self._broker.__aexit__(None, None, None)

    def sink(self):
        url = f"mqtt://127.0.0.1:{self._broker.port}"
        return make_sink("city", options("mqtt", urls=(url,)), site=SITE, clock=CLOCK)

    async def seqs(self):
        return [json.loads(m.payload)["seq"] for m in self._broker.messages if m.topic.endswith("/raw")]


class SparkplugCase(SimulatedBrokerCase):
    fate = Fate.SENT

    def sink(self):
        config = options("sparkplug", urls=(f"mqtt://127.0.0.1:{self._broker.port}",), streams=("raw",))
        return make_sink("scada", config, site=SITE, clock=CLOCK)

    async def seqs(self):
        rows = [decode(m.payload)["metrics"][0] for m in self._broker.messages if "/DDATA/" in m.topic]
        return [(row["timestamp"] - T0_MS) // 1000 for row in rows]


class NgsiCase:
    def __init__(self, folder):
        self._broker = None
        self._seqs = []

    async def start(self):
        self._broker = ContextBroker(0 if self._broker is None else self._broker.port).__enter__()
        self._broker.answer = self._note

    def _note(self, entities):
        for entity in entities:
            if "pm25" in entity:
                self._seqs.append(
                    round(datetime.fromisoformat(entity["pm25"]["observedAt"]).timestamp()) - T0_MS // 1000
                )

    async def stop(self):
        await asyncio.to_thread(self._broker.__exit__)

    end = stop

    def sink(self):
        return make_sink("context", options("ngsi-ld", urls=(self._broker.url,)), site=SITE)

    async def seqs(self):
        return list(self._seqs)


class InfluxCase:
    def __init__(self, folder):
        self._part = None

    def make(self):
        return Influx1()

    def config(self):
        return {"api": "v1", "database": "city"}

    async def start(self):
        if self._part is None:
            self._part = self.make()
            await asyncio.to_thread(self._part.__enter__)
        else:
            await asyncio.to_thread(self._part.start)

    async def stop(self):
        await asyncio.to_thread(self._part.stop)

    async def end(self):
        await asyncio.to_thread(self._part.__exit__, None, None, None)

    def sink(self):
        return make_sink("platform", options("influxdb", urls=(self._part.url,), **self.config()), site=SITE)

    async def seqs(self):
        return [row["seq"] for row in self._part.query("SELECT seq, pm2_5 FROM air")]


class VictoriaCase(InfluxCase):
    def make(self):
        return VictoriaMetrics()

    def config(self):
        return {"api": "v2", "org": "city", "bucket": "sensors"}

    async def seqs(self):
        (samples,) = self._part.samples("air_seq").values()
        return [int(value) for _, value in sorted(samples)]


REAL = [pytest.param(case, marks=pytest.mark.parts) for case in (MqttCase, Mqtt311Case, InfluxCase, VictoriaCase)]
CASES = [MemoryCase, FileCase, LinesCase, TableCase, SimulatedBrokerCase, SparkplugCase, NgsiCase, *REAL]
FILES = {FileCase, LinesCase, TableCase}


def fate_of(case):
    return getattr(case, "fate", Fate.DELIVERED)


@contextlib.asynccontextmanager
async def peer(case, tmp_path):
    found = case(tmp_path)
    await found.start()
    try:
        yield found
    finally:
        if hasattr(found, "end"):
            await found.end()


async def deliver(sink, records, book, *, first=0):
    """Hand over as the shipper does: never more than `window` unsettled."""
    handed = parcels(records, first=first)
    for at in range(0, len(handed), 25):
        await until(lambda at=at: at + 25 - len(book.fates) <= max(25, sink.window))
        await sink.send(handed[at : at + 25])


@pytest.mark.parametrize("case", CASES)
def test_order_is_kept_and_every_parcel_is_settled_once(case, tmp_path):
    async def story():
        async with peer(case, tmp_path) as there:
            sink, book = there.sink(), Book()
            await sink.open(book)
            assert sink.down() is None
            await sink.health({"uptime_s": 1.0})
            records = [raw(seq) for seq in range(1, 301)]
            await deliver(sink, records, book)
            await book.until(300)
            assert sorted(book.of(fate_of(case))) == list(range(300))
            assert await _settled_seqs(there, 300) == list(range(1, 301))
            await sink.close()
            assert len(book.fates) == 300

    asyncio.run(story())


async def _settled_seqs(there, count):
    async with asyncio.timeout(20):
        while len(found := await there.seqs()) < count:
            await asyncio.sleep(0.02)
    return found


@pytest.mark.parametrize("case", CASES)
def test_more_than_a_window_in_one_call_is_taken_all_the_same(case, tmp_path):
    async def story():
        async with peer(case, tmp_path) as there:
            sink, book = there.sink(), Book()
            await sink.open(book)
            count = 2 * sink.window + 3
            async with asyncio.timeout(60):
                await sink.send(parcels([raw(seq) for seq in range(1, count + 1)]))
            await book.until(count)
            assert sorted(position for position, _, _ in book.fates) == list(range(count))
            await sink.close()

    asyncio.run(story())


@pytest.mark.parametrize("case", CASES)
def test_a_lost_peer_leaves_the_rest_unsettled_and_a_reopening_delivers_it(case, tmp_path):
    async def story():
        async with peer(case, tmp_path) as there:
            sink, book = there.sink(), Book()
            await sink.open(book)
            await deliver(sink, [raw(seq) for seq in range(1, 51)], book)
            await book.until(50)
            await there.stop()
            more = [raw(seq) for seq in range(51, 101)]
            if case not in FILES:  # an open file outlives its folder's name
                if fate_of(case) is Fate.SENT:  # nobody answers: it counts once the socket has taken it
                    await until(lambda: sink.down() is not None)
                with contextlib.suppress(SinkDown):
                    await sink.send(parcels(more, first=50))
                await until(lambda: sink.down() is not None)
                assert isinstance(sink.down(), SinkDown)
                assert sink.down().code.startswith("CG-")
            await sink.close()
            unsettled = set(range(50, 100)) - {position for position, _, _ in book.fates}
            assert len(unsettled) == 50
            with pytest.raises(SinkDown):
                await sink.open(book)
            await sink.close()
            await there.start()
            await sink.open(book)
            await sink.send([parcel for parcel in parcels(more, first=50) if parcel.position in unsettled])
            await book.until(100)
            await sink.close()
            assert sorted(book.of(fate_of(case))) == list(range(100))
            async with asyncio.timeout(20):
                while not set(range(51, 101)) <= set(await there.seqs()):
                    await asyncio.sleep(0.02)

    asyncio.run(story())


@pytest.mark.parametrize("case", CASES)
def test_closing_is_harmless_at_any_time(case, tmp_path):
    async def story():
        async with peer(case, tmp_path) as there:
            sink, book = there.sink(), Book()
            await sink.close()
            assert isinstance(sink.down(), SinkDown)
            with pytest.raises(SinkDown):
                await sink.send(parcels([raw(1)]))
            for _ in range(3):
                await sink.open(book)
                await sink.close()
                await sink.close()
            opening = asyncio.create_task(sink.open(book))
            await asyncio.sleep(0)
            opening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await opening
            await sink.close()
            await sink.open(book)
            await sink.send(parcels([raw(1)]))
            await book.until(1)
            await sink.close()

    asyncio.run(story())


@pytest.mark.parametrize("case", CASES)
def test_windows_events_and_failures_go_through_and_a_malformed_record_stops_nothing(case, tmp_path):
    async def story():
        async with peer(case, tmp_path) as there:
            sink, book = there.sink(), Book()
            await sink.open(book)
            failed = raw(1, values=(nan, nan), codes=(201, 201))
            unknown_code = raw(3, codes=(0, 999), values=(1.0, nan))
            odd_device = Record("../up", "raw", T0_MS + 4, failed.epoch, 4, failed.body)
            records = [failed, raw(2), unknown_code, odd_device, window(1), window(1, stream="15m", length_s=900)]
            records += [event(1, value=3.5), event(2, device="air-north"), event(3, odd=object()), raw(5)]
            await sink.send(parcels(records))
            await book.until(len(records))
            good = set(book.of(fate_of(case))) | set(book.of(Fate.UNHEARD))
            assert {0, 1, 4, 5, 6, 7, 9} <= good
            assert len(book.fates) == len(records)
            assert sink.down() is None
            await sink.close()

    asyncio.run(story())
