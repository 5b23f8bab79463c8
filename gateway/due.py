"""Whose turn it is on a wire: earliest deadline first, and no device at the expense of the others.

Polls of one period stand side by side, each in its own place behind the period's start (`lay_out`), so that they do
not push each other about. *Rough* devices stand at the end: those that answered never, lately not, or take far longer
than is usual on this wire and than their own plan says. They are asked in the slack, the time in which no other is due,
and the wait for an answer ends with it. Where their answer never fits into the slack they are asked without it from
time to time, seldom enough that the others hardly notice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from gateway.station import Station

ROUGH_S: Final = 0.05  # beyond twice the usual: what may push the others without harm
ROOM: Final = 0.7  # of the shortest period, for the places of all devices: polls begin a quarter behind its start
MARGIN: Final = 1.1
MARGIN_S: Final = 0.002
QUICK_S: Final = 0.005  # polls below it (TCP) run one behind another: sleeping between them costs CPU
GUARD_S: Final = 0.03  # before the end of the slack
EXPIRES: Final = 0.9  # of its period after which a silent device's poll fails without having been asked
FORCED_PERIODS: Final = 30.0
ANSWERS_SHARE: Final = 0.05  # of the wire's time, for polls that disturb others: of a device that answers,
VAIN_SHARE: Final = 0.01  # and of one that does not


class Turn(NamedTuple):
    """Who is polled now and how long its answers may be waited for; who fails without having been asked."""

    station: Station | None
    limit_s: float | None
    expired: tuple[Station, ...]


NOBODY: Final = Turn(None, None, ())


def choose(stations: Sequence[Station], now_s: float) -> Turn:
    """The next turn at `now_s`.

    Of those that are due the one with the earliest deadline; under overload the one that waited longest.
    """
    due = [station for station in stations if station.due_s <= now_s]
    if not due:
        return NOBODY
    rough = roughs(stations) if len(stations) > 1 else frozenset()  # one alone disturbs nobody
    plain = [station for station in due if station.id not in rough]
    if plain:
        return Turn(min(plain, key=lambda one: (one.due_s + one.period_s, one.asked_s)), None, ())
    others = [station for station in stations if station.id not in rough]
    slack_s = min((station.due_s for station in others), default=float("inf")) - now_s
    shortest_s = min((station.period_s for station in others), default=0.0)
    for station in sorted(due, key=lambda one: one.asked_s):
        need_s = max(doubt_s(station), station.least_s)
        if not others:
            return Turn(station, None, ())
        if need_s + GUARD_S <= slack_s:
            return Turn(station, slack_s - GUARD_S, ())
        share = VAIN_SHARE if doubt_s(station) else ANSWERS_SHARE
        if now_s - station.asked_s >= max(FORCED_PERIODS * shortest_s, need_s / share):
            return Turn(station, None, ())
    return Turn(None, None, tuple(one for one in due if doubt_s(one) and now_s >= expiry_s(one)))


def wake_s(stations: Sequence[Station], now_s: float) -> float:
    """When to look again, where nobody's turn is now."""
    times = [station.due_s if station.due_s > now_s else expiry_s(station) for station in stations]
    return min((time_s for time_s in times if time_s > now_s), default=now_s + 5.0)


def expiry_s(station: Station) -> float:
    """When a poll that is due has waited long enough for slack."""
    return station.due_s + EXPIRES * station.period_s


def doubt_s(station: Station) -> float:
    """Seconds that its next poll may waste; 0 for a device that answers, or would not be asked."""
    return station.addressed.doubt_s() if station.vain and station.addressed is not None else 0.0


def roughs(stations: Sequence[Station]) -> frozenset[str]:
    """Those that have to stand behind the others."""
    usual = sorted(station.need_s for station in stations if station.need_s)
    usual_s = usual[(len(usual) - 1) // 2] if usual else 0.0
    return frozenset(
        one.id
        for one in stations
        if not one.need_s or one.worst_s > ROUGH_S + 2 * max(usual_s, one.plan_s) or doubt_s(one)
    )


def lay_out(stations: Sequence[Station]) -> None:
    """Give each device its own place in the period, of the length that its polls usually take; the rough ones last.

    Where all polls are quick they share one place.
    """
    rough = roughs(stations)
    ordered = sorted(stations, key=lambda one: (one.id in rough, one.period_s))
    room_s = ROOM * min((one.period_s for one in ordered), default=0.0)
    wanted_s = sum(MARGIN * one.need_s + MARGIN_S for one in ordered if one.id not in rough)
    scale = min(1.0, room_s / wanted_s) if wanted_s else 1.0
    if all(one.need_s < QUICK_S for one in ordered if one.id not in rough):
        scale = 0.0
    at_s = 0.0
    for station in ordered:
        station.due_s += at_s - station.offset_s
        station.offset_s, station.place_s = at_s, MARGIN * station.need_s + MARGIN_S
        if station.id not in rough:
            at_s += scale * station.place_s


def misplaced(stations: Sequence[Station]) -> bool:
    """Whether polls have outgrown their places, or devices that have none yet began to answer."""
    rough = roughs(stations)
    return any(one.need_s > one.place_s for one in stations if one.id not in rough)
