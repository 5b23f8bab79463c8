"""The one table of quantities and units (points.toml), as frozen types."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from drivers.errors import ProfileError

KINDS: Final = ("gauge", "counter", "count", "state")


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: our short code and its twins in UCUM, SenML and UN/CEFACT Recommendation 20."""

    code: str
    ucum: str
    senml: str
    uncefact: str


@dataclass(frozen=True, slots=True)
class Point:
    """One quantity that a device reports.

    `valid` is the range outside of which a number is a fault of the device (code `range`), in `unit`;
    `digits` are the decimals of the resolution: a value is rounded to them once, when it is stamped.
    """

    name: str
    unit: str
    kind: str
    digits: int
    en: str
    th: str
    valid: tuple[float, float] | None = None
    expect: tuple[float, float] | None = None

    @property
    def resolution(self) -> float:
        """The smallest step that the point can show, in its unit."""
        return float(f"1e-{self.digits}")


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("points.toml").read_text(encoding="utf-8"))


@cache
def units() -> dict[str, Unit]:
    """All units by their short code."""
    return {code: Unit(code=code, **twins) for code, twins in _table()["unit"].items()}


def _label(suffix: str, unit: str) -> str:
    """`l1_l2` -> "L1-L2"; a particle's size, `0_3` -> "0.3 um"."""
    return suffix.replace("_", ".") + " um" if unit == "1/cm3" else suffix.upper().replace("_", "-")


@cache
def points() -> dict[str, Point]:
    """All points by name, suffixed ones included (`voltage_l1`)."""
    found: dict[str, Point] = {}
    for base, row in _table()["point"].items():
        for suffix in ("", *row.get("suffixes", ())):
            label = "" if not suffix else " " + _label(suffix, row["unit"])
            name = base if not suffix else f"{base}_{suffix}"
            found[name] = Point(
                name=name,
                unit=row["unit"],
                kind=row.get("kind", "gauge"),
                digits=row["digits"],
                en=row["en"] + label,
                th=row["th"] + label,
            )
    return found


def point(name: str) -> Point:
    """The table's row for `name`.

    Raises:
        ProfileError: there is no such point.
    """
    try:
        return points()[name]
    except KeyError:
        raise ProfileError(f"no point is called {name!r}; drivers/points.toml lists them all") from None
