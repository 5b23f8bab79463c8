"""The register half of `citygate decode`: recorded Modbus bytes in, one finding per frame out. No port, no clock.

The same envelope, block decoder and profiles as on the live bus. `values` and `quality` are those of the profile's
points that the answer covers; `fields` is all that the answer says, under the keys of register_keys.toml (families of
recorded captures) or under the points' own names.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any, Final

import msgspec

from drivers.errors import ProfileError
from drivers.modbus import recorded, sunspec
from drivers.modbus.decode import BlockDecoder
from drivers.modbus.plan import Block
from drivers.modbus.recorded import TABLE_OF, Framing, Heard, Span
from drivers.offline import Found, record
from drivers.points import Point
from drivers.profile import Profile, Row, load, shipped, where
from drivers.sample import FIRST_BAD, Code, Sample
from drivers.uart.family import Facts
from drivers.uart.rows import Rows

BAD_FRAME: Final = "CG-DEV-01"
_DIGITS: Final = 9  # of fields: 2331 x 0.1 is 233.1, not 233.10000000000002


class Keys(msgspec.Struct, frozen=True):
    """One family of register_keys.toml."""

    profiles: tuple[str, ...]
    tables: tuple[str, ...]
    keys: dict[str, str | dict[str, Any]]
    request: str | None = None
    start_key: str | None = None

    def rows(self) -> tuple[tuple[str, Row], ...]:
        """The numbers, as rows of profiles (their point is never looked up)."""
        made = {key: {"read": spec} if isinstance(spec, str) else spec for key, spec in self.keys.items()}
        return tuple(
            (key, msgspec.convert({"point": key, **spec}, Row))
            for key, spec in made.items()
            if " text" not in spec["read"]
        )

    def texts(self) -> tuple[tuple[str, int, int], ...]:
        """The texts: key, protocol address, registers."""
        found = [(key, spec.split()) for key, spec in self.keys.items() if isinstance(spec, str) and " text" in spec]
        return tuple((key, int(words[1], 0), int(words[2].removeprefix("text"))) for key, words in found)


@cache
def families() -> dict[str, Keys]:
    """The register families of recorded captures, by their name with dashes."""
    table = tomllib.loads(Path(__file__).with_name("register_keys.toml").read_text(encoding="utf-8"))
    return {name.replace("_", "-"): msgspec.convert(row, Keys) for name, row in table.items()}


def knows_registers(name: str) -> bool:
    """Whether `decode_registers` can take `name`: a family of captures or a register profile, with - or _."""
    dashed = name.replace("_", "-")
    return dashed in families() or (dashed in shipped() and load(dashed).speaks == "modbus")


def decode_registers(
    name: str, data: bytes, *, request: str | None = None, framing: Framing = "rtu", folder: Path | None = None
) -> list[Found]:
    """Every answer in `data`, by the profile or capture family `name`.

    Args:
        name: a profile (`eastron-sdm630`) or a family of captures (`eastron-sdm`), with - or _.
        data: recorded bytes; requests may stand among the answers.
        request: which registers every answer covers, `input:0:42` (protocol address); else the request before it in
            the bytes says so, else the family's usual one.
        framing: `rtu`; `tcp` (MBAP); `pdu` (function, byte count, data: no unit or checksum).
        folder: a site's own profiles.

    Raises:
        ProfileError: no such profile. ValueError: `request` is not written TABLE:ADDRESS:COUNT.
    """
    dashed = name.replace("_", "-")
    keys = families().get(dashed) or next((k for k in families().values() if dashed in k.profiles), None)
    names = families()[dashed].profiles if dashed in families() else (dashed,)
    profiles = tuple(load(each, folder) for each in names)
    if profiles[0].speaks != "modbus":
        raise ProfileError(f"{dashed} does not speak Modbus: it needs no request")
    given = recorded.span(request) if request is not None else None
    usual = recorded.span(keys.request) if keys is not None and keys.request else None
    return [_found(heard, profiles, keys, given=given, usual=usual) for heard in recorded.answers(data, framing)]


def _found(
    heard: Heard, profiles: Sequence[Profile], keys: Keys | None, *, given: Span | None, usual: Span | None
) -> Found:
    span = given or heard.asked or usual
    reason = heard.reason or _mismatch(heard, span)
    if reason or span is None:
        return Found(heard.offset, heard.size, ok=False, code=BAD_FRAME, reason=reason)
    if heard.code:
        fields = {"exception_function": f"0x{heard.function | 0x80:02X}", "exception_code": heard.code}
        return Found(heard.offset, heard.size, ok=True, quality={"*": Code.EXCEPTION.text}, fields=fields)
    if not profiles[0].by_registers:
        return _sunspec(heard, profiles)
    same = keys.tables if keys is not None and span.table in keys.tables else (span.table,)
    values, quality = _points(profiles, span, heard.data, same=same)
    named = _named(keys, span, heard.data, same=same) if keys is not None else _by_point(profiles[0], span, heard.data)
    return Found(heard.offset, heard.size, ok=True, values=values, quality=quality, fields=named)


def _mismatch(heard: Heard, span: Span | None) -> str:
    if span is None:
        return "which registers the answer covers is not known: --request TABLE:ADDRESS:COUNT"
    if heard.function and TABLE_OF[heard.function] != span.table:
        return f"function {heard.function} answers, but {span.table} registers were asked for"
    if not heard.code and len(heard.data) != span.data_bytes:
        return f"{len(heard.data)} data bytes, but {span.count} of table {span.table} were asked for"
    return ""


def _covered(rows: Sequence[Row], span: Span, same: Sequence[str]) -> list[Row]:
    """The rows that lie whole in the answer, as rows of the table that was read."""
    found = []
    for row in rows:
        place = where(row.read or "")
        inside = span.address <= place.address and place.address + place.count <= span.address + span.count
        if inside and place.table in same:
            read = f"{span.table} {place.address} {place.type} {place.order}"
            found.append(msgspec.structs.replace(row, read=read))
    return found


def _decoded(rows: Sequence[Row], span: Span, data: bytes) -> tuple[tuple[float, ...], tuple[int, ...]]:
    block = Block(span.table, span.address, span.count, tuple(range(len(rows))))
    return BlockDecoder(block, rows).decode(data) if rows else ((), ())


def _points(
    profiles: Sequence[Profile], span: Span, data: bytes, *, same: Sequence[str]
) -> tuple[dict[str, float], dict[str, str]]:
    """`v` and `q` by the first profile that has a point in the answer."""
    for profile in profiles:
        rows = _covered(profile.rows_of() or profile.rows_of("lane1"), span, same)
        if rows:
            values, codes = _decoded(rows, span, data)
            points = {point.name: point for point in profile.points() or profile.points("lane1")}
            judged = [judge(points[row.point], v, code=c) for row, v, c in zip(rows, values, codes, strict=True)]
            return record([row.point for row in rows], Sample(0, values, tuple(judged)))
    return {}, {}


def judge(point: Point, value: float, *, code: int) -> int:
    """The code of a decoded value after its profile's ranges: outside `valid` is bad, outside `expect` uncertain."""
    if code >= FIRST_BAD or not isfinite(value):
        return code or int(Code.SENTINEL)
    if point.valid is not None and not point.valid[0] <= value <= point.valid[1]:
        return int(Code.RANGE)
    if point.expect is not None and not point.expect[0] <= value <= point.expect[1]:
        return max(code, int(Code.SUSPECT))
    return code


def _named(keys: Keys, span: Span, data: bytes, *, same: Sequence[str]) -> dict[str, Any]:
    rows = _covered([row for _, row in keys.rows()], span, same)
    values, codes = _decoded(rows, span, data)
    fields: dict[str, Any] = {
        row.point: _plain(value, row) if code < FIRST_BAD else None
        for row, value, code in zip(rows, values, codes, strict=True)
    }
    for key, address, count in keys.texts():
        if span.address <= address and address + count <= span.address + span.count:
            start = 2 * (address - span.address)
            fields[key] = sunspec.text(data[start : start + 2 * count])
    return fields | ({keys.start_key: f"0x{span.address:04X}"} if keys.start_key else {})


def _by_point(profile: Profile, span: Span, data: bytes) -> Mapping[str, Any]:
    rows = _covered(profile.rows_of() or profile.rows_of("lane1"), span, (span.table,))
    values, codes = _decoded(rows, span, data)
    triples = zip(rows, values, codes, strict=True)
    return {row.point: _plain(value, row) if code < FIRST_BAD else None for row, value, code in triples}


def _plain(value: float, row: Row) -> float | int:
    """Whole registers as integers, scaled ones without binary dust, floats as they are."""
    if where(row.read or "").type.startswith("f"):
        return value
    return int(value) if row.scale == 1 and row.offset == 0 else round(value, _DIGITS)


def _sunspec(heard: Heard, profiles: Sequence[Profile]) -> Found:
    fields = sunspec.fields(heard.data)
    if not fields:
        return Found(heard.offset, heard.size, ok=False, code=BAD_FRAME, reason="no SunSpec marker or model")
    if heard.unit is not None:
        fields["unit"] = heard.unit
    facts = Facts({key: value for key, value in fields.items() if not isinstance(value, dict)})
    for profile in profiles:
        sample = Rows(profile).sample(facts, 0)
        if sample is not None:
            triples = zip(profile.points(), sample.values, sample.codes, strict=True)
            known = [(p, v, judge(p, v, code=c)) for p, v, c in triples if c != Code.ABSENT]
            judged = Sample(0, tuple(v for _, v, _ in known), tuple(c for _, _, c in known))
            values, quality = record([p.name for p, _, _ in known], judged)
            return Found(heard.offset, heard.size, ok=True, values=values, quality=quality, fields=fields)
    return Found(heard.offset, heard.size, ok=True, fields=fields)


__all__ = ["BAD_FRAME", "Framing", "Keys", "decode_registers", "families", "judge", "knows_registers"]
