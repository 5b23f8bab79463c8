"""City figures as the page holds them: those of the newest window of each length, for two of its lengths at most.

A window without a figure says that the figure cannot be told any more (too little data behind it), so it takes the held
one of its length away; and where no window comes at all, the figure ends by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.clock import rfc3339
from gateway.web.labels import times_ms

HOLDS: Final = 2  # lengths of its window
SHORTEST_S: Final = 60  # in a few seconds there is one vehicle or none: such a flow would jump from A to C and back


def take(held: dict[str, dict[str, Any]], found: Mapping[str, Mapping[str, Any]], *, end: str, step_s: int) -> bool:
    """Take over the figures of the newest window of `step_s` seconds that ended at `end`. Whether anything changed.

    A shorter window's figure wins over a longer one's, as long as it holds.
    """
    gone = [name for name, one in held.items() if one["step"] == step_s and name not in found]
    for name in gone:
        del held[name]
    changed = bool(gone)
    for name, facts in found.items():
        before = held.get(name)
        if before is None or before["step"] == step_s or _wins(before, end=end, step_s=step_s):
            held[name] = {**facts, "end": end, "step": step_s}
            changed = True
    return changed


def _wins(before: Mapping[str, Any], *, end: str, step_s: int) -> bool:
    """Whether a figure of another length replaces the held one."""
    if step_s < before["step"]:
        return end >= _earlier(before["end"], step_s)
    return bool(before["end"] < _earlier(end, before["step"]))


def _earlier(end: str, step_s: int) -> str:
    """`end` minus the time that a figure of this length holds, as comparable text."""
    return rfc3339(times_ms(end) - HOLDS * 1000 * step_s)


def holding(held: Mapping[str, dict[str, Any]], now_ms: int) -> dict[str, dict[str, Any]]:
    """The figures that still tell about now (UTC ms): ended no longer ago than two lengths, nor ahead by more."""
    return {name: one for name, one in held.items() if _near(one, now_ms)}


def _near(one: Mapping[str, Any], now_ms: int) -> bool:
    return bool(abs(now_ms - times_ms(one["end"])) <= HOLDS * 1000 * one["step"])
