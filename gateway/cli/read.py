"""`citygate read DEVICE`: one poll, each point with its unit and a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from gateway.catalogue.fault import EXIT_FOUND, EXIT_UNAVAILABLE, EXIT_USAGE, Fault, Trouble
from gateway.cli.face import Face

if TYPE_CHECKING:
    from drivers.points import Point
    from gateway.config.load import Loaded


@click.command("read")
@click.argument("device")
@click.pass_obj
def command(face: Face, device: str) -> int:
    """Read DEVICE now: through the daemon if it runs, else directly. Exit 1 where a value is missing or doubtful."""
    from gateway.config.load import load

    loaded = load(face.config)
    if device not in loaded.config.device:
        from gateway.config.shape import nearest

        near = nearest(device, loaded.config.device)
        raise Trouble([Fault("CG-CFG-09", {"value": device}, nearest=near)], exit_code=EXIT_USAGE)
    answer, way = _answer(face, loaded, device)
    records = answer.get("records") or ([answer["record"]] if "record" in answer else [])
    if not records:
        raise Trouble([Fault("CG-BUS-04", {"device": device})], exit_code=EXIT_UNAVAILABLE)
    good = True
    for record in records:
        part = record["device"].removeprefix(device).removeprefix("-")
        points = {point.name: point for point in loaded.profiles[device].points(part)}
        rows, fine = verdicts(face, record, points=points)
        good &= fine
        if face.json:
            face.emit({"schema": 1, "way": way, "record": record, "verdicts": {row[0]: row[3] for row in rows}})
            continue
        face.data(f"{face.paint(record['device'], 'bold')}  {record['t']}  {way}")
        head = face.pick("point|value|unit|verdict", "จุดวัด|ค่า|หน่วย|คำตัดสิน").split("|")
        face.table(rows, head=head, right=(1,))
    return 0 if good else EXIT_FOUND


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


def _answer(face: Face, loaded: Loaded, device: str) -> tuple[dict[str, Any], str]:
    """The daemon's answer, or our own where no daemon runs."""
    from gateway.cli.socket import ask, path

    if path(face).exists():
        try:
            return ask(face, {"ask": "read", "device": device}), face.pick("through the daemon", "ผ่านดีมอน")
        except Trouble as trouble:
            if trouble.faults[0].code != "CG-SYS-10":
                raise
    import asyncio

    from gateway.cli.once import poll_once

    return {"records": asyncio.run(poll_once(loaded, device))}, face.pick("read directly", "อ่านโดยตรง")
