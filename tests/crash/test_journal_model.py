"""I1 to I7 as a model: random use, crashes and faults in any order, each against what was promised; then liveness."""

import errno
import random

import hypothesis.strategies as st
import pytest
from crash.journal_model import History, opened, read_all, run
from crash.simulated_disk import VARIANTS, SimDisk
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.journal.errors import CommitFailed, JournalFull

pytestmark = pytest.mark.crash


class JournalMachine(RuleBasedStateMachine):
    """One journal on one disk, with a caller who keeps promises and counts."""

    @initialize(seed=st.integers(0, 1 << 16))
    def begin(self, seed):
        self.rng = random.Random(seed)
        self.disk, self.history, self.serial = SimDisk(), History(), 0
        self.disk.rng = self.rng
        self.broken = False
        self.journal = opened(self.disk)

    @rule(kind=st.integers(0, 8), size=st.sampled_from((0, 1, 30, 100, 400)), count=st.integers(1, 6))
    def append(self, kind, size, count):
        for _ in range(count):
            try:
                self.history.append(self.journal, kind, self.rng.randbytes(size))
            except JournalFull:
                return

    @rule(name=st.sampled_from(("a", "b", "sink:city")))
    def mark(self, name):
        self.serial += 1
        self.history.mark(self.journal, name, self.serial)

    @rule()
    def commit(self):
        while self.journal.full and self.journal.oldest_segment():
            self.journal.drop_oldest()
            self.history.promise.first = self.journal.first
        try:
            run(self.journal.commit())
        except CommitFailed:
            assert self.broken
        else:
            assert self.journal.committed == self.journal.next
            self.history.promised(self.journal)

    @rule()
    def drop(self):
        first = self.journal.first
        dropped = [entry.position for entry in self.journal.drop_oldest() if entry.kind != 9]
        if dropped:
            assert self.journal.first > dropped[-1]
            missing = set(range(first, self.journal.first)) - set(dropped)
            assert missing <= self.history.lost | self.history.promise.loose
        self.history.promise.first = self.journal.first

    @rule()
    def seal(self):
        self.journal._shelf.seal_next()

    @rule(level=st.integers(1, 2))
    def thin(self, level):
        gone = self.history.thin(self.journal, level)
        kept = {entry.position for entry in read_all(self.journal)}
        assert not kept & {entry.position for entry in gone or ()}

    @rule(code=st.sampled_from((errno.EIO, errno.ENOSPC, errno.EROFS)), rate=st.sampled_from((0.1, 1.0)))
    def disk_fails(self, code, rate):
        writing = {"write", "sync", "create", "open", "rename", "remove", "sync_folder"}
        self.disk.fault = lambda op, name: code if op in writing and self.rng.random() < rate else None
        self.broken = True

    @precondition(lambda self: self.broken)
    @rule()
    def disk_heals(self):
        self.disk.fault, self.broken = None, False

    @rule()
    def close(self):
        try:
            run(self.journal.close())
        except CommitFailed:
            assert self.broken
        else:
            self.history.promised(self.journal)
        self.disk.lock()
        self.reopen(self.disk.kill())

    @rule()
    def killed(self):
        self.reopen(self.disk.kill())

    @rule(variant=st.sampled_from(VARIANTS))
    def power_cut(self, variant):
        self.reopen(self.disk.power_cut(variant, self.rng))

    def reopen(self, disk):
        self.disk, self.broken = disk, False
        self.disk.rng = self.rng
        self.journal = opened(self.disk)
        self.history.reopened(self.journal)

    @invariant()
    def nothing_is_lost_or_invented(self):
        if hasattr(self, "journal"):
            self.history.check(self.journal)
            assert self.journal.size_bytes <= self.journal.cap_bytes

    @rule(limit_bytes=st.sampled_from((1, 100, 1000)), share=st.floats(0, 1))
    def read_in_chunks(self, limit_bytes, share):
        start = int(self.journal.next * share)
        whole = [e for e in read_all(self.journal) if e.position >= start]
        assert read_all(self.journal, start=start, limit_bytes=limit_bytes) == whole

    def teardown(self):
        """Liveness: when the disk is well, one commit is enough, and a reader drains the journal to its end."""
        if not hasattr(self, "journal"):
            return
        self.disk.fault, self.broken = None, False
        self.commit()
        position = self.journal.append(1, b"the end")
        run(self.journal.commit())
        assert read_all(self.journal, limit_bytes=200)[-1].position == position
        run(self.journal.close())
        assert self.disk.open_files == 0


class TestModel(JournalMachine.TestCase):
    settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.soak
@pytest.mark.timeout(7200)
class TestModelLong(JournalMachine.TestCase):
    settings = settings(
        max_examples=10_000, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
    )
