"""`citygate read DEVICE`: one poll, each point with its unit and a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.catalogue.fault import EXIT_FOUND, EXIT_UNAVAILABLE, EXIT_USAGE, Fault, Trouble
from gateway.cli.face import Face
from gateway.cli.quality import counted, look, missing, of_stream, tell, tell_counted

if TYPE_CHECKING:
    from drivers.points import Point
    from gateway.config.load import Loaded
    from gateway.technician.burst import Burst


READS: Final = 20
"""The burst of a direct read: enough to tell 5 % from nothing, over in a second or two."""


@click.command("read")
@click.argument("device")
@click.option("--burst", type=click.IntRange(0, 10_000), help="Read it so many times more and judge the link.")
@click.pass_obj
def command(face: Face, device: str, *, burst: int | None) -> int:
    """Read DEVICE now: through the daemon if it runs, else directly. Exit 1 where a value is missing or doubtful.

    Shows each value with a verdict, the quality of the link, and what is likely wrong where something is.
    """
    from gateway.config.load import load
    from gateway.technician.values import causes

    loaded = load(face.config)
    if device not in loaded.config.device:
        from gateway.config.shape import nearest

        near = nearest(device, loaded.config.device)
        raise Trouble([Fault("CG-CFG-09", {"value": device}, nearest=near)], exit_code=EXIT_USAGE)
    snapshot = _snapshot(face)
    heard: dict[str, int] = {}
    answer, through = _answer(face, loaded, device, heard=heard)
    records = answer.get("records") or ([answer["record"]] if "record" in answer else [])
    if not records:
        raise Trouble([Fault("CG-BUS-04", {"device": device})], exit_code=EXIT_UNAVAILABLE)
    way = face.pick("through the daemon", "ผ่านดีมอน") if through else face.pick("read directly", "อ่านโดยตรง")
    told = [_told(face, loaded, device, record=record, snapshot=snapshot) for record in records]
    good = all(one.fine for one in told)
    reads = burst if burst is not None else (0 if through else READS)
    link, faults = _link(face, loaded, device, reads=reads, doubtful=not good)
    wanted = _wanted(loaded, device)
    bus = loaded.config.bus[loaded.config.device[device].bus]
    faults += of_stream(heard, device=device, endpoint=str(bus.port if bus.kind == "serial" else bus.host))
    faults += [*missing(records, wanted, device=device), *(fault for one in told for fault in one.faults)]
    faults = causes(faults)
    figures = link or counted(snapshot, bus=loaded.config.device[device].bus, device=device)
    _show(face, told, way=way, faults=faults, link=figures)
    return 0 if good and all(fault.warning for fault in faults) else EXIT_FOUND


@dataclass(frozen=True, slots=True)
class _Told:
    """One record with its rows (point, value, unit, verdict), its doubts, and whether all is plausible."""

    record: Mapping[str, Any]
    rows: Sequence[tuple[str, str, str, str]]
    faults: Sequence[Fault]
    fine: bool


def _told(face: Face, loaded: Loaded, device: str, *, record: Mapping[str, Any], snapshot: Mapping[str, Any]) -> _Told:
    from gateway.technician.values import doubts

    part = record["device"].removeprefix(device).removeprefix("-")
    points = {point.name: point for point in loaded.profiles[device].points(part)}
    rows, fine = verdicts(face, record, points=points)
    last = (snapshot.get("devices", {}).get(record["device"], {}).get("last") or {}).get("v") or {}
    return _Told(record, rows, doubts(record, points, before=last), fine)


def _show(
    face: Face, told: Sequence[_Told], *, way: str, faults: Sequence[Fault], link: Burst | Mapping[str, Any]
) -> None:
    from gateway.catalogue.table import spoken

    for number, one in enumerate(told, 1):
        if face.json:
            row = {"schema": 1, "way": way, "record": one.record, "verdicts": {row[0]: row[3] for row in one.rows}}
            if number == len(told):
                row |= {"link": link if isinstance(link, Mapping) else link.row()}
                row |= {"faults": [spoken(fault, face.lang) for fault in faults]}
            face.emit(row)
            continue
        face.data(f"{face.paint(one.record['device'], 'bold')}  {one.record['t']}  {way}")
        head = face.pick("point|value|unit|verdict", "จุดวัด|ค่า|หน่วย|คำตัดสิน").split("|")
        face.table(one.rows, head=head, right=(1,))
    if not face.json:
        tell_counted(face, link) if isinstance(link, Mapping) else tell(face, link)
        face.faults(faults)


def _link(face: Face, loaded: Loaded, device: str, *, reads: int, doubtful: bool) -> tuple[Burst | None, list[Fault]]:
    """The burst, where the device is asked for registers and one is wanted."""
    if not reads or not loaded.profiles[device].by_registers:
        return None, []
    return look(face, loaded, device=device, reads=reads, doubtful=doubtful)


def _wanted(loaded: Loaded, device: str) -> list[str]:
    """The outside devices that one read of `device` tells of."""
    from gateway.inventory import inventory

    item = next(one for one in inventory(loaded.config, profiles_dir=loaded.profiles_dir) if one.id == device)
    every = [series.id for series in item.series.values() if series.every_ms]
    return every if len(every) > 1 else []


def _snapshot(face: Face) -> Mapping[str, Any]:
    """What the daemon knew before this read; {} without one."""
    from gateway.cli.socket import ask, path

    if not path(face).exists():
        return {}
    try:
        return ask(face, {"ask": "snapshot"}, timeout_s=5.0)
    except Trouble:
        return {}


def verdicts(
    face: Face, record: Mapping[str, Any], *, points: Mapping[str, Point]
) -> tuple[list[tuple[str, str, str, str]], bool]:
    """A row (point, value, unit, verdict) for each point, and whether all are plausible."""
    rows, fine = [], True
    held, doubts = record.get("v") or {}, record.get("q") or {}
    for name, point in points.items():
        value, doubt = held.get(name), doubts.get(name, doubts.get("*", ""))
        text = "-" if value is None else f"{value:.{point.digits}f}"
        verdict = doubt or face.pick("ok", "ปกติ")
        if not doubt and value is not None and point.expect and not point.expect[0] <= value <= point.expect[1]:
            low, high = point.expect
            verdict = face.pick(f"check (expected {low:g} to {high:g})", f"ตรวจสอบ (ปกติ {low:g} ถึง {high:g})")
            fine = False
        fine &= not doubt and value is not None
        rows.append((name, text, "" if point.unit == "1" else point.unit, verdict))
    return rows, fine


def _answer(face: Face, loaded: Loaded, device: str, *, heard: dict[str, int]) -> tuple[dict[str, Any], bool]:
    """The daemon's answer (true), or our own where no daemon runs (false)."""
    from gateway.cli.socket import ask, path

    if path(face).exists():
        try:
            return ask(face, {"ask": "read", "device": device}), True
        except Trouble as trouble:
            if trouble.faults[0].code != "CG-SYS-10":
                raise
    import asyncio

    from gateway.cli.once import poll_once

    return {"records": asyncio.run(poll_once(loaded, device, heard=heard))}, False
