"""Judgement of a config that has the right shape: the gateway, ids, names, places; tools of all judges."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from drivers.profile import Profile
from gateway.config import locate
from gateway.config.cities import cities, spelled
from gateway.config.duration import seconds, size_bytes
from gateway.config.files import Draft
from gateway.config.shape import nearest
from gateway.config.tree import Config, Location
from gateway.config.windows import LENGTHS

ID: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
RESERVED: Final = frozenset({"status", "health", "meta", "event", "raw", "cmd"})
UNBUILT_TRUST: Final = frozenset({"http"})
MIN_CAP_BYTES: Final = 16_000_000  # a few segments: a full journal drops whole ones
MAX_CAP_BYTES: Final = 1_000_000_000_000
_THAILAND: Final = ((5.5, 20.6), (97.2, 105.8))
_NAME_CAP: Final = 200
_LANGUAGE = re.compile(r"[a-z]{2}")


@dataclass(frozen=True, slots=True)
class Bench:
    """What is on the table: the draft (places, faults), the typed tree, profiles, the home folder."""

    draft: Draft
    config: Config
    profiles: Mapping[str, Profile]
    home: Path

    def sound(self, *path: str) -> bool:
        """False where the shape of this key was wrong already: one fault is told once."""
        return not any(path[:length] in self.draft.broken for length in range(1, len(path) + 1))


def site(bench: Bench) -> None:
    """Judge `[gateway]`, `[clock]`, `[windows]` and all ids."""
    _gateway(bench)
    _place(bench, ("gateway", "location"), bench.config.gateway.location)
    names(bench, ("gateway", "name"), texts=bench.config.gateway.name)
    duration(bench, ("clock", "max_wait"), text=bench.config.clock.max_wait, within_s=(1, 30 * 86400))
    _journal(bench)
    if bench.config.clock.trust in UNBUILT_TRUST:
        bench.draft.add("CG-CFG-66", ("clock", "trust"), value=bench.config.clock.trust)
    seen: list[str] = []
    for index, length in enumerate(bench.config.windows.lengths):
        path = ("windows", "lengths", str(index))
        if length not in LENGTHS:
            meant = nearest(length, LENGTHS)
            bench.draft.add("CG-CFG-04", path, key="lengths", value=f'"{length}"', choices=_all(LENGTHS), nearest=meant)
        elif length in seen:
            bench.draft.add("CG-CFG-46", path, key="lengths", value=length)
        seen.append(length)
    for section in ("bus", "device", "sink", "alarm"):
        for name in bench.draft.names(section):
            identifier(bench, (section, name), name=name, what=f"@{section}")
    for name, device in bench.config.device.items():
        _place(bench, ("device", name, "location"), device.location)
        names(bench, ("device", name, "name"), texts=device.name)


def _gateway(bench: Bench) -> None:
    gateway, draft = bench.config.gateway, bench.draft
    if bench.sound("gateway", "id"):
        identifier(bench, ("gateway", "id"), name=gateway.id, what="@gateway")
    if not gateway.state_dir.startswith("/") or ".." in Path(gateway.state_dir).parts:
        draft.add("CG-CFG-47", ("gateway", "state_dir"), key="state_dir", value=gateway.state_dir)
    if gateway.timezone is not None and not _zone(gateway.timezone):
        from zoneinfo import available_timezones  # noqa: PLC0415 - reads a thousand files, only after a fault

        meant = nearest(gateway.timezone, available_timezones())
        draft.add("CG-CFG-27", ("gateway", "timezone"), value=gateway.timezone, nearest=meant)
    known = cities()
    if bench.sound("gateway", "city") and gateway.city not in known:
        meant = spelled(gateway.city) or nearest(gateway.city, known)
        own = gateway.timezone is not None and ID.fullmatch(gateway.city) is not None and not meant
        draft.add("CG-CFG-26", ("gateway", "city"), value=gateway.city, nearest=meant, warning=own)


def _journal(bench: Bench) -> None:
    journal = bench.config.journal
    cap_bytes = quantity(bench, ("journal", "cap"), text=journal.cap, parse=size_bytes, want="@size")
    if cap_bytes is not None and not MIN_CAP_BYTES <= cap_bytes <= MAX_CAP_BYTES:
        bench.draft.add("CG-CFG-41", ("journal", "cap"), key="cap", value=journal.cap, low="16 MB", high="1000 GB")
    duration(bench, ("journal", "keep"), text=journal.keep, within_s=(60, 366 * 86400))
    duration(bench, ("journal", "commit"), text=journal.commit, within_s=(0.2, 5))


def _zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return False
    return True


def identifier(bench: Bench, path: locate.Path, *, name: str, what: str) -> None:
    """An id is `[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?` and not a reserved word (contracts.md)."""
    if name in RESERVED:
        bench.draft.add("CG-CFG-08", path, value=name, what=what)
    elif not ID.fullmatch(name):
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:32].strip("-")
        bench.draft.add("CG-CFG-07", path, value=name, what=what, nearest=plain)


def names(bench: Bench, path: locate.Path, *, texts: Mapping[str, str]) -> None:
    """Names by language: two-letter codes, one line, no control characters."""
    for language, text in texts.items():
        if not _LANGUAGE.fullmatch(language):
            bench.draft.add("CG-CFG-48", (*path, language), value=language, nearest=nearest(language, ("en", "th")))
        elif not text or len(text) > _NAME_CAP or not text.isprintable():
            bench.draft.add("CG-CFG-49", (*path, language), cap=_NAME_CAP)


def duration(bench: Bench, path: locate.Path, *, text: str, within_s: tuple[float, float]) -> float | None:
    """Seconds of a duration inside `within_s`; None after a fault."""
    found = quantity(bench, path, text=text, parse=seconds, want="@duration")
    if found is not None and not within_s[0] <= found <= within_s[1]:
        bench.draft.add(
            "CG-CFG-41", path, key=path[-1], value=text, low=f"{within_s[0]:g} s", high=f"{within_s[1]:g} s"
        )
        return None
    return found


def quantity(
    bench: Bench, path: locate.Path, *, text: str, parse: Callable[[str], float | tuple[int, str]], want: str
) -> float | None:
    """A number with a unit, read by `parse`; None after a fault."""
    try:
        found = parse(text)
    except ValueError:
        bench.draft.add("CG-CFG-18", path, key=path[-1], value=f'"{text}"', want=want)
        return None
    return found[0] if isinstance(found, tuple) else found


def _place(bench: Bench, path: locate.Path, location: Location | None) -> None:
    if location is None:
        return
    latitude, longitude = location.latitude, location.longitude
    swapped = _inside(longitude, latitude)
    value = f"{latitude:g}, {longitude:g}"
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        bench.draft.add("CG-CFG-28", path, value=value, nearest=_turned(location) if swapped else "")
    elif not _inside(latitude, longitude):
        bench.draft.add("CG-CFG-29", path, value=value, nearest=_turned(location) if swapped else "", warning=True)


def _inside(latitude: float, longitude: float) -> bool:
    (south, north), (west, east) = _THAILAND
    return south <= latitude <= north and west <= longitude <= east


def _turned(location: Location) -> str:
    return f"latitude = {location.longitude:g}, longitude = {location.latitude:g}"


def _all(known: Mapping[str, object]) -> str:
    return ", ".join(known)
