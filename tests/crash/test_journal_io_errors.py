"""I7, I8: ENOSPC, EIO and EROFS at the n-th operation: nothing committed is lost, and it heals when the disk does."""

import errno
import random

import pytest
from crash.journal_model import fresh, opened, run, workload

from gateway.journal.errors import CommitFailed, JournalFull, TooLarge

pytestmark = pytest.mark.crash
CODES = (errno.ENOSPC, errno.EIO, errno.EROFS)
WRITING = {"write", "sync", "create", "open", "rename", "remove", "sync_folder"}


def failing(disk, *, code, first, count):
    """Operations number `first` to `first + count` that write fail; a failed descriptor may never be used again
    (simulated_disk checks that)."""
    seen = iter(range(1 << 30))

    def fault(op, name):
        return code if op in WRITING and first <= next(seen) < first + count else None

    disk.fault = fault


async def stubborn(journal, history, rng, *, steps, observe=lambda: None):
    """The workload of a caller who goes on after a failed commit. Returns how many commits failed."""
    failed = 0
    for _ in range(steps):
        try:
            await workload(journal, history, rng, steps=1, observe=observe)
        except CommitFailed as error:
            sound = error.causes and error.waiting == journal.next - journal.committed
        except JournalFull as error:
            sound = error.waiting_bytes <= error.bound_bytes
        else:
            continue
        assert sound
        failed += 1
    return failed


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_i8_the_nth_operation_fails(code, count):
    rng = random.Random(code * 100 + count)
    failures = 0
    for first in range(60):
        disk, history, _ = fresh(first)
        disk.rng = rng
        failing(disk, code=code, first=first, count=count)
        journal = opened(disk)
        failures += run(stubborn(journal, history, rng, steps=25))
        disk.fault = None
        run(healed(journal, history))
        for after in (disk.power_cut("none", rng), disk.power_cut("subset", rng)):
            history.check(opened(after))
    assert count < 3 or failures > 30


async def healed(journal, history):
    """Without a repair by hand, the first commit after the fault goes through."""
    await journal.commit()
    assert journal.committed == journal.next
    history.promised(journal)
    history.check(journal)
    await journal.close()


@pytest.mark.parametrize("code", CODES)
def test_i8_power_cut_in_the_middle_of_faults(code):
    """A sync that failed has lost its pages in silence; what is promised later must not lean on them."""
    rng = random.Random(code)
    for seed in range(25):
        disk, history, _ = fresh(seed)
        disk.rng = rng
        disk.fault = lambda op, name: code if op in WRITING and rng.random() < 0.08 else None
        journal = opened(disk)
        moments = []
        run(
            stubborn(
                journal, history, rng, steps=25, observe=lambda: moments.append((disk.snapshot(), history.promise))
            )
        )
        assert moments
        for snapshot, promise in moments:
            history.check(opened(snapshot.power_cut("none", rng)), promise=promise)
            killed = snapshot.kill()
            entries = history.check(opened(killed), promise=promise)
            assert history.check(opened(killed.power_cut("none", rng)), promise=promise) == entries


def test_i7_memory_is_bounded_while_the_disk_is_dead():
    disk, history, _ = fresh(1)
    journal = opened(disk)
    disk.fault = lambda op, name: errno.EIO if op in WRITING else None

    async def flood():
        with pytest.raises(JournalFull):
            while True:
                history.append(journal, 1, bytes(100))
                if journal.next % 10 == 0:
                    with pytest.raises(CommitFailed, match="Input/output error"):
                        await journal.commit()
        assert len(journal.read(0, limit_bytes=1 << 20)) == journal.next
        disk.fault = None
        await healed(journal, history)

    run(flood())


def test_i7_the_cap_holds_and_is_told():
    disk, history, _ = fresh(2)
    journal = opened(disk)

    async def fill():
        with pytest.raises(CommitFailed, match="cap") as caught:
            while True:
                history.append(journal, 1, bytes(100))
                await journal.commit()
        assert caught.value.causes == ()
        assert journal.full
        assert journal.size_bytes <= journal.cap_bytes
        history.promised(journal)
        first = journal.first
        dropped = journal.drop_oldest()
        assert [e.position for e in dropped if e.kind == 1] == list(range(first, journal.first))
        await journal.commit()
        assert journal.size_bytes <= journal.cap_bytes
        assert sum(len(inode.live) for name, inode in disk.live.items() if name != "identity") <= journal.cap_bytes

    run(fill())


def test_i7_a_dropped_segment_returns_unless_the_commit_after_it_came():
    disk, history, rng = fresh(3)
    journal = opened(disk)
    run(workload(journal, history, rng, steps=15))
    first = journal.first
    assert journal.drop_oldest()
    assert opened(disk.power_cut("all", rng)).first == first
    run(journal.commit())
    assert opened(disk.power_cut("all", rng)).first == journal.first > first


def test_i7_what_leaves_no_room_for_others_is_refused():
    journal = opened(fresh(4)[0])
    with pytest.raises(TooLarge, match="entry of 524 bytes, 512 are allowed"):
        journal.append(1, bytes(500))
    with pytest.raises(TooLarge, match="marks"):
        for number in range(20):
            journal.mark(f"mark {number}", bytes(20))
    for kind in (-1, 65536):
        with pytest.raises(ValueError, match="outside"):
            journal.append(kind, b"")
    for name in ("", "x" * 256):
        with pytest.raises(ValueError, match="name"):
            journal.mark(name, b"")
    assert journal.next == 0


def test_i7_idle_commits_touch_no_disk():
    disk, _, _ = fresh(5)
    journal = opened(disk)
    journal.append(1, b"x")
    journal.mark("cursor", b"1")
    run(journal.commit())
    before = disk.ops
    for _ in range(10):
        journal.mark("cursor", b"1")
        run(journal.commit())
    assert disk.ops == before


def test_i2_what_comes_during_a_commit_waits_for_the_next():
    disk, _, rng = fresh(6)
    journal = opened(disk)
    journal.append(1, b"first")
    journal.mark("cursor", b"old")

    def meanwhile(op, name):
        if op == "sync":
            disk.fault = None
            journal.append(1, b"second")
            journal.mark("cursor", b"new")

    run(journal.commit())
    journal.append(1, b"third")
    journal.mark("cursor", b"older")
    disk.fault = meanwhile
    run(journal.commit())
    assert (journal.committed, journal.next) == (2, 3)
    assert journal.marks == {"cursor": b"older"}
    run(journal.commit())
    assert journal.committed == 3
    assert opened(disk.power_cut("none", rng)).marks == {"cursor": b"new"}


def test_i7_segments_that_never_held_a_commit_do_not_pile_up():
    """A disk that takes a new segment's header and refuses what follows."""
    disk, history, _ = fresh(7)
    journal = opened(disk)
    run(journal.commit())
    writes = {}

    def fault(op, name):
        if op in {"open", "create"}:
            writes[name] = 0 if op == "open" else -100
        if op == "write":
            writes[name] += 1
            return errno.EIO if writes[name] == 2 else None
        return None

    disk.fault = fault

    async def keep_trying():
        history.append(journal, 1, b"patient")
        for _ in range(20):
            with pytest.raises(CommitFailed, match="Input/output"):
                await journal.commit()
            assert journal.size_bytes <= 2 * 2048
            assert len([name for name in disk.live if name.endswith(".seg")]) <= 2
        disk.fault = None
        await healed(journal, history)

    run(keep_trying())
