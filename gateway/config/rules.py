"""Judgement of what is said about values: options and calibration of devices, and alarms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Final

from drivers.profile import Profile
from gateway.catalogue import figure_names
from gateway.config import locate
from gateway.config.judge import Bench, duration, names
from gateway.config.options import names as option_names
from gateway.config.outlets import series_ids
from gateway.config.patterns import chosen
from gateway.config.shape import nearest
from gateway.config.tree import Alarm, Calibration, Device

LEVELS: Final = 3
KINDS: Final = (("above", "below"), ("rise", "fall"), ("demand",), ("absent",))
REGISTERS: Final = frozenset({"energy_import", "energy_total"})
_DURATIONS: Final = {"within": (10, 7 * 86400), "absent": (2, 30 * 86400), "delay_on": (0.1, 86400),
                     "delay_off": (0.1, 86400)}  # fmt: skip


def rules(bench: Bench) -> None:
    """Judge `options` and `calibration` of `[device.*]`, and `[alarm.*]`."""
    for name, device in bench.config.device.items():
        profile = bench.profiles.get(name)
        if profile is not None:
            _options(bench, name, device=device, profile=profile)
        for point, one in device.calibration.items():
            path = ("device", name, "calibration", point)
            _calibration(bench, path, one)
            if profile is not None:
                _calibrated(bench, path, profile)
    for name, alarm in bench.config.alarm.items():
        _alarm(bench, name, alarm)


def _points(profile: Profile) -> dict[str, str]:
    """Point -> kind, of the whole sensor and its parts."""
    return {p.name: p.kind for part in ("", "lane1", "ch1") for p in profile.points(part)}


def _options(bench: Bench, name: str, *, device: Device, profile: Profile) -> None:
    known = option_names(_points(profile))
    for key in device.options:
        if key not in known:
            args = {"key": key, "profile": profile.id}
            bench.draft.add("CG-CFG-70", ("device", name, "options", key), **args, nearest=nearest(key, known))


def _calibration(bench: Bench, path: locate.Path, one: Calibration) -> None:
    days = {key: _day(bench, (*path, key), getattr(one, key)) for key in ("date", "expires")}
    if days["date"] and days["expires"] and days["expires"] <= days["date"]:
        bench.draft.add("CG-CFG-71", (*path, "expires"), value=one.expires, why="@not_after")
    if one.gain == 0:
        bench.draft.add("CG-CFG-71", (*path, "gain"), value="gain = 0", why="@no_way_back")
    if not one.table:
        return
    rising = all(len(row) == 2 for row in one.table) and all(
        a[0] < b[0] and a[1] < b[1] for a, b in pairwise(one.table)
    )
    if len(one.table) < 2 or not rising:
        bench.draft.add("CG-CFG-71", (*path, "table"), value="table", why="@not_rising")
    if (one.gain, one.offset) != (1.0, 0.0):
        bench.draft.add("CG-CFG-71", (*path, "table"), value="table", why="@table_alone")


def _calibrated(bench: Bench, path: locate.Path, profile: Profile) -> None:
    kinds = _points(profile)
    gauges = [point for point, kind in kinds.items() if kind == "gauge"]
    if path[-1] not in gauges:
        args = {"point": path[-1], "table": profile.id}
        bench.draft.add("CG-CFG-72", path, **args, nearest=nearest(path[-1], gauges))


def _day(bench: Bench, path: locate.Path, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        bench.draft.add("CG-CFG-71", path, value=f'"{text}"', why="@day")
        return None


def _alarm(bench: Bench, name: str, alarm: Alarm) -> None:
    path = ("alarm", name)
    names(bench, (*path, "name"), texts=alarm.name)
    used = [kind for kind in KINDS if any(getattr(alarm, key) for key in kind)]
    if len(used) != 1:
        if all(bench.sound(*path, key) for kind in KINDS for key in kind):
            bench.draft.add("CG-CFG-73", path, alarm=name)
        return
    (kind,) = used
    for key in kind:
        _limits(bench, (*path, key), alarm)
    for key, within_s in _DURATIONS.items():
        text = getattr(alarm, key)
        if text is not None:
            duration(bench, (*path, key), text=text, within_s=within_s)
    if alarm.margin < 0:
        bench.draft.add("CG-CFG-41", (*path, "margin"), key="margin", value=alarm.margin, low=0, high="...")
    _watched(bench, path, alarm, needs=kind[0] in {"above", "rise"})


def _limits(bench: Bench, path: locate.Path, alarm: Alarm) -> None:
    """One to three limits, each beyond the one before."""
    given = getattr(alarm, path[-1])
    if isinstance(given, str):
        return
    sign = -1 if path[-1] == "below" else 1
    ordered = len(given) <= LEVELS and all(sign * a < sign * b for a, b in pairwise(given))
    amounts = path[-1] in {"rise", "fall", "demand"}
    if not ordered or (amounts and min(given, default=1) <= 0):
        bench.draft.add("CG-CFG-74", path, key=path[-1])


def _watched(bench: Bench, path: locate.Path, alarm: Alarm, *, needs: bool) -> None:
    """Which devices and which of their numbers: an alarm that can never be raised is a fault."""
    if alarm.stream is not None and alarm.stream not in bench.config.windows.lengths:
        lengths = ", ".join(bench.config.windows.lengths)
        bench.draft.add("CG-CFG-24", (*path, "stream"), value=alarm.stream, lengths=lengths)
    if needs and (alarm.point is None) == (alarm.figure is None):
        bench.draft.add("CG-CFG-75", path, alarm=path[1])
    known_figure = any(fnmatchcase(alarm.figure or "", _pattern(one)) for one in figure_names())
    if alarm.figure and alarm.point is None and not known_figure:
        args = {"point": alarm.figure, "table": f"[alarm.{path[1]}]"}
        bench.draft.add("CG-CFG-72", (*path, "figure"), **args, nearest=nearest(alarm.figure, figure_names()))
    if not bench.draft.whole:
        return
    known = [*series_ids(bench.config.device), *bench.draft.names("device")]
    for index, item in enumerate(alarm.devices):
        word = item.removeprefix("!")
        if known and not any(fnmatchcase(one, word) for one in known):
            args = {"key": "devices", "value": item}
            bench.draft.add("CG-CFG-34", (*path, "devices", str(index)), **args, nearest=nearest(word, known))
            return
    here = {name: _points(profile) for name, profile in _profiles(bench, alarm).items()}
    points = {point for kinds in here.values() for point in kinds}
    if alarm.point is not None and here and alarm.point not in points:
        args = {"point": alarm.point, "table": f"[alarm.{path[1]}]"}
        bench.draft.add("CG-CFG-72", (*path, "point"), **args, nearest=nearest(alarm.point, points))
    if alarm.demand and here and not any("power_active" in p and REGISTERS & set(p) for p in here.values()):
        bench.draft.add("CG-CFG-72", (*path, "demand"), point="energy_import", table=f"[alarm.{path[1]}]")


def _pattern(figure: str) -> str:
    return re.sub(r"\{[a-z]+\}", "*", figure)


def _profiles(bench: Bench, alarm: Alarm) -> Mapping[str, Profile]:
    devices = bench.config.device
    return {
        name: profile
        for name, profile in bench.profiles.items()
        if any(chosen(one, alarm.devices) for one in series_ids({name: devices[name]}))
    }
