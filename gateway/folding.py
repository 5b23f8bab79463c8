"""Columns of numbers made small, and back: exactly the same bits. Pure functions of arrays.

A column of whole numbers is kept as its differences where these are smaller, else less its lowest; in as few bytes as
the largest takes, sorted by place (all lowest bytes first) and deflated. A column of doubles that were rounded to a
resolution (one of 1 to 0.000001) is such a column of whole numbers, where dividing gives back the same doubles; all
others keep their eight bytes, sorted by place.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Bytes: TypeAlias = npt.NDArray[np.uint8]

DIGITS: Final = tuple(range(7))
WHOLE_MAX: Final = float(1 << 53)
STEADY, RISING, LEVEL = 0, 1, 2  # how a column is kept: one number for ever; differences; less its lowest
NAN_BITS: Final = 0x7FF8000000000000  # of the NaN that Python and numpy make
SMALL_BYTES: Final = 24  # deflating less is no gain
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


def fold(column: Ints) -> list[Any]:
    """A column of whole numbers; undone by `unfold`."""
    if not len(column):
        return [STEADY, 0, 0]
    steps = np.diff(column)
    if not len(steps) or np.all(steps == steps[0]):
        return [STEADY, int(column[0]), int(steps[0]) if len(steps) else 0]
    low = int(column.min())
    over, lowest = column - low, int(steps.min())
    above = steps - lowest
    if _bits(above) < _bits(over):
        return [RISING, int(column[0]), lowest, *_planes(above)]
    return [LEVEL, low, 0, *_planes(over)]


def unfold(facts: Sequence[Any], count: int) -> Ints:
    """The column of `count` numbers."""
    how, rest = facts[0], facts[3:]
    first, step = np.int64(facts[1]), np.int64(facts[2])
    if how == STEADY:
        return first + step * np.arange(count, dtype=np.int64)
    if how == LEVEL:
        return _from_planes(rest, count) + first
    steps = _from_planes(rest, count - 1) + step
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(steps)]) + first


def _bits(numbers: Ints) -> float:
    """About what a column will take; one that overflowed is not chosen."""
    if numbers.min() < 0:
        return float("inf")
    return float(np.log2(np.abs(numbers - np.median(numbers)) + 1.0).sum())


def _planes(numbers: Ints) -> list[Any]:
    """Width in bytes, and the bytes sorted by place, deflated."""
    width = max(1, (int(numbers.view(np.uint64).max()).bit_length() + 7) // 8)  # what overflowed wraps around again
    places = numbers.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :width]
    return [width, _deflate(places.T.tobytes())]


def _from_planes(facts: Sequence[Any], count: int) -> Ints:
    width, data = facts
    places = np.zeros((count, 8), np.uint8)
    places[:, :width] = np.frombuffer(_inflate(data), np.uint8).reshape(width, count).T
    return places.view("<u8").ravel().astype(np.int64)


def fold_floats(numbers: Floats) -> list[Any]:
    """A matrix of doubles (rows: times), column by column; undone by `unfold_floats`."""
    return [_float_column(np.ascontiguousarray(column)) for column in numbers.T]


def _float_column(column: Floats) -> Any:
    bits = column.view(np.int64)
    absent = bits == NAN_BITS
    filled = np.where(absent, 0.0, column)
    if np.all(np.abs(filled) < WHOLE_MAX / 10 ** DIGITS[-1]):  # not so for a NaN of another kind
        for digits in DIGITS:
            whole = np.rint(filled * 10.0**digits).astype(np.int64)
            if np.array_equal((whole / 10.0**digits).view(np.int64), filled.view(np.int64)):
                return [digits, fold(absent.astype(np.int64)), fold(whole)]
    return _deflate(column.view(np.uint8).reshape(-1, 8).T.tobytes())


def unfold_floats(columns: Sequence[Any], count: int) -> Floats:
    """The matrix of `count` rows, in one piece."""
    found = np.empty((count, len(columns)), "<f8")
    for number, one in enumerate(columns):
        if isinstance(one, bytes):
            found[:, number] = np.frombuffer(_inflate(one), np.uint8).reshape(8, count).T.copy().view("<f8").ravel()
        else:
            digits, absent, whole = one
            found[:, number] = np.where(unfold(absent, count), np.nan, unfold(whole, count) / 10.0**digits)
    return found


def fold_blobs(blobs: Sequence[bytes]) -> list[Any]:
    """Pieces of any bytes, each different one once; undone by `unfold_blobs`."""
    known = dict.fromkeys(blobs)
    places = {blob: number for number, blob in enumerate(known)}
    return [fold(np.array([places[blob] for blob in blobs], np.int64)), zlib.compress(_pack(list(known)), 6)]


def unfold_blobs(facts: Sequence[Any], count: int) -> list[bytes]:
    """The `count` pieces, in their order."""
    places, data = facts
    known = _unpack(zlib.decompress(data))
    return [known[place] for place in unfold(places, count).tolist()]


def _deflate(data: bytes) -> bytes:
    """A first byte says whether it was worth it."""
    if len(data) > SMALL_BYTES:
        packed = zlib.compress(data, 6)
        if len(packed) < len(data):
            return b"\x01" + packed
    return b"\x00" + data


def _inflate(data: bytes) -> bytes:
    return zlib.decompress(data[1:]) if data[:1] == b"\x01" else data[1:]
