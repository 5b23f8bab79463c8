"""Sample to record: times are unique and true, numbers rise by one, nothing is stamped before the clock is trusted."""

from math import isnan, nan

from hypothesis import given
from hypothesis import strategies as st
from made_records import series
from ram_journal import RamJournal

from drivers.sample import Code, Sample
from gateway.clock import FakeClock
from gateway.codec import Codec
from gateway.journal.errors import JournalFull
from gateway.numbers import next_epoch
from gateway.pipeline import Pipeline
from gateway.reading import Event

START_MS = 1_795_000_000_000
SECOND_NS = 1_000_000_000


class Bench:
    def __init__(self, journal=None, **clock):
        self.journal = journal or RamJournal()
        self.clock = FakeClock(wall_ms=START_MS, mono_ns=5 * SECOND_NS, **clock)
        self.meter = series()
        self.codec = Codec(self.journal.marks)
        self.pipeline = Pipeline(
            clock=self.clock,
            journal=self.journal,
            codec=self.codec,
            epoch=next_epoch(self.journal.marks, "beef"),
        )
        self.pipeline.fit([self.meter])
        self.records = []
        self.pipeline.listeners.append(lambda _position, record: record and self.records.append(record))

    def take(self, age_ns=0, values=(230.04, 12.34), codes=(0, 0)):
        self.pipeline.take(self.meter, Sample(self.clock.now_ns - age_ns, values, codes))

    def commit(self):
        self.pipeline.set_marks()
        self.journal.commit_now()


def test_the_time_is_that_of_the_measurement():
    bench = Bench()
    bench.clock.now_ns += 3 * SECOND_NS
    bench.take(age_ns=250_000_000)
    (record,) = bench.records
    assert record.t_ms == START_MS + 3000 - 250
    assert record.body.values == (230.0, 12.3)
    assert (record.seq, record.epoch, record.prev) == (1, "00000001-beef", None)


@given(st.lists(st.sampled_from([0, 0, 1, 20, 1000]), min_size=1, max_size=40))
def test_times_are_unique_and_rise_while_the_clock_does_not_step(gaps_ms):
    bench = Bench()
    for gap_ms in gaps_ms:
        bench.clock.now_ns += gap_ms * 1_000_000
        bench.take()
    times = [record.t_ms for record in bench.records]
    assert times == sorted(set(times))
    assert [record.seq for record in bench.records] == list(range(1, len(times) + 1))


STEPS_MS = [0, 0, 0, -1500, -10_000, 4000, -3_600_000]
MOVES = st.tuples(st.sampled_from([0, 500, 1000, 1000, 1000]), st.sampled_from(STEPS_MS))


@given(st.lists(st.lists(MOVES, min_size=1, max_size=40), min_size=1, max_size=3))
def test_a_time_is_never_issued_twice_whatever_the_clock_does_over_restarts_too(lives):
    journal, offset_ms, now_ns, issued = RamJournal(), START_MS, 0, []
    for moves in lives:
        bench = Bench(journal=journal)
        bench.clock.offset_ms, bench.clock.now_ns = offset_ms, now_ns
        for gap_ms, step_ms in moves:
            bench.clock.now_ns += gap_ms * 1_000_000
            bench.clock.offset_ms += step_ms
            bench.take()
        bench.commit()
        offset_ms, now_ns = bench.clock.offset_ms, bench.clock.now_ns
        issued += [(record.stream, record.t_ms) for record in bench.records]
    assert len(issued) == len(set(issued))
    assert sum(stream == "raw" for stream, _ in issued) == sum(map(len, lives))


def test_events_wait_for_a_trusted_clock_too():
    bench = Bench(trust=False)
    bench.pipeline.event(Event("_gateway", 5000, "x", "sink", "CG-MQT-01", "raised"))
    assert bench.records == []
    bench.clock.now_ns += 7 * SECOND_NS
    bench.clock.trust = True
    bench.take()
    assert [(record.stream, record.t_ms - START_MS) for record in bench.records] == [("event", 0), ("raw", 7000)]


def test_a_full_journal_costs_no_number_and_is_told():
    bench = Bench()
    full = {"now": False}
    append = bench.journal.append

    def refusing(kind, payload):
        if full["now"]:
            raise JournalFull(1, 1)
        return append(kind, payload)

    bench.journal.append = refusing
    bench.take()
    full["now"] = True
    for _ in range(5):
        bench.clock.now_ns += SECOND_NS
        bench.take()
    full["now"] = False
    bench.pipeline.fit([bench.meter], windows=NoWindows())
    bench.pipeline.tick()
    bench.clock.now_ns += SECOND_NS
    bench.take()
    raw = [record for record in bench.records if record.stream == "raw"]
    (gap,) = [record.body for record in bench.records if record.stream == "event"]
    assert [record.seq for record in raw] == [1, 2]
    assert (gap.type, gap.body["n"], gap.body["reason"]) == ("gap", 5, "full")


class NoWindows:
    def add(self, reading):
        pass

    def close(self, now_ms):
        return []

    def stepped(self, now_ms):
        pass

    def lost(self, t_ms):
        return 1 << 62, []


def test_a_step_is_an_event_and_the_time_after_it_is_the_corrected_one():
    bench = Bench()
    bench.take()
    bench.clock.offset_ms -= 3_600_000
    bench.clock.now_ns += SECOND_NS
    bench.take()
    kinds = [(record.stream, record.t_ms) for record in bench.records]
    assert kinds[1][0] == "event"
    assert bench.records[1].body.code == "CG-CLK-02"
    assert kinds[2] == ("raw", START_MS - 3_600_000 + 1000)


def test_samples_wait_for_a_trusted_clock_and_are_dated_back():
    bench = Bench(trust=False)
    for _ in range(3):
        bench.clock.now_ns += SECOND_NS
        bench.take()
    assert bench.records == []
    bench.clock.offset_ms += 86_400_000  # the clock is set, then trusted
    bench.clock.trust = True
    bench.clock.now_ns += SECOND_NS
    bench.take()
    assert [record.t_ms - START_MS - 86_400_000 for record in bench.records] == [1000, 2000, 3000, 4000]


def test_numbers_go_on_in_a_new_epoch_and_name_the_last_committed_one():
    first = Bench()
    first.take()
    first.take()
    first.commit()
    first.take()  # never committed
    first.journal.crash()
    second = Bench(journal=first.journal)
    second.take()
    (record,) = second.records
    assert (record.epoch, record.seq) == ("00000002-beef", 1)
    assert record.prev == ("00000001-beef", 2)
    silent = Bench(journal=second.journal)
    silent.commit()
    third = Bench(journal=silent.journal)
    third.take()
    assert third.records[0].prev == ("00000002-beef", 1)  # committed by the third's journal, without its mark


def test_a_failed_poll_stays_without_a_number():
    bench = Bench()
    bench.take(values=(nan, nan), codes=(int(Code.TIMEOUT),) * 2)
    back = bench.codec.decode(bench.journal.entries[0].kind, bench.journal.entries[0].payload)
    assert back.body.codes == (201, 201)
    assert [isnan(value) for value in back.body.values] == [True, True]


def test_events_hurry_the_commit():
    bench = Bench()
    hurried = []
    bench.pipeline.urgent = lambda: hurried.append(1)
    bench.pipeline.event(Event("_gateway", START_MS, "x", "sink", "CG-MQT-01", "raised"))
    bench.pipeline.event(Event("_gateway", START_MS, "x", "sink", "CG-MQT-01", "cleared"))
    assert [record.t_ms for record in bench.records] == [START_MS, START_MS + 1]
    assert hurried == [1, 1]
