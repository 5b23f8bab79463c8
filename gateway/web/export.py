"""Open data: newest values and history as CSV or JSON, with a dictionary in Thai and English.

A cell that a spreadsheet would take for a formula gets an apostrophe in front. A missing value is an empty cell; so is
one too old to be a value of now, whose quality says so. Devices with data of people are left out.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from drivers.sample import Code
from gateway import qualities
from gateway.clock import rfc3339
from gateway.web.page import stale
from gateway.web.picture import Picture

COLUMNS: Final[Mapping[str, tuple[str, str]]] = {
    "gateway": ("id of the gateway; on the page of a city CITY/GATEWAY", "รหัสเกตเวย์ บนหน้าของเมืองคือ เมือง/เกตเวย์"),
    "device": ("id of the device, unique in its gateway", "รหัสอุปกรณ์ ไม่ซ้ำในเกตเวย์เดียวกัน"),
    "kind": ("field: air, traffic, energy, water, weather, noise", "ประเภทข้อมูล"),
    "t": ("time of measurement, RFC 3339, UTC, Gregorian", "เวลาที่วัด UTC ปีคริสต์ศักราช"),
    "point": ("what is measured", "สิ่งที่วัด"),
    "value": ("number in `unit`; empty where there is no value", "ค่าตัวเลขตามหน่วย ว่างเมื่อไม่มีค่า"),
    "unit": ("unit of the value", "หน่วย"),
    "quality": ("empty = good; u: uncertain, b: bad, and why", "ว่าง = ดี u: ไม่แน่นอน b: ใช้ไม่ได้ พร้อมเหตุผล"),
}


def rows(picture: Picture, now_ms: int) -> Iterable[dict[str, Any]]:
    """One row for each point of each device that has ever spoken and is not personal; `now_ms`: UTC."""
    for device in picture.devices.values():
        at = device.now.get("t")
        if at is None or device.about.get("personal"):
            continue
        values, doubts = device.full.get("v", {}), device.full.get("q", {})
        if stale(device, now_ms):
            values, doubts = {}, {"*": Code.STALE.text}
        for point in device.about["points"]:
            yield {
                "gateway": device.about["gateway"],
                "device": device.about["id"],
                "kind": device.about.get("kind", ""),
                "t": at,
                "point": point,
                "value": values.get(point),
                "unit": picture.points.get(point, {}).get("unit", ""),
                "quality": doubts.get(point) or doubts.get("*", ""),
            }


def latest(picture: Picture, *, now_ms: int) -> dict[str, Any]:
    """The newest values as one object."""
    return {"schema": 1, "t": rfc3339(now_ms), "rows": list(rows(picture, now_ms))}


def latest_csv(picture: Picture, *, now_ms: int) -> str:
    """The newest values, a row for each point."""
    return _csv(list(COLUMNS), ([row[name] for name in COLUMNS] for row in rows(picture, now_ms)))


def dictionary(picture: Picture) -> dict[str, Any]:
    """What the columns and the points mean."""
    return {
        "columns": {name: {"en": en, "th": th} for name, (en, th) in COLUMNS.items()},
        "points": picture.points,
        "qualities": qualities.dictionary(),
    }


def history_csv(about: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> str:
    """Records of one device: a column for each value, statistics as `point__mean` and so on."""
    flat = [_flat(record) for record in records]
    names = sorted({name for _head, values in flat for name in values})
    head = ["t", "end", "device", "estimated", *names]
    lines = ([*one, *(values.get(name) for name in names)] for one, values in flat)
    return _csv(head, ([*line[:2], about["id"], *line[2:]] for line in lines))


def _flat(record: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    values: dict[str, Any] = {}
    for point, value in record.get("v", {}).items():
        if isinstance(value, Mapping):
            values |= {f"{point}__{name}": one for name, one in value.items()}
        else:
            values[point] = value
    values |= {f"{point}__quality": text for point, text in record.get("q", {}).items()}
    values |= {f"i__{name}": figure["value"] for name, figure in record.get("i", {}).items()}
    return [record["t"], record.get("end"), "yes" if record.get("estimated") else ""], values


def _csv(head: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(head)
    for line in lines:
        writer.writerow([_cell(cell) for cell in line])
    return out.getvalue()


def _cell(cell: Any) -> Any:
    if isinstance(cell, str) and cell[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return "'" + cell
    return cell
