"""The shipper with a sink that refuses, breaks, hesitates: everything arrives in the end, the account is exact."""

import asyncio
import random

import msgspec
import pytest
from made_records import raw, series, window
from ram_journal import RamJournal

from firmware_sims import virtual_time
from gateway.clock import rfc3339
from gateway.codec import DEAD, Codec
from gateway.config import Sink
from gateway.lanes import Lanes
from gateway.ledger import Ledger
from gateway.order import Order
from gateway.replay import Replay
from gateway.selection import Selection
from gateway.shipper import Shipper
from gateway.sinks import Fate, SinkDown
from gateway.sinks.memory import MemorySink


class Bench:
    def __init__(self, sink=None, *, streams=("raw",), **options):
        self.journal = RamJournal()
        self.codec = Codec({})
        self.meter = series()
        self.journal.mark(*self.codec.schema_marks(self.meter))
        self.sink = sink or MemorySink(window=10)
        selection = Selection(Sink(kind="memory", streams=streams), personal=frozenset())
        lanes = Lanes(ledger=Ledger(low=0), selection=selection, journal=self.journal, codec=self.codec)
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
        bench.commit()
        bench.journal.drop_oldest()
        assert bench.shipper.report()["warning"] == "it cannot amend", "nobody can replay it any more"
        assert bench.shipper.report()["unheard"] == 1

    virtual_time.run(bench.during(act))


class Flapping(MemorySink):
    """Connects well each time; refuses, or takes one record and is gone after `stands_s`."""

    def __init__(self, *, stands_s=0.0, takes=False, codes=("CG-MQT-02",)):
        super().__init__(window=10)
        self.stands_s, self.takes, self.codes = stands_s, takes, codes

    async def send(self, parcels):
        if self.takes:
            await super().send(parcels)
            asyncio.get_running_loop().call_later(self.stands_s, self.lose, self.why())
        else:
            raise self.why()

    def why(self):
        return SinkDown("refused", code=self.codes[self.opened % len(self.codes)])


async def lived(bench, *, for_s, every_s):
    task = asyncio.create_task(bench.shipper.run())
    for _ in range(int(for_s / every_s)):
        bench.append()
        bench.commit()
        await asyncio.sleep(every_s)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def states(bench):
    return [(code, state) for _, code, state, _ in bench.said]


def test_a_sink_that_connects_well_and_then_fails_backs_off_and_is_told_once():
    bench = Bench(Flapping())
    virtual_time.run(lived(bench, for_s=600.0, every_s=60.0))
    assert 10 < bench.sink.opened < 80
    assert states(bench) == [("CG-MQT-02", "raised")]


def test_causes_that_alternate_are_each_told_once_and_all_end_together():
    bench = Bench(Flapping(codes=("CG-MQT-01", "CG-MQT-02")))

    async def act():
        await lived(bench, for_s=600.0, every_s=60.0)
        bench.sink.takes, bench.sink.stands_s = True, 1e9
        await lived(bench, for_s=60.0, every_s=20.0)

    virtual_time.run(act())
    assert sorted(states(bench)) == [
        (code, state) for code in ("CG-MQT-01", "CG-MQT-02") for state in ("cleared", "raised")
    ]


def test_one_that_takes_a_little_each_time_floods_nobody():
    bench = Bench(Flapping(takes=True, stands_s=0.5))
    virtual_time.run(lived(bench, for_s=3600.0, every_s=1.0))
    assert bench.sink.opened > 1000, "it makes progress, so it is tried again soon"
    assert len(bench.said) <= 3


def test_a_quiet_connection_is_believed_after_half_a_minute():
    bench = Bench()
    bench.sink.refuse_open = SinkDown("no", code="CG-MQT-01")

    async def act():
        task = asyncio.create_task(bench.shipper.run())
        await asyncio.sleep(100.0)
        bench.sink.refuse_open = None
        while bench.shipper.state != "up":
            await asyncio.sleep(0.1)
        await asyncio.sleep(29.0)
        assert bench.shipper.report()["code"] == "CG-MQT-01"
        await asyncio.sleep(2.0)
        assert "code" not in bench.shipper.report()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(act())
    assert states(bench) == [("CG-MQT-01", "raised"), ("CG-MQT-01", "cleared")]


def test_dead_letters_raise_an_alarm_until_all_of_them_were_taken_or_are_gone():
    bench = Bench()
    bench.sink.answer = lambda record: (Fate.DEAD, "too large") if record.seq in {2, 3} else (Fate.DELIVERED, "")

    async def act():
        bench.append(5)
        bench.commit()
        await asyncio.sleep(1.0)
        report = bench.shipper.report()
        assert (report["letters"], report["state"], report["lane"]) == (2, "up", "live")
        assert "2 dead letters: citygate journal dead list" in report["warning"]
        ledger = bench.shipper.lanes.ledger
        assert Ledger.from_bytes(ledger.to_bytes()) == ledger
        bench.append(2)
        bench.journal.drop_oldest()
        bench.commit()
        assert bench.shipper.report()["letters"] == 0

    virtual_time.run(bench.during(act))
    assert states(bench) == [("CG-SNK-04", "raised"), ("CG-SNK-04", "cleared")]
    assert bench.said[0][3] == "too large"


def test_an_alarm_of_letters_stands_again_after_a_start():
    bench = Bench()
    bench.shipper.lanes.ledger.counts["dead"], bench.shipper.lanes.ledger.newest_letter = 7, 0
    bench.shipper.lanes.ledger.selected = 7
    virtual_time.run(bench.during(lambda: asyncio.sleep(1.0)))
    assert bench.said == [("mem", "CG-SNK-04", "raised", "7 dead letters")]


def test_the_oldest_that_waits_is_told_and_looked_for_once():
    bench = Bench()
    bench.sink.refuse_open = SinkDown("no", code="CG-MQT-01")
    reads = []

    async def act():
        bench.append(20)
        bench.commit()
        await asyncio.sleep(1.0)
        first = rfc3339(raw(bench.meter, 1, 1).t_ms)
        assert bench.shipper.report()["oldest_t"] == first
        read = bench.journal.read
        bench.journal.read = lambda *args, **kwargs: reads.append(args) or read(*args, **kwargs)
        assert bench.shipper.report()["oldest_t"] == first
        assert not reads
        bench.journal.read = read
        bench.sink.answer = lambda record: None if record.seq > 12 else (Fate.DELIVERED, "")
        bench.sink.refuse_open = None
        while bench.shipper.state != "up":
            await asyncio.sleep(0.1)
        for _ in range(3):
            bench.commit()
            await asyncio.sleep(0.1)
        assert bench.shipper.report()["oldest_t"] == rfc3339(raw(bench.meter, 13, 13).t_ms)
        bench.sink.answer = lambda record: (Fate.DELIVERED, "")
        bench.sink.lose(SinkDown("cut", code="CG-MQT-02"))

    virtual_time.run(bench.during(act))
    assert bench.shipper.report()["oldest_t"] is None


def test_the_alarm_of_letters_ends_when_they_are_sent_again():
    bench = Bench()
    lanes, letters = bench.shipper.lanes, []

    def note(kind, payload):
        bench.shipper.offer(bench.journal.append(kind, payload), None)

    def bury(sink, record, reason):
        letters.append(bench.journal.next)
        note(DEAD, msgspec.msgpack.encode([1, sink, reason, *bench.codec.encode(record)]))

    bench.shipper.bury = bury
    bench.shipper.replay = Replay(
        "mem", journal=bench.journal, codec=bench.codec, ledger=lanes.ledger, selection=lanes._selection, note=note
    )
    bench.sink.answer = lambda record: (Fate.DEAD, "no right") if record.seq < 4 else (Fate.DELIVERED, "")

    async def act():
        bench.append(5)
        bench.commit()
        await asyncio.sleep(1.0)
        bench.sink.answer = lambda record: (Fate.DELIVERED, "")
        for some in (letters[:2], letters[2:]):
            assert states(bench) == [("CG-SNK-04", "raised")]
            bench.shipper.send_again(Order(letters=tuple(some)))
            await asyncio.sleep(5.0)

    virtual_time.run(bench.during(act))
    assert states(bench) == [("CG-SNK-04", "raised"), ("CG-SNK-04", "cleared")]


def test_state_and_lane_are_told_apart_through_a_catch_up():
    bench = Bench(backfill_bytes_s=2000.0)
    lanes = []

    async def act():
        assert "lane" not in bench.shipper.report()
        bench.append(300)
        bench.commit()
        bench.shipper.lanes.rate = 1.0
        while bench.shipper.lanes.ledger.waiting:
            await asyncio.sleep(0.5)
            report = bench.shipper.report()
            lanes.append((report["state"], report["lane"]))

    virtual_time.run(bench.during(act))
    assert set(lanes) == {("up", "both"), ("up", "live")}


def test_what_was_refused_while_a_long_backlog_drains_goes_later_without_a_new_connection():
    bench = Bench(MemorySink(window=64), backfill_bytes_s=20_000.0)
    bench.sink.answer = lambda record: (Fate.AGAIN, "0x97 quota")
    bench.shipper.lanes.rate = 10.0

    async def act():
        bench.append(3000)
        for _ in range(12):
            bench.append()
            bench.commit()
            await asyncio.sleep(1.0)
        bench.sink.answer = lambda record: (Fate.DELIVERED, "")
        for _ in range(200):
            bench.append()
            bench.commit()
            await asyncio.sleep(1.0)
        assert bench.shipper.lanes.ledger.waiting <= 1

    virtual_time.run(bench.during(act))
    assert bench.sink.opened == 1
    assert set(bench.seqs()) == set(range(1, bench.count + 1))


def test_a_backfill_rate_below_one_record_a_second_still_moves():
    bench = Bench(backfill_bytes_s=(120 + 16 * 10.0) / 5)
    bench.shipper.lanes.rate = 1.0
    turns = []

    async def act():
        bench.append(50)
        bench.commit()
        next_ = bench.shipper._next
        bench.shipper._next = lambda now_s: turns.append(now_s) or next_(now_s)
        await asyncio.sleep(100.0)
        assert 15 <= len(bench.sink.records) <= 45
        assert len(turns) < 400, "it wakes when a record may go, not all the time"

    virtual_time.run(bench.during(act))
    assert sorted(bench.seqs()) == list(range(1, 51))


def test_an_amended_record_that_is_not_committed_yet_keeps_nobody_awake():
    bench = Bench(streams=("raw", "1m"))
    turns = []

    async def act():
        bench.append(1)
        bench.commit()
        await asyncio.sleep(1.0)
        next_ = bench.shipper._next
        bench.shipper._next = lambda now_s: turns.append(now_s) or next_(now_s)
        record = window(bench.meter, 60_000, 1, rev=1)
        bench.shipper.offer(bench.journal.append(*bench.codec.encode(record)), record)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(turns) < 5
        bench.commit()

    virtual_time.run(bench.during(act))
    assert [record.rev for record in bench.sink.records] == [0, 1]
