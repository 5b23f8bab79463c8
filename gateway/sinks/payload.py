"""Record -> the JSON object of contracts.md ("Records", "MQTT"). A bad number never stands in `v`.

Prepared once per series: names, chosen points, statistics. A raw record of good values costs one dict and one encode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Final

import msgspec

from drivers.sample import FIRST_BAD, Code
from gateway.clock import rfc3339
from gateway.config.patterns import chosen
from gateway.reading import STATISTICS, Aggregate, Event, Indicator, Reading, Series
from gateway.record import Record

_ENCODE: Final = msgspec.json.Encoder().encode
_CODE_TEXT: Final[Mapping[int, str]] = {int(code): code.text for code in Code}


class Shape:
    """What one series looks like to one sink: the chosen points and their names; `keep` is None when it takes all."""

    __slots__ = ("keep", "kinds", "names", "series")

    def __init__(self, series: Series, patterns: Sequence[str]) -> None:
        self.series = series
        places = [i for i, point in enumerate(series.points) if chosen(point.name, patterns)]
        self.keep = None if len(places) == len(series.points) else tuple(places)
        self.names = tuple(series.points[i].name for i in places)
        self.kinds = tuple(STATISTICS[series.points[i].kind] for i in places)


class Shapes:
    """The shapes of all series that a sink has seen; a series that was configured anew gets a new one."""

    def __init__(self, patterns: Sequence[str] = ("*",)) -> None:
        self._patterns = tuple(patterns)
        self._known: dict[str, Shape] = {}

    def of(self, series: Series) -> Shape:
        """The shape of `series`."""
        shape = self._known.get(series.id)
        if shape is None or shape.series is not series:
            shape = self._known[series.id] = Shape(series, self._patterns)
        return shape


class Payload:
    """Encodes records for one sink; `points` are its patterns of point names."""

    def __init__(self, points: Sequence[str] = ("*",)) -> None:
        self.shapes = Shapes(points)

    def encode(self, record: Record) -> bytes:
        """The record as UTF-8 JSON."""
        return _ENCODE(self.form(record))

    def form(self, record: Record) -> dict[str, Any]:
        """The record as the object that is sent; also what the journal's export and the live page show."""
        body = record.body
        if isinstance(body, Reading):
            form = self._raw(record, body)
        elif isinstance(body, Aggregate):
            form = self._window(record, body)
        else:
            form = _event(record, body)
        if record.rev:
            form["rev"] = record.rev
        if record.prev is not None:
            form["prev"] = list(record.prev)
        if record.late:
            form["late"] = True
        return form

    def _raw(self, record: Record, body: Reading) -> dict[str, Any]:
        shape = self.shapes.of(body.series)
        values, codes = body.values, body.codes
        if shape.keep is not None:
            values = tuple(values[i] for i in shape.keep)
            codes = tuple(codes[i] for i in shape.keep)
        form: dict[str, Any] = {"t": rfc3339(record.t_ms), "epoch": record.epoch, "seq": record.seq}
        if body.t_err_s is not None:
            form["t_err_s"] = round(body.t_err_s, 3)
        if not any(codes) and isfinite(sum(values)):
            form["v"] = dict(zip(shape.names, values, strict=True))
            return form
        _judged(form, shape.names, zip(values, codes, strict=True))
        return form

    def _window(self, record: Record, body: Aggregate) -> dict[str, Any]:
        shape = self.shapes.of(body.series)
        places = shape.keep if shape.keep is not None else range(len(shape.names))
        form: dict[str, Any] = {"t": rfc3339(record.t_ms), "end": rfc3339(body.end_ms)}
        form |= {"epoch": record.epoch, "seq": record.seq, "n": body.n}
        if body.coverage is not None:
            form["coverage"] = body.coverage
        v: dict[str, dict[str, float]] = {}
        q: dict[str, str] = {}
        for name, kinds, i in zip(shape.names, shape.kinds, places, strict=True):
            numbers = {kind: x for kind, x in zip(kinds, body.stats[i], strict=False) if isfinite(x)}
            if numbers:
                v[name] = numbers | own_share(body, i)
            if body.codes[i]:
                q[name] = "+".join(_CODE_TEXT[code] for code in body.codes[i])
        form["v"] = v
        if q:
            form["q"] = _starred(q, len(shape.names))
        if body.times:
            pairs = {name: body.times[i] for name, i in zip(shape.names, places, strict=True) if body.times[i]}
            form["times"] = {name: {"min": rfc3339(low), "max": rfc3339(high)} for name, (low, high) in pairs.items()}
        if body.indicators:
            form["i"] = {each.name: _indicator(each) for each in body.indicators if isfinite(each.value)}
        return form


def _judged(form: dict[str, Any], names: Sequence[str], pairs: Any) -> None:
    """Fill `v`, `q` and `bad` where not everything is good. A number that is none counts as absent."""
    v: dict[str, float] = {}
    q: dict[str, str] = {}
    bad: dict[str, float] = {}
    for name, (value, code) in zip(names, pairs, strict=True):
        number = isfinite(value)
        if code < FIRST_BAD and number:
            v[name] = value
            if code:
                q[name] = _CODE_TEXT[code]
        else:
            q[name] = _CODE_TEXT[code if code >= FIRST_BAD else Code.ABSENT]
            if number:
                bad[name] = value
    form["v"] = v
    if q:
        form["q"] = _starred(q, len(names))
    if bad:
        form["bad"] = bad


def _starred(q: dict[str, str], count: int) -> dict[str, str]:
    """`{"*": code}` when all points of the record share it."""
    if len(q) == count and len(set(q.values())) == 1:
        return {"*": next(iter(q.values()))}
    return q


def own_share(body: Aggregate, index: int) -> dict[str, Any]:
    """A point's own `n` and `coverage` where they differ from the record's."""
    count = body.counts[index]
    if count == body.n:
        return {}
    share: dict[str, Any] = {"n": count}
    if body.coverage is not None and body.n:
        share["coverage"] = round(body.coverage * count / body.n, 4)
    return share


def _indicator(each: Indicator) -> dict[str, Any]:
    form: dict[str, Any] = {"value": each.value}
    if each.level is not None:
        form["level"] = each.level
    form["rule"] = each.rule
    if each.span:
        form["span"] = each.span
    if each.coverage is not None:
        form["coverage"] = each.coverage
    return form


def _event(record: Record, body: Event) -> dict[str, Any]:
    form: dict[str, Any] = {"t": rfc3339(record.t_ms), "epoch": record.epoch, "seq": record.seq, "id": body.id}
    form |= {"type": body.type, "code": body.code, "state": body.state, "level": body.level}
    # A gap names its hole by `epoch` and `seq` = [first, last] (contracts.md): there the body's words stand.
    form |= {key: x for key, x in body.body.items() if not isinstance(x, float) or isfinite(x)}
    form["text"] = dict(body.text)
    return form
