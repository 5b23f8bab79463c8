"""When the journal is full: the oldest goes, counted per sink, named by a gap event; the ledger balances."""

import asyncio

import pytest
from made_records import raw, series, window
from ram_journal import RamJournal

from gateway.codec import Codec
from gateway.config import Sink
from gateway.journal import Damage, Oldest
from gateway.lanes import Lanes
from gateway.ledger import Ledger
from gateway.retention import Retention
from gateway.selection import Selection
from gateway.sinks import Fate


class Small(RamJournal):
    """Segments of ten entries, a cap of thirty."""

    def __init__(self):
        super().__init__(segment=10)

    @property
    def full(self):
        return len(self.entries) > 30

    @full.setter
    def full(self, _value):
        pass

    def oldest_segment(self):
        return Oldest(self.first, self.first + 9, 0, (self.first + 10) * 100) if len(self.entries) > 10 else None


def bench(**sinks):
    journal, codec, meter = Small(), Codec({}), series()
    journal.mark(*codec.schema_marks(meter))
    lanes = {
        name: Lanes(
            ledger=Ledger(low=0),
            selection=Selection(Sink(kind="memory", streams=streams), personal=frozenset()),
            journal=journal,
            codec=codec,
        )
        for name, streams in sinks.items()
    }
    told = []
    retention = Retention(journal=journal, codec=codec, lanes=lanes, tell=told.append, keep_ms=1000)

    def append(record):
        position = journal.append(*codec.encode(record))
        for one in lanes.values():
            one.offer(position, record)

    return journal, meter, lanes, told, retention, append


def test_what_is_dropped_unconfirmed_is_counted_and_named():
    journal, meter, lanes, told, retention, append = bench(both=("raw", "1m"), windows=("1m",))
    for number in range(1, 46):
        append(window(meter, number * 1000, number) if number % 5 == 0 else raw(meter, number * 1000, number))
    journal.commit_now()
    lanes["both"].begin()
    for parcel in lanes["both"].backlog(5):  # the first five arrive
        lanes["both"].settle(parcel.position, Fate.DELIVERED)
    asyncio.run(retention.enforce(now_ms=46_000))
    assert journal.first == 20
    both, windows = lanes["both"].ledger, lanes["windows"].ledger
    assert both.counts["dropped"] == 15
    assert windows.counts["dropped"] == 4
    assert both.selected == sum(both.counts.values()) + both.waiting
    assert (both.waiting, windows.waiting) == (25, 5)
    events = [(e.body["sink"], e.body["stream"], e.body["n"], e.body["seq"]) for e in told]
    assert sum(n for sink, _, n, _ in events if sink == "both") == 15
    assert ("windows", "1m", 2, [5, 10]) in events


def test_confirmed_history_goes_after_its_time_and_silently():
    journal, meter, lanes, told, retention, append = bench(all=("raw",))
    for number in range(1, 26):
        append(raw(meter, number * 100, number))
    journal.commit_now()
    lanes["all"].begin()
    for parcel in lanes["all"].backlog(100):
        lanes["all"].settle(parcel.position, Fate.DELIVERED)
    asyncio.run(retention.enforce(now_ms=1500))
    assert journal.first == 0  # not old enough
    asyncio.run(retention.enforce(now_ms=2200))
    assert journal.first == 10
    assert told == []
    assert lanes["all"].ledger.counts["dropped"] == 0


def test_history_that_a_sink_still_waits_for_is_kept():
    journal, meter, _lanes, told, retention, append = bench(all=("raw",))
    for number in range(1, 26):
        append(raw(meter, number * 100, number))
    journal.commit_now()
    asyncio.run(retention.enforce(now_ms=10_000_000))
    assert journal.first == 0
    assert told == []


def test_what_cannot_be_read_is_written_off_and_told():
    journal, meter, lanes, told, retention, append = bench(all=("raw",), windows=("1m",))
    for number in range(1, 26):
        append(raw(meter, number * 100, number))
    journal.commit_now()
    del journal.entries[5:9]
    journal.damages = (Damage("0001.seg", 5, 8, "checksum"),)
    asyncio.run(retention.enforce(now_ms=3000))
    asyncio.run(retention.enforce(now_ms=3000))
    (event,) = told
    assert (event.type, event.body["reason"], event.body["n"], event.body["waiting"]) == (
        "gap", "corrupt", 4, {"all": 4, "windows": 0},
    )  # fmt: skip
    ledger = lanes["all"].ledger
    assert (ledger.counts["dropped"], ledger.waiting) == (4, 21)
    lanes["all"].begin()
    got = [parcel.position for parcel in lanes["all"].backlog(100)]
    assert got == [p for p in range(25) if not 5 <= p <= 8]


def test_a_hole_between_readable_ones_is_exact_though_told_as_one_that_spans_them():
    journal, meter, lanes, told, retention, append = bench(all=("raw",))
    for number in range(1, 26):
        append(raw(meter, number * 100, number))
    journal.commit_now()
    journal.entries = [entry for entry in journal.entries if entry.position not in {3, 7, 8}]
    journal.damages = (Damage("0001.seg", 3, 8, "and more, not told one by one"),)
    asyncio.run(retention.enforce(now_ms=3000))
    assert [event.body["waiting"] for event in told] == [{"all": 3}]
    lanes["all"].begin()
    assert [parcel.position for parcel in lanes["all"].backlog(100)] == [
        p for p in range(25) if p not in {3, 7, 8}
    ]  # fmt: skip
    assert lanes["all"].ledger.waiting == 22


def test_a_segment_with_nothing_readable_left_goes_and_the_next_one_too():
    journal, meter, lanes, told, retention, append = bench(all=("raw",))
    for number in range(1, 56):
        append(raw(meter, number * 100, number))
    journal.commit_now()
    dropping = journal.drop_oldest

    def damaged():
        gone = dropping()
        return () if gone[0].position == 0 else gone

    journal.drop_oldest = damaged
    assert asyncio.run(retention.enforce(now_ms=6000)) == 3
    ledger = lanes["all"].ledger
    assert (journal.first, ledger.low) == (30, 30)
    assert (ledger.counts["dropped"], ledger.waiting) == (30, 25)
    assert sorted((event.body["reason"], event.body["n"]) for event in told) == [
        ("corrupt", 10), ("full", 10), ("full", 10),
    ]  # fmt: skip


def test_a_segment_of_a_time_that_was_not_known_waits_for_the_cap():
    journal, meter, lanes, _told, retention, append = bench(one=("raw",))
    for number in range(1, 26):
        append(raw(meter, number * 1000, seq=number))
    lanes["one"].ledger.low = journal.next
    oldest = journal.oldest_segment()
    journal.oldest_segment = lambda: Oldest(oldest.first, oldest.last, 0, 0)
    assert asyncio.run(retention.enforce(10**13)) == 0


@pytest.mark.parametrize("restart", [False, True])
def test_a_long_journal_is_counted_beside_the_deliveries(monkeypatch, restart):
    """A sink that starts at the oldest does not hold up the start; until it is counted, all is taken for selected."""
    monkeypatch.setattr("gateway.booking.COUNT_NOW", 10)
    monkeypatch.setattr("gateway.booking.COUNT_BYTES", 200)
    journal, meter, lanes, _told, retention, append = bench(late=("1m",))
    late, codec = lanes["late"], lanes["late"]._codec
    for number in range(1, 26):
        journal.append(*codec.encode(window(meter, number * 1000, number) if number % 5 else raw(meter, number * 1000)))
    journal.commit_now()
    late.recount()
    assert late.ledger.waiting == 25, "at most"
    late.begin()
    for parcel in late.backlog(3):
        late.settle(parcel.position, Fate.DELIVERED)
    append(window(meter, 26_000, 26))
    append(raw(meter, 27_000, 27))
    journal.commit_now()
    if restart:
        before = Ledger.from_bytes(late.state_bytes())
        late.__init__(ledger=before, selection=late._selection, journal=journal, codec=codec)
        assert late.resume() == 0
        late.begin()
    asyncio.run(retention.enforce(now_ms=28_000))
    assert (late.ledger.selected, late.ledger.waiting, late.ledger.counts["delivered"]) == (21, 18, 3)
    got = []
    while parcels := late.backlog(100) or late.live(100):
        got += [parcel.record.seq for parcel in parcels]
    assert len(got) == 18
    assert Ledger.from_bytes(late.state_bytes()).chosen == late._selection.fingerprint
