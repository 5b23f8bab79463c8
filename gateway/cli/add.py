"""`citygate add`: a device (and its bus, where it is new) as one drop-in of its own; no other file is touched."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gateway.catalogue.fault import EXIT_CONFIG, EXIT_USAGE, Fault, Trouble
from gateway.cli.again import again, restart
from gateway.cli.face import Face
from gateway.cli.target import Target, target
from gateway.cli.words import Misuse

if TYPE_CHECKING:
    from drivers.profile import Profile
    from gateway.config.load import Loaded

BY_PATH: Final = Path("/dev/serial/by-path")
_PLACE: Final = re.compile(r"(.+)/([0-9]{1,3})")
_ID: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


@click.command("add")
@click.argument("place", metavar="BUS/UNIT|PORT[/UNIT]|HOST[:PORT]/UNIT")
@click.option("--profile", "profile_name", default="", help="The device's profile; without, the device is asked.")
@click.option("--id", "ident", default="", help="Its id in the config [made from the profile].")
@click.option("--line", "line_text", default="", help='Line settings of a new serial bus, such as "9600 8N1".')
@click.option("--framing", type=click.Choice(["tcp", "rtu"]), default="tcp", help="Framing of a new host.")
@click.option("--every", default="", help='Period of polls, such as "1s" [the profile\'s].')
@click.pass_obj
def command(face: Face, *, place: str, profile_name: str, ident: str, line_text: str, framing: str, every: str) -> int:
    """Add a device: writes one drop-in into conf.d of the state_dir and checks the whole config with it."""
    from gateway.config.load import load

    loaded = load(face.config)
    split = _PLACE.fullmatch(place)
    wire, unit = (target(face, split[1]), int(split[2])) if split else (target(face, place), None)
    if line_text and wire.bus and line_text != str(wire.line):  # `scan` printed it before the bus was there
        raise Misuse(
            f"--line is for a new port; {wire.bus} has its settings in the config",
            f"--line ใช้กับพอร์ตใหม่ ส่วน {wire.bus} มีค่าตั้งในไฟล์ตั้งค่าแล้ว",
        )
    wire = wire if wire.bus else replace(wire, framing=framing)
    profile = _profile(face, loaded, wire, unit=unit, name=profile_name)
    if profile.speaks == "modbus" and unit is None:
        raise Misuse(f"{profile.id} speaks Modbus: write {place}/UNIT", f"{profile.id} ใช้ Modbus: เขียน {place}/UNIT")
    name = ident or _free(profile.id, loaded.config.device, unit)
    if not _ID.fullmatch(name) or name in loaded.config.device:
        raise Misuse(
            f"--id {name}: taken, or not small letters, digits and dashes (32 at most)",
            f"--id {name}: มีอยู่แล้ว หรือไม่ใช่ a-z 0-9 และ - (ไม่เกิน 32 ตัว)",
        )
    text = _text(wire, loaded, profile, name=name, unit=unit, line=line_text, every=every)
    path = _written(face, Path(loaded.config.gateway.state_dir) / "conf.d" / f"50-{name}.toml", text)
    if face.json:
        face.emit({"schema": 1, "device": name, "profile": profile.id, "file": str(path), "text": text})
        return 0
    face.data(f"{face.pick('written', 'เขียนแล้ว')}: {path}")
    face.data(text.rstrip())
    face.data(f"{face.pick('next', 'ต่อไป')}: {restart()} && {again(face, f'read {name}')}")
    return 0


def _profile(face: Face, loaded: Loaded, wire: Target, *, unit: int | None, name: str) -> Profile:
    """The profile called `name`, or that of the device that answers there."""
    from drivers.errors import ProfileError
    from drivers.profile import load, shipped

    if not name:
        name = _asked(face, wire, unit)
    try:
        return load(name, loaded.profiles_dir)
    except ProfileError as error:
        from gateway.config.shape import nearest

        near = nearest(name, shipped())
        raise Trouble(
            [Fault("CG-CFG-09", {"value": name}, nearest=near, seen=str(error))], exit_code=EXIT_USAGE
        ) from None


def _asked(face: Face, wire: Target, unit: int | None) -> str:
    """Who answers there: its fingerprints fit one profile alone."""
    if unit is None or not wire.port or wire.line is None:
        raise Misuse(
            "--profile is needed here; `citygate profiles` lists them, `citygate scan` finds them",
            "ต้องใส่ --profile ดูรายการด้วย `citygate profiles` หรือค้นหาด้วย `citygate scan`",
        )
    from gateway.cli.scan import asked_once

    names = asked_once(face, wire, unit=unit)
    if len(names) != 1:
        args = {"unit": str(unit), "profiles": ", ".join(names) or "-"}
        raise Trouble([Fault("CG-DEV-03", args)], exit_code=EXIT_USAGE)
    return names[0]


def _free(profile: str, taken: object, unit: int | None) -> str:
    base = profile[:24].rstrip("-")
    tries = [base if unit is None else f"{base}-{unit}", *(f"{base}-{unit or 0}-{n}" for n in range(2, 100))]
    return next(name for name in tries if name not in taken)  # type: ignore[operator]


def _text(wire: Target, loaded: Loaded, profile: Profile, *, name: str, unit: int | None, line: str, every: str) -> str:
    """The drop-in. All texts are ids, settings and paths of this machine; strings are written as TOML wants them."""
    rows = [f"# written by `citygate add {wire.name}`; remove the file to remove the device", ""]
    bus = wire.bus
    if not bus:
        bus = _bus_name(wire, loaded)
        rows += [f"[bus.{bus}]"]
        if wire.port:
            setting = line or profile.wire.lines[0]
            rows += ['kind = "serial"', f"port = {_quoted(stable(wire.port))}", f"line = {_quoted(setting)}", ""]
        else:
            rows += ['kind = "tcp"', f"host = {_quoted(wire.host)}", f"port = {wire.tcp_port}"]
            rows += ['framing = "rtu"', ""] if wire.framing == "rtu" else [""]
    rows += [f"[device.{name}]", f'bus = "{bus}"', f'profile = "{profile.id}"']
    rows += [f"unit = {unit}"] if unit is not None else []
    rows += [f"every = {_quoted(every)}"] if every else []
    return "\n".join(rows) + "\n"


def _bus_name(wire: Target, loaded: Loaded) -> str:
    base = Path(wire.port).name if wire.port else wire.host
    plain = re.sub(r"[^a-z0-9]+", "-", base.lower()).strip("-")[-24:].strip("-") or "bus"
    return next(name for name in (plain, *(f"{plain}-{n}" for n in range(2, 100))) if name not in loaded.config.bus)


def stable(port: str) -> str:
    """The name of a port that survives replugging (/dev/serial/by-path), where udev gives it one."""
    real = Path(port).resolve()
    links = sorted(BY_PATH.iterdir()) if BY_PATH.is_dir() else []
    return next((str(link) for link in links if link.resolve() == real), port)


def _quoted(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False)


def _written(face: Face, path: Path, text: str) -> Path:
    """Put the file there, whole, where the config is good with it; a power cut leaves all or nothing."""
    from gateway.config.load import load

    folder = path.parent
    if not folder.is_dir():
        folder.mkdir(parents=True)
        _readable(folder, 0o755)
    if path.exists():
        raise Trouble([Fault("CG-CFG-67", {"path": str(path)})], exit_code=EXIT_CONFIG)
    fresh = folder / f".{path.name}.new"  # no drop-in under this name: the next start does not read it
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            _readable(fresh, 0o644)
            os.fsync(file.fileno())
        load(face.config, candidate=fresh)
        fresh.rename(path)
    finally:
        fresh.unlink(missing_ok=True)
    kept = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(kept)
    finally:
        os.close(kept)
    return path


def _readable(path: Path, mode: int) -> None:
    """The service can read it, whatever the caller's umask: mode and, for root, the owner of the folder above."""
    path.chmod(mode)
    above = path.parent.stat()
    if os.geteuid() == 0:
        os.chown(path, above.st_uid, above.st_gid)
