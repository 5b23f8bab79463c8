"""A gateway's journal and config on disk, with records that a real sink has delivered; the ledger as the daemon's."""

import asyncio
import threading
from contextlib import contextmanager

import msgspec
from cli_desk import site
from sink_cases import EPOCH, Book, parcels

from drivers.points import point
from firmware_sims.database import Database
from gateway.codec import DEAD, Codec
from gateway.config.load import load
from gateway.journal.log import open_journal
from gateway.ledger import Ledger
from gateway.reading import Aggregate, Event, Reading, Series
from gateway.record import Record
from gateway.sinks import Fate, Site
from gateway.sinks.registry import make_sink

T0_MS = 1_795_227_180_000  # 2026-11-21T02:13:00Z
METER = Series("main-meter", "main-meter", "energy", (point("voltage"), point("energy_import")), 1000)


def raw(n, *, rev=0, value=None, code=0):
    body = Reading(METER, T0_MS + 1000 * n, 0, (230.1 + n if value is None else value, 12345.6 + n), (code, 0))
    return Record(METER.id, "raw", body.t_ms, EPOCH, n + 1, body, rev=rev)


def window(n, *, rev=0, mean=230.5):
    t_ms = T0_MS // 60000 * 60000 + 60000 * n
    stats = ((mean, 229.0, 231.0, 0.5, 230.5, 230.9), (12345.6, 0.7))
    body = Aggregate(METER, "1m", t_ms, t_ms + 60000, 60, 1.0, stats, (60, 60), ((), (101,)), (), rev)
    return Record(METER.id, "1m", t_ms, EPOCH, n + 1, body, rev=rev)


def event(n):
    body = Event("_gateway", T0_MS + 7000 * n, f"e{n}", "sink", "CG-MQT-01", "raised", 2, {"en": 'a "quoted", \\ one'})
    return Record("_gateway", "event", body.t_ms, EPOCH, n + 1, body)


RECORDS = [*map(raw, range(40)), raw(40, code=101), window(0), window(1), *map(event, range(3))]


class Desk:
    """`deliver` sends records through the sink of the config; `journal` writes them down as delivered."""

    def __init__(self, folder, text, *, sink="db"):
        self.folder, self.sink = folder, sink
        self.config = site(folder, more=text)
        self.loaded = load(self.config)
        series = (METER,)
        gateway = self.loaded.config.gateway
        self.site = Site(gateway.city, gateway.id, "", "", EPOCH, "", {}, None, series)

    def deliver(self, records):
        async def work():
            one, book = (
                make_sink(self.sink, self.loaded.config.sink[self.sink], site=self.site, loaded=self.loaded),
                Book(),
            )
            await one.open(book)
            await one.send(parcels(records))
            await book.until(len(records))
            await one.close()
            return book

        return asyncio.run(work())

    def journal(self, records, *, waiting=0, dead=(), since=0, also=(), **ledger_facts):
        """`dead`: indexes of records that are dead letters; the last `waiting` have no fate; `also`: other sinks."""

        async def work():
            journal = open_journal(self.folder / "state/journal")
            codec = Codec(journal.marks)
            journal.mark(*codec.schema_marks(METER))
            places = [journal.append(*codec.encode(record)) for record in records]
            for index in dead:
                kind, payload = codec.encode(records[index])
                letter = [1, self.sink, "HTTP 400: field type conflict", kind, payload]
                places.append(journal.append(DEAD, msgspec.msgpack.encode(letter)))
            ledger = Ledger(low=len(records) - waiting, since=since, selected=len(records), **ledger_facts)
            ledger.counts[Fate.DELIVERED.value] = len(records) - waiting - len(dead)
            ledger.counts["dead"] = len(dead)
            for sink in (self.sink, *also):
                journal.mark(f"sink:{sink}", ledger.to_bytes())
            await journal.commit()
            await journal.close()
            return places

        return asyncio.run(work())


@contextmanager
def scripted_database():
    """The simulated InfluxDB of firmware-sims in a loop of its own; its `url` and `lines`."""
    loop = asyncio.new_event_loop()
    database = Database()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(database.start(), loop).result(10)
    try:
        yield database
    finally:
        asyncio.run_coroutine_threadsafe(database.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
