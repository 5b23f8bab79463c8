"""Reads InfluxDB 1 (and the same door of InfluxDB 3) back by InfluxQL: one question per series and range."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from gateway.audit import Key, Row, Unreadable
from gateway.audit.asking import Asked
from gateway.audit.lines import Lines
from gateway.record import Record
from gateway.sinks import Site


class _Series(msgspec.Struct):
    columns: list[str]
    values: list[list[int | float | str | bool | None]]
    tags: dict[str, str] = {}
    partial: bool = False


class _Result(msgspec.Struct):
    series: list[_Series] = []
    error: str | None = None
    partial: bool = False


class _Answer(msgspec.Struct):
    results: list[_Result]


class InfluxQl:
    """Keeps every field, overwrites points of one series and time."""

    overwrites = True
    tolerance = 0.0

    def __init__(self, asked: Asked, *, database: str, lines: Lines, site: Site) -> None:
        self.overwrites = not lines.rev_tag
        self._asked, self._database, self._lines, self._site = asked, database, lines, site

    def expected(self, record: Record) -> Row | None:
        """The record as its line."""
        return self._lines.row(record)

    def rows(self, key: Key, *, first_ms: int, end_ms: int) -> Iterator[Row]:
        """One SELECT; tags are told apart from fields by grouping by all of them."""
        where = {"city": self._site.city, "gateway": self._site.gateway, "device": key.device}
        if key.stream not in {"raw", "event"}:
            where["stream"] = key.stream
        tests = [f"\"{name}\" = '{_text(value)}'" for name, value in where.items()]
        tests += [f"time >= {first_ms}ms", f"time < {end_ms}ms"]
        name = self._lines.measurements[key].replace("\\", "\\\\").replace('"', '\\"')
        query = f'SELECT * FROM "{name}" WHERE {" AND ".join(tests)} GROUP BY *'  # noqa: S608 - quoted above
        body = self._asked.get("/query", {"db": self._database, "q": query, "epoch": "ms"})
        for series in _series(body):
            rev = _rev(series.tags)
            for values in series.values:
                if len(values) != len(series.columns):
                    raise Unreadable("a row of an answer has not as many values as its series has columns")
                held = dict(zip(series.columns, values, strict=True))
                t_ms = held.pop("time", None)
                if not isinstance(t_ms, int):
                    raise Unreadable("a row of an answer has no time")
                yield Row(t_ms, rev, {name: value for name, value in held.items() if value is not None})


def _text(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _rev(tags: dict[str, str]) -> int:
    try:
        return int(tags.get("rev") or 0)
    except ValueError:
        raise Unreadable(f"the tag rev is {tags['rev']!r}") from None


def _series(body: bytes) -> list[_Series]:
    try:
        (result,) = msgspec.json.decode(body, type=_Answer).results
    except (msgspec.DecodeError, ValueError) as error:
        raise Unreadable(f"the answer to a query cannot be read: {error}") from None
    if result.error is not None:
        raise Unreadable(f"the query is refused: {result.error}")
    if result.partial or any(one.partial for one in result.series):
        raise Unreadable("the server cut the answer short (max-row-limit)")
    return result.series
