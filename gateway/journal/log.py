"""The log: append in memory, commit in groups, read from a position, let go of the oldest.

What always holds (tests are named after these):
I1  Order: positions rise by one, entries are read in the order of their positions, none twice, over restarts too.
I2  No loss: what stood below `committed` is read back after any crash, kill or power cut, byte for byte.
I3  No invention: what is read was appended, at that position, with these bytes; left-over bytes are never records.
I4  Marks never run ahead: a mark read after a crash is not newer than the entries before it; an entry's position that a
    surviving mark could know is never given to another entry. (Other positions above `committed` may be given anew.)
I5  Damage costs only what it touches, and is told: every position is read, dropped, or named by a `Damage`.
I6  It starts on anything but a newer format and a folder in use, and what it opens is independent of the backlog.
I7  Bounded: memory by `tail_bytes` and `recent_bytes`, disk by `cap_bytes`; refused or told, never dropped in silence.
I8  A failed write or sync is never tried again on its descriptor: the entries go from memory into a new segment.
I9  Sealing changes no entry; only `thin` lets go of some, gives them out, and the old file stays until the next commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gateway.journal import Damage, Entry, Oldest, Preamble
from gateway.journal.checksum import preferred
from gateway.journal.disk import Disk, RealDisk
from gateway.journal.errors import CommitFailed
from gateway.journal.memory import Memory, fit
from gateway.journal.repair import take_stock
from gateway.journal.rewrite import Importance
from gateway.journal.sealed import Range, Sealer
from gateway.journal.segment import Segment, encode_commit
from gateway.journal.shelf import Shelf
from gateway.journal.store import Store


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes: of one segment, of what may wait for a commit, of what stays readable in memory after it.

    `definition_kinds`: kinds of entries that explain later ones; `context` gives them.
    """

    segment_bytes: int = 4 << 20
    tail_bytes: int = 8 << 20
    recent_bytes: int = 256 << 10
    definition_kinds: frozenset[int] = frozenset()


def open_journal(
    folder: Path | Disk,
    *,
    cap_bytes: int = 1 << 30,
    limits: Limits = Limits(),
    preamble: Preamble = tuple,
    stamp: Callable[[], int] = lambda: 0,
    fresh_uuid: Callable[[], bytes] = lambda: os.urandom(16),
    executor: Executor | None = None,
    sealer: Sealer | None = None,
) -> Log:
    """Open or make the journal of a folder. Blocking; reads a few MiB at most. Without a `sealer` nothing is sealed.

    `preamble` is called on the event loop when a segment begins; `stamp` gives the opaque number kept as a segment's
    time. Raises JournalBusy, FutureFormat, and OSError where the folder itself cannot be made or listed.
    """
    disk = RealDisk(folder) if isinstance(folder, Path) else folder
    disk.lock()
    with contextlib.ExitStack() as stack:
        stack.callback(disk.unlock)
        opened = take_stock(disk, fresh_uuid=fresh_uuid)
        stack.pop_all()
    store = Store(disk, opened, segment_bytes=limits.segment_bytes, cap_bytes=cap_bytes, checksum=preferred())
    memory = Memory(segment_bytes=limits.segment_bytes, tail_bytes=limits.tail_bytes, recent_bytes=limits.recent_bytes)
    memory.begin(opened.next, opened.marks)
    shelf = Shelf(disk, store, memory, sealer=sealer)
    shelf.damages = tuple(opened.damages)
    log = Log(store, memory, shelf, preamble=preamble, stamp=stamp, executor=executor)
    log.definition_kinds = limits.definition_kinds
    return log


class Log:
    """The journal over one folder: a `Journal`, with `context` and `oldest_segment`.

    `read`, `context` and `drop_oldest` may run in any thread; everything else belongs to the event loop's.
    """

    def __init__(
        self,
        store: Store,
        memory: Memory,
        shelf: Shelf,
        *,
        preamble: Preamble,
        stamp: Callable[[], int],
        executor: Executor | None,
    ) -> None:
        self._store, self._memory, self._shelf = store, memory, shelf
        self._preamble, self._stamp = preamble, stamp
        self._executor = executor or ThreadPoolExecutor(1, "journal")
        self._owns_executor = executor is None
        self._turn = asyncio.Lock()
        self.definition_kinds: frozenset[int] = frozenset()

    @property
    def first(self) -> int:
        """Oldest position that can still be read."""
        return self._shelf.first

    @property
    def damages(self) -> tuple[Damage, ...]:
        """What the opening, and reading since, had to skip."""
        return self._shelf.damages

    @property
    def reverted(self) -> bool:
        """Whether the opening found a segment twice and took the older form: entries let go of may be there again."""
        return self._store.twins > 0

    @property
    def next(self) -> int:
        """The position that the next append gets."""
        return self._memory.next

    @property
    def committed(self) -> int:
        """All positions below are durable."""
        return self._memory.committed

    @property
    def marks(self) -> Mapping[str, bytes]:
        """The last committed bytes of each mark."""
        return self._memory.marks

    @property
    def size_bytes(self) -> int:
        """What the segments take on disk."""
        return self._store.used_bytes

    @property
    def cap_bytes(self) -> int:
        """What they may take."""
        return self._store.cap_bytes

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The files that it reads, by age."""
        return self._store.segments

    @property
    def full(self) -> bool:
        """The cap allows no further segment: call `drop_oldest` before the present one is full."""
        return self._store.full

    def append(self, kind: int, payload: bytes) -> int:
        """Add one entry, in memory; returns its position. Raises JournalFull, TooLarge, ValueError (kind > 65535)."""
        return self._memory.append(kind, payload)

    def mark(self, name: str, data: bytes) -> None:
        """Set a named mark with the next commit; empty data removes it. Raises TooLarge, ValueError (the name)."""
        self._memory.mark(name, data)

    async def commit(self) -> None:
        """Make everything appended and marked so far durable. Raises CommitFailed; then it may be called again.

        A cancelled call goes on in its thread; the next one waits for it.
        """
        async with self._turn:
            causes: list[OSError] = []
            if not await self._off_loop(lambda: self._flush(None, causes)):
                head = tuple(self._preamble())
                if not await self._off_loop(lambda: self._flush(head, causes)):
                    raise CommitFailed(self.next - self.committed, tuple(causes))
            self._executor.submit(self._store.prepare)

    def read(
        self, start: int, *, limit_bytes: int, between: Range | None = None, kinds: frozenset[int] | None = None
    ) -> list[Entry]:
        """Entries from `start` on (or from `first`), committed or not, until their payloads reach `limit_bytes`.

        At least one, where there is one. Each segment entered at its beginning gives its preamble first, under the
        position of the entry that follows it; positions of other entries rise. New damage met is added to `damages`.
        With `between`, blocks of sealed segments may be left out whose range (`Sealer.span`) does not touch it; with
        `kinds`, those that hold none of these.
        """
        return self._shelf.read(start, limit_bytes=limit_bytes, between=between, kinds=kinds)

    def seek(self, stamp: int) -> int:
        """A position below which nothing was appended at or after `stamp`, to within a segment."""
        return self._shelf.seek(stamp)

    def context(self, start: int) -> list[Entry]:
        """What a reader that begins at `start` must know first: the preamble in force there.

        That is the preamble of its segment and that segment's entries before `start` of the kinds that stand in it or
        in `definition_kinds`.
        """
        return self._shelf.context(start, kinds=self.definition_kinds)

    def drop_oldest(self) -> tuple[Entry, ...]:
        """Let go of the oldest segment; what it held, its preamble included. () where only the one in use is left.

        Its file goes after the next commit, so that the report of the loss can be in it; after a crash before that,
        the segment is there again.
        """
        return self._shelf.drop_oldest()

    def thin(self, level: int, importance: Importance) -> tuple[Entry, ...] | None:
        """Of the oldest segment that was not yet thinned so far, let go of entries with an importance below `level`.

        Returns what went; None where no segment is left to thin so far (or none can be: damage).
        Raises NotYet where the disk is full, or the next commit must come first.
        """
        return self._shelf.thin(level, importance)

    def oldest_segment(self) -> Oldest | None:
        """Facts for the caller's retention; None where only the segment in use is left."""
        return self._shelf.oldest()

    async def seal(self) -> bool:
        """Write the oldest segment that is not sealed yet anew, off the event loop; whether there was one."""
        return await asyncio.to_thread(self._shelf.seal_next)

    def renew_with(self, look: Callable[[], Log]) -> None:
        """For a journal opened only to look: how to find its files again after their owner moved them."""
        self._store.look_again = lambda: look().segments

    async def close(self) -> None:
        """Commit and release the lock. The lock goes also where the commit fails; then CommitFailed is raised."""
        try:
            await self.commit()
        finally:
            await self._off_loop(self._shut)
            if self._owns_executor:
                self._executor.shutdown()

    def _shut(self) -> bool:
        with self._shelf.writing:
            self._store.close()
        return True

    async def _off_loop(self, work: Callable[[], bool]) -> bool:
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._executor, work))

    def _flush(self, preamble: tuple[tuple[int, bytes], ...] | None, causes: list[OSError]) -> bool:
        """Write what waits now. False where a new segment is needed and no preamble was given, or none can be had."""
        store = self._store
        waiting, marks = (
            self._memory.waiting()
        )  # once: a mark set later may know of entries that are not in this commit
        while waiting or marks:
            count, fits = fit(waiting, marks, room_bytes=store.room_bytes)
            if count or fits:
                if self._write(waiting[:count], marks if fits else {}, causes):
                    waiting, marks = waiting[count:], {} if fits else marks
            elif preamble is None or len(causes) > 1 or not store.make_room():
                return False
            else:
                self._rotate(preamble, causes)
        store.release()
        return True

    def _rotate(self, preamble: tuple[tuple[int, bytes], ...], causes: list[OSError]) -> None:
        try:
            self._store.rotate(first=self.committed, created=self._stamp(), preamble=preamble, marks=self.marks)
        except OSError as cause:
            causes.append(cause)
            self._store.release()

    def _write(self, entries: list[Entry], marks: dict[str, bytes], causes: list[OSError]) -> bool:
        """One write, one sync; whether the disk took them."""
        end = self.committed + len(entries)
        try:
            self._store.write(encode_commit(self._store.segments[-1], entries, marks=marks, end=end))
        except OSError as cause:
            causes.append(cause)
            return False
        self._memory.settle(entries, marks)
        return True
