"""The pulse over the real journal: a disk that fails, a segment that is damaged, a cap that is reached. All balance."""

import asyncio
import errno

import pytest
import virtual_time
from crash.simulated_disk import Inline, SimDisk
from made_records import raw, series

from drivers.sample import Sample
from gateway.clock import FakeClock
from gateway.codec import Codec
from gateway.config import Sink
from gateway.journal.log import Limits, open_journal
from gateway.lanes import Lanes
from gateway.ledger import Ledger
from gateway.numbers import next_epoch
from gateway.pipeline import Pipeline
from gateway.pulse import Pulse
from gateway.retention import Retention
from gateway.selection import Selection
from gateway.shipper import Shipper
from gateway.sinks import Fate

WRITING = {"write", "sync", "create", "open", "rename", "remove", "sync_folder"}
SECOND_NS = 1_000_000_000


class Bench:
    """A gateway of one meter and one sink without a server; `beat` is a second of it."""

    def __init__(self, disk, *, cap_bytes=1 << 30, tail_bytes=8 << 20, segment_bytes=16384):
        self.clock = FakeClock(wall_ms=1_795_000_000_000, mono_ns=5 * SECOND_NS)
        self.journal = open_journal(
            disk,
            cap_bytes=cap_bytes,
            limits=Limits(segment_bytes=segment_bytes, tail_bytes=tail_bytes, recent_bytes=0),
            stamp=self.clock.wall_ms,
            executor=Inline(),
        )
        codec, self.meter = Codec(self.journal.marks), series()
        self.pipeline = Pipeline(
            clock=self.clock,
            journal=self.journal,
            codec=codec,
            epoch=next_epoch(self.journal.marks, "beef"),
        )
        self.pipeline.fit([self.meter])
        blob = self.journal.marks.get("sink:city")
        self.lanes = Lanes(
            ledger=Ledger(low=0) if blob is None else Ledger.from_bytes(blob),
            selection=Selection(Sink(kind="memory", streams=("raw",)), personal=frozenset()),
            journal=self.journal,
            codec=codec,
        )
        if blob is not None:
            self.lanes.resume()
        shipper = Shipper("city", sink=None, lanes=self.lanes)
        self.records, self.events = {}, []
        self.pipeline.listeners += [self.lanes.offer, self.note]
        retention = Retention(
            journal=self.journal,
            codec=codec,
            lanes={"city": self.lanes},
            tell=self.pipeline.event,
        )
        self.pulse = Pulse(
            pipeline=self.pipeline, journal=self.journal, shippers=(shipper,), retention=retention, clock=self.clock
        )  # fmt: skip

    def note(self, position, record):
        if record is not None and record.stream == "raw":
            self.records[position] = record.seq
        elif record is not None:
            self.events.append((record.body.code, record.body.state))

    async def beat(self, samples=20):
        for _ in range(samples):
            self.clock.now_ns += 20_000_000
            self.pipeline.take(self.meter, Sample(self.clock.now_ns, (230.0, 12.3), (0, 0)))
        await self.pulse.beat()
        ledger = self.lanes.ledger
        assert ledger.selected == sum(ledger.counts.values()) + ledger.waiting
        assert ledger.waiting >= 0

    def drain(self):
        """All that the sink gets now; it confirms everything."""
        self.lanes.begin()
        got = []
        while parcels := self.lanes.backlog(100) or self.lanes.live(100):
            for parcel in parcels:
                assert self.lanes.settle(parcel.position, Fate.DELIVERED) is not None
                got.append(parcel.record.seq)
        return got


def beats(bench, count):
    async def go():
        for _ in range(count):
            await bench.beat()

    asyncio.run(go())


def counted(disk, *, first, code):
    """The n-th operation that writes fails, and all after it, until the disk heals."""
    seen = iter(range(1 << 30))
    disk.fault = lambda op, name: code if op in WRITING and next(seen) >= first else None


class Life:
    """The real pulse, and a meter that is read five times a second; all in virtual time."""

    def __init__(self, bench):
        self.bench = bench

    async def __aenter__(self):
        self.loop = asyncio.get_running_loop()
        self.start = self.loop.time(), self.bench.clock.now_ns
        self.pulse = asyncio.create_task(self.bench.pulse.run())
        return self

    async def __aexit__(self, *_):
        self.pulse.cancel()
        await asyncio.gather(self.pulse, return_exceptions=True)

    async def go_on(self, seconds):
        end_s = self.loop.time() + seconds
        while self.loop.time() < end_s:
            await asyncio.sleep(0.2)
            self.bench.clock.now_ns = self.start[1] + int((self.loop.time() - self.start[0]) * SECOND_NS)
            self.bench.pipeline.take(self.bench.meter, Sample(self.bench.clock.now_ns, (230.0, 12.3), (0, 0)))
            assert not self.pulse.done()


async def after_failing(disk, *, first, code):
    """Seconds (virtual) until a gateway is well again after the disk is; the n-th operation and all later ones fail."""
    bench = Bench(disk, segment_bytes=4096)
    async with Life(bench) as life:
        await life.go_on(2)
        counted(disk, first=first, code=code)
        await life.go_on(6)
        disk.fault = None
        healed_s = life.loop.time()
        while bench.pulse.fact or bench.journal.committed < bench.journal.next - 5:
            await life.go_on(0.2)
            assert life.loop.time() - healed_s <= 10.0, first
    took_s = life.loop.time() - healed_s
    await bench.pulse.commit()
    await bench.journal.close()
    assert Bench(disk, segment_bytes=4096).drain() == sorted(bench.records.values())
    return took_s


async def operations():
    """How many writing operations a sound disk sees in the same six seconds."""
    disk, seen = SimDisk(), []
    async with Life(Bench(disk, segment_bytes=4096)) as life:
        await life.go_on(2)
        disk.fault = lambda op, name: seen.append(op) if op in WRITING else None
        await life.go_on(6)
    return len(seen)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_r8_after_any_failing_operation_it_is_well_again_within_ten_seconds(code):
    """Every N of the writes, syncs, renames, opens and creations of six seconds in which segments change."""
    count = virtual_time.run(operations())
    assert count > 15
    took = [virtual_time.run(after_failing(SimDisk(), first=first, code=code)) for first in range(count)]
    assert max(took) <= 3.0


def test_a_full_journal_does_not_make_the_pulse_race():
    """What is refused is told once there is room; meanwhile the pulse keeps its second."""
    disk, commits = SimDisk(), []
    bench = Bench(disk, tail_bytes=4000)
    disk.fault = lambda op, name: errno.ENOSPC if op in WRITING else None
    commit = bench.pulse.commit

    async def noted():
        commits.append(1)
        return await commit()

    async def scenario():
        bench.pulse.commit = noted
        async with Life(bench) as life:
            await life.go_on(30)
            bench.pipeline.bury("city", raw(bench.meter, 1), "a dead letter that finds no room")
            raced = len(commits)
            disk.fault = None
            await life.go_on(3)
        return raced

    assert virtual_time.run(scenario()) < 40
    assert ("CG-JRN-04", "info") in bench.events
    assert bench.journal.committed >= bench.journal.next - 5


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("first", [0, 1, 2, 5, 9, 17])
def test_a_disk_that_fails_for_a_while_loses_nothing_and_is_told_once(code, first):
    disk = SimDisk()
    bench = Bench(disk)
    beats(bench, 2)
    seen = iter(range(1 << 30))
    disk.fault = lambda op, name: code if op in WRITING and next(seen) >= first else None
    beats(bench, 12)
    assert bench.pulse.fact
    disk.fault = None
    beats(bench, 2)
    assert not bench.pulse.fact
    assert bench.journal.committed == bench.journal.next
    assert [event for event in bench.events if event[0] == "CG-JRN-02"] == [
        ("CG-JRN-02", "raised"), ("CG-JRN-02", "cleared"),
    ]  # fmt: skip
    asyncio.run(bench.journal.close())
    again = Bench(disk)
    assert again.drain() == list(range(1, 16 * 20 + 1))
    assert again.lanes.ledger.waiting == 0


def test_what_does_not_fit_into_memory_is_named_by_a_gap_event_and_sampling_goes_on():
    disk = SimDisk()
    bench = Bench(disk, tail_bytes=12_000)
    beats(bench, 1)
    disk.fault = lambda op, name: errno.ENOSPC if op in WRITING else None
    beats(bench, 30)
    disk.fault = None
    beats(bench, 3)
    assert bench.journal.committed == bench.journal.next
    assert ("CG-JRN-04", "info") in bench.events
    assert bench.drain() == sorted(bench.records.values())
    assert bench.lanes.ledger.waiting == 0


def test_a_damaged_segment_in_the_middle_of_a_backlog_is_dropped_told_and_nothing_waits_for_ever():
    disk = SimDisk()
    bench = Bench(disk)
    beats(bench, 40)
    asyncio.run(bench.journal.close())
    names = [name for name in disk.names() if name.endswith(".seg")]
    assert len(names) > 3
    disk.live[names[1]].live[4000:9000] = bytes(5000)
    again = Bench(disk)
    got = again.drain()
    beats(again, 2)
    got += again.drain()
    ledger = again.lanes.ledger
    assert 10 < ledger.counts["dropped"] < 200
    assert ledger.selected == 840
    assert (ledger.waiting, len(got)) == (0, 840 - ledger.counts["dropped"])
    assert ("CG-JRN-03", "info") in again.events
    assert again.lanes.ledger.low == again.journal.next
    assert len(set(got)) >= 800 - ledger.counts["dropped"]


def test_a_full_journal_drops_the_oldest_and_goes_on():
    bench = Bench(SimDisk(), cap_bytes=5 * 16384)
    beats(bench, 80)
    ledger = bench.lanes.ledger
    assert bench.journal.first > 0
    assert ledger.counts["dropped"] > 0
    assert ("CG-JRN-04", "info") in bench.events
    assert bench.drain()[-1] == 1600
    assert ledger.waiting == 0


def test_a_torn_commit_is_counted_at_the_next_start():
    disk = SimDisk()
    bench = Bench(disk)
    beats(bench, 3)
    beats(bench, 1)
    (name,) = [name for name in disk.names() if name.endswith(".seg")]
    segment = bench.journal._store.segments[-1]
    data = disk.live[name].live
    last = data.rindex(b"sink:city", 0, segment.end_bytes)
    data[last:] = bytes(len(data) - last)  # the last commit's entries are there, its later marks are not
    disk = disk.kill()
    again = Bench(disk)
    assert again.lanes.ledger.waiting == 80
    assert again.drain() == list(range(1, 81))
    assert again.lanes.ledger.waiting == 0
