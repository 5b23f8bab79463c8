"""`citygate check`: every fault of config and plan, before a port is touched."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from gateway.catalogue.fault import EXIT_CONFIG, Fault
from gateway.cli.face import Face

if TYPE_CHECKING:
    from gateway.cli.estimate import BusPlan, SinkPlan
    from gateway.config.load import Loaded


@click.command("check")
@click.pass_obj
def command(face: Face) -> int:
    """Check config and plan without touching a port.

    Shows every fault with file:line and a hint, the time budget of each bus, and the MB a day of each sink.
    Exit 0, or 78 where the gateway would not start.
    """
    from gateway.config.load import ConfigError, load

    try:
        loaded = load(face.config)
    except ConfigError as error:
        return _refused(face, error.faults)
    from gateway.cli.estimate import buses, faults, sinks

    plans, flows = list(buses(loaded)), list(sinks(loaded))
    found = [*loaded.warnings, *faults(loaded, plans=plans, flows=flows), *_expired(loaded)]
    if any(not fault.warning for fault in found):
        return _refused(face, found)
    if face.json:
        _emit(face, loaded, found, plans=plans, flows=flows)
        return 0
    face.faults(found, stream=sys.stdout)
    _show(face, loaded, plans=plans, flows=flows)
    face.prose(
        face.pick(
            f"ok: {len(loaded.files)} files, {len(loaded.config.device)} devices, {len(found)} warnings",
            f"ผ่าน: {len(loaded.files)} ไฟล์ {len(loaded.config.device)} อุปกรณ์ เตือน {len(found)} ข้อ",
        )
    )
    return 0


def _expired(loaded: Loaded) -> Iterator[Fault]:
    """Calibrations whose certificate has run out: a warning, the gateway starts all the same."""
    from zoneinfo import ZoneInfo

    from gateway.calibration import Curve
    from gateway.clock import SystemClock

    now_ms, zone = SystemClock("system").wall_ms(), ZoneInfo(loaded.config.gateway.timezone or "UTC")
    for name, device in loaded.config.device.items():
        for point, one in device.calibration.items():
            if now_ms >= Curve.of(one, zone=zone).ends_ms:
                at = loaded.origins.get(f"device.{name}.calibration.{point}.expires", "")
                yield Fault("CG-ALM-06", {"device": name, "point": point}, at=at, warning=True)


def _refused(face: Face, faults: Sequence[Fault]) -> int:
    from gateway.catalogue.table import spoken

    errors = sum(not fault.warning for fault in faults)
    if face.json:
        face.emit({"schema": 1, "ok": False, "faults": [spoken(fault, face.lang) for fault in faults]})
        return EXIT_CONFIG
    face.faults(faults, stream=sys.stdout)
    warned = len(faults) - errors
    face.prose(
        face.pick(
            f"{errors} error{'s' * (errors != 1)}, {warned} warning{'s' * (warned != 1)}; "
            "a running daemon keeps its last good config",
            f"ผิด {errors} ข้อ เตือน {warned} ข้อ ดีมอนที่ทำงานอยู่ยังใช้ค่าเดิม",
        )
    )
    return EXIT_CONFIG


def _emit(
    face: Face, loaded: Loaded, found: Sequence[Fault], *, plans: Sequence[BusPlan], flows: Sequence[SinkPlan]
) -> None:
    from gateway.catalogue.table import spoken

    told_buses: dict[str, Any] = {}
    for plan in plans:
        row: dict[str, Any] = {"use": plan.use, "devices": list(plan.devices), "reads": dict(plan.reads)}
        if plan.budget is not None:
            row |= {
                "cycle_s": round(plan.budget.cycle_s, 6),
                "load": round(plan.budget.load, 4),
                "dead_cycle_s": round(plan.budget.dead_cycle_s, 6),
                "dead_load": round(plan.budget.dead_load, 4),
            }
        told_buses[plan.bus] = row
    face.emit({
        "schema": 1,
        "ok": True,
        "hash": loaded.hash,
        "files": [str(path) for path in loaded.files],
        "faults": [spoken(fault, face.lang) for fault in found],
        "buses": told_buses,
        "sinks": {
            flow.sink: {"records_day": round(flow.records_day), "mb_day": round(flow.mb_day, 3), "events": flow.events}
            for flow in flows
        },
    })  # fmt: skip


def _show(face: Face, loaded: Loaded, *, plans: Sequence[BusPlan], flows: Sequence[SinkPlan]) -> None:
    rows = []
    for plan in plans:
        bus = loaded.config.bus[plan.bus]
        way = bus.line or f"{bus.host}:{bus.port} {bus.framing}"
        if plan.budget is None:
            use = {"listens": face.pick("listens", "รับฟัง"), "asked": face.pick("asked", "ถามตอบ")}[plan.use]
            rows.append((plan.bus, way, str(len(plan.devices)), use, "", ""))
            continue
        b = plan.budget
        dead = f"{b.dead_cycle_s * 1000:.0f} ms, {100 * b.dead_load:.0f} %"
        rows.append((
            plan.bus, way, str(len(plan.devices)), f"{b.cycle_s * 1000:.0f} ms", f"{100 * b.load:.0f} %", dead,
        ))  # fmt: skip
    if rows:
        head = ("bus", "line", "devices", "cycle", "load", "one unit dead")
        thai = ("บัส", "สาย", "อุปกรณ์", "รอบ", "โหลด", "เมื่อเสียหนึ่งตัว")
        face.table(rows, head=face.pick("|".join(head), "|".join(thai)).split("|"), right=(2, 3, 4))
    if flows:
        head_ = face.pick("sink|kind|records/day|MB/day", "ปลายทาง|ชนิด|ระเบียน/วัน|MB/วัน").split("|")
        sinks = loaded.config.sink
        face.table(
            [
                (flow.sink, sinks[flow.sink].kind, f"{flow.records_day:.0f}", f"{flow.mb_day:.2f}" + "+" * flow.events)
                for flow in flows
            ],
            head=head_,
            right=(2, 3),
        )
        if any(flow.events for flow in flows):
            face.prose(face.pick("+ and events as they happen", "+ รวมเหตุการณ์ตามที่เกิด"))
