"""A traffic sensor's interval is delivered once, whatever happens to the daemon between."""

import asyncio

import pytest
import sim_bench
import virtual_time
from crash.simulated_disk import Inline, SimDisk
from made_records import series

from drivers.profile import load
from drivers.sample import Code
from drivers.uart.polled import PolledStream, Wire
from gateway.heard import MOST_PARTS, Heard
from gateway.journal.log import open_journal
from gateway.poller import PolledWire, Station

LENGTH_S = {"wavetronix-ss125": 5, "wavetronix-ss105": 30, "iss-rtms-g4": 30}
PARTS = ("lane1", "lane2", "lane3", "lane4")


class Life:
    """One run of a daemon's wire over a journal, until it ends or is killed."""

    def __init__(self, disk, name, device):
        self.journal = open_journal(disk, executor=Inline())
        self.taken = []
        self.hurries = 0
        bench = sim_bench.facing(device)
        polled = PolledStream(Wire(bench), load(name), parts=PARTS)
        self.device = polled
        station = Station("radar", 5.0, {part: series(f"radar-{part}") for part in PARTS}, polled)
        self.wire = PolledWire("w", way=bench, stations=[station], take=self.take, say=lambda *_: None)
        self.heard = Heard(self.journal, [self.wire], hurry=self.hurry)

    def take(self, one, sample):
        if sample.codes[0] < 200:
            self.taken.append((one.id, asyncio.get_running_loop().time()))

    def hurry(self):
        self.hurries += 1

    async def live(self, *, seconds, commit=True):
        loop = asyncio.get_running_loop()
        end_s = loop.time() + seconds
        while loop.time() < end_s:
            self.wire.deliver(self.wire.stations[0], await self.device.poll())
            if commit:
                self.heard.mark()
                await self.journal.commit()
            await asyncio.sleep(5.0)
        if commit:
            await self.journal.close()


@pytest.mark.parametrize("name", ["wavetronix-ss125", "wavetronix-ss105", "iss-rtms-g4"])
def test_an_interval_counts_once_over_restarts(name):
    device, _ = sim_bench.made(name)
    disk, lives = SimDisk(), []

    async def scenario():
        for _ in range(5):
            lives.append(Life(disk, name, device))
            await lives[-1].live(seconds=11.0)

    virtual_time.run(scenario())
    taken = [one for life in lives for one in life.taken]
    intervals = {(part, at_s // LENGTH_S[name]) for part, at_s in taken}
    assert len(intervals) == len(taken) >= 4
    assert sum(bool(life.taken) for life in lives) > 1 or LENGTH_S[name] > 5
    assert all(life.hurries for life in lives if life.taken)


def test_what_an_interval_was_is_forgotten_with_the_records_that_were_not_committed():
    """Killed between the mark and its commit: the next life asks for the interval again."""
    device, _ = sim_bench.made("wavetronix-ss105")

    async def scenario():
        lives, disk = [], SimDisk()
        for _ in range(2):
            lives.append(Life(disk, "wavetronix-ss105", device))
            await lives[-1].live(seconds=1.0, commit=False)
            lives[-1].heard.mark()
            disk = disk.kill()
        return lives

    lives = virtual_time.run(scenario())
    assert {part for part, _ in lives[0].taken} == {part for part, _ in lives[1].taken} != set()


def test_an_interval_that_never_changes_after_a_restart_becomes_stale():
    async def scenario():
        device, _ = sim_bench.made("wavetronix-ss105")
        device.device.frozen_s = sim_bench.NOON_S
        one = PolledStream(Wire(sim_bench.facing(device)), load("wavetronix-ss105"), parts=PARTS)
        assert await one.poll()
        two = PolledStream(Wire(sim_bench.facing(device)), load("wavetronix-ss105"), parts=PARTS)
        two.seen.update(one.seen)
        assert await two.poll() == ()
        await asyncio.sleep(100.0)
        return await two.poll()

    assert {code for sample in virtual_time.run(scenario()) for code in sample.codes} == {Code.STALE}


def test_the_mark_is_bounded():
    device, _ = sim_bench.made("wavetronix-ss105")
    life = Life(SimDisk(), "wavetronix-ss105", device)
    life.device.seen.update({f"lane{n}": "x" for n in range(500)})
    life.heard.mark()
    assert len(life.heard._now()["radar"]) == MOST_PARTS


def test_the_parts_heard_last_are_the_ones_kept():
    device, _ = sim_bench.made("wavetronix-ss105")
    life = Life(SimDisk(), "wavetronix-ss105", device)
    life.device.seen.update({f"lane{n}": "x" for n in range(5, 500)} | dict.fromkeys(PARTS, "y"))
    life.device.seen.update({f"lane{n}": "x" for n in range(500, 600)})
    virtual_time.run(life.device.poll())
    assert set(PARTS) <= set(life.heard._now()["radar"])
