"""The window lengths that exist (contracts.md, "Config"): spelling -> seconds; 1d is the local day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LENGTHS: Final[Mapping[str, int]] = {
    "5s": 5, "10s": 10, "1m": 60, "5m": 300, "10m": 600, "15m": 900, "30m": 1800, "1h": 3600, "1d": 86400,
}  # fmt: skip
