"""What a gateway says about itself: `status`, `meta`, `{device}/meta`, `health` (contracts.md, "MQTT")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from drivers.points import Point
from gateway.clock import rfc3339
from gateway.config.patterns import chosen
from gateway.reading import Series
from gateway.sinks import Site

_ENCODE: Final = msgspec.json.Encoder().encode


def status(site: Site, *, state: str, t_ms: int | None = None) -> bytes:
    """Birth, goodbye and will. The will has no `t`: nobody knows when it will be sent."""
    form: dict[str, Any] = {} if t_ms is None else {"t": rfc3339(t_ms)}
    return _ENCODE(form | {"state": state, "epoch": site.epoch, "version": site.version, "boot": site.boot})


def meta(site: Site) -> bytes:
    """The gateway: who it is, where it stands, which outside devices it speaks for."""
    form: dict[str, Any] = {"schema": 1, "id": site.gateway, "city": site.city, "name": dict(site.name)}
    if site.location is not None:
        form["location"] = dict(site.location)
    form |= {"version": site.version, "devices": [each.id for each in site.series], "config": site.config_hash}
    return _ENCODE(form)


def device_meta(site: Site, series: Series, *, points: Sequence[str] = ("*",)) -> bytes:
    """One outside device. `site.devices[series.id]` may hold name, location, serial, lane, profile_version, limits."""
    about = site.devices.get(series.id, {})
    form: dict[str, Any] = {"schema": 1, "id": series.id, "kind": series.kind, "name": about.get("name", {})}
    if about.get("location") is not None:
        form["location"] = about["location"]
    form |= {"profile": series.profile, "profile_version": about.get("profile_version", 1)}
    form["serial"] = about.get("serial", "")
    if about.get("personal"):
        form["personal"] = True  # a city's open data leaves it out
    if series.part:
        word = "lane" if series.part.startswith("lane") else "channel"
        number = int("".join(c for c in series.part if c.isdigit()) or "0")
        form[word] = about.get(word, {"n": number, "name": about.get("name", {})})
    if series.every_ms is not None:
        form["every_s"] = series.every_ms / 1000
    limits, curves = about.get("limits"), about.get("calibration")
    form["points"] = {
        point.name: _point(point, limits.get(point.name, {}) if isinstance(limits, Mapping) else {})
        | ({"calibration": curves[point.name]} if isinstance(curves, Mapping) and point.name in curves else {})
        for point in series.points
        if chosen(point.name, points)
    }
    form |= {"streams": list(site.streams), "config": site.config_hash}
    return _ENCODE(form)


def _point(point: Point, limits: object) -> dict[str, Any]:
    form: dict[str, Any] = {"unit": point.unit, "kind": point.kind, "resolution": point.resolution}
    if point.valid is not None:
        form["range"] = list(point.valid)
    return form | {"limits": limits}


def health(site: Site, report: Mapping[str, object]) -> bytes:
    """The gateway's health as it was reported, of the devices that the site tells of: here and at each bus."""
    told = {each.id for each in site.series} | {each.device for each in site.series}
    form = _of(told, report)
    buses = report.get("buses")
    if isinstance(buses, Mapping):
        form["buses"] = {name: _of(told, bus) if isinstance(bus, Mapping) else bus for name, bus in buses.items()}
    return _ENCODE(form)


def _of(told: set[str], form: Mapping[str, object]) -> dict[str, object]:
    devices = form.get("devices")
    if not isinstance(devices, Mapping):
        return dict(form)
    return {**form, "devices": {ident: facts for ident, facts in devices.items() if ident in told}}
