"""Sparkplug B payloads (Eclipse Sparkplug 3.0, chapter 6): the few protobuf messages of them, by hand.

Field numbers are those of `org.eclipse.tahu.protobuf.Payload`. Data sets and templates are skipped when read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_NAMES: Final = (
    "Unknown", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float", "Double", "Boolean",
    "String", "DateTime", "Text", "UUID", "DataSet", "Bytes", "File", "Template",
)  # fmt: skip
TYPES: Final[Mapping[str, int]] = {name: number for number, name in enumerate(_NAMES)}
_SIGNED_BITS: Final = {"Int8": 32, "Int16": 32, "Int32": 32, "Int64": 64}  # they travel as two's complement
_VARINT, _WIDE, _SIZED, _SHORT = 0, 1, 2, 5  # wire types
_TIMESTAMP, _METRICS, _SEQ = 1, 2, 3  # of a payload
_NAME, _ALIAS, _AT, _DATATYPE, _HISTORICAL, _NULL, _PROPERTIES = 1, 2, 3, 4, 5, 7, 9  # of a metric
_INT, _LONG, _FLOAT, _DOUBLE, _BOOLEAN, _STRING, _BYTES = 10, 11, 12, 13, 14, 15, 16  # a metric's value
_KEYS, _VALUES = 1, 2  # of a set of properties
_TYPE, _PROPERTY_INT, _PROPERTY_STRING = 1, 3, 8  # of a property
_REALS: Final = {"Double": (_DOUBLE, "<d"), "Float": (_FLOAT, "<f")}
_LONGS: Final = frozenset({"Int64", "UInt64", "DateTime"})
_TEXTS: Final = frozenset({"String", "Text", "UUID"})
_MAX_VARINT_BYTES: Final = 10


@dataclass(frozen=True, slots=True)
class Metric:
    """One value: `value` None is null; `t_ms` is when it was measured (UTC ms); properties are int or str."""

    name: str
    datatype: str
    value: float | str | None  # a truth value is a number here
    t_ms: int
    historical: bool = False
    properties: Mapping[str, int | str] = field(default_factory=dict)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _number(place: int, number: int) -> bytes:
    return _varint(place << 3 | _VARINT) + _varint(number)


def _sized(place: int, data: bytes) -> bytes:
    return _varint(place << 3 | _SIZED) + _varint(len(data)) + data


def encode(metrics: Sequence[Metric], *, t_ms: int, seq: int | None) -> bytes:
    """A payload sent at `t_ms`; `seq` None leaves it out (NDEATH has none). Raises ValueError, TypeError."""
    parts = [_number(_TIMESTAMP, t_ms), *(_sized(_METRICS, _metric(one)) for one in metrics)]
    return b"".join(parts) + (b"" if seq is None else _number(_SEQ, seq))


def _metric(one: Metric) -> bytes:
    head = _sized(_NAME, one.name.encode()) + _number(_AT, one.t_ms) + _number(_DATATYPE, TYPES[one.datatype])
    head += _number(_HISTORICAL, 1) if one.historical else b""
    more = _sized(_PROPERTIES, _properties(one.properties)) if one.properties else b""
    return head + (_number(_NULL, 1) + more if one.value is None else more + _value(one.datatype, one.value))


def _value(datatype: str, value: float | str) -> bytes:
    if isinstance(value, str):
        return _sized(_STRING, value.encode())
    if datatype == "Double":
        return _varint(_DOUBLE << 3 | _WIDE) + struct.pack("<d", value)
    if datatype == "Boolean":
        return _number(_BOOLEAN, int(value))
    bits = _SIGNED_BITS.get(datatype, 64)
    return _number(_LONG if datatype in _LONGS else _INT, int(value) & ((1 << bits) - 1))


def _properties(properties: Mapping[str, int | str]) -> bytes:
    keys = b"".join(_sized(_KEYS, key.encode()) for key in properties)
    values = b"".join(_sized(_VALUES, _property(value)) for value in properties.values())
    return keys + values


def _property(value: int | str) -> bytes:
    if isinstance(value, str):
        return _number(_TYPE, TYPES["String"]) + _sized(_PROPERTY_STRING, value.encode())
    return _number(_TYPE, TYPES["Int32"]) + _number(_PROPERTY_INT, value & 0xFFFFFFFF)


def decode(data: bytes) -> dict[str, Any]:
    """A payload as `{"seq", "timestamp", "metrics"}`, timestamps in UTC ms.

    A metric is `{"name"?, "alias"?, "timestamp"?, "datatype", "value", "is_historical"?, "properties"?}`.

    Raises:
        ValueError: it is no such payload.
    """
    found: dict[str, Any] = {"seq": None, "timestamp": None, "metrics": []}
    for place, value in _fields(data):
        if place == _TIMESTAMP:
            found["timestamp"] = _whole(value)
        elif place == _SEQ:
            found["seq"] = _whole(value)
        elif place == _METRICS:
            found["metrics"].append(_metric_from(_raw(value)))
    return found


def _metric_from(data: bytes) -> dict[str, Any]:
    fields = dict(_fields(data))
    form: dict[str, Any] = {}
    if _NAME in fields:
        form["name"] = _raw(fields[_NAME]).decode()
    if _ALIAS in fields:
        form["alias"] = _whole(fields[_ALIAS])
    if _AT in fields:
        form["timestamp"] = _whole(fields[_AT])
    number = _whole(fields.get(_DATATYPE, 0))
    form["datatype"] = _NAMES[number] if number < len(_NAMES) else f"{number}"
    form["value"] = None if fields.get(_NULL) else _value_from(form["datatype"], fields)
    if fields.get(_HISTORICAL):
        form["is_historical"] = True
    if _PROPERTIES in fields:
        form["properties"] = _properties_from(_raw(fields[_PROPERTIES]))
    return form


def _value_from(datatype: str, fields: Mapping[int, int | bytes]) -> float | bool | str | bytes | None:
    if datatype in _REALS:
        place, form = _REALS[datatype]
        return float(struct.unpack(form, _fit(fields[place], form))[0]) if place in fields else None
    if datatype == "Boolean":
        return bool(fields[_BOOLEAN]) if _BOOLEAN in fields else None
    if datatype in _TEXTS:
        return _raw(fields[_STRING]).decode() if _STRING in fields else None
    place = _LONG if datatype in _LONGS else _INT
    if place not in fields:
        return _raw(fields[_BYTES]) if _BYTES in fields else None
    number, bits = _whole(fields[place]), _SIGNED_BITS.get(datatype)
    if bits:
        number &= (1 << bits) - 1
        number -= (1 << bits) if number >> (bits - 1) else 0
    return number


def _properties_from(data: bytes) -> dict[str, int | str | None]:
    pairs = list(_fields(data))
    keys = [_raw(value).decode() for place, value in pairs if place == _KEYS]
    values: list[int | str | None] = []
    for value in (_raw(value) for place, value in pairs if place == _VALUES):
        held = dict(_fields(value))
        text = held.get(_PROPERTY_STRING)
        values.append(_raw(text).decode() if text is not None else _whole(held.get(_PROPERTY_INT, 0)))
    return dict(zip(keys, values, strict=False))


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of one message; the last of a repeated one wins where it is put into a dict."""
    at = 0
    while at < len(data):
        key, at = _varint_at(data, at)
        wire = key & 7
        if wire == _VARINT:
            value, at = _varint_at(data, at)
            yield key >> 3, value
            continue
        if wire == _SIZED:
            size, at = _varint_at(data, at)
        elif wire in {_WIDE, _SHORT}:
            size = 8 if wire == _WIDE else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > len(data):
            raise ValueError("cut short")
        yield key >> 3, data[at : at + size]
        at += size


def _varint_at(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for count in range(_MAX_VARINT_BYTES):
        if at + count >= len(data):
            raise ValueError("cut short")
        byte = data[at + count]
        number |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return number, at + count + 1
    raise ValueError("a number without end")


def _whole(value: int | bytes) -> int:
    if isinstance(value, int):
        return value
    raise ValueError("a number was expected")


def _fit(value: int | bytes, form: str) -> bytes:
    data = _raw(value)
    if len(data) != struct.calcsize(form):
        raise ValueError("a number of another size")
    return data


def _raw(value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    raise ValueError("bytes were expected")
