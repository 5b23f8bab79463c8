"""Wires on virtual time: due times, fairness, lost wires, silent devices, technicians' reads."""

import asyncio
from collections import Counter
from itertools import pairwise
from math import isnan

import pytest
from made_records import series

from drivers.errors import LinkLost
from drivers.sample import Code, Sample
from firmware_sims import virtual_time
from gateway.poller import PolledWire, PushWire, Station


class Taken(list):
    def __call__(self, one, sample):
        self.append((asyncio.get_running_loop().time(), one.id, sample))

    def of(self, name):
        return [(t, sample) for t, ident, sample in self if ident == name]


class FakeWay:
    endpoint = "fake"

    def __init__(self, *, broken=False):
        self.broken = broken
        self.opened = 0

    async def open(self):
        if self.broken:
            raise LinkLost("gone", endpoint=self.endpoint)
        self.opened += 1

    async def close(self):
        pass


class FakeDevice:
    def __init__(self, way, cost_s=0.01):
        self.way, self.cost_s, self.busy = way, cost_s, 0

    async def poll(self):
        assert not self.busy, "two polls of one wire at once"
        self.busy = 1
        await asyncio.sleep(self.cost_s)
        self.busy = 0
        if self.way.broken:
            raise LinkLost("gone", endpoint="fake")
        return (Sample(round(asyncio.get_running_loop().time() * 1e9), (1.0, 2.0), (0, 0)),)


def polled(*, names=("a", "b"), every_s=1.0, costs=None, way=None):
    way = way or FakeWay()
    said, taken = [], Taken()
    stations = [
        Station(name, every_s, {"": series(name)}, FakeDevice(way, (costs or {}).get(name, 0.01))) for name in names
    ]
    wire = PolledWire("w", way=way, stations=stations, take=taken, say=lambda *what: said.append(what))
    return wire, taken, said, way


async def live(wire, seconds, acts=()):
    wire.start_grid(wall_ms=0)
    task = asyncio.create_task(wire.run())
    for at_s, act in acts:
        await asyncio.sleep(at_s)
        act()
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_every_device_is_polled_once_a_period_a_quarter_behind_the_slot():
    wire, taken, _said, _way = polled()
    virtual_time.run(live(wire, 100.0))
    for name in "ab":
        times = [t for t, _ in taken.of(name)]
        assert len(times) == 100
        assert all(0.2 <= t % 1.0 <= 0.35 for t in times)


def test_overload_is_shared_and_counted_never_caught_up():
    wire, taken, _said, _way = polled(names=("a", "b", "c"), costs={"a": 0.5, "b": 0.5, "c": 0.5})
    virtual_time.run(live(wire, 300.0))
    counts = Counter(name for _, name, _ in taken)
    assert max(counts.values()) - min(counts.values()) <= 2
    assert sum(counts.values()) == pytest.approx(600, abs=4)
    assert all(station.missed >= 90 for station in wire.stations)
    times = [t for t, _ in taken.of("a")]
    assert min(b - a for a, b in pairwise(times)) > 0.99  # no storm


def test_a_lost_wire_fails_on_time_says_so_once_and_comes_back():
    wire, taken, said, way = polled()
    acts = [(10.0, lambda: setattr(way, "broken", True)), (20.0, lambda: setattr(way, "broken", False))]
    virtual_time.run(live(wire, 20.0, acts))
    absent = [(t, sample) for t, sample in taken.of("a") if sample.codes[0] == Code.ABSENT]
    assert 18 <= len(absent) <= 26
    assert all(isnan(value) for _, sample in absent for value in sample.values)
    assert [state for _, _, state, _ in said] == ["raised", "cleared"]
    assert [sample.codes[0] for _, sample in taken.of("a")][-10:] == [0] * 10


class GoneLater(FakeDevice):
    """Answers once; the second poll takes long, and its wire is lost meanwhile."""

    polls = 0

    async def poll(self):
        self.polls += 1
        self.cost_s = 15.0 if self.polls > 1 else 0.01
        self.way.broken = self.polls > 1
        return await super().poll()


def test_a_wire_lost_while_nobody_waits_for_the_technicians_read_any_more_is_told_at_once():
    way, said, states = FakeWay(), [], []
    station = Station("a", 1000.0, {"": series("a")}, GoneLater(way))
    wire = PolledWire("w", way=way, stations=[station], take=Taken(), say=lambda *what: said.append(what))

    async def scenario():
        wire.start_grid(wall_ms=0)
        station.due_s = 0.0
        task = asyncio.create_task(wire.run())
        await asyncio.sleep(1.0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wire.ask(station), 10.0)
        await asyncio.sleep(5.05)
        states.append((wire.state, task.done(), [what[1:3] for what in said]))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(scenario())
    assert states == [("down", False, [("CG-BUS-01", "raised")])]


def test_what_nobody_waits_for_any_more_is_not_asked():
    wire, taken, _said, _way = polled(names=("slow", "b"), every_s=1000.0, costs={"slow": 20.0})

    async def scenario():
        wire.start_grid(wall_ms=0)
        task = asyncio.create_task(wire.run())
        await asyncio.sleep(0.1)
        asks = [asyncio.create_task(wire.ask(station)) for station in wire.stations]
        await asyncio.sleep(10.0)
        asks[1].cancel()
        await asyncio.sleep(30.0)
        task.cancel()
        await asyncio.gather(task, *asks, return_exceptions=True)

    virtual_time.run(scenario())
    assert len(taken.of("slow")) == 1
    assert not taken.of("b")


def test_a_technicians_read_goes_between_polls():
    wire, taken, _said, _way = polled()

    async def scenario():
        wire.start_grid(wall_ms=0)
        task = asyncio.create_task(wire.run())
        await asyncio.sleep(5.5)
        before = len(taken)
        samples = await wire.ask(wire.stations[1])
        assert samples[0].values == (1.0, 2.0)
        assert len(taken) == before + 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(scenario())


class FakeLink(FakeWay):
    """Frames come every `every_s` until `until_s`."""

    def __init__(self, every_s=1.0, until_s=1e9):
        super().__init__()
        self.every_s, self.until_s = every_s, until_s

    async def write(self, data):
        pass

    async def read(self, timeout_s):
        loop = asyncio.get_running_loop()
        if loop.time() >= self.until_s or timeout_s < self.every_s:
            await asyncio.sleep(timeout_s)
            return b"", loop.time()
        await asyncio.sleep(self.every_s)
        return b"frame", loop.time()


class FakeSpeaker:
    def start(self):
        return ()

    def feed(self, data, t_mono_ns):
        return (Sample(t_mono_ns, (1.0, 2.0), (0, 0)), Sample(t_mono_ns, (3.0, 4.0), (0, 0), "lane9"))


@pytest.mark.parametrize("every_s", [1.0, 0.15])
def test_a_silent_speaker_gives_stale_samples_on_time(every_s):
    taken = Taken()
    station = Station("pm", every_s, {"": series("pm")}, FakeSpeaker())
    link = FakeLink(every_s, until_s=1000.0 + 20.0)
    wire = PushWire("w", link=link, stations=[station], take=taken, say=lambda *what: None)
    undeclared = []
    wire.undeclared = lambda station, part: undeclared.append(part)
    virtual_time.run(live(wire, 60.0))
    good = [t for t, sample in taken.of("pm") if sample.codes[0] == 0]
    stale = [t for t, sample in taken.of("pm") if sample.codes[0] == Code.STALE]
    assert max(good) <= 1021.0
    assert min(stale) >= max(good) + 2.0
    assert len(stale) == pytest.approx((1060.0 - min(stale)) / every_s, abs=3)
    assert undeclared == ["lane9"]
    assert station.undeclared["lane9"] == len(good)
