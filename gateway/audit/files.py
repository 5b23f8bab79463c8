"""Reads our own files back, with all that were rotated away, in each of their forms. Numbers compare as text."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.audit import Key, Row, Unreadable, Value
from gateway.audit.lines import Lines, parse
from gateway.record import Record
from gateway.sinks.file import KEPT_FILES
from gateway.sinks.payload import Payload
from gateway.sinks.table import COLUMNS, rows

_PLACE: Final = ("city", "gateway", "device", "stream", "t", "late")  # `late` tells of the sending, not of the record
_ENCODE: Final = msgspec.json.Encoder(order="sorted").encode


class Files:
    """The files of one sink, read once; `form` as its `format`."""

    overwrites = False
    tolerance = 0.0

    def __init__(self, path: Path, *, form: str, points: tuple[str, ...], lines: Lines) -> None:
        self._path, self._form, self._lines = path, form, lines
        self._payload = Payload(points)
        self._held: dict[Key, list[Row]] | None = None

    def expected(self, record: Record) -> Row | None:
        """The record as it is written."""
        if self._form == "lp":
            return self._lines.row(record)
        form = self._payload.form(record)
        if self._form == "csv":
            told = [[f"{cell}" for cell in row] for row in rows(record, form)]
            return Row(record.t_ms, record.rev, _cells(told)) if told else None
        place = {"device": record.device, "stream": record.stream}
        return _from_json(msgspec.json.decode(_ENCODE(place | form)))[1]

    def rows(self, key: Key, *, first_ms: int, end_ms: int) -> Iterator[Row]:
        """From memory: the files are read at the first question."""
        if self._held is None:
            self._held = defaultdict(list)
            for found, row in self._all():
                self._held[found].append(row)
            if self._form == "csv":
                self._held = defaultdict(list, {found: _whole(kept) for found, kept in self._held.items()})
        for row in self._held.get(key, ()):
            if first_ms <= row.t_ms < end_ms:
                yield row

    def _all(self) -> Iterator[tuple[Key, Row]]:
        rotated = [Path(f"{self._path}.{number}") for number in range(KEPT_FILES, 0, -1)]
        files = [file for file in (*rotated, self._path) if file.exists()]
        if not files:
            raise Unreadable(f"{self._path}: there is no such file")
        for file in files:
            try:
                with file.open(encoding="utf-8", errors="surrogateescape", newline="") as text:
                    yield from self._read(text)
            except (OSError, csv.Error) as error:
                raise Unreadable(f"{file}: {error}") from None

    def _read(self, text: Iterable[str]) -> Iterator[tuple[Key, Row]]:
        if self._form == "csv":
            yield from _tables(text)
            return
        for line in text:
            if line.strip():
                try:
                    yield self._line(line)
                except (msgspec.DecodeError, Unreadable, AttributeError, LookupError, TypeError, ValueError):
                    continue  # torn by a power cut; the record behind it was written again, whole

    def _line(self, line: str) -> tuple[Key, Row]:
        if self._form == "lp":
            _measurement, tags, fields, t_ms = parse(line.rstrip("\n"))
            stream = tags.get("stream") or ("event" if "id" in fields and "code" in fields else "raw")
            rev = fields.get("rev", 0)
            return Key(tags["device"], stream), Row(t_ms, rev if isinstance(rev, int) else 0, fields)
        return _from_json(msgspec.json.decode(line))


def _from_json(form: dict[str, Any]) -> tuple[Key, Row]:
    fields: dict[str, Value] = {name: _ENCODE(x).decode() for name, x in form.items() if name not in _PLACE}
    return Key(form["device"], form["stream"]), Row(_ms(form["t"]), form.get("rev", 0), fields)


def _tables(text: Iterable[str]) -> Iterator[tuple[Key, Row]]:
    """Lines of one record stand together; a cell that comes again begins its double."""
    place: tuple[str, ...] = ()
    told: list[list[str]] = []
    seen: set[tuple[str, ...]] = set()
    for row in csv.reader(text):
        if len(row) != len(COLUMNS) or row == list(COLUMNS):
            continue
        head, cell = tuple(row[:6]), tuple(row[6:8])
        if told and (head != place or cell in seen):
            yield from _from_table(told)
            told, seen = [], set()
        place = head
        told.append(row)
        seen.add(cell)
    if told:
        yield from _from_table(told)


def _from_table(told: list[list[str]]) -> Iterator[tuple[Key, Row]]:
    t, device, stream, _epoch, _seq, rev = told[0][:6]
    with suppress(ValueError):  # a torn line that has as many cells
        yield Key(device, stream), Row(_ms(t), int(rev), _cells(told))


def _whole(rows: list[Row]) -> list[Row]:
    """Without those of which only the first lines came to the disk: they were written again, whole."""
    places: dict[tuple[int, int], list[Row]] = defaultdict(list)
    for row in rows:
        places[row.t_ms, row.rev].append(row)
    twins = {place: kept for place, kept in places.items() if len(kept) > 1}
    return [row for row in rows if not any(_begins(row, one) for one in twins.get((row.t_ms, row.rev), ()))]


def _begins(row: Row, whole: Row) -> bool:
    """Whether a row is no more than the beginning of another: lines are missing, or the last one was cut in its end."""
    if row.fields == whole.fields:
        return False
    unlike = [name for name, cell in row.fields.items() if whole.fields.get(name) != cell]
    cut_in_its_end = all(f"{whole.fields.get(name, '')}".startswith(f"{row.fields[name]}") for name in unlike)
    return unlike in ([], list(row.fields)[-1:]) and cut_in_its_end


def _cells(told: list[list[str]]) -> dict[str, Value]:
    fields: dict[str, Value] = {"epoch": told[0][3], "seq": told[0][4]}
    return fields | {f"{row[6]}/{row[7]}": f"{row[8]} {row[9]}" for row in told}


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
