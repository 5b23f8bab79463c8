"""Rows against rows: count and hash of a series, and, where they differ, the name of every record that does."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isclose

from gateway.audit import Key, Row, Value


@dataclass(frozen=True, slots=True)
class Finding:
    """One record that is not as it should be: `what` is missing, doubled or altered; `t_ms` is UTC."""

    what: str
    key: Key
    t_ms: int
    rev: int
    detail: str = ""


@dataclass(slots=True)
class Tally:
    """The account of one series. Hashes add up, so they do not depend on order or slices."""

    key: Key
    expected: int = 0
    found: int = 0
    missing: int = 0
    doubled: int = 0
    altered: int = 0
    beyond: int = 0
    expected_hash: int = 0
    found_hash: int = 0

    @property
    def sound(self) -> bool:
        """Whether every expected record is there, once and unchanged."""
        return not (self.missing or self.doubled or self.altered)


def compare(tally: Tally, expected: Sequence[Row], *, found: Iterable[Row], tolerance: float) -> list[Finding]:
    """Add one range to the tally; returns what is wrong in it."""
    held: dict[tuple[int, int], list[Row]] = defaultdict(list)
    for row in found:
        held[row.t_ms, row.rev].append(row)
    wanted = {(row.t_ms, row.rev): row for row in expected}
    theirs = [row for place, rows in held.items() if place in wanted for row in rows]
    ours_hash, their_hash = (_hash(rows) for rows in (wanted.values(), theirs))
    tally.expected += len(wanted)
    tally.found += len(theirs)
    tally.beyond += sum(len(rows) for place, rows in held.items() if place not in wanted)
    tally.expected_hash = (tally.expected_hash + ours_hash) % (1 << 64)
    tally.found_hash = (tally.found_hash + their_hash) % (1 << 64)
    if len(theirs) == len(wanted) and ours_hash == their_hash:
        return []
    findings: list[Finding] = []
    for place, row in sorted(wanted.items()):
        findings += _judge(tally, row, held.get(place, []), tolerance=tolerance)
    return findings


def _judge(tally: Tally, row: Row, held: list[Row], *, tolerance: float) -> list[Finding]:
    findings = []
    if not held:
        tally.missing += 1
        return [Finding("missing", tally.key, row.t_ms, row.rev)]
    if len(held) > 1:
        tally.doubled += 1
        findings.append(Finding("doubled", tally.key, row.t_ms, row.rev, f"{len(held)} times"))
    wrong = [text for one in held for text in _differences(row.fields, one.fields, tolerance=tolerance)]
    if wrong:
        tally.altered += 1
        findings.append(Finding("altered", tally.key, row.t_ms, row.rev, "; ".join(dict.fromkeys(wrong))))
    return findings


def _differences(ours: Mapping[str, Value], theirs: Mapping[str, Value], *, tolerance: float) -> list[str]:
    out = []
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in theirs:
            out.append(f"{name} is missing")
        elif name not in ours:
            out.append(f"{name} = {theirs[name]!r} is not ours")
        elif not _same(ours[name], theirs[name], tolerance):
            out.append(f"{name}: {ours[name]!r} became {theirs[name]!r}")
    return out


def _same(one: Value, other: Value, tolerance: float) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return isclose(one, other, rel_tol=tolerance, abs_tol=0.0)


def _hash(rows: Iterable[Row]) -> int:
    """The sum of the rows' own hashes; numbers count by their value, not by how a peer spells them."""
    total = 0
    for row in rows:
        facts = [(name, x if isinstance(x, str) else float(x)) for name, x in sorted(row.fields.items())]
        digest = hashlib.blake2b(repr((row.t_ms, row.rev, facts)).encode(), digest_size=8).digest()
        total += int.from_bytes(digest, "little")
    return total % (1 << 64)
