"""Records of a time range, read back from the journal a little at a time: the local socket's question `history`.

    {"ask":"history","series":"air-north" or "*","stream":"15m","from":"<RFC 3339>","to":"<RFC 3339>","points":[...]}

answers `{"records":[...],"truncated":bool}`, each record as the socket tells it live, oldest first, `from` included,
`to` not. A long answer is cut to the earliest records: up to the last time in it nothing is missing, in its newest
revision; whoever wants more asks again from there. The scan begins in the journal's segment of that time, leaves out
sealed blocks of other times, and runs in a thread, slice by slice, so a question never holds up a poll.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from gateway.codec import EVENT, RAW, WINDOW, Codec, UnknownSchema, t_ms_of
from gateway.health import record_line
from gateway.journal import Journal
from gateway.reading import LENGTHS_S, Event
from gateway.record import Record

SLICE_BYTES: Final = 131_072
SLACK_MS: Final = 3_600_000  # the clock may have been ahead by this much when a segment was begun
RECORDS_MAX: Final = 20_000
ANSWER_BYTES: Final = 4 << 20  # a quarter of what the asker takes in one line
_encode: Final = msgspec.json.Encoder().encode
_KIND: Final[Mapping[str, int]] = {"raw": RAW, "event": EVENT} | dict.fromkeys(LENGTHS_S, WINDOW)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: `series` is an id or "*"; times are UTC ms, [from_ms, to_ms); `points` empty = all."""

    series: str
    stream: str
    from_ms: int
    to_ms: int
    points: frozenset[str] = frozenset()

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Question:
        """The question in a request. Raises `ValueError` naming what is wrong with it."""
        series, stream = request.get("series", "*"), request.get("stream", "15m")
        points = request.get("points", [])
        if not isinstance(series, str) or not isinstance(stream, str) or stream not in _KIND:
            raise ValueError("`series` must be an id or *, `stream` one of " + ", ".join(_KIND))
        if not isinstance(points, list) or not all(isinstance(point, str) for point in points):
            raise ValueError("`points` must be a list of names")
        from_ms, to_ms = (_ms(request.get(key), key) for key in ("from", "to"))
        return cls(series, stream, from_ms, to_ms, frozenset(points))


def _ms(value: object, key: str) -> int:
    if not isinstance(value, str):
        raise ValueError(f"`{key}` must be an RFC 3339 time")  # noqa: TRY004 - one kind of refusal for the asker
    at = datetime.fromisoformat(value)
    if at.tzinfo is None:
        raise ValueError(f"`{key}` must name its offset from UTC")
    return round(at.timestamp() * 1000)


async def history(request: Mapping[str, Any], *, journal: Journal, codec: Codec) -> dict[str, Any]:
    """The answer to one question, its records encoded already; an `error` object where the question is wrong."""
    try:
        question = Question.of(request)
    except ValueError as error:
        return {"error": {"code": "CG-SYS-04", "fact": str(error)}}
    found = _Found(question.to_ms)
    at = journal.seek(question.from_ms - SLACK_MS)
    while at >= 0:
        at = await asyncio.to_thread(_slice, journal, at, question=question, codec=codec, found=found)
    records = await asyncio.to_thread(found.encoded)
    return {"records": msgspec.Raw(records), "truncated": found.end_ms < question.to_ms}


class _Found:
    """The lines of one answer, encoded: all that was found with a time before `end_ms`, which falls as they grow."""

    def __init__(self, end_ms: int) -> None:
        self.end_ms = end_ms
        self._lines: dict[tuple[str, int], tuple[int, bytes]] = {}  # of each record and time: revision and line
        self._size_bytes = 0

    def add(self, key: str, record: Record, *, line: bytes) -> None:
        """One more; the higher revision stands, of equal ones the later."""
        place = key, record.t_ms
        rev, before = self._lines.get(place, (-1, b""))
        if record.t_ms < self.end_ms and rev <= record.rev:
            self._lines[place] = record.rev, line
            self._size_bytes += len(line) - len(before)
            if self._size_bytes > ANSWER_BYTES or len(self._lines) > RECORDS_MAX:
                self._cut()

    def _cut(self) -> None:
        """Let go of the latest times, until a quarter is free; of a single time what is there stays, and no more."""
        places = sorted(self._lines, key=_time)
        first_ms, size, count = places[0][1], self._size_bytes, len(places)
        while places and (size > ANSWER_BYTES * 3 // 4 or count > RECORDS_MAX * 3 // 4):
            key, self.end_ms = places.pop()
            size, count = size - len(self._lines[key, self.end_ms][1]), count - 1
        last_ms = max(first_ms, self.end_ms - 1)
        self._lines = {place: line for place, line in self._lines.items() if place[1] <= last_ms}
        self._size_bytes = sum(len(line) for _rev, line in self._lines.values())

    def encoded(self) -> bytes:
        """A JSON array, oldest first."""
        whole = {place: line for place, (_rev, line) in self._lines.items() if place[1] < self.end_ms}
        told = whole or {place: line for place, (_rev, line) in self._lines.items()}  # of one time, which did not fit
        return b"[" + b",".join(told[place] for place in sorted(told, key=_time)) + b"]"


def _time(place: tuple[str, int]) -> int:
    return place[1]


def _slice(journal: Journal, at: int, *, question: Question, codec: Codec, found: _Found) -> int:
    """Add what the question asks for in the next slice; where to go on, -1 at the end."""
    entries = journal.read(at, limit_bytes=SLICE_BYTES, between=(question.from_ms, found.end_ms - 1))
    kind = _KIND[question.stream]
    for entry in entries:
        if entry.kind != kind or not question.from_ms <= t_ms_of(entry.payload) < found.end_ms:
            continue
        try:
            record = codec.decode(entry.kind, entry.payload)
        except UnknownSchema:
            continue  # a series of which nobody can tell any more what its numbers mean: `journal status` counts it
        if record.stream == question.stream and question.series in {"*", record.device}:
            key = record.body.id if isinstance(record.body, Event) else record.device
            found.add(key, record, line=_encode(_line(record, question.points)))
    return entries[-1].position + 1 if entries else -1


def _line(record: Record, points: frozenset[str]) -> dict[str, Any]:
    line = record_line(record)
    if record.estimated:
        line["estimated"] = True
    if points:
        for part in ("v", "q"):
            held = line.get(part)
            if held:
                line[part] = {name: one for name, one in held.items() if name in points or name == "*"}
    return line
