"""The shipper with a sink that refuses, breaks, hesitates: everything arrives in the end, the account is exact."""

import asyncio
import random

import pytest
from made_records import raw, series
from ram_journal import RamJournal

from firmware_sims import virtual_time
from gateway.codec import Codec
from gateway.config import Sink
from gateway.lanes import Lanes
from gateway.ledger import Filter, Ledger
from gateway.shipper import Shipper
from gateway.sinks import Fate, SinkDown
from gateway.sinks.memory import MemorySink


class Bench:
    def __init__(self, sink=None, **options):
        self.journal = RamJournal()
        self.codec = Codec({})
        self.meter = series()
        self.journal.mark(*self.codec.schema_marks(self.meter))
        self.sink = sink or MemorySink(window=10)
        chosen = Filter(Sink(kind="memory", streams=("raw",)), personal=frozenset())
        lanes = Lanes(ledger=Ledger(low=0), chosen=chosen, journal=self.journal, codec=self.codec)
        self.shipper = Shipper("mem", sink=self.sink, lanes=lanes, **options)
        self.said, self.buried = [], []
        self.shipper.say = lambda *what: self.said.append(what)
        self.shipper.bury = lambda *what: self.buried.append(what)
        self.count = 0

    def append(self, many=1):
        for _ in range(many):
            self.count += 1
            record = raw(self.meter, self.count, self.count)
            self.shipper.offer(self.journal.append(*self.codec.encode(record)), record)

    def commit(self):
        self.journal.commit_now()
        self.shipper.committed()

    def seqs(self):
        return [record.seq for record in self.sink.records]

    async def during(self, act):
        task = asyncio.create_task(self.shipper.run())
        await act()
        self.commit()
        await self.calm()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def calm(self):
        for _ in range(2000):
            await asyncio.sleep(0.1)
            if not self.shipper.lanes.ledger.waiting and self.shipper.state == "up":
                return
        raise AssertionError(self.shipper.report())


def test_live_records_go_at_once():
    bench = Bench()

    async def act():
        await asyncio.sleep(1.0)
        bench.append(3)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        assert bench.seqs() == [1, 2, 3]

    virtual_time.run(bench.during(act))


def test_a_sink_that_is_down_gets_everything_in_order_when_it_is_back():
    bench = Bench()
    bench.sink.refuse_open = SinkDown("no", code="CG-MQT-01")

    async def act():
        for _ in range(200):
            bench.append()
            bench.commit()
            await asyncio.sleep(1.0)
        assert bench.shipper.report()["waiting"] == 200
        bench.sink.refuse_open = None

    virtual_time.run(bench.during(act))
    assert bench.seqs() == list(range(1, 201))
    assert [state for _, _, state, _ in bench.said] == ["raised", "cleared"]


@pytest.mark.parametrize("seed", range(6))
def test_whatever_breaks_everything_is_settled_and_counted(seed):
    dice = random.Random(seed)
    bench = Bench()
    fates = [Fate.DELIVERED] * 6 + [Fate.UNHEARD, Fate.DEAD, Fate.AGAIN]
    bench.sink.answer = lambda record: (dice.choice(fates), "told")

    async def act():
        for _ in range(300):
            bench.append(dice.randrange(4))
            if dice.random() < 0.3:
                bench.commit()
            if dice.random() < 0.05:
                bench.sink.lose(SinkDown("cut", code="CG-MQT-02"))
            bench.sink.refuse_open = SinkDown("no", code="CG-MQT-01") if dice.random() < 0.05 else None
            await asyncio.sleep(dice.random())
        bench.sink.refuse_open = None

    virtual_time.run(bench.during(act))
    ledger = bench.shipper.lanes.ledger
    assert ledger.selected == bench.count == sum(ledger.counts.values())
    assert set(bench.seqs()) == set(range(1, bench.count + 1))
    assert len(bench.buried) == ledger.counts["dead"]


def test_a_parcel_that_is_never_answered_waits_in_the_journal():
    bench = Bench()
    answers = {"quiet": True}
    bench.sink.answer = lambda record: None if answers["quiet"] else (Fate.DELIVERED, "")

    async def act():
        await asyncio.sleep(1.0)
        bench.append(3)
        bench.commit()
        await asyncio.sleep(5.0)
        assert bench.shipper.report()["waiting"] == 3
        answers["quiet"] = False
        bench.sink.lose(SinkDown("cut", code="CG-MQT-02"))
        bench.shipper.committed()

    virtual_time.run(bench.during(act))
    assert bench.seqs() == [1, 2, 3, 1, 2, 3]


def test_backfill_stays_within_its_rate_and_live_goes_first():
    bench = Bench(backfill_bytes_s=10 * (120 + 16 * 10.0))
    bench.sink.refuse_open = SinkDown("no", code="CG-MQT-01")

    async def act():
        bench.append(3000)
        bench.commit()
        bench.shipper.lanes.rate = 10.0
        bench.sink.refuse_open = None
        while bench.shipper.state != "up":
            await asyncio.sleep(0.1)
        started = asyncio.get_running_loop().time()
        await asyncio.sleep(30.0)
        bench.append()
        await asyncio.sleep(0.5)
        passed = asyncio.get_running_loop().time() - started
        assert 3001 in bench.seqs()
        assert len(bench.seqs()) <= (passed + 1.0) * 10 * (120 + 16 * 10.0) / (120 + 16 * 2.0) + 10
        bench.shipper.lanes.rate = 30_000.0
        bench.shipper._backfill_bytes_s = 0.0

    virtual_time.run(bench.during(act))
    assert sorted(bench.seqs()) == list(range(1, 3002))


def test_what_does_not_work_as_it_should_is_told_while_the_sink_is_up():
    bench = Bench()
    bench.sink.warning = lambda: "it cannot amend"
    bench.sink.answer = lambda record: (Fate.UNHEARD if record.seq == 1 else Fate.DELIVERED, "")

    async def act():
        assert "warning" not in bench.shipper.report()
        await asyncio.sleep(1.0)
        assert bench.shipper.report()["warning"] == "it cannot amend"
        bench.append(2)
        await asyncio.sleep(1.0)
        assert "it cannot amend; 1 records" in bench.shipper.report()["warning"]

    virtual_time.run(bench.during(act))
