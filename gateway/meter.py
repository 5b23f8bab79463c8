"""What a sink has sent, against its budget: so many bytes in each hour, day, week or month of local time.

The counters are the ledger's, so they are committed with the records and outlive a restart. Bytes are those of our
packets, requests and lines as the sink makes them; what TCP, TLS and answers add is not counted.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from gateway.clock import rfc3339
from gateway.config.duration import Budget
from gateway.ledger import Ledger


class Meter:
    """Belongs to one sink. `now_ms`: UTC ms, or None while the clock is not trusted: then the period does not end."""

    def __init__(self, ledger: Ledger, *, budget: Budget, now_ms: Callable[[], int | None], zone: tzinfo) -> None:
        self._ledger = ledger
        self._budget = budget
        self._now_ms = now_ms
        self._zone = zone
        self._ends_ms = 0

    def add(self, size_bytes: int) -> None:
        """So much went out."""
        self._turn()
        self._ledger.period_bytes += size_bytes

    @property
    def spent(self) -> bool:
        """Whether the budget of this period is used up."""
        self._turn()
        return self._ledger.period_bytes >= self._budget.size_bytes

    def _turn(self) -> None:
        """Begin a new period where one is due; after a backward step of the clock what was counted still counts."""
        now_ms, ledger = self._now_ms(), self._ledger
        if now_ms is None or ledger.period_ms <= now_ms < self._ends_ms:
            return
        begins_ms, self._ends_ms = period_of(now_ms, self._budget.period, zone=self._zone)
        if ledger.period_ms == self._ends_ms:  # stepped back over its start: it has begun, and is not given twice
            self._ends_ms = period_of(ledger.period_ms, self._budget.period, zone=self._zone)[1]
            return
        if ledger.period_ms and begins_ms > ledger.period_ms:
            ledger.period_bytes = 0
        ledger.period_ms = begins_ms

    def report(self) -> dict[str, Any]:
        """For health: the budget, what is used of it, and when the next period begins (null: the clock is unsure)."""
        spent = self.spent
        return {
            "size_bytes": self._budget.size_bytes,
            "period": self._budget.period,
            "used_bytes": self._ledger.period_bytes,
            "spent": spent,
            "until": rfc3339(self._ends_ms) if self._ends_ms else None,
        }

    def warning(self) -> str:
        """In one sentence, while the budget is spent; else empty."""
        if not self.spent:
            return ""
        until = datetime.fromtimestamp(self._ends_ms / 1000, self._zone).strftime("%Y-%m-%d %H:%M")
        when = f" until {until}" if self._ends_ms else ""
        return f"the budget of this {self._budget.period} is spent: raw and the backlog wait{when}"


def period_of(now_ms: int, period: str, *, zone: tzinfo) -> tuple[int, int]:
    """Start and end (UTC ms) of the local hour, day, week (from Monday) or month that holds `now_ms`."""
    now = datetime.fromtimestamp(now_ms // 1000, zone)
    if period == "hour":  # counted in UTC from the full local hour: an hour that a time change repeats is two
        begins = now.astimezone(UTC) - timedelta(minutes=now.minute, seconds=now.second)
        return _ms(begins), _ms(begins + timedelta(hours=1))
    day = now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if period == "day":
        return _ms(day), _ms(day + timedelta(days=1))
    if period == "week":
        day -= timedelta(days=day.weekday())
        return _ms(day), _ms(day + timedelta(days=7))
    first = day.replace(day=1)
    return _ms(first), _ms((first + timedelta(days=32)).replace(day=1))


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
