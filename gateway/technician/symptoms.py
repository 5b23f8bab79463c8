"""From symptoms to causes: what was heard on a wire, as faults with evidence and ranked causes.

The table of users.md section 2, as pure functions: bytes, error counters and answers in, faults out. Silence lists
causes and picks none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from drivers.line import LineSettings
from drivers.modbus.hunt import frames_in
from gateway.catalogue.fault import Fault
from gateway.technician.ask import Heard, requests_in
from gateway.technician.tap import Errors

STRAY_BYTES: Final = 3


@dataclass(frozen=True, slots=True)
class Quiet:
    """What came while nobody of ours spoke."""

    data: bytes = b""
    errors: Errors | None = None


@dataclass(slots=True)
class Evidence:
    """All that a scan has seen of a wire.

    `tries` are the questions asked, with their settings; `hits` the units that were confirmed, with theirs.
    """

    endpoint: str
    quiet: Quiet = field(default_factory=Quiet)
    tries: list[tuple[LineSettings, Heard]] = field(default_factory=list)
    hits: list[tuple[LineSettings, int]] = field(default_factory=list)


def findings(evidence: Evidence, *, configured: LineSettings | None = None) -> list[Fault]:
    """What is wrong on the wire, the most certain first; empty where devices answer as the config says."""
    found = [*_others(evidence), *_echo(evidence), *_twins(evidence), *_parity(evidence)]
    if configured is not None and evidence.hits and all(line != configured for line, _unit in evidence.hits):
        lines = sorted({str(line) for line, _unit in evidence.hits})
        args = {"endpoint": evidence.endpoint, "found": ", ".join(lines), "configured": str(configured)}
        found.append(Fault("CG-BUS-12", args, warning=True))
    if not evidence.hits and not found:
        found += _nobody(evidence)
    return found


def _others(evidence: Evidence) -> list[Fault]:
    """Whole frames while nobody of ours spoke, or for units that we did not ask: another master."""
    asked = requests_in(evidence.quiet.data)
    told, _junk = frames_in(evidence.quiet.data, 0, end=len(evidence.quiet.data))
    units = {unit for unit, _function in asked} | {frame.unit for frame, _at in told}
    if not units:
        ours = {unit for _line, unit in evidence.hits}
        counted: dict[int, int] = {}
        for _line, heard in evidence.tries:
            for unit in {frame.unit for frame in heard.others} - {heard.unit} - ours:
                counted[unit] = counted.get(unit, 0) + 1
            for unit, _function in requests_in(heard.seen):
                counted[unit] = counted.get(unit, 0) + (unit != heard.unit)
        units = {unit for unit, count in counted.items() if count >= 2}
    if not units:
        return []
    args = {"endpoint": evidence.endpoint, "units": ", ".join(map(str, sorted(units)))}
    seen = f"{len(asked)} requests, {len(told)} answers while nobody of ours spoke"
    return [Fault("CG-BUS-07", args, seen=seen)]


def _echo(evidence: Evidence) -> list[Fault]:
    """Our own request comes back, whole (the adapter's echo: harmless) or spoilt (something drives the line)."""
    tries = [heard for _line, heard in evidence.tries]
    whole = sum(heard.echoed for heard in tries)
    spoilt = _spoilt(tries)
    if tries and whole >= max(2, len(tries) // 2):
        return [Fault("CG-BUS-08", {"endpoint": evidence.endpoint}, seen=f"{whole} of {len(tries)}", warning=True)]
    if spoilt:
        seen = f"{len(spoilt)} of {len(tries)}: {spoilt[0].seen.hex(' ')}"
        return [Fault("CG-BUS-09", {"endpoint": evidence.endpoint}, seen=seen)]
    return []


def _spoilt(tries: Sequence[Heard]) -> list[Heard]:
    """Requests that came back damaged: most of them, whoever was asked. One unit alone would be its own answer."""
    found = [heard for heard in tries if heard.spoilt_echo]
    everybody = len({heard.unit for heard in found}) >= 2
    return found if everybody and len(found) >= max(3, len(tries) // 2) else []


def _twins(evidence: Evidence) -> list[Fault]:
    """One unit garbled, again and again, at settings with which the receiver hears no wrong character."""
    garbled: dict[tuple[LineSettings, int], list[Heard]] = {}
    if _spoilt([heard for _line, heard in evidence.tries]):
        return []
    for line, heard in evidence.tries:
        clean = heard.errors is None or not (heard.errors.framing or heard.errors.parity)
        if heard.garbled and clean:
            garbled.setdefault((line, heard.unit), []).append(heard)
    fine = {line for line, _unit in evidence.hits}
    return [
        Fault(
            "CG-BUS-10",
            {"endpoint": evidence.endpoint, "unit": str(unit), "line": str(line)},
            seen=f"{len(all_)} x, {len(all_[0].seen)} bytes: {all_[0].seen[:16].hex(' ')}",
        )
        for (line, unit), all_ in garbled.items()
        if len(all_) >= 2 and (line in fine or not fine) and (line, unit) not in evidence.hits
    ]


def _parity(evidence: Evidence) -> list[Fault]:
    """Whole answers, every character of them with a wrong parity bit or a low stop bit: parity is set otherwise."""
    for line, heard in evidence.tries:
        errors = heard.errors
        if not heard.answered or errors is None or evidence.hits:
            continue
        if errors.parity >= len(heard.seen) // 2 or errors.framing:
            args = {"endpoint": evidence.endpoint, "unit": str(heard.unit), "line": str(line)}
            return [Fault("CG-BUS-11", args, seen=f"{errors.parity} parity, {errors.framing} framing errors")]
    return []


def _nobody(evidence: Evidence) -> list[Fault]:
    """No device was found: what the line sounded like says which causes are left."""
    args = {"endpoint": evidence.endpoint}
    quiet = evidence.quiet
    errors = quiet.errors or Errors()
    counts = f"{len(quiet.data)} bytes, {errors.framing} framing errors, {errors.breaks} breaks while nobody spoke"
    if quiet.errors is None:
        counts = f"{len(quiet.data)} bytes while nobody spoke; this port counts no errors"
    if errors.breaks or (quiet.data and set(quiet.data) <= {0x00, 0xFF}):
        return [Fault("CG-BUS-02", args, seen=counts)]
    if len(quiet.data) >= STRAY_BYTES:
        return [Fault("CG-BUS-13", args, seen=counts + _speed(quiet))]
    garbled = [(line, heard) for line, heard in evidence.tries if heard.garbled]
    if garbled:
        line, heard = garbled[0]
        seen = (
            f"{len(garbled)} of {len(evidence.tries)} questions; {line}, unit {heard.unit}: {heard.seen[:16].hex(' ')}"
        )
        return [Fault("CG-BUS-14", args, seen=seen)]
    units = sorted({heard.unit for _line, heard in evidence.tries})
    lines = {line for line, _heard in evidence.tries}
    asked = f"ids {units[0]}-{units[-1]}, {len(lines)} line settings" if units else "nothing was asked"
    return [Fault("CG-BUS-15", args, seen=f"{asked}; {counts}")]


def _speed(quiet: Quiet) -> str:
    if quiet.errors is None or not quiet.errors.framing:
        return ""
    share = quiet.errors.framing / max(1, len(quiet.data))
    return "; the speaker is slower" if share > 0.5 else "; the speaker is faster, or its parity differs"
