"""SenML (RFC 8428), JSON form: one pack per record.

`bn` = `{city}/{gateway}/{device}/`, `bt` = the record's time (s); `n` = the point, in windows `{point}/{statistic}`.
Only good and uncertain values have a number; what is not good adds `{point}/q` with the numeric code. Beside the
points stand `seq`, `epoch`, `rev` (where amended) and, in windows, `n`, `coverage`, `end`; events stand as strings.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, Final

import msgspec

from drivers.points import units
from drivers.sample import FIRST_BAD, Code
from gateway.reading import Aggregate, Event, Reading
from gateway.record import Record
from gateway.sinks import Site
from gateway.sinks.payload import Shapes

_ENCODE: Final = msgspec.json.Encoder().encode
_BARE: Final = frozenset({"changes"})  # counts of changes carry no unit of the point


class SenML:
    """Encodes records for one sink; `points` are its patterns of point names."""

    def __init__(self, site: Site, *, points: Sequence[str] = ("*",)) -> None:
        self._site = site
        self._shapes = Shapes(points)

    def encode(self, record: Record) -> bytes:
        """The record as a SenML pack, UTF-8 JSON."""
        return _ENCODE(self.pack(record))

    def pack(self, record: Record) -> list[dict[str, Any]]:
        """The pack; its first record carries the base name and time."""
        body = record.body
        if isinstance(body, Reading):
            rows = self._raw(body)
        elif isinstance(body, Aggregate):
            rows = self._window(body)
        else:
            rows = _event(body)
        rows += [{"n": "seq", "v": record.seq}, {"n": "epoch", "vs": record.epoch}]
        if record.rev:
            rows.append({"n": "rev", "v": record.rev})
        base = {"bn": f"{self._site.city}/{self._site.gateway}/{record.device}/", "bt": record.t_ms / 1000}
        return [base | rows[0], *rows[1:]]

    def _raw(self, body: Reading) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        shape = self._shapes.of(body.series)
        places = shape.keep if shape.keep is not None else range(len(shape.names))
        for name, i in zip(shape.names, places, strict=True):
            value, code = body.values[i], body.codes[i]
            if isfinite(value) and code < FIRST_BAD:
                rows.append({"n": name, "u": _unit(body, i), "v": value})
            elif code < FIRST_BAD:
                code = int(Code.ABSENT)
            if code:
                rows.append({"n": f"{name}/q", "v": code})
        return rows

    def _window(self, body: Aggregate) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        shape = self._shapes.of(body.series)
        places = shape.keep if shape.keep is not None else range(len(shape.names))
        for name, kinds, i in zip(shape.names, shape.kinds, places, strict=True):
            for kind, value in zip(kinds, body.stats[i], strict=False):
                if isfinite(value):
                    unit = {} if kind in _BARE else {"u": _unit(body, i)}
                    rows.append({"n": f"{name}/{kind}", **unit, "v": value})
            if body.codes[i]:
                rows.append({"n": f"{name}/q", "v": max(body.codes[i])})
        rows += [{"n": f"i/{each.name}", "v": each.value} for each in body.indicators if isfinite(each.value)]
        rows += [{"n": "n", "v": body.n}, {"n": "end", "u": "s", "v": body.end_ms / 1000}]
        if body.coverage is not None:
            rows.append({"n": "coverage", "u": "/", "v": body.coverage})
        return rows


def _unit(body: Reading | Aggregate, index: int) -> str:
    return units()[body.series.points[index].unit].senml


def _event(body: Event) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"n": "event/id", "vs": body.id},
        {"n": "event/type", "vs": body.type},
        {"n": "event/code", "vs": body.code},
        {"n": "event/state", "vs": body.state},
        {"n": "event/level", "v": body.level},
    ]
    for name, value in body.body.items():
        if isinstance(value, bool):
            rows.append({"n": f"event/{name}", "vb": value})
        elif isinstance(value, str):
            rows.append({"n": f"event/{name}", "vs": value})
        elif isinstance(value, int | float):
            rows += [{"n": f"event/{name}", "v": value}] if isfinite(value) else []
        else:
            rows.append({"n": f"event/{name}", "vs": _ENCODE(value).decode()})
    return rows
