"""Figures of a wire, for health and diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drivers.modbus.unit import UnitCounters


@dataclass(frozen=True, slots=True)
class WireCounters:
    """Figures of a wire since its master was made.

    `late`: answers after their time; `foreign`: whole frames nobody asked for; `junk_bytes`: bytes that belong to no
    frame; `surplus_bytes`: bytes behind an answer; `babble`: times the line was never silent; `busy_s`: seconds from
    requests to the end of their answers.
    """

    transactions: int
    answers: int
    timeouts: int
    crc: int
    refused: int
    late: int
    foreign: int
    junk_bytes: int
    surplus_bytes: int
    babble: int
    echoes: int
    probes: int
    busy_s: float
    waiting: int
    units: Mapping[int, UnitCounters]
