"""Answers the simplest of Flux queries over lines of line protocol, in annotated CSV (InfluxData, "Annotated CSV").

Understood is `from(bucket) |> range(start, stop) |> filter(fn: (r) => r.key == "value" and ...)` and nothing else; a
point of one series, field and time that was written again counts with its last value.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

_RANGE: Final = re.compile(r"range\(start: *([^,]+), *stop: *([^)]+)\)")
_TEST: Final = re.compile(r'r\.(\w+) *== *"((?:[^"\\]|\\.)*)"')
_SPLIT: Final = re.compile(r"((?:[^\\, ]|\\.)+)((?:,(?:[^\\,= ]|\\.)+=(?:[^\\, ]|\\.)+)*) (.*) (-?\d+)$")
_PAIR: Final = re.compile(r'((?:[^\\,= ]|\\.)+)=("(?:[^"\\]|\\.)*"|(?:[^\\, ]|\\.)+)')
_ESCAPED: Final = re.compile(r"\\(.)")


class Refused(Exception):
    """The query asks for something that is not understood here."""


class Column(NamedTuple):
    """One field of one series: tags sorted by name, and the type of its values."""

    measurement: str
    tags: tuple[tuple[str, str], ...]
    field: str
    datatype: str


def answer(lines: Iterable[str], query: str) -> str:
    """The tables of a query, as annotated CSV. Times of the lines are ms. Raises `Refused`."""
    span = _RANGE.search(query)
    if span is None or "filter" not in query:
        raise Refused(f"this query is not understood: {query}")
    start_ms, stop_ms = (_ms(text) for text in span.groups())
    tests = {name: _ESCAPED.sub(r"\1", value) for name, value in _TEST.findall(query)}
    columns: dict[Column, dict[int, str]] = defaultdict(dict)
    for line in lines:
        found = _SPLIT.match(line)
        if found is None:
            continue
        measurement, t_ms = _ESCAPED.sub(r"\1", found[1]), int(found[4])
        tags = dict(sorted((_ESCAPED.sub(r"\1", k), _ESCAPED.sub(r"\1", v)) for k, v in _PAIR.findall(found[2])))
        told = tags | {"_measurement": measurement}
        if not start_ms <= t_ms < stop_ms or any(told.get(name) != value for name, value in tests.items()):
            continue
        for name, text in _PAIR.findall(found[3]):
            datatype, value = _typed(text)
            columns[Column(measurement, tuple(tags.items()), _ESCAPED.sub(r"\1", name), datatype)][t_ms] = value
    return "".join(_table(number, column, rows) for number, (column, rows) in enumerate(columns.items()))


def _typed(text: str) -> tuple[str, str]:
    if text.startswith('"'):
        return "string", _ESCAPED.sub(r"\1", text[1:-1])
    if text in {"true", "false"}:
        return "boolean", text
    return ("long", text[:-1]) if text.endswith("i") else ("double", text)


def _table(number: int, column: Column, rows: dict[int, str]) -> str:
    names = [name for name, _value in column.tags]
    tags = [_cell(value) for _name, value in column.tags]
    more = "".join(",string" for _ in names)
    head = [
        f"#datatype,string,long,dateTime:RFC3339,{column.datatype},string,string{more}",
        "#group,false,false,false,false,true,true" + ",true" * len(names),
        "#default,_result,,,,," + "," * len(names),
        ",".join(["", "result", "table", "_time", "_value", "_field", "_measurement", *names]),
    ]
    body = [
        ",".join(
            ["", "", f"{number}", _time(t_ms), _cell(value), _cell(column.field), _cell(column.measurement), *tags]
        )
        for t_ms, value in sorted(rows.items())
    ]
    return "\r\n".join([*head, *body, "", ""])


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


def _time(t_ms: int) -> str:
    return datetime.fromtimestamp(t_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text.strip()).timestamp() * 1000)
