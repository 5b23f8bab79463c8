"""Latches: an alarm's memory. It takes `on_s` of evidence to go on, and `off_s` of evidence to go off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Latch:
    """One limit. Evidence is a value: a time without values neither raises nor clears.

    `since_ms` (UTC) is when the condition that raised it began.
    """

    on_s: float
    off_s: float
    on: bool = False
    since_ms: int = 0
    _from: tuple[float, int] | None = None

    def step(self, *, over: bool, inside: bool, t_s: float, t_ms: int) -> None:
        """One value: `over` the limit, or `inside` it by the margin; in between it stays as it is."""
        turning = inside if self.on else over
        if not turning:
            self._from = None
            return
        if self._from is None or t_s < self._from[0]:
            self._from = t_s, t_ms
        if t_s - self._from[0] >= (self.off_s if self.on else self.on_s):
            self.on = not self.on
            self.since_ms, self._from = self._from[1], None


@dataclass(frozen=True, slots=True)
class Standing:
    """The worst limit that is on: its level 1..3, the limit, and since when (UTC ms). Level 0: none."""

    level: int = 0
    limit: float = 0.0
    since_ms: int = 0


@dataclass(slots=True)
class Steps:
    """Limits of one direction (`sign` 1: above, -1: below), from the lowest level to the highest."""

    sign: int
    limits: Sequence[float]
    levels: Sequence[int]
    margin: float
    on_s: float
    off_s: float
    latches: list[Latch] = field(init=False)

    def __post_init__(self) -> None:
        self.latches = [Latch(self.on_s, self.off_s) for _ in self.limits]

    def step(self, value: float, *, t_s: float, t_ms: int) -> None:
        """One value to all limits."""
        for latch, limit in zip(self.latches, self.limits, strict=True):
            beyond = self.sign * (value - limit)
            latch.step(over=beyond > 0, inside=beyond <= -self.margin, t_s=t_s, t_ms=t_ms)

    def standing(self) -> Standing:
        """The worst that is on."""
        rows = [
            Standing(level, limit, latch.since_ms)
            for latch, limit, level in zip(self.latches, self.limits, self.levels, strict=True)
            if latch.on
        ]
        return rows[-1] if rows else Standing()

    def restore(self, limit: float, since_ms: int) -> bool:
        """Go on where a process before this one stood; False where this limit is not one of ours."""
        if limit not in self.limits:
            return False
        for latch, one in zip(self.latches, self.limits, strict=True):
            latch.on = self.sign * (one - limit) <= 0
            latch.since_ms = since_ms if latch.on else 0
        return True

    def reset(self) -> None:
        """All off, without evidence: what was watched is over."""
        for latch in self.latches:
            latch.on, latch.since_ms = False, 0
            latch.step(over=False, inside=False, t_s=0.0, t_ms=0)
