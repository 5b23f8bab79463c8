"""The one rule by which lists of patterns choose names: devices, kinds and points of sinks, devices of alarms."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase


def chosen(name: str, patterns: Iterable[str]) -> bool:
    """Whether patterns choose `name`: the last one that fits decides; "!" in front refuses; none that fits: no."""
    found = False
    for pattern in patterns:
        refuse = pattern.startswith("!")
        if fnmatchcase(name, pattern[refuse:]):
            found = not refuse
    return found
