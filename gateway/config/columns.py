"""How many columns a kind of device makes in InfluxDB (contracts.md, "InfluxDB"); v3 refuses tables that grow too wide.

InfluxDB 3 Core stops at 500 columns a table; 450 leave room for what is added later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from drivers.points import Point
from gateway.config.judge import Bench

CAP: Final = 450
_STATISTICS: Final = {"gauge": 6, "counter": 2, "count": 1, "state": 2}  # as in gateway.reading.STATISTICS
_RAW_ALWAYS: Final = 4 + 4  # quality seq rev epoch; time city gateway device
_WINDOW_ALWAYS: Final = 7 + 5  # n coverage end_ms quality seq rev epoch; time city gateway device stream
_INDICATORS: Final = 36  # i__name, __level, __coverage of a dozen indicators


def raw(points: Iterable[Point]) -> int:
    """Columns of raw records: `<point>`, `quality_<point>`, `bad_<point>`, and those of every record."""
    return _RAW_ALWAYS + 3 * len(list(points))


def window(points: Iterable[Point]) -> int:
    """Columns of windows: statistics, `__n`, `__coverage`, `quality_<point>`, indicators, and those of every record."""
    return _WINDOW_ALWAYS + _INDICATORS + sum(_STATISTICS[point.kind] + 3 for point in points)


def columns(bench: Bench) -> None:
    """Refuse profiles too wide for a sink with `api = "v3"`; warn where devices of one kind are so together."""
    sinks = [name for name, sink in bench.config.sink.items() if sink.kind == "influxdb" and sink.api == "v3"]
    if not sinks:
        return
    union: dict[str, dict[str, Point]] = defaultdict(dict)
    for name, profile in bench.profiles.items():
        here = {row.name: row for part in ("", "lane1", "ch1") for row in profile.points(part)}
        union[bench.config.device[name].kind or profile.kind] |= here
        width = max(raw(here.values()), window(here.values()))
        if width > CAP:
            args = {"profile": profile.id, "width": width, "cap": CAP, "sink": sinks[0]}
            bench.draft.add("CG-CFG-30", ("device", name, "profile"), **args)
    for kind, here in union.items():
        width = max(raw(here.values()), window(here.values()))
        if width > CAP:
            args = {"profile": kind, "width": width, "cap": CAP, "sink": sinks[0]}
            bench.draft.add("CG-CFG-30", ("sink", sinks[0]), **args, warning=True)
