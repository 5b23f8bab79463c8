"""Records of a time range, read back from the journal a little at a time: the local socket's question `history`.

    {"ask":"history","series":"air-north" or "*","stream":"15m","from":"<RFC 3339>","to":"<RFC 3339>","points":[...]}

answers `{"records":[...],"truncated":bool}`, each record as the socket tells it live, oldest first, `from` included,
`to` not. The scan begins in the journal's segment of that time, leaves out sealed blocks of other times, and runs in a
thread, slice by slice, so a question never holds up a poll.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gateway.codec import EVENT, RAW, WINDOW, Codec, UnknownSchema, t_ms_of
from gateway.health import record_line
from gateway.journal import Entry, Journal
from gateway.reading import LENGTHS_S
from gateway.record import Record

SLICE_BYTES: Final = 131_072
SLACK_MS: Final = 3_600_000  # the clock may have been ahead by this much when a segment was begun
RECORDS_MAX: Final = 20_000
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
        if not isinstance(series, str) or stream not in _KIND:
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
    """The answer to one question; an `error` object where the question is wrong."""
    try:
        question = Question.of(request)
    except ValueError as error:
        return {"error": {"code": "CG-SYS-04", "fact": str(error)}}
    latest: dict[tuple[str, int], Record] = {}
    at, truncated = journal.seek(question.from_ms - SLACK_MS), False
    while not truncated:
        found, at = await asyncio.to_thread(_slice, journal, at, question=question, codec=codec)
        for record in found:
            key = record.body.id if question.stream == "event" else record.device  # type: ignore[union-attr]
            before = latest.get((key, record.t_ms))
            if before is None or before.rev <= record.rev:
                latest[key, record.t_ms] = record
        truncated = len(latest) >= RECORDS_MAX
        if at < 0:
            break
    ordered = sorted(latest.values(), key=lambda record: record.t_ms)
    lines = []
    for number, record in enumerate(ordered):
        lines.append(_line(record, question.points))
        if not number % 100:
            await asyncio.sleep(0)
    return {"records": lines, "truncated": truncated}


def _slice(journal: Journal, at: int, *, question: Question, codec: Codec) -> tuple[list[Record], int]:
    """What the question asks for in the next slice, and where to go on; -1 at the end."""
    entries = journal.read(at, limit_bytes=SLICE_BYTES, between=(question.from_ms, question.to_ms - 1))
    return list(_fitting(entries, question, codec)), entries[-1].position + 1 if entries else -1


def _fitting(entries: list[Entry], question: Question, codec: Codec) -> Iterator[Record]:
    """The records that the question asks for."""
    kind = _KIND[question.stream]
    for entry in entries:
        if entry.kind != kind or not question.from_ms <= t_ms_of(entry.payload) < question.to_ms:
            continue
        try:
            record = codec.decode(entry.kind, entry.payload)
        except UnknownSchema:
            continue  # a series of which nobody can tell any more what its numbers mean: `journal status` counts it
        if record.stream == question.stream and question.series in {"*", record.device}:
            yield record


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
