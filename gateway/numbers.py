"""Times and numbers: no (device, stream, t, rev) is issued twice, whatever the clock does, over restarts too.

A time above everything issued so far is free. After a step back of the clock (or a start with an earlier clock) it may
not be: then the journal is asked for what was issued around there (gateway.issued), and the next free millisecond is
taken. Sequence numbers rise by one per device and stream in each epoch; the last ones are a journal mark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from gateway.codec import EVENT, RAW, WINDOW, Codec, UnknownSchema
from gateway.issued import Issued
from gateway.journal import Journal
from gateway.reading import Aggregate
from gateway.record import Record

MARK: Final = "numbers"
NEAR_MS: Final = 1000  # two records of nearly the same moment keep their order: the later one gets the next free time
FIRSTS: Final = 1000  # windows of one device and stream that can still be amended: an hour and ten minutes of 5 s
MARK_EVERY: Final = 512  # entries: a start reads what came after the mark, so it need not be written with each commit
LINES_MAX: Final = 4096  # of devices that are gone, the longest ago are forgotten beyond

Key = tuple[str, str]


@dataclass(slots=True)
class _Line:
    """One device and stream: the last number of this epoch, and the highest time ever issued (UTC ms)."""

    seq: int = 0
    top_ms: int = -(1 << 62)


class Numbers:
    """Hands out times and sequence numbers for one epoch."""

    def __init__(self, *, journal: Journal, codec: Codec, epoch: str) -> None:
        self.epoch = epoch
        self._journal = journal
        self._codec = codec
        self._lines: dict[Key, _Line] = {}
        self._issued = Issued(journal, codec)
        self._before: dict[Key, tuple[str, int]] = {}
        self._firsts: dict[Key, dict[int, tuple[str, int]]] = {}
        self._marked = -1
        upto = self._recall(journal.marks)
        self._catch_up(upto)

    def _recall(self, marks: Mapping[str, bytes]) -> int:
        blob = marks.get(MARK)
        if blob is None:
            return self._journal.next
        _version, epoch, lines, before, upto = msgspec.msgpack.decode(blob)
        self._before = {_key(name): (last[0], last[1]) for name, last in before.items()}
        for name, (seq, top_ms) in lines.items():
            self._lines[_key(name)] = _Line(0, top_ms)
            if seq:
                self._before[_key(name)] = (epoch, seq)
        return int(upto)

    def _catch_up(self, upto: int) -> None:
        """Entries that a torn commit kept behind its marks: they were issued too."""
        at = max(upto, self._journal.first)
        while at < self._journal.next and (entries := self._journal.read(at, limit_bytes=1 << 20)):
            for entry in entries:
                record = self._decoded(entry.kind, entry.payload)
                if record is not None:
                    line = self._line((record.device, record.stream))
                    line.top_ms = max(line.top_ms, record.t_ms)
                    if not record.rev:
                        self._before[record.device, record.stream] = (record.epoch, record.seq)
            at = entries[-1].position + 1

    def _line(self, key: Key) -> _Line:
        found = self._lines.get(key)
        if found is None:
            found = self._lines[key] = _Line()
        return found

    def free(self, device: str, stream: str, *, t_ms: int) -> int:
        """The time itself where nobody has it yet, else the next free millisecond."""
        key = device, stream
        top_ms = self._line(key).top_ms
        if t_ms > top_ms:
            return t_ms
        if t_ms > top_ms - NEAR_MS:
            return top_ms + 1
        while self._issued.has(key, t_ms):
            t_ms += 1
        return t_ms

    def taken(self, device: str, stream: str, *, t_ms: int) -> bool:
        """Whether a record of this device and stream with this time was issued already."""
        key = device, stream
        if t_ms > self._line(key).top_ms:
            return False
        return self._issued.has(key, t_ms)

    def _decoded(self, kind: int, payload: bytes) -> Record | None:
        if kind not in {RAW, WINDOW, EVENT}:
            return None
        try:
            return self._codec.decode(kind, payload)
        except UnknownSchema:
            return None

    def peek(self, device: str, stream: str, *, t_ms: int, rev: int) -> tuple[str, int, tuple[str, int] | None]:
        """Epoch and number that the next record gets, and `prev` for the first of an epoch.

        An amended one has those of its first issue: it replaces that record as a whole, and no number goes missing.
        Where that is not known any more it gets a number of its own, never that of another record.
        """
        key = device, stream
        line = self._line(key)
        first = self._firsts.get(key, {}).get(t_ms) if rev else None
        if first is not None:
            return *first, None
        return self.epoch, line.seq + 1, self._before.get(key) if line.seq == 0 else None

    def first_issue(self, record: Record) -> None:
        """Remember epoch and number of a window record, for amendments of it."""
        firsts = self._firsts.setdefault((record.device, record.stream), {})
        firsts[record.t_ms] = record.epoch, record.seq
        if len(firsts) > FIRSTS:
            del firsts[next(iter(firsts))]

    def _unknown(self, record: Record) -> bool:
        return record.t_ms not in self._firsts.get((record.device, record.stream), {})

    def issue(self, record: Record) -> None:
        """The record is in the journal: its number and time are taken."""
        key = record.device, record.stream
        line = self._line(key)
        if record.epoch == self.epoch:  # an amendment of before has the number of then
            line.seq = max(line.seq, record.seq)
        if isinstance(record.body, Aggregate) and (not record.rev or self._unknown(record)):
            self.first_issue(record)
        self._issued.add(record)
        line.top_ms = max(line.top_ms, record.t_ms)

    def mark(self) -> None:
        """Set the mark where it is due; called before each commit, so it speaks of exactly what is committed."""
        if self._marked >= self._journal.first and self._journal.next - self._marked < MARK_EVERY:
            return
        self._marked = self._journal.next
        self._forget()
        lines = {"/".join(key): (line.seq, line.top_ms) for key, line in self._lines.items()}
        before = {"/".join(key): last for key, last in self._before.items() if not self._line(key).seq}
        self._journal.mark(MARK, msgspec.msgpack.encode([1, self.epoch, lines, before, self._journal.next]))

    def _forget(self) -> None:
        """Lines of devices that say nothing any more, the longest ago first, where there are too many."""
        quiet = sorted((line.top_ms, key) for key, line in self._lines.items() if not line.seq)
        for _, key in quiet[: max(0, len(self._lines) - LINES_MAX)]:
            del self._lines[key]
            self._before.pop(key, None)


def _key(name: str) -> Key:
    device, stream = name.split("/")
    return device, stream


def next_epoch(marks: Mapping[str, bytes], random_hex: str) -> str:
    """The epoch of a new start: the counter of the journal's last one plus one, and four random hex digits."""
    blob = marks.get(MARK)
    count = 0 if blob is None else int(msgspec.msgpack.decode(blob)[1].split("-")[0], 16)
    return f"{(count + 1) & 0xFFFFFFFF:08x}-{random_hex}"
