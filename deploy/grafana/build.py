"""Writes the Grafana dashboards and alert rules of this folder: `python deploy/grafana/build.py`.

The tables below are the source; the JSON and YAML files are what Grafana reads (see provisioning/). Queries are
InfluxQL, which InfluxDB 1.x speaks, InfluxDB 2.x through a DBRP mapping, and 3.x. They need the streams 1m, 15m, 1h and
event, which a sink sends unless told otherwise.
A missing window stays missing: no panel bridges a gap and none shows an old value as a new one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

HERE: Final = Path(__file__).parent
SOURCE: Final = {"type": "influxdb", "uid": "citygate"}
WHERE: Final = '"city" =~ /^$city$/ AND "gateway" =~ /^$gateway$/ AND "device" =~ /^$device$/ AND $timeFilter'
KINDS: Final = "/^(air|traffic|energy|water|weather|noise)_window$/"
MINUTES: Final = "\"stream\" = '1m'"
AQI_STEPS: Final = [(None, "#3BCCFF"), (26, "#92D050"), (51, "#FFFF00"), (101, "#FFA200"), (201, "#FF3B3B")]
LOS_STEPS: Final = [(None, "#3BCCFF"), (3, "#FFFF00"), (5, "#FFA200"), (6, "#FF3B3B")]


def window(field: str, kind: str, *, length: str = "15m", alias: str = "$tag_gateway $tag_device") -> dict[str, str]:
    """The mean of a window field over the panel's step, a line for each device."""
    query = (
        f'SELECT mean("{field}") FROM "{kind}_window" WHERE "stream" = \'{length}\' AND {WHERE} '
        'GROUP BY time($__interval), "gateway", "device" fill(none)'
    )
    return {"query": query, "alias": alias}


def newest(field: str, kind: str, *, length: str) -> dict[str, str]:
    """The newest window of each device in the time asked for."""
    query = (
        f'SELECT last("{field}") FROM "{kind}_window" WHERE "stream" = \'{length}\' AND {WHERE} '
        'GROUP BY "gateway", "device"'
    )
    return {"query": query, "alias": "$tag_device"}


def counted(condition: str, *, by: str, what: str = 'count("quality")') -> dict[str, str]:
    """How many minutes of the devices fulfil a condition; `what` may ask for another sum of them."""
    query = (
        f'SELECT {what} FROM {KINDS} WHERE {MINUTES}{condition} AND {WHERE} GROUP BY time($__interval), "{by}" fill(0)'
    )
    return {"query": query, "alias": f"$tag_{by}"}


def panel(title: str, kind: str, unit: str, *targets: dict[str, str], steps: Any = None, wide: bool = False) -> Any:
    """One panel: `title` "English / ไทย", `kind` of Grafana, `unit` of its list."""
    thresholds = [{"value": at, "color": colour} for at, colour in steps or [(None, "green")]]
    options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "value_and_name"}
    custom = {"spanNulls": False, "lineWidth": 1, "fillOpacity": 8} if kind == "timeseries" else {}
    return {
        "title": title, "type": kind, "wide": wide,
        "targets": [
            {"refId": chr(65 + n), "datasource": SOURCE, "rawQuery": True, "resultFormat": "time_series", **target}
            for n, target in enumerate(targets)
        ],
        "fieldConfig": {
            "defaults": {
                "unit": unit, "custom": custom, "noValue": "no data / ไม่มีข้อมูล",
                "thresholds": {"mode": "absolute", "steps": thresholds},
            },
            "overrides": [],
        },
        "options": options if kind == "stat" else {},
    }  # fmt: skip


def events(title: str, condition: str) -> Any:
    """A table of events, newest first."""
    query = (
        'SELECT "code", "state", "level", "text_en", "text_th", "device" FROM '
        f"/^.*_event$/ WHERE {condition} AND {WHERE} ORDER BY time DESC LIMIT 200"
    )
    made = panel(title, "table", "none", {"query": query, "alias": ""}, wide=True)
    made["targets"][0]["resultFormat"] = "table"
    return made


FAILED: Final = ' AND "quality" >= 200'


def code(number: int) -> str:
    """The condition that a minute's worst quality is this code."""
    return f' AND "quality" = {number}'


BOARDS: Final[dict[str, tuple[str, str, Sequence[Any]]]] = {
    "city": ("City / เมือง", "now-24h", (
        panel("Thai AQI, 24 h mean / AQI ไทย เฉลี่ย 24 ชม.", "stat", "none", newest("i__aqi_th", "air", length="1h"),
              steps=AQI_STEPS, wide=True),
        panel("PM2.5, 15 min mean / ฝุ่น PM2.5", "timeseries", "conμgm3", window("pm2_5__mean", "air")),
        panel("Traffic flow / ปริมาณจราจร (veh/h)", "timeseries", "none", window("i__flow", "traffic")),
        panel("Demand / ความต้องการไฟฟ้า", "timeseries", "kwatt", window("i__demand_kw", "energy")),
        panel("Water stage / ระดับน้ำ", "timeseries", "lengthm", window("i__stage", "water")),
        events("Alarms / การแจ้งเตือน", "\"type\" = 'alarm'"),
    )),
    "gateway": ("Gateway / เกตเวย์", "now-24h", (
        panel("Coverage of 15 min windows / ความครบถ้วน", "timeseries", "percentunit",
              *(window("coverage", kind) for kind in ("air", "traffic", "energy", "water")), wide=True),
        panel("Polls that gave a value / การอ่านที่ได้ค่า", "timeseries", "none",
              counted("", by="gateway", what='sum("n")')),
        panel("Minutes with a failed poll / นาทีที่อ่านล้มเหลว", "timeseries", "none", counted(FAILED, by="gateway")),
        events("Gaps, clock, sinks / ช่องว่าง นาฬิกา ปลายทาง", '"type" =~ /^(gap|clock|sink)$/'),
    )),
    "bus": ("Bus / สายสัญญาณ", "now-6h", (
        panel("Minutes with no answer / นาทีที่ไม่ตอบ (201)", "timeseries", "none", counted(code(201), by="device")),
        panel("Minutes refused / นาทีที่อุปกรณ์ปฏิเสธ (202)", "timeseries", "none", counted(code(202), by="device")),
        panel("Minutes garbled / นาทีที่คำตอบเสียหาย (203)", "timeseries", "none", counted(code(203), by="device")),
        panel("Polls that gave a value / การอ่านที่ได้ค่า", "timeseries", "none",
              counted("", by="device", what='sum("n")')),
        events("Wires and devices / สายและอุปกรณ์", '"type" =~ /^(link|config)$/'),
    )),
    "energy": ("Energy / พลังงาน", "now-24h", (
        panel("Demand, 15 min / ความต้องการ 15 นาที", "timeseries", "kwatt", window("i__demand_kw", "energy"), wide=True),
        panel("Active power, mean / กำลังไฟฟ้าเฉลี่ย", "timeseries", "watt", window("power_active__mean", "energy")),
        panel("Power factor / ตัวประกอบกำลัง", "timeseries", "none", window("i__power_factor_total", "energy")),
        panel("Voltage L1 / แรงดัน L1", "timeseries", "volt",
              window("i__voltage_rms_l1", "energy"), window("i__voltage_rms", "energy")),
        panel("Voltage unbalance / แรงดันไม่สมดุล", "timeseries", "percent", window("i__voltage_unbalance", "energy")),
        panel("Energy a quarter / พลังงานต่อ 15 นาที", "timeseries", "kwatth", window("energy_import__delta", "energy")),
    )),
    "air": ("Air / อากาศ", "now-48h", (
        panel("Thai AQI, 24 h mean / AQI ไทย เฉลี่ย 24 ชม.", "stat", "none", newest("i__aqi_th", "air", length="1h"),
              steps=AQI_STEPS, wide=True),
        panel("Thai AQI / AQI ไทย", "timeseries", "none", window("i__aqi_th", "air", length="1h"), steps=AQI_STEPS),
        panel("AQI coverage of 24 h / ความครบถ้วนของ AQI", "timeseries", "percentunit",
              window("i__aqi_th__coverage", "air", length="1h")),
        panel("PM2.5 mean and 95th percentile / PM2.5", "timeseries", "conμgm3",
              window("pm2_5__mean", "air"), window("pm2_5__p95", "air", alias="$tag_device p95")),
        panel("PM10 / PM10", "timeseries", "conμgm3", window("pm10__mean", "air")),
        panel("NowCast PM2.5 / NowCast", "timeseries", "conμgm3", window("i__nowcast_pm2_5", "air", length="1h")),
        panel("Temperature / อุณหภูมิ", "timeseries", "celsius", window("temperature__mean", "air")),
        panel("Humidity / ความชื้น", "timeseries", "percent", window("humidity__mean", "air")),
    )),
    "traffic": ("Traffic / จราจร", "now-24h", (
        panel("Flow / ปริมาณจราจร (veh/h)", "timeseries", "none", window("i__flow", "traffic"), wide=True),
        panel("Level of service, 1 = A to 6 = F / ระดับการให้บริการ", "timeseries", "none",
              window("i__density__level", "traffic"), steps=LOS_STEPS),
        panel("Space mean speed / ความเร็วเฉลี่ย", "timeseries", "velocitykmh", window("i__speed_space_mean", "traffic")),
        panel("Occupancy / ความหนาแน่นของเลน", "timeseries", "percent", window("i__occupancy", "traffic")),
        panel("85th percentile of speed / ความเร็ว P85", "timeseries", "velocitykmh", window("i__speed_p85", "traffic")),
    )),
}  # fmt: skip


def variable(name: str, label: str) -> dict[str, Any]:
    """A choice filled from a tag."""
    return {
        "name": name, "label": label, "type": "query", "datasource": SOURCE, "refresh": 2, "sort": 1, "multi": True,
        "includeAll": True, "allValue": ".*", "query": f'SHOW TAG VALUES WITH KEY = "{name}"',
        "current": {"text": "All", "value": "$__all"},
    }  # fmt: skip


def board(name: str) -> dict[str, Any]:
    """One dashboard, panels two in a row, wide ones alone."""
    title, since, panels = BOARDS[name]
    placed: list[dict[str, Any]] = []
    x = y = 0
    for number, each in enumerate(panels, start=1):
        width = 24 if each["wide"] else 12
        if x + width > 24:
            x, y = 0, y + 8
        place = {"id": number, "gridPos": {"x": x, "y": y, "w": width, "h": 8}, "datasource": SOURCE}
        placed.append({key: one for key, one in each.items() if key != "wide"} | place)
        x += width
    return {
        "uid": f"citygate-{name}", "title": f"citygate: {title}", "tags": ["citygate"], "schemaVersion": 38,
        "version": 1,
        "timezone": "Asia/Bangkok", "refresh": "1m", "time": {"from": since, "to": "now"}, "editable": False,
        "templating": {"list": [
            variable("city", "City / เมือง"), variable("gateway", "Gateway / เกตเวย์"),
            variable("device", "Device / อุปกรณ์"),
        ]},
        "links": [
            {"type": "dashboards", "tags": ["citygate"], "title": "citygate", "keepTime": True, "includeVars": True}
        ],
        "panels": placed,
    }  # fmt: skip


class Alert(NamedTuple):
    """A rule: `query` gives a number for each series over the last `seconds`, compared (lt, gt) with `bound`."""

    name: str
    lasting: str
    query: str
    seconds: int
    what: str
    bound: float
    text: str


ALERTS: Final = (
    Alert("no-data", "5m", f'SELECT sum("n") FROM {KINDS} WHERE {MINUTES} AND $timeFilter '
          'GROUP BY time(10m), "gateway", "device" fill(0)', 7200, "lt", 1, "a device gives no values / อุปกรณ์ไม่ส่งค่า"),
    Alert("failing", "10m", f'SELECT count("quality") FROM {KINDS} WHERE {MINUTES}{FAILED} AND $timeFilter '
          'GROUP BY "gateway", "device"', 1800, "gt", 15, "a device fails / อุปกรณ์ล้มเหลว"),
    Alert("aqi-unhealthy", "0s", "SELECT last(\"i__aqi_th\") FROM \"air_window\" WHERE \"stream\" = '1h' "
          'AND $timeFilter GROUP BY "gateway", "device"', 7200, "gt", 100, "Thai AQI above 100 / AQI ไทยเกิน 100"),
    Alert("coverage-low", "30m", f"SELECT mean(\"coverage\") FROM {KINDS} WHERE \"stream\" = '15m' AND $timeFilter "
          'GROUP BY "gateway", "device"', 3600, "lt", 0.75, "less than 75 % of the polls / ข้อมูลไม่ถึง 75 %"),
    Alert("gap", "0s", "SELECT count(\"n\") FROM /^.*_event$/ WHERE \"type\" = 'gap' AND $timeFilter "
          'GROUP BY "gateway"', 3600, "gt", 0, "records were lost and told so / ข้อมูลสูญหายและรายงานแล้ว"),
)  # fmt: skip


def rule(alert: Alert) -> dict[str, Any]:
    """One alert rule in Grafana's provisioning form. No data is itself an alarm."""
    name, lasting, query, seconds, what, bound, text = alert
    since = {"from": seconds, "to": 0}
    ask = {"refId": "A", "rawQuery": True, "query": query, "resultFormat": "time_series"}
    reduce = {"refId": "B", "type": "reduce", "expression": "A", "reducer": "last"}
    compare = {
        "refId": "C", "type": "threshold", "expression": "B",
        "conditions": [{"evaluator": {"type": what, "params": [bound]}}],
    }  # fmt: skip
    own = {"datasourceUid": "__expr__"}
    return {
        "uid": f"citygate-{name}", "title": f"citygate {name}", "condition": "C", "for": lasting,
        "noDataState": "Alerting" if name == "no-data" else "OK", "execErrState": "Error",
        "annotations": {"summary": text}, "labels": {"product": "citygate"},
        "data": [
            {"refId": "A", "datasourceUid": SOURCE["uid"], "relativeTimeRange": since, "model": ask},
            {"refId": "B", **own, "model": reduce},
            {"refId": "C", **own, "model": compare},
        ],
    }  # fmt: skip


def files() -> dict[str, str]:
    """Every generated file of this folder: name -> text."""
    made = {f"dashboards/{name}.json": board(name) for name in BOARDS}
    group = {"orgId": 1, "name": "citygate", "folder": "citygate", "interval": "1m", "rules": list(map(rule, ALERTS))}
    made["provisioning/alerting/citygate.json"] = {"apiVersion": 1, "groups": [group]}
    return {name: json.dumps(form, ensure_ascii=False, indent=1) + "\n" for name, form in made.items()}


if __name__ == "__main__":
    for path, text in files().items():
        (HERE / path).parent.mkdir(parents=True, exist_ok=True)
        (HERE / path).write_text(text, encoding="utf-8")
