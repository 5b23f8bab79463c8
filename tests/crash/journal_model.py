"""What must be true of a journal after any crash: the oracle that the crash tests share."""

from __future__ import annotations

import asyncio
import random
import zlib
from dataclasses import dataclass, field

import msgspec
from crash.simulated_disk import Inline, SimDisk

from gateway.journal.errors import NotYet
from gateway.journal.log import Limits, open_journal

PREAMBLE_KIND = 9
SMALL = Limits(segment_bytes=2048, tail_bytes=8192, recent_bytes=300)
CAP = 8 * 2048


class Deflating:
    """A sealer for tests: it knows only bytes."""

    block_bytes = 300

    def seal(self, items):
        return zlib.compress(msgspec.msgpack.encode(list(items)))

    def unseal(self, blob):
        return [(kind, payload) for kind, payload in msgspec.msgpack.decode(zlib.decompress(blob))]

    def span(self, items):
        return min((len(payload) for _, payload in items), default=0), max((len(p) for _, p in items), default=-1)


def importance(entry):
    return entry.kind - 1


def preamble():
    return [(PREAMBLE_KIND, b"series table"), (PREAMBLE_KIND, b"points of the series")]


def opened(disk, *, limits=SMALL, cap_bytes=CAP):
    return open_journal(
        disk,
        cap_bytes=cap_bytes,
        limits=limits,
        preamble=preamble,
        executor=Inline(),
        sealer=Deflating(),
        fresh_uuid=lambda: b"0123456789abcdef",
    )


def run(coroutine):
    """Runs a coroutine that never really waits (everything is inline)."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


def read_all(journal, *, start=0, limit_bytes=1 << 20):
    out, position = [], start
    while entries := journal.read(position, limit_bytes=limit_bytes):
        out += entries
        position = entries[-1].position + 1
    return [entry for entry in out if entry.kind != PREAMBLE_KIND]


@dataclass
class Promise:
    """What had been promised at one moment."""

    first: int = 0  # below: dropped
    committed: int = 0
    marks: dict = field(default_factory=dict)
    loose: set = field(default_factory=set)  # let go of one by one; whether they are still there is not promised


@dataclass
class History:
    """Everything that was ever appended and marked, and the latest promise."""

    appended: dict = field(default_factory=dict)  # position -> set of (kind, payload)
    marked: dict = field(default_factory=dict)  # name -> list of values in order
    promise: Promise = field(default_factory=Promise)
    lost: set = field(default_factory=set)  # positions that an opening named as lost though they were never promised

    def append(self, journal, kind, payload):
        position = journal.append(kind, payload)
        self.appended.setdefault(position, set()).add((kind, payload))
        return position

    def mark(self, journal, name, serial):
        """A mark states its serial and the position that the next entry gets."""
        data = b"%d %d" % (serial, journal.next)
        self.marked.setdefault(name, []).append(data)
        journal.mark(name, data)

    def promised(self, journal):
        self.promise = Promise(journal.first, journal.committed, dict(journal.marks), self.promise.loose)

    def thin(self, journal, level):
        """Let go of the least important entries of the oldest segment that holds some; none where it is too early."""
        try:
            gone = journal.thin(level, importance)
        except NotYet:
            gone = None
        assert all(entry.kind <= level for entry in gone or ())
        self.promise.loose = self.promise.loose | {entry.position for entry in gone or ()}
        return gone

    def reopened(self, journal):
        """After a crash: check; what is read now is promised, with these bytes."""
        entries = self.check(journal)
        self.appended = {entry.position: {(entry.kind, entry.payload)} for entry in entries}
        self.lost |= set(range(journal.first, journal.next)) - set(self.appended)
        for name, data in journal.marks.items():
            self.marked[name] = self.marked[name][self.marked[name].index(data) :][:1]
        self.promised(journal)

    def check(self, journal, *, promise=None, undamaged=True):
        """I1, I2, I3, I4 of an opened journal. With `undamaged`, no promised position may be named by a damage."""
        promise = promise or self.promise
        entries = read_all(journal)
        positions = [entry.position for entry in entries]
        assert positions == sorted(set(positions)), "I1 order"
        for entry in entries:
            assert (entry.kind, entry.payload) in self.appended[entry.position], "I3 invented"
        if undamaged:
            kept = set(positions)
            missing = [p for p in range(promise.first, promise.committed) if p not in kept | self.lost | promise.loose]
            assert not missing, f"I2 lost {missing} of {promise}"
            assert journal.first <= promise.first
            assert journal.next >= promise.committed
        for name, data in promise.marks.items():
            values = self.marked[name]
            assert journal.marks.get(name) in values[values.index(data) :], f"mark {name} went back"
        for name, data in journal.marks.items():
            assert data in self.marked[name], "I3 mark invented"
            assert int(data.split()[1]) <= journal.next, f"I4 {name} is ahead: {data}, next {journal.next}"
        told = {p for d in journal.damages for p in range(d.first, d.last + 1)}
        gaps = set(range(journal.first, journal.next)) - set(positions)
        gaps -= promise.loose
        assert gaps <= told, f"I5 untold {sorted(gaps - told)}"
        return entries


async def workload(journal, history, rng, *, steps, observe=lambda: None, sealing=True):
    """Random use: appends, marks, commits, drops."""
    for serial in range(steps):
        for _ in range(rng.randrange(5)):
            history.append(journal, rng.randrange(1, 4), rng.randbytes(rng.choice((0, 7, 60, 200))))
        if rng.random() < 0.6:
            history.mark(journal, rng.choice(("a", "b", "sink:city")), serial)
        if sealing and rng.random() < 0.2:
            await journal.seal() if rng.random() < 0.05 else journal._shelf.seal_next()
        if sealing and journal.full and rng.random() < 0.5:
            history.thin(journal, rng.randrange(1, 3))
        while journal.full and journal.oldest_segment():
            journal.drop_oldest()
            history.promise.first = journal.first
        if rng.random() < 0.8:
            await journal.commit()
            history.promised(journal)
            observe()


def busy(disk, journal, history, rng):
    """Makes the caller append and mark while a commit waits for the disk, as the event loop does."""

    def meanwhile(op, name):
        if op in {"write", "sync"} and rng.random() < 0.2:
            history.append(journal, 2, rng.randbytes(20))
            history.mark(journal, rng.choice(("a", "sink:city")), 0)

    disk.fault = meanwhile


def fresh(seed):
    disk = SimDisk()
    return disk, History(), random.Random(seed)
