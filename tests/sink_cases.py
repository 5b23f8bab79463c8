"""Records, sites and a settle book for tests of sinks."""

from __future__ import annotations

import asyncio
from math import nan

from drivers.points import point
from gateway.config import Sink as Options
from gateway.reading import Aggregate, Event, Indicator, Reading, Series
from gateway.record import Record
from gateway.sinks import Fate, Parcel, Site

T0_MS = 1_795_226_400_000  # 2026-11-21T02:00:00Z
EPOCH = "0000002a-9f3c"
AIR = Series("air-north", "air-north", "air", (point("pm2_5"), point("pm10")), 1000, "", "plantower-pms5003")
TRAFFIC = Series(
    "road-lane1", "road", "traffic", (point("vehicle_count"), point("speed")), None, "lane1", "omnipresense-ops243"
)  # fmt: skip
METER = Series("meter", "meter", "energy", (point("energy_import"), point("voltage_l1")), 1000, "", "eastron-sdm630")
SITE = Site(
    city="khon-kaen",
    gateway="kkc-0412",
    version="0.1.0",
    boot="5f0c",
    epoch=EPOCH,
    config_hash="0123456789abcdef",
    name={"en": "Sri Chan Road cabinet", "th": "ตู้ถนนศรีจันทร์"},
    location={"latitude": 16.4322, "longitude": 102.8236},
    series=(AIR, TRAFFIC, METER),
    devices={"air-north": {"name": {"en": "North", "th": "เหนือ"}, "serial": "A1"}},
    streams=("raw", "1m", "15m", "1h", "event"),
)


def raw(seq, *, series=AIR, values=(12.0, 18.0), codes=(0, 0), **more):
    t_ms = T0_MS + seq * 1000
    reading = Reading(series, t_ms, 0, tuple(values), tuple(codes))
    return Record(series.id, "raw", t_ms, EPOCH, seq, reading, **more)


def window(seq, *, stream="1h", length_s=3600, series=AIR, **more):
    t_ms = T0_MS + seq * length_s * 1000
    body = Aggregate(
        series=series,
        stream=stream,
        start_ms=t_ms,
        end_ms=t_ms + length_s * 1000,
        n=length_s,
        coverage=1.0,
        stats=((12.1, 11.0, 14.0, 0.6, 12.0, 13.8), (18.0, 17.0, 19.0, nan, 18.0, 18.9)),
        counts=(length_s, length_s // 2),
        codes=((), (204, 101)),
        indicators=(Indicator("aqi_th", 20.0, "TH2023", 1, "24h", 0.88),),
    )
    return Record(series.id, stream, t_ms, EPOCH, seq, body, **more)


def event(seq, /, *, device="_gateway", **body):
    t_ms = T0_MS + seq * 1000
    text = {"en": "Full", "th": "เต็ม"}
    happening = Event(device, t_ms, f"e{seq}", body.pop("type", "alarm"), "CG-JRN-01", "raised", 2, text, body)
    return Record(device, "event", t_ms, EPOCH, seq, happening)


def parcels(records, *, first=0):
    return [Parcel(position, record) for position, record in enumerate(records, first)]


def options(kind, **more):
    return Options(kind=kind, **more)


class Book:
    """Every fate that a sink reports."""

    def __init__(self):
        self.fates = []
        self.changed = asyncio.Event()

    def __call__(self, position, fate, reason):
        self.fates.append((position, fate, reason))
        self.changed.set()

    def of(self, fate):
        return [position for position, found, _ in self.fates if found is fate]

    @property
    def delivered(self):
        return self.of(Fate.DELIVERED)

    def reason(self, position):
        return next(reason for found, _, reason in self.fates if found == position)

    async def until(self, count, *, deadline_s=20.0):
        async with asyncio.timeout(deadline_s):
            while len(self.fates) < count:
                self.changed.clear()
                await self.changed.wait()
        return self


async def until(question, *, deadline_s=20.0):
    async with asyncio.timeout(deadline_s):
        while not question():
            await asyncio.sleep(0.01)
