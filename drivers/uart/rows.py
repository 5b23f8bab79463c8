"""From a frame's facts to a sample: the rows of a stream profile, compiled once.

Grammar of a stream row's `field`: alternatives ` | `, each a sum of fields ` + ` and ` - `; the first alternative all
of whose fields the frame has is taken. `1-0:1.8.0 | 1-0:1.8.1 + 1-0:1.8.2` is the total, or the sum of the tariffs.
A value that carries its unit is converted to the point's unit before `scale`.
`via = "unit"` refuses a number whose unit is not printed; `via = "mod256"` gives the difference to the previous
number of an 8-bit counter, nothing at first or after more than four minutes (it may have wrapped more than once).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite, nan
from typing import Final

from drivers.profile import Profile, Row
from drivers.sample import FIRST_BAD, Code, Sample
from drivers.uart.family import Facts, Value

# Unit -> (base unit, factor to it); a printed unit and a point's unit are of one quantity where the base is the same.
BASES: Final = {
    "Wh": ("Wh", 1.0),
    "kWh": ("Wh", 1e3),
    "MWh": ("Wh", 1e6),
    "W": ("W", 1.0),
    "kW": ("W", 1e3),
    "MW": ("W", 1e6),
    "varh": ("varh", 1.0),
    "kvarh": ("varh", 1e3),
    "Mvarh": ("varh", 1e6),
    "var": ("var", 1.0),
    "kvar": ("var", 1e3),
    "VA": ("VA", 1.0),
    "kVA": ("VA", 1e3),
    "VAh": ("VAh", 1.0),
    "kVAh": ("VAh", 1e3),
    "mV": ("V", 1e-3),
    "V": ("V", 1.0),
    "kV": ("V", 1e3),
    "mA": ("A", 1e-3),
    "A": ("A", 1.0),
    "Hz": ("Hz", 1.0),
    "deg": ("deg", 1.0),
    "m3": ("m3", 1.0),
    "dm3": ("m3", 1e-3),
    "l": ("m3", 1e-3),
    "s": ("s", 1.0),
    "h": ("s", 3600.0),
    "ppb": ("ppb", 1.0),
    "ppm": ("ppb", 1e3),
    "km/h": ("km/h", 1.0),
    "mph": ("km/h", 1.609344),
    "m/s": ("km/h", 3.6),
    "ft/s": ("km/h", 1.09728),
}
WRAP_NS: Final = 240 * 10**9
_TERM: Final = re.compile(r"(?:^| (?P<sign>[+-]) )(?P<name>.+?)(?= [+-] |$)")
_PART: Final = re.compile(r"|(lane|ch)\d{1,3}")
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d*)?")
_PLAIN: Final = frozenset({int, float})
_GOOD, _ABSENT, _SENTINEL = int(Code.GOOD), int(Code.ABSENT), int(Code.SENTINEL)
MOST_PARTS: Final = 256  # kept ready; more are not lanes but noise
Terms = tuple[tuple[float, str], ...]
Compiled = tuple[Row, str, tuple[Terms, ...]]
"""A row, the unit of its point, and the alternatives of its field."""


class Rows:
    """The rows of one profile, ready to be filled from facts."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._counters: dict[tuple[str, str], tuple[int, float]] = {}
        self._parts: dict[str, tuple[Compiled, ...]] = {}

    def count(self, part: str) -> int:
        """Points of `part`."""
        return len(self._of(part))

    def sample(self, facts: Facts, t_mono_ns: int) -> Sample | None:
        """The sample of `facts`; None where the frame says nothing about any row of its part."""
        fields, of_frame = facts.fields, int(_of_frame(facts))
        values: list[float] = []
        codes: list[int] = []
        told = False
        for row, unit, alternatives in self._of(facts.part):
            value, code = _value(row, unit, alternatives, fields)
            if row.via == "mod256" and code == _GOOD:
                value, code = self._step((facts.part, row.point), value, t_mono_ns=t_mono_ns)
            told = told or code != _ABSENT
            values.append(value)
            codes.append(code if code >= FIRST_BAD or code > of_frame else of_frame)
        return Sample(t_mono_ns, tuple(values), tuple(codes), facts.part) if told else None

    def _step(self, key: tuple[str, str], raw: float, *, t_mono_ns: int) -> tuple[float, int]:
        before = self._counters.get(key)
        self._counters[key] = (t_mono_ns, raw)
        if before is None or t_mono_ns - before[0] > WRAP_NS:
            return nan, _ABSENT
        return (raw - before[1]) % 256, _GOOD

    def _of(self, part: str) -> tuple[Compiled, ...]:
        known = self._parts.get(part)
        if known is None:
            known = self._parts[part] = self._compile(part)
            if len(self._parts) > MOST_PARTS:
                self._parts.clear()
        return known

    def _compile(self, part: str) -> tuple[Compiled, ...]:
        if not _PART.fullmatch(part):
            return ()  # an approach, or "no event": nothing that a profile has rows for
        rows = self.profile.rows_of(part)
        units = [point.unit for point in self.profile.points(part)]
        alternatives = [tuple(_terms(text) for text in (row.field or "").split(" | ")) for row in rows]
        return tuple(zip(rows, units, alternatives, strict=True))


def _terms(text: str) -> Terms:
    return tuple((-1.0 if match["sign"] == "-" else 1.0, match["name"].strip()) for match in _TERM.finditer(text))


def _of_frame(facts: Facts) -> Code:
    if facts.fault:
        return Code.SENSOR
    if facts.warming:
        return Code.WARMUP
    return Code.SUSPECT if facts.doubt else Code.GOOD


def _value(row: Row, unit: str, alternatives: tuple[Terms, ...], fields: Mapping[str, Value]) -> tuple[float, int]:
    for terms in alternatives:
        for _, name in terms:
            if name not in fields:
                break
        else:
            break  # all of this alternative's fields are there
    else:
        return nan, _ABSENT
    total = 0.0
    for sign, name in terms:
        found = fields[name]
        if row.via == "unit" and isinstance(found, str):
            return nan, _SENTINEL
        raw = _number(found, unit)
        if not isfinite(raw) or raw in row.sentinel:
            return nan, _SENTINEL
        total += sign * raw
    return total * row.scale + row.offset, _GOOD


def _number(value: Value, unit: str) -> float:
    """The number in `value`, in the point's unit where it carries its own; NaN where it is none."""
    if type(value) in _PLAIN:
        return float(value)  # type: ignore[arg-type]  # a look into a set costs a third of `isinstance`
    if isinstance(value, tuple):
        if len(value) < 2 or not isinstance(value[0], int | float):
            return nan
        printed, wanted = BASES.get(str(value[1])), BASES.get(unit)
        if printed is None or wanted is None or printed[0] != wanted[0]:
            return nan
        return value[0] * (printed[1] / wanted[1])
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value.strip()) else nan
    return nan if value is None else float(value)
