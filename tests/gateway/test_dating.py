"""Readings of before the clock was trusted: kept through crashes, dated back exactly or with their error, or lost."""

from zoneinfo import ZoneInfo

import msgspec
from made_records import series
from ram_journal import RamJournal

from drivers.sample import Code, Sample
from gateway.clock import FakeClock
from gateway.codec import DEAD, UNDATED, Codec
from gateway.numbers import next_epoch
from gateway.pipeline import Pipeline
from gateway.window import Windows

T0 = 1_795_000_000_000
DAY = 86_400_000


class Life:
    """One run of the gateway in a boot; `truth` is the wall time at which this boot began."""

    def __init__(self, journal, *, boot, truth_ms, mono_s=0.0, trust=False, wall_ms=0, lengths=(), max_wait_s=1e6):
        self.truth_ms = truth_ms
        self.clock = FakeClock(wall_ms=wall_ms, mono_ns=int(mono_s * 1e9), trust=trust)
        self.clock.offset_ms = truth_ms if trust else wall_ms
        self.journal = journal
        self.meter = series()
        codec = Codec(journal.marks)
        self.pipeline = Pipeline(
            clock=self.clock,
            journal=journal,
            codec=codec,
            epoch=next_epoch(journal.marks, "beef"),
            boot=boot,
            max_wait_s=max_wait_s,
        )
        self.windows = Windows([self.meter], lengths, zone=ZoneInfo("Asia/Bangkok"))
        self.pipeline.fit([self.meter], windows=self.windows)
        self.records = []
        self.pipeline.listeners.append(lambda _position, record: self.records.append(record))
        self.serial = 0

    def poll(self, polls=1, every_s=1.0):
        """Polls whose value is the true time in s after T0, then a tick each."""
        for _ in range(polls):
            self.clock.now_ns += int(every_s * 1e9)
            true_s = (self.truth_ms - T0 + self.clock.now_ns // 1_000_000) / 1000
            self.pipeline.take(self.meter, Sample(self.clock.now_ns, (true_s, 0.0), (0, 0)))
            self.pipeline.tick()

    def sync(self):
        self.clock.offset_ms, self.clock.trust = self.truth_ms, True

    def commit(self):
        self.pipeline.set_marks()
        self.journal.commit_now()

    @property
    def raw(self):
        return [r for r in self.records if r is not None and r.stream == "raw"]


def error_s(record):
    return (record.t_ms - T0) / 1000 - record.body.values[0]


def test_a_crash_before_the_first_synchronisation_costs_nothing_that_was_committed():
    journal = RamJournal()
    first = Life(journal, boot="a", truth_ms=T0)
    first.poll(50)
    first.commit()
    first.poll(3)
    journal.crash()
    second = Life(journal, boot="a", truth_ms=T0, mono_s=60.0)
    second.poll(5)
    assert first.raw == second.raw == []
    second.sync()
    second.poll(1)
    assert [round(r.body.values[0]) for r in second.raw] == [*range(1, 51), *range(61, 67)]
    assert max(abs(error_s(r)) for r in second.raw) < 0.001
    assert all(r.body.t_err_s is None for r in second.raw)
    second.commit()
    third = Life(journal, boot="a", truth_ms=T0, mono_s=80.0, trust=True)
    third.poll(2)
    assert len(third.raw) == 2  # nothing is dated twice


def test_a_boot_that_ended_unsynchronised_is_dated_to_the_middle_with_its_error():
    journal = RamJournal()
    a = Life(journal, boot="a", truth_ms=T0, trust=True)
    a.poll(10)
    a.commit()
    for boot, start_s in (("b", 100), ("c", 700)):
        life = Life(journal, boot=boot, truth_ms=T0 + start_s * 1000)
        life.poll(300)
        life.commit()
        assert life.raw == []
    d = Life(journal, boot="d", truth_ms=T0 + 1_200_000, trust=True)
    d.poll(40)
    assert len(d.raw) == 640
    for r in d.raw[:600]:
        assert abs(error_s(r)) <= r.body.t_err_s < 3600
        assert set(r.body.codes) == {int(Code.CLOCK)}
    assert [r.t_ms for r in d.raw] == sorted({r.t_ms for r in d.raw})
    back = d.pipeline._codec.decode(1, next(e for e in journal.entries[::-1] if e.kind == 1).payload)
    assert back.body.t_err_s is None


def test_what_can_never_be_dated_within_an_hour_is_a_dead_letter():
    journal = RamJournal()
    a = Life(journal, boot="a", truth_ms=T0, trust=True)
    a.poll(1)
    a.commit()
    b = Life(journal, boot="b", truth_ms=T0 + DAY)
    b.poll(5)
    b.commit()
    c = Life(journal, boot="c", truth_ms=T0 + 3 * DAY, trust=True)
    c.poll(1)
    assert [round(error_s(r)) for r in c.raw] == [0]
    letters = [msgspec.msgpack.decode(entry.payload) for entry in journal.entries if entry.kind == DEAD]
    assert [(letter[1], letter[3]) for letter in letters] == [("", UNDATED)] * 5
    assert c.pipeline.undated_lost == 5


def test_what_waited_longer_than_max_wait_is_a_dead_letter_and_the_rest_waits_on():
    life = Life(RamJournal(), boot="a", truth_ms=T0, max_wait_s=100.0)
    life.poll(150)
    assert life.raw == []
    assert life.pipeline.undated_lost == 49
    life.sync()
    life.poll(1)
    assert len(life.raw) == 102


def test_a_clock_that_stands_still_is_not_believed():
    life = Life(RamJournal(), boot="a", truth_ms=T0, trust=True)
    life.poll(10)
    for _ in range(100):  # the wall clock stands while monotonic time runs
        life.clock.offset_ms -= 1000
        life.poll(1)
    life.sync()
    life.poll(20)
    assert len(life.raw) == 130
    late = [abs(error_s(r)) for r in life.raw]
    assert sum(error > 1.0 for error in late) <= 2  # those of the first moments, before it was seen


def test_sleep_between_a_reading_and_the_synchronisation_is_counted():
    """CLOCK_MONOTONIC stands still while the machine sleeps; the time that a reading waited does not."""
    life = Life(RamJournal(), boot="a", truth_ms=T0)
    life.poll(10)
    life.clock.slept_ns += 1000 * 10**9
    life.truth_ms += 1_000_000
    life.poll(10)
    life.clock.offset_ms, life.clock.trust = life.truth_ms, True
    life.poll(5)
    assert len(life.raw) == 25
    assert max(abs(error_s(r)) for r in life.raw) < 0.001
    times = [r.t_ms for r in life.raw]
    assert times[10] - times[9] == 1_001_000  # a gap


def test_sleep_is_told_and_is_no_step():
    life = Life(RamJournal(), boot="a", truth_ms=T0, trust=True)
    life.poll(3)
    life.clock.slept_ns += 60 * 10**9
    life.clock.offset_ms += 60_000
    life.truth_ms += 60_000
    life.poll(3)
    events = [r.body for r in life.records if r is not None and r.stream == "event"]
    assert [(event.code, event.body) for event in events] == [("CG-CLK-03", {"slept_s": 60.0})]
    assert max(abs(error_s(r)) for r in life.raw) < 0.001


def test_a_held_sample_that_a_full_journal_lets_go_of_is_counted_as_lost():
    life = Life(RamJournal(), boot="a", truth_ms=T0)
    life.poll(3)
    held = [entry.position for entry in life.journal.read(0, limit_bytes=1 << 20) if entry.kind == UNDATED]
    assert [life.pipeline.let_go(position) for position in held] == [True] * 3
    assert life.pipeline.undated_lost == 3
    life.sync()
    life.poll(1)
    assert not any(life.pipeline.let_go(position) for position in held)  # dated by now: nothing is lost with them
    assert life.pipeline.undated_lost == 3
