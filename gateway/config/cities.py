"""The cities of config/cities.toml: names, province, centre, time zone."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec


class Centre(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """WGS 84, degrees; `approximate`: good to about 5 km, for maps only."""

    latitude: float
    longitude: float
    approximate: bool = False


class Province(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """ISO 3166-2:TH code and names."""

    code: str
    en: str
    th: str


class City(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One city; `also` lists other spellings of its key."""

    name: dict[str, str]
    province: Province
    location: Centre
    timezone: str
    also: tuple[str, ...] = ()


def data_file(name: str) -> Path:
    """A file of `config/`: inside the installed package, or in the source tree beside it."""
    packed = Path(__file__).parents[1] / "_config" / name
    return packed if packed.exists() else Path(__file__).parents[2] / "config" / name


@cache
def cities() -> Mapping[str, City]:
    """All cities by key."""
    table: dict[str, Any] = tomllib.loads(data_file("cities.toml").read_text(encoding="utf-8"))
    return msgspec.convert(table, dict[str, City])


def spelled(key: str) -> str:
    """The key of the city that is also written `key`, or ""."""
    return next((name for name, city in cities().items() if key.lower() in city.also), "")
