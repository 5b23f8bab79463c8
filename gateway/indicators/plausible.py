"""Plausible: QARTOD tests of series, OPC UA aggregate status, NTCIP occupancy bytes. For archives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

GOOD: Final = 1
UNKNOWN: Final = 2
SUSPECT: Final = 3
FAIL: Final = 4
MISSING: Final = 9
NTCIP_FAULTS: Final = {
    210: "max presence",
    211: "no activity",
    212: "open loop",
    213: "shorted loop",
    214: "excessive change",
    216: "watchdog",
    217: "erratic output",
}


def gross_range(
    values: Sequence[float | None], *, fail: tuple[float, float], suspect: tuple[float, float]
) -> list[int]:
    """QARTOD gross range flags; the limits belong to their span."""

    def flag(value: float | None) -> int:
        if value is None:
            return MISSING
        if not fail[0] <= value <= fail[1]:
            return FAIL
        return GOOD if suspect[0] <= value <= suspect[1] else SUSPECT

    return [flag(value) for value in values]


def spikes(values: Sequence[float | None], *, suspect: float, fail: float) -> list[int]:
    """QARTOD spike flags: |x - mean of both neighbours| strictly above a threshold. No neighbours: 2."""
    flags = []
    for k, value in enumerate(values):
        before = values[k - 1] if k else None
        after = values[k + 1] if k + 1 < len(values) else None
        if value is None:
            flags.append(MISSING)
        elif before is None or after is None:
            flags.append(UNKNOWN)
        else:
            away = abs(value - (before + after) / 2)
            flags.append(FAIL if away > fail else SUSPECT if away > suspect else GOOD)
    return flags


def rate_of_change(values: Sequence[float], t_s: Sequence[float], *, per_s: float) -> list[int]:
    """QARTOD rate of change flags: strictly faster than `per_s` (units per s) is suspect; the first value is good."""
    flags = [GOOD] * min(1, len(values))
    for k in range(1, len(values)):
        fast = abs(values[k] - values[k - 1]) > per_s * (t_s[k] - t_s[k - 1])
        flags.append(SUSPECT if fast else GOOD)
    return flags


def flat_line(
    values: Sequence[float], t_s: Sequence[float], *, suspect_s: float, fail_s: float, tolerance: float
) -> list[int]:
    """QARTOD flat line flags: all values of the last seconds (both ends included) within less than `tolerance`."""

    def flat(k: int, span_s: float) -> bool:
        if t_s[k] - t_s[0] < span_s:
            return False
        inside = [value for value, t in zip(values[: k + 1], t_s, strict=False) if t >= t_s[k] - span_s]
        return max(inside) - min(inside) < tolerance

    return [FAIL if flat(k, fail_s) else SUSPECT if flat(k, suspect_s) else GOOD for k in range(len(values))]


def opcua_status(
    *,
    good: int,
    bad: int,
    uncertain: int,
    pct_good: float = 100.0,
    pct_bad: float = 100.0,
    uncertain_is_bad: bool = True,
) -> str:
    """Good, Uncertain or Bad of an aggregate by the shares of its inputs (OPC UA Part 13); Bad is tested first."""
    total = good + bad + uncertain
    not_good = bad + uncertain * uncertain_is_bad
    if total == 0 or 100 * not_good >= pct_bad * total:
        return "Bad"
    return "Good" if 100 * (total - not_good) >= pct_good * total else "Uncertain"


def ntcip_occupancy(byte: int) -> tuple[float | None, str | None]:
    """Occupancy in % (steps of 0.5) of an NTCIP 1202 report byte, or None and the detector's fault."""
    if byte <= 200:
        return byte / 2, None
    return None, NTCIP_FAULTS.get(byte, "reserved")
