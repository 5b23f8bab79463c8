"""Reads VictoriaMetrics back by its export, which gives raw samples: without deduplication, doubled ones show.

It keeps numbers only, one series per field, and never overwrites. A number keeps about 15 digits there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import msgspec

from gateway.audit import Key, Row, Unreadable
from gateway.audit.asking import Asked
from gateway.audit.lines import Lines
from gateway.record import Record
from gateway.sinks import Site

FLUSH: Final = "/internal/force_flush"


class _Series(msgspec.Struct):
    metric: dict[str, str]
    values: list[float | None]
    timestamps: list[int]


class Victoria:
    """One single-node server, or a cluster's `vmselect` door."""

    overwrites = False
    tolerance = 1e-12

    def __init__(self, asked: Asked, *, lines: Lines, site: Site) -> None:
        self._asked, self._lines, self._site = asked, lines, site
        self._texts: set[str] = set()  # fields that are strings: this server keeps a 0 for each, or nothing
        self._asked.ask("GET", FLUSH)  # what was written a moment ago becomes visible; a refusal costs only that

    def expected(self, record: Record) -> Row | None:
        """The numbers of the record's line; amended ones only as series of their own."""
        if record.rev and not self._lines.rev_tag:
            return None
        row = self._lines.row(record)
        if row is None:
            return None
        texts = {name for name, x in row.fields.items() if isinstance(x, str)}
        self._texts |= texts
        return Row(row.t_ms, row.rev, {name: x for name, x in row.fields.items() if name not in texts})

    def rows(self, key: Key, *, first_ms: int, end_ms: int) -> Iterator[Row]:
        """Samples of all fields, put together again by their time; the n-th sample of one time is the n-th row."""
        name = self._lines.measurements[key]
        stream = "" if key.stream in {"raw", "event"} else key.stream
        site = self._site
        match = (
            f'{{__name__=~"{name}_.+",city="{site.city}",gateway="{site.gateway}",device="{key.device}",'
            f'stream="{stream}"}}'
        )
        query = {"match[]": match, "start": f"{first_ms / 1000:.3f}", "end": f"{(end_ms - 1) / 1000:.3f}"}
        held: dict[tuple[int, int], list[dict[str, float]]] = defaultdict(list)
        for line in self._asked.get("/api/v1/export", query).splitlines():
            series = _read(line)
            field = series.metric["__name__"].removeprefix(f"{name}_")
            if field in self._texts:
                continue
            if key.stream == "raw" and field.startswith(("event_", "window_")):
                continue  # of another measurement, whose name begins as this one's
            _sort_in(held, series, field)
        for (t_ms, rev), rows in held.items():
            for fields in rows:
                yield Row(t_ms, rev, fields)


def _rev(series: _Series) -> int:
    try:
        return int(series.metric.get("rev") or 0)
    except ValueError:
        raise Unreadable(f"the label rev is {series.metric['rev']!r}") from None


def _sort_in(held: dict[tuple[int, int], list[dict[str, float]]], series: _Series, field: str) -> None:
    rev = _rev(series)
    for t_ms, value in zip(series.timestamps, series.values, strict=True):
        if value is None:
            continue
        rows = held[t_ms, rev]
        free = next((row for row in rows if field not in row), None)
        if free is None:
            free = {}
            rows.append(free)
        free[field] = value


def _read(line: bytes) -> _Series:
    try:
        series = msgspec.json.decode(line, type=_Series)
    except msgspec.DecodeError as error:
        raise Unreadable(f"a line of the export cannot be read: {error}") from None
    if "__name__" not in series.metric or len(series.values) != len(series.timestamps):
        raise Unreadable(f"a line of the export is no series: {line[:80]!r}")
    return series
