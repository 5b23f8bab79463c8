"""InfluxDB line protocol (InfluxData's reference, "Line protocol"): our own encoder, prepared once per series.

NaN and infinity are never written; a record without a field gives no line. Times are UTC ms (`precision=ms`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Final

import msgspec

from drivers.sample import FIRST_BAD, Code
from gateway.reading import Aggregate, Event, Reading, Series
from gateway.record import Record
from gateway.sinks import Site
from gateway.sinks.payload import Shape, own_share

_ESCAPE_NAME: Final = str.maketrans({",": "\\,", " ": "\\ "})
_ESCAPE_TAG: Final = str.maketrans({",": "\\,", " ": "\\ ", "=": "\\="})
_ESCAPE_TEXT: Final = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": " ", "\r": " "})


def _plain(text: str) -> str:
    """A name that the protocol can hold at all.

    Raises:
        ValueError: a line break, or a backslash at the end, would leave the place it stands in.
    """
    if "\n" in text or "\r" in text or text.endswith("\\"):
        raise ValueError(f"{text!r} cannot stand in a line")
    return text


def quoted(text: str) -> str:
    """A string field; line breaks become blanks."""
    return f'"{text.translate(_ESCAPE_TEXT)}"'


def head(measurement: str, tags: Mapping[str, str]) -> str:
    """Measurement and tags, sorted by key; empty tags are left out."""
    parts = [_plain(measurement).translate(_ESCAPE_NAME)]
    for key, value in sorted(tags.items()):
        if value:
            parts.append(f"{_plain(key).translate(_ESCAPE_TAG)}={_plain(value).translate(_ESCAPE_TAG)}")
    return ",".join(parts)


def field(name: str, value: object) -> str:
    """`name=value` with the type of the value (float, int, bool, str); empty for a number that is none."""
    key = _plain(name).translate(_ESCAPE_TAG)
    if isinstance(value, bool):
        return f"{key}={'true' if value else 'false'}"
    if isinstance(value, int):
        return f"{key}={value}i"
    if isinstance(value, float):
        return f"{key}={float(value)!r}" if isfinite(value) else ""
    return f"{key}={quoted(str(value))}"


def line(measurement: str, tags: Mapping[str, str], *, fields: Mapping[str, object], time: int) -> str:
    """One line without its end; empty if no field is left."""
    written = [text for text in (field(name, value) for name, value in fields.items()) if text]
    return f"{head(measurement, tags)} {','.join(written)} {time}" if written else ""


class _Prepared:
    """What does not change between records of one series and stream."""

    __slots__ = ("head", "shape")

    def __init__(self, series: Series, *, tags: Mapping[str, str], measurement: str, points: Sequence[str]) -> None:
        self.shape = Shape(series, points)
        self.head = head(measurement, tags)


class LineProtocol:
    """Encodes records for one sink. `rev_tag` gives amended records the tag `rev` (contracts.md, "InfluxDB")."""

    def __init__(self, site: Site, *, points: Sequence[str] = ("*",), rev_tag: bool = False) -> None:
        self._site = site
        self._points = points
        self._rev_tag = rev_tag
        self._kinds = {each.device: each.kind for each in site.series} | {each.id: each.kind for each in site.series}
        self._known: dict[tuple[str, str], _Prepared] = {}

    def encode(self, record: Record) -> str:
        """The record as one line, without its end."""
        body = record.body
        if isinstance(body, Event):
            return self._event(record, body)
        prepared = self._prepared(record, body.series)
        fields = _raw(prepared.shape, body, amended=record.rev > 0) if isinstance(body, Reading) else (
            _window(prepared.shape, body)
        )  # fmt: skip
        fields.append(f"seq={record.seq}i")
        if record.rev:
            fields.append(f"rev={record.rev}i")
        fields.append(f'epoch="{record.epoch}"')
        rev = f",rev={record.rev}" if self._rev_tag and record.rev else ""
        return f"{prepared.head}{rev} {','.join(fields)} {record.t_ms}"

    def _tags(self, device: str) -> dict[str, str]:
        return {"city": self._site.city, "gateway": self._site.gateway, "device": device}

    def _prepared(self, record: Record, series: Series) -> _Prepared:
        key = record.device, record.stream
        prepared = self._known.get(key)
        if prepared is None or prepared.shape.series is not series:
            raw = record.stream == "raw"
            tags = self._tags(record.device) | ({} if raw else {"stream": record.stream})
            measurement = series.kind if raw else f"{series.kind}_window"
            prepared = _Prepared(series, tags=tags, measurement=measurement, points=self._points)
            self._known[key] = prepared
        return prepared

    def _event(self, record: Record, body: Event) -> str:
        fields: dict[str, object] = {"id": body.id, "type": body.type, "code": body.code, "state": body.state}
        fields |= {"level": float(body.level)} | {f"text_{language}": text for language, text in body.text.items()}
        own = {"seq": record.seq, "epoch": record.epoch} | ({"rev": record.rev} if record.rev else {})
        for name, value in body.body.items():
            # A gap's `epoch` and `seq` are those of its hole; the record has its own.
            fields[f"{body.type}_{name}" if name in own else name] = _flat(value)
        kind = self._kinds.get(record.device, "gateway")
        return line(f"{kind}_event", self._tags(record.device), fields=fields | own, time=record.t_ms)


def _flat(value: object) -> object:
    """Numbers are floats (one type per field, for ever); lists and objects stand as JSON text."""
    if isinstance(value, str | bool):
        return value
    if isinstance(value, int | float):
        return float(value)
    return msgspec.json.encode(value).decode()


def _raw(shape: Shape, body: Reading, *, amended: bool) -> list[str]:
    values, codes = body.values, body.codes
    if shape.keep is not None:
        values = tuple(values[i] for i in shape.keep)
        codes = tuple(codes[i] for i in shape.keep)
    if not amended and not any(codes) and isfinite(sum(values)):
        return [*[f"{name}={float(x)!r}" for name, x in zip(shape.names, values, strict=True)], "quality=0.0"]
    fields: list[str] = []
    worst = 0
    for name, value, given in zip(shape.names, values, codes, strict=True):
        number = isfinite(value)
        code = given if number or given >= FIRST_BAD else int(Code.ABSENT)
        worst = max(worst, code)
        if number:
            fields.append(f"{'' if code < FIRST_BAD else 'bad_'}{name}={float(value)!r}")
        if code or amended:
            fields.append(f"quality_{name}={code}.0")
    fields.append(f"quality={worst}.0")
    return fields


def _window(shape: Shape, body: Aggregate) -> list[str]:
    fields: list[str] = []
    worst = 0
    places = shape.keep if shape.keep is not None else range(len(shape.names))
    for name, kinds, i in zip(shape.names, shape.kinds, places, strict=True):
        numbers: dict[str, Any] = dict(zip(kinds, body.stats[i], strict=False))
        numbers = {kind: x for kind, x in numbers.items() if isfinite(x)}
        if numbers:
            numbers |= own_share(body, i)
        fields += [f"{name}__{kind}={float(x)!r}" for kind, x in numbers.items()]
        worst = max(worst, *body.codes[i], 0)
    fields.append(f"n={body.n}.0")
    if body.coverage is not None:
        fields.append(f"coverage={float(body.coverage)!r}")
    fields += [f"end_ms={body.end_ms}.0", f"quality={worst}.0"]
    for each in body.indicators:
        if isfinite(each.value):
            fields.append(f"i__{each.name}={float(each.value)!r}")
            if each.level is not None:
                fields.append(f"i__{each.name}__level={float(each.level)!r}")
            if each.coverage is not None:
                fields.append(f"i__{each.name}__coverage={float(each.coverage)!r}")
    return fields
