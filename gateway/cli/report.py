"""`citygate report`: the commissioning sheet, as one HTML file that prints on A4, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.catalogue.fault import EXIT_DATA, EXIT_NO_INPUT, Fault, Trouble
from gateway.cli.face import Face

if TYPE_CHECKING:
    from gateway.config.load import Loaded


@click.command("report")
@click.option("--out", type=click.Path(path_type=Path), help="Where the HTML goes [citygate-GATEWAY.html].")
@click.option("--by", "technician", default="", help="Name of the technician.")
@click.option("--note", default="", help="A remark for the sheet.")
@click.option("--verify", type=click.Path(path_type=Path), help="Check the hash of a sheet (HTML) instead.")
@click.pass_obj
def command(face: Face, *, out: Path | None, technician: str, note: str, verify: Path | None) -> int:
    """Write the commissioning sheet: devices, last values with verdicts, wires, hash, sign-off. Needs no network."""
    from gateway.technician.sheet import fingerprint, html

    if verify is not None:
        return _verify(face, verify)
    from gateway.config.load import load

    loaded = load(face.config)
    told = facts(face, loaded) | {"technician": technician, "note": note}
    path = out or Path(f"citygate-{loaded.config.gateway.id}.html")
    path.write_text(html(told), encoding="utf-8")
    digest = fingerprint(told)
    if face.json:
        face.emit({"schema": 1, "file": str(path), "sha256": digest, "facts": told})
    else:
        face.data(f"{face.pick('written', 'เขียนแล้ว')}: {path}")
        face.data(f"SHA-256 {digest}")
    return 0


def _verify(face: Face, path: Path) -> int:
    from gateway.technician.sheet import facts_in, fingerprint, printed_hash

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Trouble([Fault("CG-SYS-06", {"path": str(path)})], exit_code=EXIT_NO_INPUT) from None
    told, printed = facts_in(text), printed_hash(text)
    whole = told is not None and printed == fingerprint(told)
    if not whole:
        raise Trouble([Fault("CG-SYS-13", {"path": str(path)}, seen=printed or "-")], exit_code=EXIT_DATA)
    if face.json:
        face.emit({"schema": 1, "file": str(path), "sha256": printed, "ok": True})
    else:
        face.data(f"{face.pick('the sheet is as it was written', 'เอกสารตรงกับต้นฉบับ')}: SHA-256 {printed}")
    return 0


def facts(face: Face, loaded: Loaded) -> dict[str, Any]:
    """All that the sheet says; values are the last ones that the daemon has, none where no daemon runs."""
    from gateway import __version__
    from gateway.clock import SystemClock, rfc3339
    from gateway.technician.sheet import short_code

    snapshot = _snapshot(face)
    config, clock = loaded.config, SystemClock(loaded.config.clock.trust)
    ident = config.gateway.id
    place = config.gateway.location
    return {
        "schema": 1,
        "gateway": {"id": ident, "city": config.gateway.city, "name": dict(config.gateway.name)},
        "code": short_code(ident),
        "place": "" if place is None else f"{place.latitude}, {place.longitude}",
        "t": rfc3339(clock.wall_ms()),
        "clock": "synchronised" if clock.trusted() else "NOT synchronised",
        "version": __version__,
        "config": loaded.hash,
        "devices": [_device(face, loaded, name, snapshot) for name in config.device],
        "wires": [
            {"id": name, "facts": _wire(loaded, name, snapshot.get("buses", {}).get(name, {}))} for name in config.bus
        ],
    }


def _snapshot(face: Face) -> Mapping[str, Any]:
    from gateway.cli.socket import ask

    try:
        return ask(face, {"ask": "snapshot"}, timeout_s=5.0)
    except Trouble as trouble:
        face.faults(trouble.faults) if not face.json else None
        return {}


def _device(face: Face, loaded: Loaded, name: str, snapshot: Mapping[str, Any]) -> dict[str, Any]:
    from gateway.cli.read import verdicts
    from gateway.technician.sheet import short_code

    device, profile = loaded.config.device[name], loaded.profiles[name]
    rows = []
    for id_, live in snapshot.get("devices", {}).items():
        if live.get("device") != name or not live.get("last"):
            continue
        points = {point.name: point for point in profile.points(id_.removeprefix(name).removeprefix("-"))}
        table, _fine = verdicts(face, live["last"], points=points)
        for point, value, unit, verdict in table:
            fine = verdict in {"ok", "ปกติ"}
            row = {"point": point, "th": points[point].th, "value": value, "unit": unit, "verdict": verdict, "ok": fine}
            rows.append(row)
    return {
        "id": name,
        "code": short_code(loaded.config.gateway.id, name),
        "profile": device.profile,
        "wire": device.bus,
        "unit": device.unit,
        "serial": device.serial,
        "values": rows,
    }


def _wire(loaded: Loaded, name: str, live: Mapping[str, Any]) -> str:
    bus = loaded.config.bus[name]
    where = f"{bus.port} {bus.line or ''}" if bus.kind == "serial" else f"{bus.host}:{bus.port} {bus.framing}"
    counted = ", ".join(f"{key} {value}" for key, value in live.items() if value not in (None, "", {}, []))
    return f"{where}  {counted}".strip()
