"""Judgement of buses and of the devices on them: line settings, ports, profiles, units, lanes."""

from __future__ import annotations

import os.path
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Final

from drivers.errors import DriverError, ProfileError
from drivers.line import LineSettings, line
from drivers.profile import Profile, load, shipped
from drivers.uart.registry import family
from gateway.config import locate
from gateway.config.judge import ID, Bench, duration, names
from gateway.config.shape import nearest
from gateway.config.tree import Bus, Device
from gateway.config.windows import LENGTHS

RATES: Final = (300, 600, 1200, 2400, 4800, 9600, 14400, 19200, 38400, 57600, 76800, 115200, 230400, 460800, 921600)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[?[0-9a-fA-F:]+(%[A-Za-z0-9.-]+)?\]?")
_NUMBERED = re.compile(r"/dev/tty(USB|ACM)\d+")
_KEYS: Final = {
    "serial": {"kind", "port", "line", "echo", "rs485"},
    "tcp": {"kind", "host", "port", "framing", "echo"},
}
_PART: Final = re.compile(r"[1-9]\d?")
_EVERY_S: Final = (0.02, 86400.0)
_UNITS: Final = {"tcp": (0, 255)}
_RTU_UNITS: Final = (1, 247)
# Profile -> reserved address under which the device answers whatever its own is, alone on its line.
_ANY_ADDRESS: Final = {"senseair-s8": 254, "peacefair-pzem-004t": 248}


def wires(bench: Bench) -> None:
    """Judge `[bus.*]` and `[device.*]`."""
    for name, bus in bench.config.bus.items():
        _bus(bench, name, bus)
    _twice(bench, "CG-CFG-17", ((("bus", name, "port"), _endpoint(bus)) for name, bus in bench.config.bus.items()))
    for name, device in bench.config.device.items():
        _device(bench, name, device)
    _parts(bench)
    for name in bench.config.bus:
        _together(bench, name)


def read_profiles(bench: Bench) -> dict[str, Profile]:
    """The profile of every device that has one; unknown and faulty ones are noted."""
    found: dict[str, Profile] = {}
    own = bench.home / "profiles"
    for name, device in bench.config.device.items():
        path = ("device", name, "profile")
        if not bench.sound(*path):
            continue
        try:
            profile = load(device.profile, own if own.is_dir() else None)
            if profile.speaks != "modbus":
                family(profile.family)
            found[name] = profile
        except ProfileError as error:
            known = {*shipped(), *(path.stem for path in own.glob("*.toml"))}
            if device.profile in known:
                bench.draft.add("CG-CFG-12", path, profile=device.profile, seen=str(error))
            else:
                meant = nearest(device.profile, known)
                bench.draft.add("CG-CFG-11", path, profile=device.profile, nearest=meant)
    return found


def _endpoint(bus: Bus) -> str:
    if bus.kind == "tcp":
        return f"{(bus.host or '').lower().strip('[]')}:{bus.port or 502}" if bus.host else ""
    return os.path.realpath(bus.port) if isinstance(bus.port, str) and bus.port else ""


def _twice(bench: Bench, code: str, places: Iterable[tuple[locate.Path, str]]) -> None:
    first: dict[str, locate.Path] = {}
    for path, what in places:
        if what and what in first:
            bench.draft.add(code, path, value=what, one=first[what][1], other=path[1])
        first.setdefault(what, path)


def _bus(bench: Bench, name: str, bus: Bus) -> None:
    path = ("bus", name)
    written = bench.draft.data["bus"][name]
    for key in sorted(set(written) - _KEYS[bus.kind]):
        bench.draft.add("CG-CFG-21", (*path, key), key=key, kind=bus.kind)
    if bus.kind == "serial":
        _serial(bench, path, bus)
        return
    if bus.host is None and bench.sound(*path, "host"):
        bench.draft.add("CG-CFG-05", path, key="host", table=f"[bus.{name}]")
    elif bus.host is not None and not _HOST.fullmatch(bus.host):
        bench.draft.add("CG-CFG-50", (*path, "host"), value=bus.host)
    if bus.port is not None and (not isinstance(bus.port, int) or not 0 < bus.port < 65536):
        bench.draft.add("CG-CFG-41", (*path, "port"), key="port", value=bus.port, low=1, high=65535)


def _serial(bench: Bench, path: locate.Path, bus: Bus) -> None:
    if bus.port is None and bench.sound(*path, "port"):
        bench.draft.add("CG-CFG-05", path, key="port", table=f"[bus.{path[1]}]")
    elif isinstance(bus.port, int) or (bus.port and not bus.port.startswith("/")) or bus.port == "":
        bench.draft.add("CG-CFG-47", (*path, "port"), key="port", value=bus.port)
    elif bus.port and _NUMBERED.fullmatch(bus.port):
        bench.draft.add("CG-CFG-31", (*path, "port"), value=bus.port, warning=True)
    if bus.line is None:
        return
    settings = _settings(bus)
    if settings is None:
        bench.draft.add("CG-CFG-19", (*path, "line"), value=bus.line, nearest=_line_meant(bus.line))
    elif settings.baud not in RATES:
        meant = replace(settings, baud=min(RATES, key=lambda rate: abs(rate - settings.baud)))
        bench.draft.add("CG-CFG-51", (*path, "line"), value=settings.baud, nearest=str(meant), warning=True)


def _settings(bus: Bus) -> LineSettings | None:
    """The line settings of a serial bus, or None where it has none that can be read."""
    try:
        return line(bus.line or "")
    except DriverError:
        return None


def _line_meant(text: str) -> str:
    """Read "9600/8-N-1", "9600,8,n,1", "8N1 9600", "9600" as "9600 8N1"; "" where that cannot be told."""
    rate = re.search(r"\d{3,7}", text)
    frame = re.search(r"(?<!\d)([5-8])\W?([NEO])\W?([12])(?!\d)", text.upper())
    if not rate:
        return ""
    return f"{rate[0]} {frame[1]}{frame[2]}{frame[3]}" if frame else f"{rate[0]} 8N1"


def _device(bench: Bench, name: str, device: Device) -> None:
    path = ("device", name)
    buses = bench.draft.names("bus")
    if bench.sound(*path, "bus") and device.bus not in buses and bench.draft.whole:
        bench.draft.add("CG-CFG-10", (*path, "bus"), bus=device.bus, device=name, nearest=nearest(device.bus, buses))
    bus, profile = bench.config.bus.get(device.bus), bench.profiles.get(name)
    seconds = None
    if device.every is not None:
        seconds = duration(bench, (*path, "every"), text=device.every, within_s=_EVERY_S)
    shortest = min((LENGTHS[length] for length in bench.config.windows.lengths if length in LENGTHS), default=0)
    if seconds is not None and shortest and seconds > shortest:
        bench.draft.add("CG-CFG-52", (*path, "every"), every=device.every, window=f"{shortest} s", warning=True)
    if profile is None:
        return
    if profile.speaks == "push" and device.every is not None:
        bench.draft.add("CG-CFG-38", (*path, "every"), key="every", profile=profile.id, warning=True)
    if profile.speaks == "push" and device.unit is not None:
        bench.draft.add("CG-CFG-38", (*path, "unit"), key="unit", profile=profile.id, warning=True)
    if bus is not None:
        _fits(bench, path, device=device, bus=bus, profile=profile)


def _fits(bench: Bench, path: locate.Path, *, device: Device, bus: Bus, profile: Profile) -> None:
    """Modbus profiles need a Modbus wire and a unit; stream profiles need a wire of plain bytes."""
    modbus = profile.speaks == "modbus"
    if bus.kind == "tcp" and modbus == (bus.framing == "stream"):
        fit = "tcp" if modbus else "stream"
        args = {"profile": profile.id, "bus": device.bus, "framing": bus.framing}
        bench.draft.add("CG-CFG-13", (*path, "bus"), **args, nearest=f'framing = "{fit}"')
    if not modbus:
        return
    low, high = _UNITS.get(bus.framing, _RTU_UNITS) if bus.kind == "tcp" else _RTU_UNITS
    if device.unit is None and bench.sound(*path, "unit"):
        bench.draft.add("CG-CFG-14", path, device=path[1], profile=profile.id, low=low, high=high)
    elif device.unit is not None and not low <= device.unit <= high and device.unit != _ANY_ADDRESS.get(profile.id):
        bench.draft.add("CG-CFG-41", (*path, "unit"), key="unit", value=device.unit, low=low, high=high)
    settings = _settings(bus) if bus.kind == "serial" else None
    if settings is not None and settings.bits != 8:
        bench.draft.add("CG-CFG-53", ("bus", device.bus, "line"), value=bus.line, profile=profile.id)


def _together(bench: Bench, bus: str) -> None:
    """What stands on one wire: one way of speaking; a device that talks by itself is alone; no unit twice."""
    here = {name: device for name, device in bench.config.device.items() if device.bus == bus}
    speaks: dict[str, list[str]] = defaultdict(list)
    for name in here:
        if name in bench.profiles:
            speaks[bench.profiles[name].speaks].append(name)
    if speaks["push"] and len(here) > 1:
        first = speaks["push"][0]
        others = ", ".join(name for name in here if name != first)
        bench.draft.add("CG-CFG-15", ("device", first, "bus"), device=first, bus=bus, others=others)
    elif speaks["modbus"] and speaks["poll"]:
        one, other = speaks["modbus"][0], speaks["poll"][0]
        bench.draft.add("CG-CFG-54", ("device", other, "bus"), bus=bus, one=one, other=other)
    units: dict[int | None, str] = {}
    for name in [*speaks["modbus"], *speaks["poll"]]:
        unit = here[name].unit
        if unit in units and (unit is not None or name in speaks["poll"]):
            first = units[unit]
            key = "unit" if unit is not None else "bus"
            told = str(unit) if unit is not None else "-"
            bench.draft.add("CG-CFG-16", ("device", name, key), unit=told, bus=bus, one=first, other=name)
        units.setdefault(unit, name)
    families = sorted({bench.profiles[name].family for name in speaks["poll"]})
    for one, other in pairwise(families):
        bench.draft.add("CG-CFG-54", ("bus", bus), bus=bus, one=one, other=other)


def _parts(bench: Bench) -> None:
    """Lanes and channels, and the ids that they generate."""
    made: dict[str, str] = {}
    for name, device in bench.config.device.items():
        for key, part, short in (("lanes", "lane", "lane"), ("channels", "channel", "ch")):
            declared: Mapping[str, Mapping[str, str]] = getattr(device, key)
            profile = bench.profiles.get(name)
            if declared and profile is not None and not any(row.part == part for row in profile.rows):
                bench.draft.add("CG-CFG-37", ("device", name, key), key=key, profile=profile.id)
            for number, label in declared.items():
                path = ("device", name, key, number)
                names(bench, path, texts=label)
                if not _PART.fullmatch(number):
                    bench.draft.add("CG-CFG-41", path, key=key, value=number, low=1, high=99)
                    continue
                made[f"{name}-{short}{number}"] = f"{name}.{key}.{number}"
                if not ID.fullmatch(f"{name}-{short}{number}") and ID.fullmatch(name):
                    bench.draft.add("CG-CFG-07", path, value=f"{name}-{short}{number}", what="@device")
    for name in sorted(set(made) & set(bench.draft.names("device"))):
        bench.draft.add("CG-CFG-43", ("device", name), value=name, maker=made[name])
