"""What a wire carries, as plain data for health and the snapshot: load, late answers, wrong checksums, silences.

`load` is the share (0 to 1) of the last minute or so in which the wire was in use. On Modbus it is counted by the
master; elsewhere it is the time spent asking (asked devices) or hearing bytes (devices that talk by themselves).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from drivers.link import SerialLink
from drivers.modbus.master import Master
from drivers.uart.polled import PolledStream
from drivers.uart.stream import StreamDevice
from gateway.station import Station

SPAN_S: Final = 60.0
STEP_S: Final = 2.0


class WireLoad:
    """The load of one wire, from its busy seconds as they grow."""

    def __init__(self) -> None:
        self.busy_s = 0.0  # counted by the wire's own task, where no master counts
        self._marks: deque[tuple[float, float]] = deque(maxlen=64)

    def load(self, busy_s: float, now_s: float) -> float:
        """Share of the time in use since the oldest look of the last minute; 0 at the first."""
        while len(self._marks) > 1 and self._marks[1][0] <= now_s - SPAN_S:
            self._marks.popleft()
        if not self._marks or now_s - self._marks[-1][0] >= STEP_S:
            self._marks.append((now_s, busy_s))
        then_s, was_s = self._marks[0]
        return 0.0 if now_s <= then_s else min(1.0, (busy_s - was_s) / (now_s - then_s))

    def report(self, way: object, stations: Sequence[Station], *, now_s: float) -> dict[str, Any]:
        """The figures of a wire now."""
        told = _of_master(way) if isinstance(way, Master) else _of_streams(stations)
        busy_s = told.pop("busy_s", self.busy_s)
        each = {station.id: station.report() | told["units"].get(_unit(station), {}) for station in stations}
        del told["units"]
        return {"load": round(self.load(busy_s, now_s), 4), **told, **_line_errors(way), "devices": each}


def _line_errors(way: object) -> dict[str, int]:
    """What the port's driver counted since it was loaded; nothing where it counts nothing."""
    counted = way.receive_errors() if isinstance(way, Master | SerialLink) else None
    return {} if counted is None else dict(zip(("framing", "parity", "breaks"), counted, strict=True))


def _unit(station: Station) -> int | None:
    unit = getattr(station.device, "unit", None)
    return unit if isinstance(unit, int) else None


def _of_master(master: Master) -> dict[str, Any]:
    counted = master.counters()
    units = {
        number: {
            "reply_p50_s": round(unit.reply_p50_s, 4),
            "reply_p95_s": round(unit.reply_p95_s, 4),
            "timeout_s": round(unit.timeout_s, 3),
            "resting_s": round(unit.resting_s, 1),
            "timeouts": unit.timeouts,
            "late": unit.late,
            "crc": unit.crc,
            "exceptions": unit.refused,
        }
        for number, unit in counted.units.items()
    }
    return {
        "late": counted.late,
        "crc": counted.crc,
        "timeouts": counted.timeouts,
        "exceptions": counted.refused,
        "foreign": counted.foreign,
        "junk_bytes": counted.junk_bytes,
        "babble": counted.babble,
        "echoes": counted.echoes,
        "busy_s": counted.busy_s,
        "units": units,
    }


def _of_streams(stations: Sequence[Station]) -> dict[str, Any]:
    """Stream devices count rejected frames and late bytes; a silence is a failed poll."""
    figures = [s.device.figures for s in stations if isinstance(s.device, PolledStream | StreamDevice)]
    return {
        "late": max((one.late_bytes for one in figures), default=0),
        "crc": sum(sum(one.rejected.values()) for one in figures),
        "timeouts": sum(station.failed for station in stations),
        "junk_bytes": sum(one.junk_bytes for one in figures),
        "units": {},
    }
