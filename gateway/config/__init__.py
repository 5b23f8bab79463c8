"""Config: the typed, frozen tree of contracts.md. Reading and judging it is in `load` and `judge`."""

from __future__ import annotations

from gateway.config.tree import (
    Alarm,
    Bus,
    Calibration,
    Clock,
    Config,
    Device,
    Gateway,
    Journal,
    Location,
    Sink,
    Windows,
)

__all__ = [
    "Alarm",
    "Bus",
    "Calibration",
    "Clock",
    "Config",
    "Device",
    "Gateway",
    "Journal",
    "Location",
    "Sink",
    "Windows",
]
