"""A clock that steps, stands still, begins in 1970, is not synchronised: through the real poller, pipeline, windows."""

import asyncio
import random
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from made_records import series
from ram_journal import RamJournal

from drivers.sample import Sample
from firmware_sims import virtual_time
from gateway.clock import BUILD_MS, HORIZON_MS
from gateway.codec import Codec
from gateway.numbers import next_epoch
from gateway.pipeline import Pipeline
from gateway.poller import PolledWire, Station
from gateway.reading import LENGTHS_S
from gateway.window import Windows

T0 = 1_795_000_000_000
PERIODS_S = {"a": 1.0, "b": 1.0, "c": 5.0}


class LoopClock:
    """Monotonic time is the loop's; wall time is the truth, off by what the test says, or stands still."""

    def __init__(self):
        self.off_ms = -T0  # a boot in 1970
        self.frozen_ms = None
        self.trust = False
        self.slept_ns = 0

    def mono_ns(self):
        return round(asyncio.get_running_loop().time() * 1e9)

    def true_ms(self):
        return T0 + (self.mono_ns() + self.slept_ns) // 1_000_000

    def asleep_ns(self):
        return self.slept_ns

    def wall_ms(self):
        return self.true_ms() + self.off_ms if self.frozen_ms is None else self.frozen_ms

    def trusted(self):
        return self.trust

    def sync(self):
        self.off_ms, self.frozen_ms, self.trust = 0, None, True


class Device:
    """Its values tell the truth about the time."""

    def __init__(self, clock):
        self.clock = clock

    async def poll(self):
        t_mono_ns, true_ms = self.clock.mono_ns(), self.clock.true_ms()
        await asyncio.sleep(0.01)
        return (Sample(t_mono_ns, ((true_ms - T0) / 1000, 0.0), (0, 0)),)


class Way:
    endpoint = "virtual"

    async def open(self):
        pass

    async def close(self):
        pass


class Life:
    def __init__(self):
        self.clock, self.journal = LoopClock(), RamJournal()
        self.series = {name: series(name, every_ms=round(s * 1000)) for name, s in PERIODS_S.items()}
        self.windows = Windows(list(self.series.values()), ("1m", "15m", "1h"), zone=ZoneInfo("Asia/Bangkok"))
        codec = Codec(self.journal.marks)
        epoch = next_epoch(self.journal.marks, "beef")
        self.pipeline = Pipeline(
            clock=self.clock, journal=self.journal, codec=codec, epoch=epoch, boot="a", max_wait_s=1e6
        )
        self.pipeline.fit(self.series.values(), windows=self.windows)
        self.records, self.polls, self.held_s = [], {name: [] for name in PERIODS_S}, []
        self.pipeline.listeners.append(lambda _position, record: record and self.records.append(record))
        stations = [Station(name, s, {"": self.series[name]}, Device(self.clock)) for name, s in PERIODS_S.items()]
        self.wire = PolledWire("w", way=Way(), stations=stations, take=self.take, say=lambda *_: None)

    def take(self, one, sample):
        self.polls[one.id].append(sample.t_mono_ns / 1e9)
        self.pipeline.take(one, sample)

    async def pulse(self):
        while True:
            self.pipeline.tick()
            while not self.pipeline.remember():
                pass
            await asyncio.sleep(1.0)

    async def unsynchronised(self, seconds, **wrong):
        """A span in which the clock is not trusted; afterwards it is set right."""
        begin = self.clock.true_ms()
        self.clock.trust = False
        for name, value in wrong.items():
            setattr(self.clock, name, value)
        await asyncio.sleep(seconds)
        self.held_s.append(((begin - T0) / 1000 + 0.1, (self.clock.true_ms() - T0) / 1000))
        self.clock.sync()
        await asyncio.sleep(2.5)  # the right time is seen before the next step

    async def run(self, steps, seed):
        dice, clock = random.Random(seed), self.clock
        self.wire.start_grid(wall_ms=clock.wall_ms())
        tasks = [asyncio.create_task(self.wire.run()), asyncio.create_task(self.pulse())]
        await self.unsynchronised(30)
        assert not any(record.stream != "event" and record.t_ms < BUILD_MS for record in self.records)
        for number in range(steps):
            step_ms = round(1000 * 10 ** dice.uniform(0, 8.8)) * dice.choice((1, -1))
            clock.off_ms = dice.choice((step_ms, 0))
            clock.frozen_ms = clock.wall_ms() if number % 50 == 7 else None
            await asyncio.sleep(dice.choice((1.3, 3.1, 7.7)) + (40 if number % 50 == 7 else 0))
            if number % 40 == 11:
                await self.unsynchronised(dice.randrange(5, 70), off_ms=step_ms)
            if number % 45 == 13:  # suspended: nothing runs, and the loop's time stands still
                clock.slept_ns += dice.randrange(2, 4000) * 10**9
        clock.sync()
        await asyncio.sleep(7300)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(("steps", "seed"), [(60, 1), pytest.param(1000, 2, marks=pytest.mark.soak)])
def test_clock_torture(steps, seed):
    """Steps of 1 s to 20 years, a frozen clock, a boot in 1970, spans without synchronisation, sleep."""

    async def scenario():
        life = Life()
        await life.run(steps, seed)
        return life

    life = virtual_time.run(scenario())
    raw = [record for record in life.records if record.stream == "raw"]
    for name, period_s in PERIODS_S.items():
        assert max(b - a for a, b in pairwise(life.polls[name])) <= 2 * period_s
        mine = [record for record in raw if record.device == name]
        assert len(mine) == len(life.polls[name])  # none lost, none dead
        assert len({record.t_ms for record in mine}) == len(mine)
    assert all(BUILD_MS <= record.t_ms <= HORIZON_MS for record in life.records)
    assert worst_error_s(raw, life.held_s) < 1.0
    issued = set()
    newest = {}
    for record in life.records:
        if record.stream not in LENGTHS_S:
            continue
        assert 0 < record.body.end_ms - record.t_ms <= LENGTHS_S[record.stream] * 1000
        assert (record.device, record.stream, record.t_ms, record.rev) not in issued
        issued.add((record.device, record.stream, record.t_ms, record.rev))
        newest[record.device, record.stream, record.t_ms] = record.body.n
    for name in PERIODS_S:
        mine = [record.t_ms for record in raw if record.device == name]
        starts = {t_ms // 60_000 * 60_000 for t_ms in mine}
        missing = {t_ms for t_ms in starts if (name, "1m", t_ms) not in newest}
        assert missing <= {mine[-1] // 60_000 * 60_000}  # the one that is open
        hours = [t_ms for device, stream, t_ms in newest if (device, stream) == (name, "1h")]
        assert max(t_ms for t_ms in hours if t_ms <= max(mine)) >= mine[-1] - 2 * 3_600_000 - 5000  # not stuck
    counted = sum(n for (_, stream, _), n in newest.items() if stream == "1m")
    lost = len(raw) - counted - life.windows.too_late
    assert 0 <= lost <= sum(61 / s for s in PERIODS_S.values())  # those of the last minute, which is open
    assert life.windows.too_late == 0
    print(f"{steps} steps: {len(raw)} polls, {len(newest)} windows, {life.windows.too_late} readings too late for "
          f"theirs, back-dated to within {worst_error_s(raw, life.held_s):.3f} s")  # fmt: skip


def worst_error_s(raw, spans):
    """The largest error of a time that was given afterwards: values tell the truth."""
    held = [r for r in raw if any(low <= r.body.values[0] < high for low, high in spans)]
    assert held
    return max(abs((r.t_ms - T0) / 1000 - r.body.values[0]) for r in held)
