"""Audit: what a sink should hold, by the journal and its ledger, against what it does hold. One interface, many peers.

A peer is read back by a `Reader`; records are compared per series and range: count and hash first, then, where those
differ, one by one. Found are missing, doubled and altered records; what the peer holds beyond (raw that was sent in
the second before a power cut) is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from gateway.record import Record

Value: TypeAlias = float | int | str | bool


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """One series of records: an outside device and its stream."""

    device: str
    stream: str


@dataclass(frozen=True, slots=True)
class Row:
    """A record as a peer holds it: its time (UTC ms), revision, and every field that the peer can keep."""

    t_ms: int
    rev: int
    fields: Mapping[str, Value]


class Unreadable(Exception):
    """The peer cannot be asked, or gives nothing that can be read. Carries the catalogue code."""

    def __init__(self, fact: str, *, code: str = "CG-AUD-01") -> None:
        super().__init__(fact)
        self.code = code


class Reader(Protocol):
    """One kind of peer.

    `overwrites`: an amended record stands in the place of the first. `tolerance`: relative error of a number that is
    still the same number there.
    """

    overwrites: bool
    tolerance: float

    def expected(self, record: Record) -> Row | None:
        """The record as the peer should hold it; None where it can hold nothing of it."""

    def rows(self, key: Key, *, first_ms: int, end_ms: int) -> Iterable[Row]:
        """What the peer holds of a series in [first_ms, end_ms), in any order. Blocking. Raises `Unreadable`."""
