"""After a start windows and figures go on as if nothing had happened, but for what was not committed and not polled."""

import asyncio
import random
import shutil
from zoneinfo import ZoneInfo

import pytest
import window_reference as ref
from cli_desk import site
from hypothesis import given, settings
from hypothesis import strategies as st
from ram_journal import RamJournal

from drivers.points import point
from drivers.sample import Sample
from gateway.clock import FakeClock
from gateway.codec import Codec
from gateway.config.load import load
from gateway.daemon import Daemon
from gateway.figures import REACH_MS, Figures
from gateway.numbers import next_epoch
from gateway.pipeline import Pipeline
from gateway.reading import Aggregate, Reading, Series
from gateway.recall import Recall
from gateway.window import Windows

BANGKOK = ZoneInfo("Asia/Bangkok")
T0 = 1_795_000_000_000 // 86_400_000 * 86_400_000 - 7 * 3_600_000  # a midnight in Bangkok
LENGTHS = ("1m", "15m", "1h")
HOUR = 3_600_000


class Run:
    """A gateway between two starts: its pipeline with windows, figures and the recall, on a clock turned by hand."""

    def __init__(self, journal, one, *, wall_ms, lengths=LENGTHS):
        self.clock = FakeClock(wall_ms=wall_ms, mono_ns=7 * 10**9)
        self.journal, self.one = journal, one
        codec = Codec(journal.marks)
        epoch = next_epoch(journal.marks, "beef")
        self.pipeline = Pipeline(clock=self.clock, journal=journal, codec=codec, epoch=epoch, boot="a")
        self.windows = Windows([one], lengths, zone=BANGKOK)
        figures = Figures([one])
        self.recall = Recall(
            journal=journal, codec=codec, series=[one], windows=self.windows, note=figures.recall, reach_ms=REACH_MS
        )
        self.pipeline.fit([one], windows=self.windows, attach=figures.attach, recall=self.recall)
        self.records = []
        self.pipeline.listeners.append(lambda _position, record: record and self.records.append(record))

    def at(self, t_ms):
        self.clock.now_ns = (t_ms - self.clock.offset_ms) * 1_000_000

    def take(self, reading):
        self.at(max(reading.t_ms, self.clock.wall_ms()))
        age_ns = (self.clock.wall_ms() - reading.t_ms) * 1_000_000
        self.pipeline.take(self.one, Sample(self.clock.now_ns - age_ns, reading.values, reading.codes))

    def remember(self):
        while not self.pipeline.remember():
            pass

    def commit(self):
        self.pipeline.set_marks()
        self.journal.commit_now()


def read_back(journal):
    codec = Codec(journal.marks)
    return [codec.decode(entry.kind, entry.payload) for entry in journal.entries if entry.kind in {1, 2}]


def newest(records):
    """The last revision of each window; asserts that revisions rise by one and keep the number of the first."""
    found = {}
    for record in records:
        if isinstance(record.body, Aggregate):
            key = record.stream, record.t_ms
            before = found.get(key)
            assert record.rev == (0 if before is None else before.rev + 1), key
            assert before is None or (record.epoch, record.seq) == (before.epoch, before.seq)
            found[key] = record
    return found


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), crashes=st.lists(st.integers(60, 3000), min_size=1, max_size=3))
def test_windows_over_crashes_equal_those_of_an_undisturbed_run(seed, crashes):
    """The reference knows only the readings that are in the journal at the end."""
    dice = random.Random(seed)
    one, journal = ref.series(every_ms=5000), RamJournal()
    rows = ref.readings(one, start_ms=T0 + 7 * HOUR - 100_000, count=700, seed=seed, gap=0.02, step_ms=5000)
    dice.shuffle(crashes)
    run = Run(journal, one, wall_ms=T0 + 7 * HOUR - 100_000)
    stops = sorted({T0 + 7 * HOUR - 100_000 + s * 1000 for s in crashes})
    for beat, row in enumerate(rows):
        if stops and row.t_ms > stops[0]:
            stops.pop(0)
            journal.crash()
            run = Run(journal, one, wall_ms=row.t_ms + dice.choice((0, 0, 70_000)))
        if dice.random() < 0.9:
            run.pipeline.remember()
        if row.t_ms >= run.clock.wall_ms():  # else the gateway was down
            run.take(row)
        run.pipeline.tick()
        if beat % 3 == 2:
            run.commit()
    run.remember()
    run.at(T0 + 10 * HOUR)
    run.pipeline.tick()
    run.commit()
    records = read_back(journal)
    raw = [record for record in records if isinstance(record.body, Reading)]
    kept = [Reading(one, r.t_ms, r.t_ms * 10**6, r.body.values, r.body.codes) for r in raw]
    found = newest(records)
    assert run.windows.too_late == 0
    for length in LENGTHS:
        wanted = ref.aggregates(one, length, kept)
        got = {start: record.body for (stream, start), record in found.items() if stream == length}
        assert set(wanted) <= set(got)
        for start, body in got.items():
            if start in wanted:
                assert ref.same(body, wanted[start]) is None, (length, start)
            else:
                assert body.n == 0


AIR = Series("d", "d", "air", (point("pm2_5"), point("pm10")), 60_000)
METER = Series("d", "d", "energy", (point("power_active"), point("energy_import")), 60_000)


def polls(one, minutes):
    for k in range(minutes):
        t_ms = T0 + k * 60_000 + 15_000
        yield Reading(one, t_ms, 0, (12.0 + k % 50, round(20.0 + k * 0.1, 1)), (0, 0))


@pytest.mark.parametrize("one", [AIR, METER])
@pytest.mark.parametrize("dies", [1500, 1507])
def test_figures_over_a_day_go_on_after_a_crash(one, dies):
    """Two runs over the same readings, one of them cut after 25 hours: same records, same figures."""
    said = []
    for crash in (None, dies):
        journal = RamJournal()
        run = Run(journal, one, wall_ms=T0, lengths=("15m", "1h", "1d"))
        for k, row in enumerate(polls(one, 27 * 60)):
            run.remember()
            run.take(row)
            run.pipeline.tick()
            if k == crash:
                run.commit()
                journal.crash()
                run = Run(journal, one, wall_ms=row.t_ms, lengths=("15m", "1h", "1d"))
        run.commit()
        found = newest(read_back(journal))
        said.append({key: (r.body.stats, r.body.coverage, r.body.indicators) for key, r in found.items()})
    whole, cut = said
    assert cut == whole
    figures = {one.name for _, _, indicators in cut.values() for one in indicators}
    assert figures >= ({"aqi_th", "nowcast_pm2_5"} if one is AIR else {"demand_kw", "load_factor", "demand_max_kw"})


def test_a_late_sample_after_a_start_amends_with_the_number_of_the_first_issue():
    one, journal = ref.series(("gauge",), every_ms=10_000), RamJournal()
    run = Run(journal, one, wall_ms=T0)
    for k in range(30):
        run.take(Reading(one, T0 + k * 10_000, 0, (1.0,), (0,)))
        run.remember()
        run.pipeline.tick()
    run.commit()
    journal.crash()
    run = Run(journal, one, wall_ms=T0 + 305_000)
    run.remember()
    run.take(Reading(one, T0 + 65_000, 0, (7.0,), (0,)))
    run.at(T0 + 310_000)
    run.pipeline.tick()
    amended = [record for record in run.records if record.rev]
    assert [(r.stream, r.t_ms - T0, r.rev, r.epoch, r.seq) for r in amended] == [("1m", 60_000, 1, "00000001-beef", 2)]
    assert (amended[0].body.n, amended[0].body.stats[0][2]) == (7, 7.0)
    run.commit()
    newest(read_back(journal))


def test_an_amendment_that_was_not_committed_is_made_again():
    one, journal = ref.series(("gauge",), every_ms=10_000), RamJournal()
    run = Run(journal, one, wall_ms=T0, lengths=("1m",))
    run.remember()
    for k in range(20):
        run.take(Reading(one, T0 + k * 10_000, 0, (1.0,), (0,)))
        run.pipeline.tick()
    run.take(Reading(one, T0 + 65_000, 0, (7.0,), (0,)))
    run.take(Reading(one, T0 + 195_000, 0, (1.0,), (0,)))
    run.commit()
    run.pipeline.tick()
    assert [r.rev for r in run.records if r.stream == "1m"] == [0, 0, 0, 1]
    journal.crash()
    run = Run(journal, one, wall_ms=T0 + 200_000, lengths=("1m",))
    run.remember()
    run.pipeline.tick()
    assert [(r.rev, r.t_ms - T0, r.body.n) for r in run.records] == [(1, 60_000, 7)]


def test_readings_that_come_while_it_remembers_are_not_lost_and_no_window_closes_meanwhile():
    one, journal = ref.series(("gauge",), every_ms=1000), RamJournal()
    run = Run(journal, one, wall_ms=T0)
    for k in range(100):
        run.take(Reading(one, T0 + k * 1000, 0, (1.0,), (0,)))
    run.commit()
    journal.crash()
    run = Run(journal, one, wall_ms=T0 + 100_000)
    for k in range(100, 200):
        run.take(Reading(one, T0 + k * 1000, 0, (1.0,), (0,)))
        run.pipeline.tick()
    assert {r.stream for r in run.records} == {"raw"}
    run.remember()
    run.pipeline.tick()
    assert [(r.stream, r.body.n) for r in run.records if r.stream != "raw"] == [("1m", 60)] * 3


def test_what_comes_between_reading_the_end_and_taking_it_is_not_skipped():
    one, journal = ref.series(("gauge",), every_ms=1000), RamJournal()
    run = Run(journal, one, wall_ms=T0)
    nothing = run.recall.read()
    run.take(Reading(one, T0 + 1000, 0, (1.0,), (0,)))
    assert nothing == []
    assert run.pipeline.remember(nothing)
    assert run.recall.readings == 1


def test_windows_that_began_before_what_is_left_of_the_journal_are_never_amended_from_a_part():
    one, journal = ref.series(("gauge",), every_ms=10_000), RamJournal()
    run = Run(journal, one, wall_ms=T0)
    run.remember()
    for k in range(5 * 360):
        run.take(Reading(one, T0 + k * 10_000, 0, (1.0,), (0,)))
        run.pipeline.tick()
    run.commit()
    journal.crash()
    run = Run(journal, one, wall_ms=T0 + 5 * HOUR)
    run.remember()
    assert run.recall.readings < 3 * 360  # not the whole journal again
    run.take(Reading(one, T0 + 4 * HOUR - 300_000, 0, (7.0,), (0,)))  # a minute that is there, of an hour that is not
    run.take(Reading(one, T0 + HOUR + 5000, 0, (7.0,), (0,)))  # long over
    run.at(T0 + 5 * HOUR + 5000)
    run.pipeline.tick()
    assert not [r for r in run.records if r.rev or (r.t_ms < T0 + 4 * HOUR - 300_000 and r.stream != "raw")]
    assert run.windows.too_late == 2


def test_a_window_whose_readings_are_partly_gone_is_not_amended():
    one, journal = ref.series(("gauge",), every_ms=10_000), RamJournal()
    run = Run(journal, one, wall_ms=T0)
    run.remember()
    for k in range(120):
        run.take(Reading(one, T0 + k * 10_000, 0, (1.0,), (0,)))
        run.pipeline.tick()
    run.commit()
    journal.crash()
    journal.entries, journal.first = journal.entries[50:], 50  # a full journal let go of the first minutes
    run = Run(journal, one, wall_ms=T0 + 1_200_000)
    run.remember()
    run.take(Reading(one, T0 + 605_000, 0, (7.0,), (0,)))
    run.at(T0 + 1_210_000)
    run.pipeline.tick()
    assert [(r.stream, r.t_ms - T0) for r in run.records if r.rev] == [("1m", 600_000)]
    assert run.windows.left_out == 1


def test_a_daemon_that_died_in_mid_window_goes_on_from_its_disk(tmp_path):
    """Two real daemons, the second on the files as they were at a commit of the first."""
    found = {}

    def daemon(name, wall_ms):
        (tmp_path / name).mkdir(exist_ok=True)
        clock = FakeClock(wall_ms=wall_ms, mono_ns=9 * 10**9)
        made = Daemon(load(site(tmp_path / name)), clock=clock, dry_run=True)
        made.pipeline.listeners.append(lambda _position, record: record and found[name].append(record))
        found[name] = []
        return made

    def poll(made, k):
        (one,) = made.series
        made.clock.now_ns = (T0 + k * 1000 - made.clock.offset_ms) * 1_000_000
        values = tuple(float(k % 7 + i) if p.kind == "gauge" else float(k) for i, p in enumerate(one.points))
        made.pipeline.take(one, Sample(made.clock.now_ns, values, (0,) * len(values)))
        made.pipeline.tick()

    async def first():
        made = daemon("a", T0)
        made.pipeline.remember()
        for k in range(90):
            poll(made, k)
            if k == 79:
                await made.pulse.commit()
                shutil.copytree(tmp_path / "a", tmp_path / "b")
        await made.journal.close()

    async def second():
        made = daemon("b", T0 + 100_000)
        while not made.pipeline.remember():
            pass
        for k in range(100, 150):
            poll(made, k)
        await made.journal.close()
        return made.series[0]

    asyncio.run(first())
    one = asyncio.run(second())
    (minute,) = [record.body for record in found["b"] if record.stream == "1m"]
    raw = [r.body for name in "ab" for r in found[name] if r.stream == "raw" and not 80_000 <= r.t_ms - T0 < 100_000]
    rows = [Reading(one, r.t_ms, r.t_ms * 10**6, r.values, r.codes) for r in raw]
    inside = [r for r in rows if 60_000 <= r.t_ms - T0 < 120_000]
    wanted = ref.aggregate(one, "1m", T0 + 60_000, inside, [r for r in rows if r.t_ms < T0 + 60_000])
    assert ref.same(minute, wanted) is None
    assert (minute.n, minute.coverage) == (40, pytest.approx(40 / 60))


@pytest.mark.parametrize(("back_h", "ran_h", "after_h"), [(3, 5, 0.5), (0.45, 2.34, 0.5)])
def test_a_step_back_costs_no_window(back_h, ran_h, after_h):
    """The clock ran ahead for hours and is set right: what comes is merged into the windows of then, with their rev."""
    one, journal = ref.series(("gauge", "counter"), every_ms=10_000), RamJournal()
    run = Run(journal, one, wall_ms=T0)
    run.remember()
    for k in range(int((ran_h + after_h) * 360)):
        if k == int(ran_h * 360):
            run.clock.offset_ms -= int(back_h * HOUR)
        run.clock.now_ns += 10 * 10**9
        run.pipeline.take(one, Sample(run.clock.now_ns, (20.0, float(k)), (0, 0)))
        run.remember()
        run.pipeline.tick()
    assert run.windows.too_late == 0
    run.commit()
    found, times = newest(read_back(journal)), [r.t_ms for r in run.records if r.stream == "raw"]
    doubled = [record for (stream, _), record in found.items() if stream == "15m" and record.rev]
    assert doubled
    for record in doubled:
        assert record.body.n == sum(record.t_ms <= t_ms < record.body.end_ms for t_ms in times)
        assert record.seq in {r.seq for r in run.records if (r.stream, r.t_ms, r.rev) == ("15m", record.t_ms, 0)}
