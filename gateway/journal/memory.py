"""The log's part in memory: what waits for the next commit, and what recently went to disk, for readers close behind.

Safe for the two threads that share it (event loop and commit); its lock is never held over a disk operation.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

from gateway.journal import Entry
from gateway.journal.errors import JournalFull, TooLarge
from gateway.journal.segment import KIND_MAX, RECORD_BYTES

NAME_BYTES: Final = 255


class Memory:
    """Entries [first, next): committed ones up to `recent_bytes`, then those that wait, up to `tail_bytes`.

    Bounds are bytes with the record's overhead. `committed` and `marks` are what is on disk.
    """

    def __init__(self, *, segment_bytes: int, tail_bytes: int, recent_bytes: int) -> None:
        self._part_bytes, self._tail_bytes, self._recent_max = segment_bytes // 4, tail_bytes, recent_bytes
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._dirty: dict[str, bytes] = {}
        self._waiting_bytes = self._recent_bytes = self._marks_bytes = 0
        self.next = self.committed = 0
        self.marks: Mapping[str, bytes] = {}

    def begin(self, position: int, marks: Mapping[str, bytes]) -> None:
        """Where an opening found the log's end."""
        self.next = self.committed = position
        self.marks = marks
        self._marks_bytes = marks_bytes(marks)

    def append(self, kind: int, payload: bytes) -> int:
        """Raises JournalFull, TooLarge, and ValueError for a kind outside 0..65535."""
        if not 0 <= kind <= KIND_MAX:
            raise ValueError(f"kind {kind} is outside 0..{KIND_MAX}")
        size = len(payload) + RECORD_BYTES
        if size > self._part_bytes:
            raise TooLarge("entry", size_bytes=size, bound_bytes=self._part_bytes)
        with self._lock:
            if self._waiting_bytes + size > self._tail_bytes:
                raise JournalFull(self._waiting_bytes, self._tail_bytes)
            position = self.next
            self._entries.append(Entry(position, kind, payload))
            self._waiting_bytes += size
            self.next = position + 1
        return position

    def mark(self, name: str, data: bytes) -> None:
        """Raises TooLarge, and ValueError for a name of no or more than 255 bytes."""
        if not 0 < len(name.encode()) <= NAME_BYTES:
            raise ValueError(f"a mark's name takes 1 to {NAME_BYTES} bytes: {name!r}")
        with self._lock:
            current = self._dirty.get(name, self.marks.get(name))
            if current == data:
                return
            grown = self._marks_bytes + marks_bytes({name: data})
            grown -= 0 if current is None else marks_bytes({name: current})
            if grown > self._part_bytes:
                raise TooLarge("marks", size_bytes=grown, bound_bytes=self._part_bytes)
            self._dirty[name], self._marks_bytes = data, grown

    def read(self, start: int, room: int) -> tuple[list[Entry], int]:
        """Entries from `start` on until their payloads reach `room`, and the oldest position held here.

        No entries where `start` is older than that (read the disk) or not appended yet.
        """
        with self._lock:
            first = self.next - len(self._entries)
            begin = end = start - first
            if begin < 0:
                return [], first
            while end < len(self._entries) and room > 0:
                room -= len(self._entries[end].payload)
                end += 1
            return self._entries[begin:end], first

    @property
    def first(self) -> int:
        """The oldest position that is held here."""
        with self._lock:
            return self.next - len(self._entries)

    def waiting(self) -> tuple[list[Entry], dict[str, bytes]]:
        """Entries and marks that are not on disk, of one moment."""
        with self._lock:
            return self._entries[len(self._entries) - (self.next - self.committed) :], dict(self._dirty)

    def settle(self, entries: list[Entry], marks: Mapping[str, bytes]) -> None:
        """These, the oldest that waited, are on disk now."""
        size = sum(len(entry.payload) + RECORD_BYTES for entry in entries)
        with self._lock:
            self.committed += len(entries)
            self.marks = {name: data for name, data in {**self.marks, **marks}.items() if data}
            self._dirty = {name: data for name, data in self._dirty.items() if marks.get(name) is not data}
            self._marks_bytes = marks_bytes({**self.marks, **self._dirty})
            self._waiting_bytes -= size
            self._recent_bytes += size
            cut, committed = 0, len(self._entries) - (self.next - self.committed)
            while cut < committed and self._recent_bytes > self._recent_max:
                self._recent_bytes -= len(self._entries[cut].payload) + RECORD_BYTES
                cut += 1
            del self._entries[:cut]


def marks_bytes(marks: Mapping[str, bytes]) -> int:
    """What marks take in a segment."""
    return sum(RECORD_BYTES + 1 + len(name.encode()) + len(data) for name, data in marks.items())


def fit(waiting: list[Entry], marks: Mapping[str, bytes], *, room_bytes: int) -> tuple[int, bool]:
    """How many entries fit into a segment, and whether the marks do behind all of them (with the commit's note)."""
    room_bytes, count = room_bytes - RECORD_BYTES, 0
    for entry in waiting:
        room_bytes -= len(entry.payload) + RECORD_BYTES
        if room_bytes < 0:
            return count, False
        count += 1
    return count, room_bytes >= marks_bytes(marks)
