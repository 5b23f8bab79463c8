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

from drivers.points import Point
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
_MISSING: Final = object()
Terms = tuple[tuple[float, str], ...]


class Rows:
    """The rows of one profile, ready to be filled from facts."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._counters: dict[tuple[str, str], tuple[int, float]] = {}
        self._compiled: dict[str, tuple[tuple[Row, Point, tuple[Terms, ...]], ...]] = {}

    def count(self, part: str) -> int:
        """Points of `part`."""
        return len(self._of(part))

    def sample(self, facts: Facts, t_mono_ns: int) -> Sample | None:
        """The sample of `facts`; None where the frame says nothing about any row of its part."""
        rows = self._of(facts.part)
        found = [_value(row, point, terms, facts.fields) for row, point, terms in rows]
        for n, (row, _, _) in enumerate(rows):
            if row.via == "mod256" and found[n][1] == Code.GOOD:
                found[n] = self._step((facts.part, row.point), found[n][0], t_mono_ns=t_mono_ns)
        if all(code == Code.ABSENT for _, code in found):
            return None
        of_frame = _of_frame(facts)
        return Sample(
            t_mono_ns,
            tuple(value for value, _ in found),
            tuple(int(max(code, of_frame) if code < FIRST_BAD else code) for _, code in found),
            facts.part,
        )

    def _step(self, key: tuple[str, str], raw: float, *, t_mono_ns: int) -> tuple[float, Code]:
        before = self._counters.get(key)
        self._counters[key] = (t_mono_ns, raw)
        if before is None or t_mono_ns - before[0] > WRAP_NS:
            return nan, Code.ABSENT
        return (raw - before[1]) % 256, Code.GOOD

    def _of(self, part: str) -> tuple[tuple[Row, Point, tuple[Terms, ...]], ...]:
        if not _PART.fullmatch(part):
            return ()  # an approach, or "no event": nothing that a profile has rows for
        kind = part.rstrip("0123456789")
        if kind not in self._compiled:
            rows = self.profile.rows_of(part)
            alternatives = [tuple(_terms(text) for text in (row.field or "").split(" | ")) for row in rows]
            self._compiled[kind] = tuple(zip(rows, self.profile.points(part), alternatives, strict=True))
        return self._compiled[kind]


def _terms(text: str) -> Terms:
    return tuple((-1.0 if match["sign"] == "-" else 1.0, match["name"].strip()) for match in _TERM.finditer(text))


def _of_frame(facts: Facts) -> Code:
    if facts.fault:
        return Code.SENSOR
    if facts.warming:
        return Code.WARMUP
    return Code.SUSPECT if facts.doubt else Code.GOOD


def _value(row: Row, point: Point, alternatives: tuple[Terms, ...], fields: Mapping[str, Value]) -> tuple[float, Code]:
    for terms in alternatives:
        if all(name in fields for _, name in terms):
            break
    else:
        return nan, Code.ABSENT
    total = 0.0
    for sign, name in terms:
        if row.via == "unit" and isinstance(fields[name], str):
            return nan, Code.SENTINEL
        raw = _number(fields[name], point.unit)
        if not isfinite(raw) or raw in row.sentinel:
            return nan, Code.SENTINEL
        total += sign * raw
    return total * row.scale + row.offset, Code.GOOD


def _number(value: Value, unit: str) -> float:
    """The number in `value`, in the point's unit where it carries its own; NaN where it is none."""
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
