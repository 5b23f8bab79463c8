"""Doubts about values that arrived: quality marks, zeros, counters that went back, unusual values, as faults. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from drivers.points import Point
from gateway.catalogue.fault import Fault

MARKS: Final = {
    "stuck": "CG-VAL-01",
    "jump": "CG-VAL-02",
    "warmup": "CG-VAL-03",
    "corrected": "CG-VAL-04",
    "estimated": "CG-VAL-04",
    "clock": "CG-VAL-04",
    "suspect": "CG-VAL-04",
    "calibration": "CG-VAL-04",
    "range": "CG-VAL-05",
    "sentinel": "CG-VAL-06",
    "timeout": "CG-VAL-07",
    "exception": "CG-VAL-07",
    "crc": "CG-VAL-07",
    "stale": "CG-VAL-07",
    "absent": "CG-VAL-07",
    "sensor": "CG-VAL-08",
}
"""Quality codes of contracts.md, without their letter."""
RESULTS: Final = (
    (("CG-DEV-05", "CG-DEV-06"), frozenset({"CG-VAL-05", "CG-VAL-09", "CG-VAL-12"})),  # another map
    (("CG-LNK", "CG-BUS", "CG-DEV-02"), frozenset({"CG-VAL-07"})),  # what happened on the wire
)
"""Causes (the beginnings of their codes), and what only follows from them."""
ZEROS: Final = 3
SHOWN: Final = 4
ENDS: Final = tuple(
    sorted({*(float(2**bits) * 10.0**-n for bits in (16, 32) for n in range(5)), 1e4, 1e5, 1e6, 1e7, 1e8})
)
"""Where counters come round: 16 and 32 bits in steps of 10^-4 to 1, and so many digits."""


def doubts(
    record: Mapping[str, Any], points: Mapping[str, Point], *, before: Mapping[str, float] | None = None
) -> list[Fault]:
    """Faults of one record (as the local socket tells it); `before`: values of the device's record before it."""
    return [*_marked(record, points), *_counters(record, points, before or {}), *_numbers(record, points)]


def _marked(record: Mapping[str, Any], points: Mapping[str, Point]) -> Iterator[Fault]:
    by_code: dict[str, tuple[str, list[str]]] = {}
    quality: Mapping[str, str] = record.get("q") or {}
    for name in points:
        for mark in filter(None, quality.get(name, quality.get("*", "")).split("+")):
            code = MARKS.get(mark.partition(":")[2])
            if code:
                by_code.setdefault(code, (mark, []))[1].append(name)
    for code, (mark, names) in sorted(by_code.items()):
        args = {"device": record["device"], "points": _listed(names), "mark": mark}
        yield Fault(code, args, seen=f"{mark}: {_listed(names)}", warning=mark.startswith("u:"))


def _counters(record: Mapping[str, Any], points: Mapping[str, Point], before: Mapping[str, float]) -> Iterator[Fault]:
    """Counters that are less than before: come round where they stood near an end, else begun anew."""
    held: Mapping[str, float] = record.get("v") or {}
    round_: list[str] = []
    anew: list[str] = []
    for name, point in points.items():
        if point.kind != "counter" or name not in held or name not in before or held[name] >= before[name]:
            continue
        (round_ if _came_round(before[name], held[name]) else anew).append(name)
    for code, names in (("CG-VAL-10", anew), ("CG-VAL-11", round_)):
        if names:
            seen = ", ".join(f"{name} {before[name]:g} -> {held[name]:g}" for name in names[:SHOWN])
            args = {"device": record["device"], "points": _listed(names)}
            yield Fault(code, args, seen=seen, warning=code == "CG-VAL-11")


def _came_round(before: float, now: float) -> bool:
    return any(0.98 * end <= before <= end and now <= 0.02 * end for end in ENDS)


def _numbers(record: Mapping[str, Any], points: Mapping[str, Point]) -> Iterator[Fault]:
    held: Mapping[str, float] = record.get("v") or {}
    if len(held) >= ZEROS and not any(held.values()):
        yield Fault("CG-VAL-09", {"device": record["device"]}, seen=f"{len(held)} values in whole frames")
        return
    odd = [
        name
        for name, point in points.items()
        if name in held and point.expect and not point.expect[0] <= held[name] <= point.expect[1]
    ]
    if odd:
        args = {"device": record["device"], "points": _listed(odd)}
        seen = ", ".join(f"{name} {held[name]:g}" for name in odd[:SHOWN])
        yield Fault("CG-VAL-12", args, seen=seen, warning=True)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" +{more}" if more > 0 else "")


def causes(faults: Sequence[Fault]) -> list[Fault]:
    """The faults without those that only follow from another one."""
    told = list(faults)
    for beginnings, results in RESULTS:
        if any(fault.code.startswith(beginnings) and not fault.warning for fault in told):
            told = [fault for fault in told if fault.code not in results]
    return told
