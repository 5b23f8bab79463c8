"""A spent budget: raw and the backlog wait, events and live windows go on, the next local period frees them."""

import asyncio
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_records import raw, series, window
from ram_journal import RamJournal

from firmware_sims import virtual_time
from gateway.codec import Codec
from gateway.config import Sink
from gateway.config.duration import Budget
from gateway.lanes import Lanes
from gateway.ledger import Ledger
from gateway.meter import Meter, period_of
from gateway.selection import Selection
from gateway.shipper import Shipper
from gateway.sinks.memory import MemorySink

BANGKOK = ZoneInfo("Asia/Bangkok")
T0_MS = 1_795_000_000_000


def ms(text, zone=UTC):
    return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


@pytest.mark.parametrize(
    ("period", "begins", "ends"),
    [
        ("hour", "2026-11-22T02:00", "2026-11-22T03:00"),
        ("day", "2026-11-22T00:00", "2026-11-23T00:00"),
        ("week", "2026-11-16T00:00", "2026-11-23T00:00"),
        ("month", "2026-11-01T00:00", "2026-12-01T00:00"),
    ],
)
def test_a_period_begins_at_its_local_start(period, begins, ends):
    now_ms = ms("2026-11-22T02:13", BANGKOK)  # a Sunday; still Saturday in UTC
    assert period_of(now_ms, period, zone=BANGKOK) == (ms(begins, BANGKOK), ms(ends, BANGKOK))


@given(
    st.datetimes(min_value=datetime(2024, 1, 1), max_value=datetime(2040, 1, 1)),  # noqa: DTZ001 - the zone is drawn below
    st.sampled_from(["hour", "day", "week", "month"]),
    st.sampled_from(["Asia/Bangkok", "Europe/Berlin", "America/Santiago", "Asia/Kathmandu", "Australia/Lord_Howe"]),
)
def test_periods_tile_time_in_every_zone(when, period, name):
    now_ms, zone = round(when.replace(tzinfo=UTC).timestamp() * 1000), ZoneInfo(name)
    begins_ms, ends_ms = period_of(now_ms, period, zone=zone)
    assert begins_ms <= now_ms < ends_ms
    assert period_of(begins_ms, period, zone=zone) == (begins_ms, ends_ms)
    assert period_of(ends_ms, period, zone=zone)[0] == ends_ms


def test_bytes_count_over_restarts_and_begin_anew_at_the_period():
    clock = {"ms": ms("2026-11-21T23:59", BANGKOK)}
    ledger = Ledger(low=0)
    meter = Meter(ledger, budget=Budget(1000, "day"), now_ms=lambda: clock["ms"], zone=BANGKOK)
    meter.add(999)
    assert not meter.spent
    ledger = Ledger.from_bytes(ledger.to_bytes())
    meter = Meter(ledger, budget=Budget(1000, "day"), now_ms=lambda: clock["ms"], zone=BANGKOK)
    meter.add(1)
    assert meter.spent
    assert meter.report() == {"size_bytes": 1000, "period": "day", "used_bytes": 1000, "spent": True,
                              "until": "2026-11-21T17:00:00.000Z"}  # fmt: skip
    assert "until 2026-11-22 00:00" in meter.warning()
    clock["ms"] -= 3 * 86_400_000  # a backward step frees nothing
    assert meter.spent
    clock["ms"] = ms("2026-11-22T00:00", BANGKOK)
    assert not meter.spent
    assert meter.report()["used_bytes"] == 0


def test_without_a_trusted_clock_the_period_does_not_end():
    ledger, clock = Ledger(low=0, period_ms=T0_MS, period_bytes=5), {"ms": None}
    meter = Meter(ledger, budget=Budget(5, "day"), now_ms=lambda: clock["ms"], zone=UTC)
    assert meter.spent
    assert meter.report()["until"] is None
    clock["ms"] = T0_MS + 3 * 86_400_000
    assert not meter.spent


class Bench:
    def __init__(self, size_bytes):
        self.journal, self.codec, self.meter = RamJournal(), Codec({}), series()
        self.journal.mark(*self.codec.schema_marks(self.meter))
        self.sink = MemorySink(window=10)
        selection = Selection(Sink(kind="memory", streams=("raw", "1m")), personal=frozenset())
        lanes = Lanes(ledger=Ledger(low=0), selection=selection, journal=self.journal, codec=self.codec)
        self.shipper = Shipper("mem", sink=self.sink, lanes=lanes)
        self.shipper.meter = Meter(lanes.ledger, budget=Budget(size_bytes, "hour"), now_ms=self.now_ms, zone=UTC)
        self.count = 0

    def now_ms(self):
        return T0_MS - T0_MS % 3_600_000 + round((asyncio.get_running_loop().time() - 1000.0) * 1000)

    def append(self, make):
        self.count += 1
        record = make(self.meter, self.count, self.count)
        self.shipper.offer(self.journal.append(*self.codec.encode(record)), record)
        self.journal.commit_now()
        self.shipper.committed()


def test_a_spent_budget_holds_raw_and_the_backlog_until_the_next_hour():
    async def tell():
        bench = Bench(size_bytes=3000)
        task = asyncio.create_task(bench.shipper.run())
        await asyncio.sleep(1.0)
        for number in range(600):
            bench.append(raw if number % 60 else window)
            await asyncio.sleep(1.0)
        report = bench.shipper.report()
        assert [r.seq for r in bench.sink.records if r.stream == "1m"] == list(range(1, 601, 60))
        assert report["budget"]["spent"]
        assert "spent" in report["warning"]
        assert report["bytes"] == report["budget"]["used_bytes"] >= 3000
        sent_raw = len(bench.sink.records) - 10
        assert 5 < sent_raw < 30
        assert report["waiting"] == 590 - sent_raw
        before = report["bytes"]
        bench.shipper.meter._budget = Budget(1_000_000, "hour")  # else it is spent again at once
        bench.shipper.lanes.ledger.period_bytes = 1_000_000
        await asyncio.sleep(3010.0)
        assert bench.shipper.report()["waiting"] == 0
        assert sorted(r.seq for r in bench.sink.records) == list(range(1, 601))
        assert bench.shipper.report()["budget"]["used_bytes"] == bench.shipper.report()["bytes"] - before
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(tell())


def test_after_a_connection_is_lost_live_windows_still_go_on():
    async def tell():
        bench = Bench(size_bytes=1)
        bench.shipper.lanes.ledger.period_bytes = 1
        bench.shipper.lanes.ledger.period_ms = T0_MS - T0_MS % 3_600_000
        bench.append(raw)
        bench.append(window)  # nobody was connected: this one is backlog
        task = asyncio.create_task(bench.shipper.run())
        await asyncio.sleep(1.0)
        bench.append(raw)
        bench.append(window)
        await asyncio.sleep(5.0)
        assert [r.seq for r in bench.sink.records] == [4]
        assert bench.shipper.report()["waiting"] == 3
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(tell())


def test_periods_of_a_repeated_hour_do_not_overlap():
    berlin, day = ZoneInfo("Europe/Berlin"), ms("2026-10-25T00:00")
    edges = {period_of(day + minutes * 60_000, "hour", zone=berlin) for minutes in range(0, 360, 7)}
    assert all(end - begin == timedelta(hours=1).total_seconds() * 1000 for begin, end in edges)


def test_a_clock_that_steps_over_the_start_of_a_period_and_back_does_not_give_it_twice():
    now = [ms("2026-12-01T00:00")]
    meter = Meter(Ledger(low=0), budget=Budget(100, "month"), now_ms=lambda: now[0], zone=UTC)
    assert not meter.spent
    meter.add(100)
    for moment, spent in (("2026-11-30T12:00", True), ("2026-12-01T00:10", True), ("2027-01-01T00:00", False)):
        now[0] = ms(moment)
        assert meter.spent is spent, moment
        assert meter.report()["until"] == ("2027-01-01T00:00:00.000Z" if spent else "2027-02-01T00:00:00.000Z")
    meter.add(100)
    now[0] = ms("2026-11-15T00:00")  # that clock had been ahead by more than a period: what it began is not kept
    assert meter.spent
    now[0] = ms("2026-12-15T00:00")
    assert not meter.spent
