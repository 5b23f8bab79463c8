"""The gateway's state as plain data: for the local socket, the MQTT `health` topic, the page and the watchdog."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from drivers.sample import FIRST_BAD, Code
from gateway.clock import kernel_offset_s, rfc3339
from gateway.journal import Journal
from gateway.reading import LENGTHS_S, Event, Reading, Series
from gateway.record import Record
from gateway.sinks.payload import Payload

SILENT_AFTER = 3.0  # periods without a good value
RAISED_MAX = 200  # alarms kept for the faces; beyond, the lowest level is let go, of one level the oldest
_PAYLOAD = Payload()


@dataclass(slots=True)
class Health:
    """Looks at live objects through the callables it is given, and writes down what it sees."""

    gateway: Mapping[str, Any]
    series: tuple[Series, ...]
    state_dir: Path
    now_ms: Callable[[], int]
    mono_s: Callable[[], float]
    trusted: Callable[[], bool]
    seen: Mapping[tuple[str, str], Record]
    buses: Callable[[], Mapping[str, Mapping[str, Any]]] = dict
    sinks: Callable[[], Mapping[str, Mapping[str, Any]]] = dict
    journal: Callable[[], Mapping[str, Any]] = dict
    windows: Callable[[], Mapping[str, int]] = dict
    started_s: float = 0.0
    labels: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    raised: dict[str, Record] = field(default_factory=dict)

    def note(self, _position: int, record: Record | None) -> None:
        """Listens to the pipeline: keeps the alarms that are raised and not cleared yet, by their id."""
        if record is None or not isinstance(record.body, Event):
            return
        self.raised.pop(record.body.id, None)
        if record.body.state == "raised":
            self.raised[record.body.id] = record
            if len(self.raised) > RAISED_MAX:
                del self.raised[min(self.raised, key=self._level)]

    def _level(self, ident: str) -> int:
        body = self.raised[ident].body
        return body.level if isinstance(body, Event) else 0

    def snapshot(self) -> dict[str, Any]:
        """The whole picture: devices with their points and last values, buses, sinks, clock, journal."""
        return {
            "schema": 1,
            "t": rfc3339(self.now_ms()),
            "gateway": {**self.gateway, "uptime_s": self._uptime_s()},
            "clock": {"trusted": self.trusted()},
            "devices": {series.id: self._device(series) for series in self.series},
            "buses": dict(self.buses()),
            "sinks": dict(self.sinks()),
            "journal": dict(self.journal()),
            "windows": dict(self.windows()),
            "alarms": [record_line(record) for record in self.raised.values()],
        }

    def report(self) -> dict[str, Any]:
        """The `health` message of contracts.md."""
        usage = os.statvfs(self.state_dir)
        return {
            "t": rfc3339(self.now_ms()),
            "uptime_s": self._uptime_s(),
            "clock": {"trusted": self.trusted(), "offset_s": kernel_offset_s()},
            "buses": dict(self.buses()),
            "devices": {series.id: self._short(series) for series in self.series},
            "sinks": dict(self.sinks()),
            "windows": dict(self.windows()),
            "disk_free": usage.f_bavail * usage.f_frsize,
            "rss": rss_bytes(),
            "temp": _temperature(),
        }

    def _uptime_s(self) -> int:
        return round(self.mono_s() - self.started_s)

    def _short(self, series: Series) -> dict[str, Any]:
        record = self.seen.get((series.id, "raw"))
        return {"state": self._state(series), "last_t": None if record is None else rfc3339(record.t_ms)}

    def _state(self, series: Series) -> str:
        """`ok`, `failed` (the last poll gave nothing good), `silent` (too old) or `waiting` (nothing yet)."""
        record = self.seen.get((series.id, "raw"))
        if record is None or not isinstance(record.body, Reading):
            return "waiting"
        if all(code >= FIRST_BAD for code in record.body.codes):
            return "failed"
        old_ms = SILENT_AFTER * series.every_ms if series.every_ms else None
        return "silent" if old_ms is not None and self.now_ms() - record.t_ms > old_ms else "ok"

    def _device(self, series: Series) -> dict[str, Any]:
        record = self.seen.get((series.id, "raw"))
        labels = {key: value for key, value in self.labels.get(series.id, {}).items() if value is not None}
        limits = labels.pop("limits", {})
        return {
            "kind": series.kind,
            "device": series.device,
            "profile": series.profile,
            "name": {},
            **labels,
            "state": self._state(series),
            "every_s": None if series.every_ms is None else series.every_ms / 1000,
            "points": {
                p.name: {"unit": p.unit, "kind": p.kind, "digits": p.digits, "limits": limits.get(p.name, {})}
                for p in series.points
            },
            "last": None if record is None else record_line(record),
            "windows": self._windows(series),
        }

    def _windows(self, series: Series) -> list[dict[str, Any]]:
        """The newest windows of the series that carry city figures, longest first; statistics left out."""
        found = []
        for stream in reversed(tuple(LENGTHS_S)):
            record = self.seen.get((series.id, stream))
            line = None if record is None else record_line(record)
            if line is not None and "i" in line:
                found.append({key: line[key] for key in ("stream", "t", "end", "i")})
        return found


def record_line(record: Record) -> dict[str, Any]:
    """A record as the local socket tells it: raw by t, v and q of each point, other streams as they are sent."""
    line: dict[str, Any] = {
        "device": record.device,
        "stream": record.stream,
        "t": rfc3339(record.t_ms),
        "seq": record.seq,
    }
    body = record.body
    if isinstance(body, Reading):
        named = list(zip(body.series.points, body.values, body.codes, strict=True))
        line["v"] = {point.name: value for point, value, code in named if code < FIRST_BAD}
        line["q"] = {point.name: Code(code).text for point, _value, code in named if code}
        return line
    return line | _PAYLOAD.form(record)


def journal_facts(journal: Journal) -> dict[str, Any]:
    """The journal's part of the snapshot: positions and bytes."""
    return {
        "first": journal.first,
        "next": journal.next,
        "committed": journal.committed,
        "size_bytes": journal.size_bytes,
        "cap_bytes": journal.cap_bytes,
        "damages": len(journal.damages),
    }


class Windowed(Protocol):
    """What windows count of themselves (gateway.window)."""

    @property
    def too_late(self) -> int:
        """Readings that came when their window's samples were gone."""

    @property
    def overrun(self) -> int:
        """Readings beyond the number that one base window may hold."""

    @property
    def left_out(self) -> int:
        """Amendments of longer windows that could not be made."""


def left_aside(windows: Windowed, *, undated: int) -> dict[str, int]:
    """What stands in no window since the start, by cause; `undated`: held samples that could never be dated."""
    return {
        "too_late": windows.too_late,
        "overrun": windows.overrun,
        "left_out": windows.left_out,
        "undated": undated,
    }


def rss_bytes() -> int:
    """Resident memory of this process, in bytes (/proc/self/statm, field 2)."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * resource.getpagesize()


def _temperature() -> float | None:
    """The board's temperature in Cel, where the kernel tells it (first thermal zone)."""
    try:
        return int(Path("/sys/class/thermal/thermal_zone0/temp").read_text(encoding="ascii")) / 1000
    except (OSError, ValueError):
        return None
