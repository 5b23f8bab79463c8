"""The state as Prometheus text (exposition format 0.0.4): ages, states, sinks; values of the leading points."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from gateway.web.figures import holding
from gateway.web.labels import times_ms
from gateway.web.page import stale
from gateway.web.picture import Picture

_HELP: Final = {
    "citygate_source_up": "1 while the page's source answers.",
    "citygate_gateway_up": "1 while the gateway is online.",
    "citygate_gateway_uptime_seconds": "Time since the daemon started.",
    "citygate_device_up": "1 where the newest record holds a usable value.",
    "citygate_device_age_seconds": "Age of the newest record, by its time of measurement.",
    "citygate_device_stale": "1 where the newest record is older than three intervals, or from the future.",
    "citygate_value": "Newest value of a leading point; absent where there is none, or none of now.",
    "citygate_figure": "City figure by its rule; absent where the device is stale or its last two windows have none.",
    "citygate_sink_up": "1 while the sink is connected, also while it catches up.",
    "citygate_sink_waiting": "Records not confirmed yet.",
    "citygate_alarms": "Alarms that stand.",
    "citygate_live_streams": "Open pages.",
    "citygate_live_refused_total": "Requests refused, by status.",
    "citygate_live_left_total": "Messages, devices, gateways and alarms that the page did not take, or let go.",
    "citygate_live_resident_bytes": "Resident memory of the page's process.",
}
_UP: Final = frozenset({"up", "live", "both", "catching-up"})  # `Shipper.report`: connected, by lane


def text(picture: Picture, *, now_ms: int, streams: int, refused: Mapping[int, int]) -> str:
    """All metrics."""
    rows: dict[str, list[str]] = {name: [] for name in _HELP}

    def put(name: str, value: float, **labels: str) -> None:
        inner = ",".join(f'{key}="{_escaped(one)}"' for key, one in labels.items())
        rows[name].append(f"{name}{{{inner}}} {value:g}" if inner else f"{name} {value:.17g}")

    put("citygate_source_up", picture.source["up"])
    put("citygate_alarms", len(picture.alarms))
    put("citygate_live_streams", streams)
    put("citygate_live_resident_bytes", _resident())
    for status, count in sorted(refused.items()):
        put("citygate_live_refused_total", count, status=str(status))
    for what, count in sorted(picture.left.items()):
        put("citygate_live_left_total", count, what=what)
    for ident, facts in picture.gateways.items():
        _gateway(put, ident, facts)
    for device in picture.devices.values():
        _device(put, device, now_ms)
    out = []
    for name, lines in rows.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        out += [f"# HELP {name} {_HELP[name]}", f"# TYPE {name} {kind}", *lines] if lines else []
    return "\n".join(out) + "\n"


def _gateway(put: Any, ident: str, facts: Mapping[str, Any]) -> None:
    put("citygate_gateway_up", bool(facts.get("up")), gateway=ident)
    if "uptime_s" in facts:
        put("citygate_gateway_uptime_seconds", facts["uptime_s"], gateway=ident)
    for name, sink in facts.get("sinks", {}).items():
        put("citygate_sink_up", sink.get("state") in _UP, gateway=ident, sink=name)
        put("citygate_sink_waiting", sink.get("waiting", 0), gateway=ident, sink=name)


def _device(put: Any, device: Any, now_ms: int) -> None:
    labels = {"gateway": device.about["gateway"], "device": device.about["id"], "kind": device.about.get("kind", "")}
    put("citygate_device_up", device.now.get("state") == "ok", **labels)
    put("citygate_device_stale", old := stale(device, now_ms), **labels)
    if "t" in device.now:
        put("citygate_device_age_seconds", (now_ms - times_ms(device.now["t"])) / 1000, **labels)
    if old:  # Prometheus would stamp the last value again with its own now
        return
    for point, value in device.now.get("v", {}).items():
        if value is not None:
            put("citygate_value", value, **labels, point=point)
    for name, figure in holding(device.figures, now_ms).items():
        put("citygate_figure", figure["value"], **labels, figure=name, rule=figure.get("rule", ""))


def _escaped(label: str) -> str:
    return str(label).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _resident() -> int:
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGESIZE")
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
