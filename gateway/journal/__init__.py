"""The durable, ordered log: append, read from a position, commit, retain, repair.

Knows nothing of what a payload means and imports nothing of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of the log: its place (a number that rises by one for ever), its kind and its bytes."""

    position: int
    kind: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """What repair had to skip: the positions [first, last] and why; none where last < first."""

    segment: str
    first: int
    last: int
    reason: str


@dataclass(frozen=True, slots=True)
class Oldest:
    """Facts of the oldest segment: positions [first, last], when it was begun and when its successor was.

    The times are the opaque numbers that the caller gave (`stamp`).
    """

    first: int
    last: int
    created: int
    ended: int


Preamble: TypeAlias = Callable[[], Iterable[tuple[int, bytes]]]
"""Entries that every new segment begins with, so that a segment can be read by itself (kind, payload)."""


class Journal(Protocol):
    """The interface its users see. Appends are in memory until `commit`; everything below `committed` is on disk."""

    @property
    def first(self) -> int:
        """Oldest position that can still be read."""

    @property
    def next(self) -> int:
        """The position that the next append gets."""

    @property
    def committed(self) -> int:
        """All positions below are durable."""

    @property
    def marks(self) -> Mapping[str, bytes]:
        """The last committed bytes of each named mark (cursors, counters)."""

    @property
    def damages(self) -> tuple[Damage, ...]:
        """What the opening, and reading since, had to skip."""

    @property
    def size_bytes(self) -> int:
        """What the segments take on disk."""

    @property
    def cap_bytes(self) -> int:
        """What they may take."""

    @property
    def full(self) -> bool:
        """The cap allows no further segment: call `drop_oldest` before the present one is full."""

    @property
    def reverted(self) -> bool:
        """Whether entries that were let go of one by one may be there again since the opening."""

    def oldest_segment(self) -> Oldest | None:
        """Facts for the caller's retention; None where only the segment in use is left."""

    def append(self, kind: int, payload: bytes) -> int:
        """Add one entry; returns its position. Raises `JournalFull` when it may not grow in memory any more."""

    def mark(self, name: str, data: bytes) -> None:
        """Set a named mark; it becomes durable with the next commit, in the same write as its entries."""

    async def commit(self) -> None:
        """One write and one fdatasync, off the event loop, for everything appended and marked so far."""

    def read(
        self,
        start: int,
        *,
        limit_bytes: int,
        between: tuple[int, int] | None = None,
        kinds: frozenset[int] | None = None,
    ) -> list[Entry]:
        """Entries from `start` on (or from `first` if that was dropped), committed or not, up to `limit_bytes`.

        With `between`, what is known to lie outside that range of opaque numbers (times) may be left out; with `kinds`,
        what is known to hold none of these.
        """

    def seek(self, stamp: int) -> int:
        """A position below which nothing was appended at or after this opaque number (time of `stamp`)."""

    def thin(self, level: int, importance: Callable[[Entry], int]) -> tuple[Entry, ...] | None:
        """Of the oldest segment not thinned so far, let go of entries with an importance below `level`; what went.

        None where there is no such segment. Blocking, in any thread. Raises NotYet where it is too early.
        """

    def drop_oldest(self) -> tuple[Entry, ...]:
        """Let go of the oldest segment (after confirmation, or because the cap is reached); what it held."""

    async def close(self) -> None:
        """Commit and release the lock."""
