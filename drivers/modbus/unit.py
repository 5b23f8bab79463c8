"""What the master knows of one unit: how fast it answers, what it still owes, whether it may be asked.

**Why a late answer is never taken for another one.** An RTU answer names its unit, its function and its length, but not
the register it was asked for. So a request whose answer did not come leaves a *debt*: the shape (function, byte count)
of the answer that may still come. Three fences stand between a debt and a wrong value:

1. *Quarantine*: after a timeout the unit is not asked until its worst reply time has passed. Other units are; an answer
   of the wrong unit is counted as late and never matched. Most late answers are caught here, and the reply time they
   show raises the unit's timeout.
2. *Shape*: as long as a unit owes an answer of the shape of the next request, that request is not sent: not at all for
   3.5 timeouts, and after that only behind a probe (a short read of another shape whose value is thrown away).
3. *Order*: a unit answers what it is asked one after the other. An answer to anything asked later therefore proves
   that the debts before it are dead; an answer of an older shape pays that debt. An exception answer names no length:
   while a debt of the same function is open it pays the oldest one and proves nothing more.

Time alone proves nothing (an hour-late reply is caught by 2 and 3), and within 3.5 timeouts order alone proves nothing
either (a converter or a radio bridge may overtake itself; there the hold of 2 stands alone). A spoiled answer counts as
spent: its debt needs a probe, but no time.

*What remains undecidable*, and what bounds it: a unit (or a bridge) that answers one request twice, or two units with
the same address, can give a second answer of the right shape; only the silence before each request, in which surplus
frames are seen and counted, speaks against it. An answer that is overtaken *and* later than 3.5 timeouts. A probe's
shape is used again after `PROBES` probes and at least a minute (or ten worst reply times). A unit whose reads change it
(`retry` false), or that has no second shape to offer, is not probed: only the hold stands. A random frame passes the
checksum with 1/65536; the quality room's range checks stand behind that.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from drivers.modbus.counters import UnitCounters
from drivers.modbus.envelope import Request, Shape
from drivers.profile import Limits

PROBES: Final = 6
OLD_S: Final = 60.0
OLD_WORST: Final = 10.0
FIRST_REGISTER_FUNCTION: Final = 3
HOLD: Final = 3.5
REPLIES: Final = 64
FEW: Final = 8
RELEARN: Final = 32  # answers between two looks at all of them; a slow one is looked at at once
FLOOR_S: Final = 0.25
CEILING_S: Final = 10.0
OPEN_AFTER: Final = 3
PROBATION: Final = 30  # answers after which a unit that had fallen silent is trusted as before
DEAD_SHARE: Final = 0.02  # of the wire's time, for all units together that do not answer
FLAPPING_SHARE: Final = 0.1  # of the wire's time, for a unit that fell silent again after it had come back
FIRST_GAP_S: Final = 1.0
LAST_GAP_S: Final = 15.0
CHEAP_S: Final = 0.2  # a silent unit's late answer is heard between other reads: no need to wait long for it
FULL_EVERY: Final = 8  # but every so many attempts the wait is a full one
SHAPES: Final = 64


class Debt(NamedTuple):
    """An answer that may still come: when it was asked for, and until when its shape is not asked again (loop s)."""

    sent_s: float
    held_until_s: float


@dataclass(slots=True)
class Unit:
    """One unit's memory. All times are event-loop seconds."""

    number: int
    limits: Limits
    timeout_s: float = 0.0
    replies_s: deque[float] = field(default_factory=lambda: deque(maxlen=REPLIES))
    debts: dict[Shape, Debt] = field(default_factory=dict)
    shapes: dict[Shape, None] = field(default_factory=dict)
    not_before_s: float = 0.0
    closed_until_s: float = 0.0
    rests_until_s: float = 0.0
    failures: int = 0
    probation: int = 0
    gap_s: float = 0.0
    transactions: int = 0
    answers: int = 0
    timeouts: int = 0
    crc: int = 0
    refused: int = 0
    late: int = 0
    probes: int = 0
    _slow_s: float = 0.0

    def __post_init__(self) -> None:
        self.timeout_s = self.first_s

    def adopt(self, limits: Limits) -> None:
        """The profile of the device behind this unit is known (better) now."""
        if limits != self.limits:
            self.limits = limits
            self.timeout_s = self.first_s

    @property
    def first_s(self) -> float:
        """The profile's timeout: the first guess, and what a unit gets again after it fell silent."""
        return self.limits.timeout_ms / 1000

    @property
    def worst_s(self) -> float:
        """The longest that an answer is believed to take: the length of the quarantine."""
        return 1.5 * max(self.timeout_s, max(self.replies_s, default=0.0))

    @property
    def silent(self) -> bool:
        """The breaker is open: it did not answer lately. One miss is enough for a unit that came back just now."""
        return self.failures >= (1 if self.probation else OPEN_AFTER)

    @property
    def patience_s(self) -> float:
        """How long the next request waits: the learned time, or little where an answer is not likely."""
        if not self.failures or not self.silent or self.failures % FULL_EVERY == 0:
            return self.timeout_s
        return min(self.timeout_s, max(CHEAP_S, 2 * max(self.replies_s, default=0.0)))

    def doubt_s(self, now_s: float) -> float:
        """Time that the next request may waste; 0 for a unit that answers, or would not be asked now."""
        asked = max(self.closed_until_s, self.rests_until_s) <= now_s
        return self.patience_s if self.silent and asked else 0.0

    def answered(self, reply_s: float, *, now_s: float) -> None:
        """An answer that was asked for has come, `reply_s` after the request had left: nothing older is owed."""
        self.answers += 1
        if self.debts:
            self._prove(tuple(self.debts), now_s=now_s)
        if self.probation:
            self.probation -= 1
        if self.failures or self.closed_until_s:
            self.probation = PROBATION if self.silent else self.probation
            self.failures = 0
            self.gap_s = self.closed_until_s = self.rests_until_s = 0.0
        if self.limits.turnaround_ms:
            self.not_before_s = now_s + self.limits.turnaround_ms / 1000
        self._learn(reply_s)

    def missed(self, *, sent_s: float) -> None:
        """No answer in time: quarantine, and twice the patience, up to the profile's."""
        self.timeouts += 1
        self.failures += 1
        self.quarantine(sent_s=sent_s)
        if self.timeout_s < self.first_s:
            self.timeout_s = min(2 * self.timeout_s, self.first_s)

    def quarantine(self, *, sent_s: float) -> None:
        """Not to be asked until its worst reply time has passed."""
        self.closed_until_s = max(self.closed_until_s, sent_s + self.worst_s)

    def wait_s(self, shape: Shape, *, now_s: float, person: bool) -> float:
        """How long it must not be asked for an answer of that shape yet; 0 or less when it may."""
        until_s = self.closed_until_s if person else max(self.closed_until_s, self.rests_until_s)
        debt = self.debts.get(shape)
        return (until_s if debt is None else max(until_s, debt.held_until_s)) - now_s

    def owe(self, shape: Shape, *, sent_s: float, spent: bool = False) -> None:
        """The answer of that shape may still come; `spent`: very likely not (a spoiled one came, the link ended)."""
        hold_s = 0.0 if spent and self.limits.retry else HOLD * max(self.first_s, self.timeout_s)
        self.debts.pop(shape, None)
        self.debts[shape] = Debt(sent_s, sent_s + hold_s)

    def rest(self, *, now_s: float, dead: int, dead_share: float) -> None:
        """The breaker: only a person asks until the next attempt is within the share of the `dead` units."""
        self.gap_s = min(max(2 * self.gap_s, FIRST_GAP_S), LAST_GAP_S)
        share = dead_share if self.failures >= OPEN_AFTER else FLAPPING_SHARE
        self.rests_until_s = now_s + max(self.gap_s, dead * self.patience_s / share)

    def came_late(self, shape: Shape, *, code: int, t_s: float) -> bool:
        """An answer that nobody waits for: pay the debt it belongs to and prove those before it; false if unknown."""
        debts = tuple(self.debts)
        if code:
            owed = next((debt for debt in debts if debt[0] == shape[0]), None)
        else:
            owed = shape if shape in self.debts else None
        if owed is None:
            return False
        self.late += 1
        self._prove(debts[: debts.index(owed)], now_s=t_s)
        self._learn(t_s - self.debts.pop(owed).sent_s)
        self.probation = PROBATION if self.silent else self.probation
        self.failures = 0
        self.gap_s = self.rests_until_s = 0.0
        if not self.debts:
            self.closed_until_s = 0.0
        return True

    def _prove(self, older: tuple[Shape, ...], *, now_s: float) -> None:
        """Something asked later was answered: what was asked before is dead, once it is also old enough."""
        for shape in older:
            if self.debts[shape].held_until_s <= now_s:
                del self.debts[shape]

    def give_up(self, shape: Shape) -> None:
        """A unit that cannot be probed: its debt has been held long enough."""
        self.debts.pop(shape, None)

    def owes_function(self, function: int) -> bool:
        """Whether an exception answer of this function could belong to an older request."""
        return any(debt[0] == function for debt in self.debts)

    def probe_shapes(self, request: Request) -> list[tuple[int, Shape]]:
        """Reads from the request's address whose answers look unlike any real one: (count, shape), the best first.

        Even and short ones first: parts of a block that the device is known to allow, on value borders.
        """
        bits = request.function < FIRST_REGISTER_FUNCTION
        found: list[tuple[int, Shape]] = []
        for number in (2, 4, 1, 6, 8, 10, 3, 12, 5, 7, 9, 11, 14, 16, 18, 20):
            count, shape = (
                (8 * number, (request.function, number)) if bits else (number, (request.function, 2 * number))
            )
            fits = count <= self.limits.max_registers and request.address + count <= 0x10000
            if fits and shape not in self.shapes and shape != request.shape:
                found.append((count, shape))
        return sorted(found, key=lambda probe: probe[1][1] > request.byte_count)[:PROBES]

    def probe_count(self, request: Request, *, now_s: float) -> int | None:
        """The count of the probe to send; None while every probe's own answer is outstanding and not yet old."""
        shapes = self.probe_shapes(request)
        never = Debt(0.0, 0.0)
        count, shape = min(shapes, key=lambda probe: self.debts.get(probe[1], never).sent_s)
        debt = self.debts.get(shape)
        if debt is not None and now_s - debt.sent_s < max(OLD_S, OLD_WORST * self.worst_s):
            return None
        return count

    def remember(self, shape: Shape) -> None:
        """A real read of this shape is made of the unit: probes must look different."""
        if len(self.shapes) < SHAPES:
            self.shapes[shape] = None

    def counters(self, now_s: float) -> UnitCounters:
        """The figures now."""
        replies = sorted(self.replies_s) or [0.0]
        return UnitCounters(
            unit=self.number,
            transactions=self.transactions,
            answers=self.answers,
            timeouts=self.timeouts,
            crc=self.crc,
            refused=self.refused,
            late=self.late,
            probes=self.probes,
            owed=len(self.debts),
            timeout_s=self.timeout_s,
            reply_p50_s=replies[len(replies) // 2],
            reply_p95_s=replies[min(len(replies) - 1, len(replies) * 95 // 100)],
            resting_s=max(0.0, self.closed_until_s - now_s, self.rests_until_s - now_s),
        )

    @property
    def _ceiling_s(self) -> float:
        return max(self.first_s, min(4 * self.first_s, CEILING_S))

    def _learn(self, reply_s: float) -> None:
        self.replies_s.append(reply_s)
        if reply_s > self._slow_s or not self.answers % RELEARN or len(self.replies_s) < FEW:
            self._adapt()

    def _adapt(self) -> None:
        """Patience: 3 times the slowest of the last 64 replies, between 0.25 s and the profile's timeout.

        Beyond that, up to 4 times the profile's, only for a unit whose usual reply asks for it: the wire is shared.
        """
        replies = sorted(self.replies_s)
        floor_s = self.first_s if len(replies) < FEW else min(FLOOR_S, self.first_s)
        patient_s = min(max(floor_s, 3 * replies[-1]), self.first_s)
        self.timeout_s = min(max(patient_s, 3 * replies[len(replies) // 2]), self._ceiling_s)
        self._slow_s = self.timeout_s / 3
