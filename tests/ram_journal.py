"""A journal in memory, for tests of what stands above it: the same interface, no disk, crashes on request."""

from bisect import bisect_left
from itertools import islice
from operator import attrgetter

from gateway.journal import Entry


class RamJournal:
    def __init__(self, segment=1 << 30):
        self.entries = []
        self.first = 0
        self.next = 0
        self.committed = 0
        self.marks = {}
        self.damages = ()
        self.size_bytes = 0
        self.cap_bytes = 1 << 30
        self.full = False
        self.reverted = False
        self._pending = {}
        self._segment = segment

    def append(self, kind, payload):
        self.entries.append(Entry(self.next, kind, payload))
        self.next += 1
        return self.next - 1

    def mark(self, name, data):
        self._pending[name] = data

    async def commit(self):
        self.commit_now()

    def commit_now(self):
        self.marks = {name: data for name, data in {**self.marks, **self._pending}.items() if data}
        self._pending = {}
        self.committed = self.next

    def seek(self, stamp):
        return self.first

    def thin(self, level, importance):
        return None

    def read(self, start, *, limit_bytes, between=None, kinds=None):
        found, size = [], 0
        begin = bisect_left(self.entries, start, key=attrgetter("position"))  # positions may have holes
        for entry in islice(self.entries, begin, None):
            found.append(entry)
            size += len(entry.payload)
            if size >= limit_bytes:
                break
        return found

    def drop_oldest(self):
        self.first = min(self.first + self._segment, self.next)
        gone = tuple(entry for entry in self.entries if entry.position < self.first)
        self.entries = self.entries[len(gone) :]
        return gone

    def oldest_segment(self):
        return None

    async def close(self):
        self.commit_now()

    def crash(self):
        """Everything that was not committed is gone."""
        self.entries = [entry for entry in self.entries if entry.position < self.committed]
        self.next = self.committed
        self._pending = {}
