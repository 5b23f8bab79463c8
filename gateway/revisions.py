"""Which revision of a window a platform holds: a lower one must never go out behind it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

import msgspec

from gateway.codec import REQUEUED
from gateway.journal import Entry
from gateway.record import Record

KEPT: Final = 65_536

_Identity: TypeAlias = tuple[str, str, int]


class Revisions:
    """For one order to send again: what went out, and what the journal tells of higher revisions (`weigh`)."""

    def __init__(self) -> None:
        self._highest: dict[_Identity, int] = {}  # that went out, or is about to
        self._made: dict[_Identity, set[int]] = {}  # all that the journal knows of,
        self._refused: dict[int, tuple[_Identity, int]] = {}  # and, by their letters, those that the platform refused

    def went(self, record: Record) -> None:
        """This one goes out."""
        key = identity(record)
        if record.rev > self._highest.get(key, 0):
            self._highest[key] = record.rev
            if len(self._highest) > KEPT:
                del self._highest[next(iter(self._highest))]

    def superseded(self, record: Record) -> bool:
        """Whether a higher revision than this one is known to be there."""
        return self._highest.get(identity(record), 0) > record.rev

    def weigh(self, entry: Entry, *, letter: Record | None, record: Record | None) -> None:
        """An entry in order: a dead `letter` of the sink, an amended `record` that it wants, or neither."""
        if record is not None:
            self._made.setdefault(identity(record), set()).add(record.rev)
        elif letter is not None and letter.rev:
            self._refused[entry.position] = identity(letter), letter.rev
        elif entry.kind == REQUEUED:
            self._refused.pop(msgspec.msgpack.decode(entry.payload)[1], None)

    def decide(self, records: Iterable[Record]) -> None:
        """All was read: of each of these the highest revision that the platform holds."""
        for key, rev in self._refused.values():
            self._made.get(key, set()).discard(rev)
        for record in records:
            key = identity(record)
            self._highest[key] = max([self._highest.get(key, 0), *self._made.get(key, ())])
        self._made.clear()
        self._refused.clear()


def identity(record: Record) -> _Identity:
    """What all revisions of a record share."""
    return record.device, record.stream, record.t_ms
