"""Records as rows of a table (CSV): one row per value; a point without a value still shows its quality."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any, Final

from gateway.record import Record
from gateway.sinks.payload import Payload

COLUMNS: Final = ("t", "device", "stream", "epoch", "seq", "rev", "point", "statistic", "value", "quality")


def rows(record: Record, form: dict[str, Any]) -> Iterator[list[Any]]:
    """The rows of a record whose JSON object is `form`; raw values have no statistic; an event's code is a point."""
    head = [form["t"], record.device, record.stream, record.epoch, record.seq, record.rev]
    values, quality = form.get("v", {}), form.get("q", {})
    for point, value in values.items():
        code = quality.get(point, quality.get("*", "good"))
        for statistic, number in value.items() if isinstance(value, dict) else (("", value),):
            yield [*head, point, statistic, number, code]
    for point, code in quality.items():
        if point not in values and not (point == "*" and values):
            yield [*head, point, "", "", code]
    if "code" in form:
        yield [*head, form["code"], form["state"], form.get("value", ""), ""]


class Table:
    """Encodes records as CSV lines (RFC 4180, line end LF)."""

    def __init__(self, points: tuple[str, ...]) -> None:
        self._payload = Payload(points)

    def encode(self, record: Record) -> bytes:
        """The record's lines, without the last line's end."""
        return text_of(rows(record, self._payload.form(record)))


def text_of(lines: Iterator[list[Any]] | list[list[Any]]) -> bytes:
    """Rows as CSV text, without the last line's end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().removesuffix("\n").encode()


HEADER: Final = text_of([list(COLUMNS)]) + b"\n"
