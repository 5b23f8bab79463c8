"""The quality of a link: many reads of one block of registers, counted, timed, and judged."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from drivers.link import Link
from drivers.modbus.envelope import Request
from gateway.catalogue.fault import Fault
from gateway.technician.diagnosis import CODES, HARMLESS, exception_code, settled, symptoms
from gateway.technician.trace import Trace, exchange

GIVE_UP: Final = 5
"""So many silent questions, and not one answer: it stays silent."""
PAUSE_EVERY: Final = 4
PAUSE_S: Final = 0.25
PATIENCE: Final = 3.0
FAIR: Final = 0.01
POOR: Final = 0.05


@dataclass(frozen=True, slots=True)
class Burst:
    """The outcome of a burst: how many reads, how many right answers, their times (s, rising), and the symptoms."""

    reads: int
    good: int
    times_s: tuple[float, ...]
    symptoms: Mapping[str, int]
    sample: Mapping[str, Trace]

    @property
    def verdict(self) -> str:
        """One of good (at most 1 % fail), fair (at most 5 %), poor, or dead."""
        share = 1 - self.good / self.reads if self.reads else 1.0
        return "dead" if not self.good else "good" if share <= FAIR else "fair" if share <= POOR else "poor"

    def time_s(self, share: float) -> float:
        """The reply time that `share` of the answers did not exceed, seconds; 0 without answers."""
        return self.times_s[min(len(self.times_s) - 1, int(share * len(self.times_s)))] if self.times_s else 0.0

    def row(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "reads": self.reads,
            "good": self.good,
            "p50_ms": round(1e3 * self.time_s(0.5), 1),
            "p95_ms": round(1e3 * self.time_s(0.95), 1),
            "symptoms": dict(self.symptoms),
            "verdict": self.verdict,
        }


async def burst(
    link: Link, request: Request, *, framing: str, reads: int, timeout_s: float = 1.0, char_s: float = 0.0
) -> Burst:
    """Ask `reads` times on an open link; the first silences are waited out longer, a late device is not a dead one.

    Raises:
        LinkError: the wire is gone.
    """
    traces: list[Trace] = []
    silent = 0
    for number in range(reads):
        if number % PAUSE_EVERY == PAUSE_EVERY - 1:
            await asyncio.sleep(PAUSE_S)  # what comes while nobody speaks is seen before the next question
        patience_s = timeout_s * (PATIENCE if silent < 2 else 1.0)
        one = await exchange(link, request, framing=framing, timeout_s=timeout_s, patience_s=patience_s, char_s=char_s)
        traces.append(one)
        silent += not one.seen
        if silent == len(traces) == GIVE_UP:
            break
    return judged(traces)


def judged(traces: list[Trace]) -> Burst:
    """Figures and symptoms of some exchanges."""
    counted: Counter[str] = Counter()
    sample: dict[str, Trace] = {}
    times = []
    for trace, found in zip(traces, settled([symptoms(one) for one in traces], traces), strict=True):
        counted.update(found)
        for name in found:
            sample.setdefault(name, trace)
        at = trace.answer_at
        if at is not None and "late" not in found:
            times.append(max(0.0, trace.time_at(at)))
    return Burst(len(traces), len(times), tuple(sorted(times)), dict(counted.most_common()), sample)


def faults(found: Burst, *, endpoint: str, device: str, line: str = "") -> list[Fault]:
    """The symptoms as faults, the most frequent first; those that do no harm, or came seldom, are warnings."""
    told = []
    for name, count in found.symptoms.items():
        trace = found.sample[name]
        args = {"endpoint": endpoint, "device": device, "unit": str(trace.request.unit), "line": line or endpoint}
        args |= {"share": f"{100 * count / found.reads:.0f}", "timeout": f"{trace.timeout_s:g}"}
        args |= {"heard": _heard(trace), "units": _heard(trace), "time": f"{trace.time_at(0):.2f}"}
        seen = f"{count} of {found.reads}: {(trace.seen or trace.early)[:24].hex(' ') or '-'}"
        if name == "exception":
            seen = f"{count} of {found.reads}: exception {exception_code(trace)}"
        mild = name in HARMLESS or found.verdict in {"good", "fair"}
        told.append(Fault(CODES[name], args, seen=seen, warning=mild))
    return sorted(told, key=lambda fault: fault.warning)


def _heard(trace: Trace) -> str:
    """The unit that the frame names."""
    at = 0 if trace.framing == "rtu" else 6
    return str(trace.seen[at]) if len(trace.seen) > at else "-"
