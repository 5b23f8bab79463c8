"""Config: the typed, frozen tree of contracts.md. Reading and judging it is in `load` and `judge`."""

from __future__ import annotations

from gateway.config.tree import Bus, Clock, Config, Device, Gateway, Location, Sink, Windows

__all__ = ["Bus", "Clock", "Config", "Device", "Gateway", "Location", "Sink", "Windows"]
