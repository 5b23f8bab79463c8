"""R11: a full journal lets go of the oldest and least important first; the ledger balances, gap events tell it all."""

import asyncio
import errno
import random

import msgspec
import pytest
from crash.simulated_disk import Inline, SimDisk
from made_records import event, raw, series, window

from gateway.codec import DEAD, UNDATED, Codec
from gateway.columns import Columns
from gateway.config import Sink
from gateway.journal.errors import CommitFailed
from gateway.journal.log import Limits, open_journal
from gateway.lanes import Lanes
from gateway.ledger import Ledger
from gateway.retention import Retention
from gateway.selection import Selection
from gateway.sinks import Fate

T0 = 1_795_000_000_000
LIMITS = Limits(segment_bytes=16384, recent_bytes=0)
INLINE = Inline()
STREAMS = ("raw", "1m", "15m", "event")


class Gateway:
    """A journal, one sink without a server, and the retention; `second` is one reading, and what comes with it."""

    def __init__(self, disk, *, segments=12, executor=INLINE):
        self.disk = disk
        self.journal = open_journal(
            disk, cap_bytes=segments * 16384, limits=LIMITS, executor=executor, sealer=Columns(), stamp=lambda: T0
        )
        self.codec, self.meter = Codec(self.journal.marks), series()
        self.journal.mark(*self.codec.schema_marks(self.meter))
        blob = self.journal.marks.get("sink:city")
        self.lanes = Lanes(
            ledger=Ledger(low=0) if blob is None else Ledger.from_bytes(blob),
            selection=Selection(Sink(kind="memory", streams=STREAMS), personal=frozenset()),
            journal=self.journal,
            codec=self.codec,
        )
        if blob is not None:
            self.lanes.resume()
        self.told = []
        self.retention = Retention(
            journal=self.journal, codec=self.codec, lanes={"city": self.lanes}, tell=self.tell, keep_ms=10**9
        )

    def append(self, record):
        self.lanes.offer(self.journal.append(*self.codec.encode(record)), record)

    def tell(self, gap):
        self.told.append(gap)

    def second(self, number):
        t_ms = T0 + number * 1000
        values = (round(230 + random.Random(number).gauss(0, 3), 1), float(number))
        self.append(raw(self.meter, t_ms, number, values))
        if number % 20 == 0:
            self.append(window(self.meter, t_ms, number // 20))
        if number % 200 == 0:
            self.append(window(self.meter, t_ms, number // 200, stream="15m"))
        if number % 500 == 0:
            self.append(event(t_ms, number // 500))

    async def beat(self):
        self.journal.mark("sink:city", self.lanes.state_bytes())
        await self.journal.commit()
        self.journal._shelf.seal_next()
        await self.retention.enforce(T0)

    @property
    def balance(self):
        ledger = self.lanes.ledger
        return ledger.selected - sum(ledger.counts.values()) - ledger.waiting

    def drain(self):
        """The sink is back and takes everything: what it got, oldest first."""
        got = []
        self.lanes.begin()
        for _ in range(10_000):
            parcels = self.lanes.backlog(200) + self.lanes.live(200)
            got += [parcel.record for parcel in parcels]
            for parcel in parcels:
                self.lanes.settle(parcel.position, Fate.DELIVERED)
            if not parcels and self.lanes.state == "live":
                return got
        raise AssertionError("the backlog never ends")


async def filled(gateway, seconds, first=1):
    for number in range(first, first + seconds):
        gateway.second(number)
        if number % 20 == 0:
            await gateway.beat()
    await gateway.beat()


def streams(records):
    return {stream: [r.seq for r in records if r.stream == stream] for stream in STREAMS}


def check(gateway, seconds):
    """What was kept is the newest of each stream, the important go back further; the rest is counted and told."""
    ledger = gateway.lanes.ledger
    dropped = ledger.counts["dropped"]
    assert gateway.balance == 0
    assert sum(gap.body["n"] for gap in gateway.told) == dropped
    kept = streams(gateway.drain())
    assert ledger.waiting == 0
    assert ledger.counts["delivered"] + dropped == ledger.selected
    assert ledger.low == gateway.journal.next
    assert ledger.done == []
    last = {"raw": seconds, "1m": seconds // 20, "15m": seconds // 200, "event": seconds // 500}
    for stream, seqs in kept.items():
        assert seqs == list(range(last[stream] - len(seqs) + 1, last[stream] + 1)), stream
        lost = {(gap.body["seq"][0], gap.body["seq"][1]) for gap in gateway.told if gap.body["stream"] == stream}
        assert sorted(n for first, end in lost for n in range(first, end + 1)) == list(range(1, seqs[0])), stream
    return {stream: len(seqs) / last[stream] for stream, seqs in kept.items()}


def test_raw_goes_first_and_the_ledger_balances():
    gateway = Gateway(SimDisk(), segments=4)
    asyncio.run(filled(gateway, 6000))
    share = check(gateway, 6000)
    assert share["event"] == share["15m"] == share["1m"] == 1.0
    assert 0 < share["raw"] < 0.9


def test_then_short_windows_then_all_others():
    gateway = Gateway(SimDisk(), segments=3)
    asyncio.run(filled(gateway, 9000))
    share = check(gateway, 9000)
    assert share["raw"] < share["1m"] < share["15m"] <= share["event"] == 1.0


def test_a_full_disk_gets_the_spare_files_before_anything_important_goes(monkeypatch):
    monkeypatch.setattr("gateway.retention.PUT_OFF", 0)
    gateway = Gateway(SimDisk(), segments=4)

    def refuse(op, name):
        spares = any(one.endswith(".free") for one in gateway.disk.live)
        return errno.ENOSPC if op == "create" and name.endswith(".new") and spares else 0

    enforce = gateway.retention.enforce

    async def beside_a_spare(now_ms):
        if gateway.journal.full and not gateway.journal._store._free:
            gateway.journal._store._make_spare()
        return await enforce(now_ms)

    gateway.disk.fault, gateway.retention.enforce = refuse, beside_a_spare
    asyncio.run(filled(gateway, 6000))
    assert gateway.lanes.ledger.counts["dropped"] > 1000
    share = check(gateway, 6000)
    assert share["event"] == share["15m"] == share["1m"] == 1.0


def test_where_the_disk_takes_no_thinner_file_for_long_the_oldest_goes_whole_and_is_told():
    gateway = Gateway(SimDisk(), segments=3)
    gateway.disk.fault = lambda op, name: errno.ENOSPC if op == "create" and name.endswith(".new") else 0
    asyncio.run(filled(gateway, 4000))
    assert gateway.lanes.ledger.counts["dropped"] > 1000
    assert check(gateway, 4000)["event"] < 1.0


def test_held_samples_and_dead_letters_that_go_are_told():
    gateway = Gateway(SimDisk(), segments=3)
    held = set()

    async def fill():
        for number in range(4000):
            sample = (gateway.meter, (float(number), 1.0), (0, 0))
            held.add(gateway.journal.append(UNDATED, gateway.codec.hold(bytes(16), number, what=sample)))
            letter = gateway.codec.encode(raw(gateway.meter, T0 + number, number + 1))
            gateway.journal.append(DEAD, msgspec.msgpack.encode([1, "city", "no", *letter]))
            if number % 20 == 0:
                await gateway.beat()

    gateway.retention = Retention(
        journal=gateway.journal, codec=gateway.codec, lanes={"city": gateway.lanes}, tell=gateway.tell,
        let_go=lambda position: position in held,
    )  # fmt: skip
    asyncio.run(fill())
    left, at = {UNDATED: 0, DEAD: 0}, 0
    while entries := gateway.journal.read(at, limit_bytes=1 << 20):
        for entry in entries:
            left[entry.kind] = left.get(entry.kind, 0) + 1
        at = entries[-1].position + 1
    told = {"samples": 0, "letters": 0}
    for gap in gateway.told:
        told[gap.id.split("-")[1]] += gap.body["n"]
    assert told == {"samples": 4000 - left[UNDATED], "letters": 4000 - left[DEAD]}
    assert min(told.values()) > 100


@pytest.mark.parametrize("variant", ["none", "all", "subset"])
def test_a_power_cut_while_it_lets_go_leaves_a_ledger_that_balances(variant):
    rng, cuts = random.Random(variant), 0
    gateway = Gateway(SimDisk(), segments=3)
    asyncio.run(filled(gateway, 2000))
    for number in range(2001, 3001):
        gateway.second(number)
        if number % 20:
            continue
        asyncio.run(gateway.beat())
        if gateway.journal._store._leaving and rng.random() < 0.5:  # old and new form stand there, none committed
            cuts += 1
            gateway = Gateway(gateway.disk.power_cut(variant, rng), segments=3)
            assert gateway.balance == 0
            assert gateway.lanes.ledger.waiting == gateway.lanes._count(gateway.lanes.ledger.low)
    assert cuts
    gateway.drain()
    assert gateway.lanes.ledger.waiting == 0
    assert gateway.lanes.ledger.counts["dropped"] > 100


def test_confirmed_history_goes_before_anything_that_waits():
    gateway = Gateway(SimDisk(), segments=3)
    asyncio.run(filled(gateway, 2000))
    gateway.drain()
    for number in range(2001, 7001):
        gateway.second(number)
        if number % 20 == 0:
            asyncio.run(gateway.beat())
            gateway.drain()
    assert gateway.lanes.ledger.counts["dropped"] == 0
    assert gateway.journal.first > 0
    assert not gateway.told


async def stubborn_commit(gateway):
    """As the pulse does it: where the cap leaves no room, retention makes some."""
    while True:
        try:
            await gateway.journal.commit()
        except CommitFailed:
            await gateway.retention.enforce(T0)
        else:
            return


def test_beside_a_sink_that_is_slower_than_life_nothing_is_counted_twice(tmp_path):
    """Sealing, thinning and delivering at the same time, in their threads; each record has one fate in the end."""

    async def all_of_it():
        gateway = Gateway(tmp_path / "journal", segments=3, executor=None)
        lanes, got, stop = gateway.lanes, [], asyncio.Event()

        async def retain():
            while not stop.is_set():
                await gateway.retention.enforce(T0)
                await gateway.journal.seal()
                await asyncio.sleep(0)

        async def deliver(per_turn):
            for parcel in [*lanes.backlog(per_turn), *lanes.live(per_turn)]:
                await asyncio.sleep(0)  # the answer comes later
                if lanes.settle(parcel.position, Fate.DELIVERED) is not None:
                    got.append(parcel.position)

        keeper = asyncio.create_task(retain())
        lanes.begin()
        for number in range(1, 2501):
            gateway.second(number)
            if number % 20 == 0:
                await deliver(3)
                gateway.journal.mark("sink:city", lanes.state_bytes())
                await stubborn_commit(gateway)
            if number % 500 == 0:
                lanes.begin()
        stop.set()
        await keeper
        await stubborn_commit(gateway)
        lanes.abandon()
        got += [None] * len(gateway.drain())
        ledger = lanes.ledger
        assert len({position for position in got if position is not None}) == sum(p is not None for p in got)
        assert ledger.counts["dropped"] > 100
        assert ledger.counts["delivered"] == len(got)
        assert ledger.selected == len(got) + ledger.counts["dropped"]
        assert ledger.waiting == 0
        assert sum(gap.body["n"] for gap in gateway.told) == ledger.counts["dropped"]
        await gateway.journal.close()

    asyncio.run(all_of_it())


def test_a_loss_that_was_reported_and_came_back_is_counted_anew():
    """The report is committed, but the power goes before the old file has left: its readings are there again."""
    disk = SimDisk()
    gateway = Gateway(disk, segments=30)
    asyncio.run(filled(gateway, 1500))

    async def report():
        assert await gateway.retention._thin(T0)
        gateway.journal.mark("sink:city", gateway.lanes.state_bytes())
        disk.fault = lambda op, name: errno.EIO if op in {"rename", "remove"} else None
        await gateway.journal.commit()

    asyncio.run(report())
    assert gateway.lanes.ledger.counts["dropped"] > 100
    again = Gateway(disk.kill(), segments=30)
    assert again.journal.reverted
    assert again.lanes.ledger.counts == gateway.lanes.ledger.counts
    assert again.lanes.ledger.waiting == again.lanes._count(again.lanes.ledger.low)
    again.drain()
    assert again.lanes.ledger.waiting == 0
    assert again.balance == 0


def test_what_is_missing_while_it_is_accounted_for_is_not_taken_as_booked():
    """A lane that reads on between the going of readings and their account leaves these for the account."""
    gateway = Gateway(SimDisk(), segments=30)
    asyncio.run(filled(gateway, 1500))
    lanes = gateway.lanes
    lanes.begin()
    lanes.hold_gaps()
    gone = gateway.journal.thin(1, gateway.retention._importance)
    assert gone
    while lanes.backlog(500):
        pass
    assert all(lanes.dropped(entry.position, gateway.retention._record(entry), finish=False) for entry in gone)
    lanes.release_gaps()
    for position in list(lanes.unsettled):
        lanes.settle(position, Fate.DELIVERED)
    assert lanes.ledger.counts["dropped"] == len(gone)
    assert lanes.ledger.waiting == 0
    assert lanes.ledger.low == gateway.journal.next
