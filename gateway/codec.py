"""Records to journal bytes and back.

Layout, little-endian. A raw record is `RAW` head, then one f64 per point, then, where flag CODED is set, one byte per
point (index into `Code`), then, where flag FIRST is set, the last committed identity before this epoch. Windows and
events are MessagePack behind the same head. Bodies name their series by the CRC-32 of its schema; the schemas
themselves are journal marks, carried from segment to segment, so an old record can be read after the config changed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache, lru_cache
from typing import Any, Final, TypeAlias

import msgspec

from drivers.points import Point
from drivers.sample import Code
from gateway.reading import Aggregate, Event, Indicator, Reading, Series
from gateway.record import Record

RAW: Final = 1
WINDOW: Final = 2
EVENT: Final = 3
DEAD: Final = 4
UNDATED: Final = 5
SCHEMAS: Final = 6  # descriptions moved out of the marks (gateway.schemas)
REQUEUED: Final = 7  # the dead letter at a position was sent again and taken (gateway.replay)
_HEAD: Final = struct.Struct("<IBBHIqI")  # schema, flags, rev, epoch random, epoch count, t_ms, seq
HEAD_BYTES: Final = _HEAD.size
_PREV: Final = struct.Struct("<IHI")  # epoch count, epoch random, seq
_CODED: Final = 1
_FIRST: Final = 2
_ESTIMATED: Final = 4
_BLURRED: Final = 8
_ERROR: Final = struct.Struct("<f")  # t_err_s, behind the codes
_HELD: Final = struct.Struct("<I16sq")  # schema (0: an event), boot id, monotonic ns
_CODES: Final = tuple(int(code) for code in Code)
_INDEX: Final = {code: index for index, code in enumerate(_CODES)}
SCHEMA_MARK: Final = "schema:"
Undated: TypeAlias = Event | tuple[Series, tuple[float, ...], tuple[int, ...]]
"""An event, or values and codes of a series, whose wall time is not known yet."""
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


class UnknownSchema(Exception):
    """A record names a series of which the journal kept no description."""


@cache
def _doubles(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}d")


class Codec:
    """Encodes records of known series; decodes any record whose schema the journal still describes.

    `find` gives a description that is no mark any more; `retired` are numbers of series that the present config does
    not have, `revived` those of them that were encoded again (gateway.schemas sets and reads all three).
    """

    def __init__(self, marks: Mapping[str, bytes]) -> None:
        self.find: Callable[[int], bytes | None] = lambda _number: None
        self.retired: set[int] = set()
        self.revived: set[int] = set()
        self._series: dict[int, Series] = {}
        self._ids: dict[Series, int] = {}
        self._described = {
            int(name.removeprefix(SCHEMA_MARK), 16): blob
            for name, blob in marks.items()
            if name.startswith(SCHEMA_MARK)
        }

    def schema_marks(self, series: Series) -> tuple[str, bytes]:
        """The mark that keeps `series` readable: its name and bytes."""
        blob = _blob_of(series)
        self._learn(series, blob)
        return f"{SCHEMA_MARK}{self._ids[series]:08x}", blob

    def _learn(self, series: Series, blob: bytes) -> None:
        number = zlib.crc32(blob)
        self._series[number] = series
        self._ids[series] = number

    def encode(self, record: Record) -> tuple[int, bytes]:
        """Kind and payload of a record."""
        body = record.body
        flags = (_FIRST if record.prev else 0) | (_ESTIMATED if record.estimated else 0)
        tail = _prev_bytes(record.prev) if record.prev else b""
        if isinstance(body, Reading):
            codes = b""
            if any(body.codes):
                flags |= _CODED
                codes = bytes([_INDEX[code] for code in body.codes])
            if body.t_err_s is not None:
                flags |= _BLURRED
                codes += _ERROR.pack(body.t_err_s)
            values = _doubles(len(body.values)).pack(*body.values)
            return RAW, self._head(record, body.series, flags) + values + codes + tail
        if isinstance(body, Aggregate):
            return WINDOW, self._head(record, body.series, flags) + tail + _pack([record.stream, *_window_facts(body)])
        return EVENT, self._head(record, None, flags) + tail + _pack(_facts(body))

    def _head(self, record: Record, series: Series | None, flags: int) -> bytes:
        count, random = _epoch_numbers(record.epoch)
        number = 0 if series is None else self._number(series)
        return _HEAD.pack(number, flags, record.rev, random, count, record.t_ms, record.seq)

    def decode(self, kind: int, payload: bytes) -> Record:
        """The record behind a journal entry of kind RAW, WINDOW or EVENT.

        Raises:
            UnknownSchema: its series was never described here.
        """
        number, flags, rev, random, count, t_ms, seq = _HEAD.unpack_from(payload)
        at = _HEAD.size
        stream = "raw"
        body: Reading | Aggregate | Event
        prev = None
        if kind == RAW:
            series = self._known(number)
            body = _reading(series, payload, flags=flags, t_ms=t_ms)
            device = series.id
            prev = _prev_from(payload, len(payload) - _PREV.size) if flags & _FIRST else None
        else:
            if flags & _FIRST:
                prev = _prev_from(payload, at)
                at += _PREV.size
            facts = _unpack(memoryview(payload)[at:])
            if kind == WINDOW:
                series = self._known(number)
                stream, body, device = facts[0], _aggregate(series, facts, start_ms=t_ms, rev=rev), series.id
            else:
                body, device, stream = _event(facts, t_ms), facts[0], "event"
        epoch = f"{count:08x}-{random:04x}"
        return Record(
            device, stream, t_ms, epoch, seq, body, rev=rev, prev=prev, estimated=bool(flags & _ESTIMATED)
        )  # fmt: skip

    def hold(self, boot: bytes, t_mono_ns: int, *, what: Undated) -> bytes:
        """The payload of an UNDATED entry: what was measured at `t_mono_ns` of the boot with these 16 bytes as id."""
        if isinstance(what, Event):
            return _HELD.pack(0, boot, t_mono_ns) + _pack(_facts(what))
        series, values, codes = what
        numbers = _doubles(len(values)).pack(*values)
        return _HELD.pack(self._number(series), boot, t_mono_ns) + numbers + bytes([_INDEX[code] for code in codes])

    def held(self, payload: bytes) -> tuple[bytes, int, Undated]:
        """Boot id, monotonic ns and contents of an UNDATED entry; an event has t = 0. Raises `UnknownSchema`."""
        number, boot, t_mono_ns = _HELD.unpack_from(payload)
        if not number:
            return boot, t_mono_ns, _event(_unpack(memoryview(payload)[_HELD.size :]), 0)
        series = self._known(number)
        size = len(series.points)
        values = _doubles(size).unpack_from(payload, _HELD.size)
        codes = tuple(_CODES[index] for index in payload[_HELD.size + 8 * size :])
        return boot, t_mono_ns, (series, values, codes)

    def _number(self, series: Series) -> int:
        number = self._ids[series]
        if number in self.retired:
            self.revived.add(number)
        return number

    def _known(self, number: int) -> Series:
        found = self._series.get(number)
        if found is None:
            blob = self._described.get(number)
            if blob is None:
                blob = self.find(number)
                self.retired.add(number)
            if blob is None:
                raise UnknownSchema(f"schema {number:08x}")
            found = self._series[number] = _series_from(blob)
            self._ids[found] = number
        return found


def t_ms_of(payload: bytes) -> int:
    """The time (UTC ms) of an entry of kind RAW, WINDOW or EVENT, without decoding the rest."""
    t_ms: int = _HEAD.unpack_from(payload)[5]
    return t_ms


def deferred(kind: int, payload: bytes) -> bool:
    """Whether an entry is a raw or an amended record: what waits while a sink's budget is spent."""
    return kind == RAW or (kind in {WINDOW, EVENT} and bool(_HEAD.unpack_from(payload)[2]))


@lru_cache(maxsize=64)
def _epoch_numbers(epoch: str) -> tuple[int, int]:
    count, random = epoch.split("-")
    return int(count, 16), int(random, 16)


def _prev_bytes(prev: tuple[str, int]) -> bytes:
    return _PREV.pack(*_epoch_numbers(prev[0]), prev[1])


def _prev_from(payload: bytes, at: int) -> tuple[str, int]:
    count, random, seq = _PREV.unpack_from(payload, at)
    return f"{count:08x}-{random:04x}", seq


def _reading(series: Series, payload: bytes, *, flags: int, t_ms: int) -> Reading:
    size, coded = len(series.points), flags & _CODED
    values = _doubles(size).unpack_from(payload, _HEAD.size)
    at = _HEAD.size + 8 * size
    codes = tuple(_CODES[index] for index in payload[at : at + size]) if coded else (0,) * size
    error_s = _ERROR.unpack_from(payload, at + size if coded else at)[0] if flags & _BLURRED else None
    return Reading(series, t_ms, 0, values, codes, error_s)


def _window_facts(body: Aggregate) -> list[Any]:
    indicators = [[i.name, i.value, i.rule, i.level, i.span, i.coverage] for i in body.indicators]
    times = [[t_ms - body.start_ms for t_ms in pair] for pair in body.times]
    return [body.end_ms, body.n, body.coverage, body.stats, body.counts, body.codes, indicators, times]


def _aggregate(series: Series, facts: list[Any], *, start_ms: int, rev: int) -> Aggregate:
    stream, end_ms, n, coverage, stats, counts, codes, indicators, *more = facts
    return Aggregate(
        series=series,
        stream=stream,
        start_ms=start_ms,
        end_ms=end_ms,
        n=n,
        coverage=coverage,
        stats=tuple(tuple(row) for row in stats),
        counts=tuple(counts),
        codes=tuple(tuple(row) for row in codes),
        indicators=tuple(
            Indicator(name, value, rule, level, span, cover) for name, value, rule, level, span, cover in indicators
        ),
        rev=rev,
        times=tuple(tuple(start_ms + at for at in pair) for pair in more[0]) if more else (),
    )


def _facts(event: Event) -> list[Any]:
    return [event.device, event.id, event.type, event.code, event.state, event.level, event.text, event.body]


def _event(facts: list[Any], t_ms: int) -> Event:
    device, ident, kind, code, state, level, text, body = facts
    return Event(device, t_ms, ident, kind, code, state, level=level, text=text, body=body)


def _blob_of(series: Series) -> bytes:
    return zlib.compress(msgspec.json.encode(asdict(series)), 6)


def _series_from(blob: bytes) -> Series:
    facts = msgspec.json.decode(zlib.decompress(blob))
    points = tuple(
        Point(**{**row, "valid": _pair(row["valid"]), "expect": _pair(row["expect"])}) for row in facts["points"]
    )
    return Series(**{**facts, "points": points})


def _pair(limits: list[float] | None) -> tuple[float, float] | None:
    return None if limits is None else (limits[0], limits[1])
