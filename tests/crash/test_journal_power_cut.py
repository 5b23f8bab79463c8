"""I2, I3, I4: crash-state replay. At every operation the power goes in several ways; what was promised is there."""

import random
from copy import deepcopy

import pytest
from crash.journal_model import busy, fresh, opened, run, workload
from crash.simulated_disk import VARIANTS

pytestmark = pytest.mark.crash


def record(seed, steps):
    """One run of a journal, with a snapshot of disk and promise after every operation on the disk."""
    disk, history, rng = fresh(seed)
    moments = []
    disk.watch = lambda: moments.append((disk.snapshot(), deepcopy(history.promise)))
    journal = opened(disk)
    busy(disk, journal, history, rng)
    run(workload(journal, history, rng, steps=steps, sealing=seed % 2 == 0))
    assert disk.open_files == 1
    return history, moments


async def goes_on(journal, history):
    """Liveness: after any crash the journal takes, commits and reads further entries."""
    position = journal.append(1, b"after the crash")
    journal.mark("after", b"x")
    await journal.commit()
    assert journal.committed == position + 1
    assert journal.read(position, limit_bytes=1)[-1].payload == b"after the crash"
    await journal.close()


def replay(seed, steps, *, every=1):
    history, moments = record(seed, steps)
    rng = random.Random(seed)
    states = 0
    for number, (disk, promise) in enumerate(moments):
        for variant in VARIANTS:
            after = disk.power_cut(variant, rng)
            journal = opened(after)
            history.check(journal, promise=promise)
            states += 1
            if (number + states) % every == 0:
                run(goes_on(journal, history))
                twice = opened(after.power_cut("none", rng))
                assert twice.committed == journal.committed
                assert twice.marks["after"] == b"x"
                states += 1
    return states


@pytest.mark.parametrize("seed", range(18))
def test_i2_no_promise_is_broken_by_a_power_cut(seed):
    assert replay(seed, 60, every=7) > 500


@pytest.mark.soak
def test_i2_half_a_million_power_cuts():
    states, seed = 0, 1000
    while states < 500_000:
        states += replay(seed, 150, every=7)
        seed += 1


@pytest.mark.parametrize("seed", range(4))
def test_i2_killed_then_cut(seed):
    """What a killed process left in the page cache is read as committed; then it must be on disk."""
    history, moments = record(seed, 40)
    rng = random.Random(seed)
    for disk, promise in moments:
        journal = opened(survivor := disk.kill())
        entries = history.check(journal, promise=promise)
        after = opened(survivor.power_cut("none", rng))
        assert history.check(after, promise=promise) == entries
        assert after.marks == journal.marks
