"""Figures of a wire and of its units, for health and diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What is counted of one unit and of the whole wire, since the master was made.

    `late` counts answers that came after their time, `refused` exception answers, `probes` reads whose value is thrown
    away.
    """

    transactions: int
    answers: int
    timeouts: int
    crc: int
    refused: int
    late: int
    probes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCounters(Counters):
    """Figures of one unit. Times in seconds.

    `resting_s` is the time until the unit may be asked again (0 when it may), `timeout_s` the learned patience, `owed`
    the answers still outstanding.
    """

    unit: int
    owed: int
    timeout_s: float
    reply_p50_s: float
    reply_p95_s: float
    resting_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WireCounters(Counters):
    """Figures of a wire.

    `foreign`: whole frames nobody asked for; `junk_bytes`: bytes that belong to no frame; `surplus_bytes`: bytes behind
    an answer; `babble`: times the line was never silent; `busy_s`: seconds from requests to the end of their answers.
    """

    foreign: int
    junk_bytes: int
    surplus_bytes: int
    babble: int
    echoes: int
    busy_s: float
    waiting: int
    units: Mapping[int, UnitCounters]
