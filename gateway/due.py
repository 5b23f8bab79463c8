"""Whose turn it is on a wire: earliest deadline first, and no device at the expense of the others.

Two kinds of devices wait for the slack, the time in which no other is due: one whose next poll is likely to be in vain
(it did not answer lately), and, while the wire cannot carry everything, one that takes more than its fair share. Either
is asked without slack once a minute at the latest, so that nobody is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.station import Station

FORCED_S: Final = 60.0
FORCED_PERIODS: Final = 50.0


def choose(stations: Sequence[Station], now_s: float) -> tuple[Station | None, list[Station]]:
    """Who is polled now, and which silent devices are due but must not be asked now (their samples fail unasked).

    Of those that are due the one with the earliest deadline; under overload the one that waited longest.
    """
    due = [station for station in stations if station.due_s <= now_s]
    if not due:
        return None, []
    doubts_s = {station.id: doubt_s(station) for station in due}
    greedy = hogs(stations)
    plain = [station for station in due if not doubts_s[station.id] and station.id not in greedy]
    if plain:
        return min(plain, key=lambda one: (one.due_s + one.period_s, one.asked_s)), []
    usual = [s for s in stations if s.due_s > now_s and s.id not in greedy]
    slack_s = min((station.due_s for station in usual), default=float("inf")) - now_s
    patience_s = max(FORCED_S, FORCED_PERIODS * min((station.period_s for station in usual), default=0.0))
    for station in sorted(due, key=lambda one: one.tried_s):
        cost_s = doubts_s[station.id] or station.cost_s
        if cost_s <= slack_s or now_s - station.tried_s >= patience_s:
            return station, []
    return None, [station for station in due if doubts_s[station.id]]


def doubt_s(station: Station) -> float:
    """Seconds that its next poll may waste; 0 for a device that answers, or would not be asked."""
    return 0.0 if station.addressed is None else station.addressed.doubt_s()


def hogs(stations: Sequence[Station]) -> frozenset[str]:
    """While the wire is overloaded: those that want more than their fair share of it, unless all do.

    The fair level is that of max-min fairness: whoever wants less than the level gets all of it.
    """
    wants = sorted((one.cost_s / one.period_s, one.id) for one in stations)
    if sum(want for want, _ in wants) <= 1.0:
        return frozenset()
    left = 1.0
    for n, (want, _) in enumerate(wants):
        level = left / (len(wants) - n)
        if want > level:
            return frozenset(ident for _, ident in wants[n:]) if n else frozenset()
        left -= want
    return frozenset()
