"""Reads InfluxDB 1 (and the same door of InfluxDB 3) back by InfluxQL: one question per series and range."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.audit import Key, Row, Unreadable
from gateway.audit.asking import Asked
from gateway.audit.lines import Lines
from gateway.record import Record
from gateway.sinks import Site


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
            rev = int(series.get("tags", {}).get("rev") or 0)
            for values in series["values"]:
                held = dict(zip(series["columns"], values, strict=True))
                t_ms = held.pop("time")
                yield Row(t_ms, rev, {name: value for name, value in held.items() if value is not None})


def _text(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _series(body: bytes) -> list[dict[str, Any]]:
    try:
        (result,) = msgspec.json.decode(body, type=dict[str, Any])["results"]
    except (msgspec.DecodeError, KeyError, ValueError) as error:
        raise Unreadable(f"the answer to a query cannot be read: {error}") from None
    if "error" in result:
        raise Unreadable(f"the query is refused: {result['error']}")
    found: list[dict[str, Any]] = result.get("series", [])
    if any(one.get("partial") for one in [*found, result]):
        raise Unreadable("the server cut the answer short (max-row-limit)")
    return found
