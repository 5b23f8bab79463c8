"""Journal entries as columns: what one series says again and again becomes about a byte per value.

Entries of one kind, series and shape stand together; each field of their heads is a column, and so is each point (of
windows: each statistic of each point). `gateway.folding` makes a column small. What fits no pattern is kept as it is.
Nothing is lost: `unseal` gives the same entries in the same order, byte for byte, and `seal` has that checked.

Pure functions of bytes, but for `Columns.pause_s`. The layouts are those of `gateway.codec`.
"""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np

from gateway.codec import EVENT, HEAD_BYTES, RAW, WINDOW, t_ms_of
from gateway.folding import Bytes, fold, fold_blobs, fold_floats, unfold, unfold_blobs, unfold_floats

Item: TypeAlias = tuple[int, bytes]
Facts: TypeAlias = list[Any]

VERSION: Final = 1
FIELDS: Final = (4, 1, 1, 2, 4, 8, 4)  # sizes of the head's fields: schema, flags, rev, random, count, t_ms, seq
STATS: Final = 4  # place of the statistics in a window's facts, and of the end
END: Final = 1
_TIMED: Final = frozenset({RAW, WINDOW, EVENT})
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


class Columns:
    """The journal's `Sealer`. `pause_s`: how long it rests after each block, so that sealing holds up nobody."""

    block_bytes: Final = 128 << 10

    def __init__(self, pause_s: float = 0.0) -> None:
        self._pause_s = pause_s

    def seal(self, items: Sequence[Item]) -> bytes:
        """See gateway.journal.sealed.Sealer."""
        groups: dict[tuple[Any, ...], list[int]] = {}
        folded: list[Any] = []
        for number, (kind, payload) in enumerate(items):
            key, what = _shape(kind, payload)
            groups.setdefault(key, []).append(number)
            folded.append(what)
        packed = [[key[0], len(at), *_group(key, [folded[n] for n in at])] for key, at in groups.items()]
        order = np.array([number for at in groups.values() for number in at], np.int64)
        blob = _pack([VERSION, fold(order), packed])
        if self._pause_s:
            time.sleep(self._pause_s)
        return blob

    def unseal(self, blob: bytes) -> list[Item]:
        """See gateway.journal.sealed.Sealer."""
        order, packed = _parts(blob)
        try:
            found = [(kind, payload) for kind, count, *facts in packed for payload in _ungroup(facts, count)]
            items: list[Item] = [(0, b"")] * len(found)
            for number, item in zip(unfold(order, len(found)).tolist(), found, strict=True):
                items[number] = item
        except (zlib.error, struct.error, msgspec.MsgspecError, LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"not a sealed block: {error}") from None
        return items

    def kinds(self, blob: bytes) -> frozenset[int]:
        """See gateway.journal.sealed.Sealer."""
        _order, packed = _parts(blob)
        try:
            return frozenset(kind for kind, *_facts in packed)
        except TypeError as error:
            raise ValueError(f"not a sealed block: {error}") from None

    def span(self, items: Sequence[Item]) -> tuple[int, int]:
        """Lowest and highest time (UTC ms) of raw readings, windows and events."""
        times = [t_ms_of(payload) for kind, payload in items if kind in _TIMED]
        return (min(times), max(times)) if times else (0, -1)


def _parts(blob: bytes) -> tuple[bytes, list[Any]]:
    """The order of the entries, folded, and the groups of one kind, series and shape."""
    try:
        version, order, packed = _unpack(blob)
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise ValueError(f"not a sealed block: {error}") from None
    if version != VERSION:
        raise ValueError(f"sealed by version {version}, this is {VERSION}")
    return order, packed


def _shape(kind: int, payload: bytes) -> tuple[tuple[Any, ...], Any]:
    """What entries must have in common to be folded together, and what will be folded."""
    if kind == RAW and len(payload) >= HEAD_BYTES:
        return (kind, "rows", len(payload), payload[:5]), payload
    window = _window(payload) if kind == WINDOW else None
    if window is not None:
        return (kind, "windows", payload[:5], window[0], tuple(map(len, window[1]))), window
    return (kind, "blobs"), payload


def _window(payload: bytes) -> tuple[str, Facts, Facts, bytes] | None:
    """Stream, statistics, the other facts and the head of a window; None where it is not as the codec writes it."""
    try:
        facts = _unpack(memoryview(payload)[HEAD_BYTES:])
        stats = facts[STATS]
        whole = all(isinstance(row, list) for row in stats) and {float} >= set(map(type, chain(*stats)))
        if not whole or _pack(facts) != payload[HEAD_BYTES:]:
            return None
        facts[STATS] = [len(row) for row in stats]
        facts[END] -= t_ms_of(payload)
    except (msgspec.MsgspecError, IndexError, TypeError):
        return None
    return facts[0], stats, facts, payload[:HEAD_BYTES]


def _group(key: tuple[Any, ...], parts: list[Any]) -> Facts:
    how = key[1]
    if how == "blobs":
        return [how, fold_blobs(parts)]
    if how == "rows":
        rows = np.frombuffer(b"".join(parts), np.uint8).reshape(len(parts), -1)
        values = (rows.shape[1] - HEAD_BYTES) // 8
        cut = HEAD_BYTES + 8 * values
        numbers = rows[:, HEAD_BYTES:cut].copy().view("<f8")
        return [how, _heads(rows), fold_floats(numbers), [fold(column.astype(np.int64)) for column in rows[:, cut:].T]]
    numbers = np.array([list(chain(*stats)) for _, stats, _, _ in parts], "<f8").reshape(len(parts), -1)
    heads = np.frombuffer(b"".join(head for *_, head in parts), np.uint8).reshape(len(parts), -1)
    return [how, _heads(heads), fold_floats(numbers), fold_blobs([_pack(facts) for _, _, facts, _ in parts])]


def _ungroup(facts: Facts, count: int) -> list[bytes]:
    how, *rest = facts
    if how == "blobs":
        return unfold_blobs(rest[0], count)
    heads = _heads_from(rest[0], count)
    numbers = unfold_floats(rest[1], count)
    if how == "windows":
        skeletons = unfold_blobs(rest[2], count)
        return [
            head.tobytes() + _rebuilt(_unpack(skeleton), row, int(t_ms))
            for head, skeleton, row, t_ms in zip(
                heads, skeletons, numbers.tolist(), heads[:, 12:20].copy().view("<i8").ravel(), strict=True
            )
        ]
    tails = np.array([unfold(one, count) for one in rest[2]], np.uint8).reshape(len(rest[2]), count).T
    rows = np.hstack([heads, numbers.view(np.uint8).reshape(count, -1), tails])
    data, width = rows.tobytes(), rows.shape[1]
    return [data[at : at + width] for at in range(0, count * width, width)]


def _rebuilt(facts: Facts, row: list[float], t_ms: int) -> bytes:
    """A window's MessagePack from its skeleton and its numbers."""
    stats, at = [], 0
    for size in facts[STATS]:
        stats.append(row[at : at + size])
        at += size
    facts[STATS] = stats
    facts[END] += t_ms
    return _pack(facts)


def _heads(rows: Bytes) -> list[Any]:
    found, at = [], 0
    for size in FIELDS:
        found.append(fold(rows[:, at : at + size].copy().view(f"<i{size}").ravel().astype(np.int64)))
        at += size
    return found


def _heads_from(columns: list[Any], count: int) -> Bytes:
    parts = [
        unfold(one, count).astype(f"<i{size}").view(np.uint8).reshape(count, size)
        for size, one in zip(FIELDS, columns, strict=True)
    ]
    return np.hstack(parts)
