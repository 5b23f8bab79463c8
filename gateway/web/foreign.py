"""Messages of other gateways, typed and cut to size: what the page, its metrics and its stream may hold of them.

Numbers are finite and below 1e15, times are RFC 3339, texts are short; the rest is left out or, where a message is
nothing without it, raises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.clock import rfc3339
from gateway.reading import LENGTHS_S
from gateway.web.labels import times_ms

NUMBER_MAX: Final = 1e15
TEXT_MAX: Final = 200
POINTS_MAX: Final = 500
PARTS_MAX: Final = 100
_STREAMS: Final = frozenset({"raw", "event", *LENGTHS_S})
_EPOCH: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}")
_LINK: Final = ("waiting", "dead", "letters", "unheard", "dropped", "bytes", "load", "late", "crc", "timeouts")
_WORDS: Final = ("state", "lane", "code", "fact", "warning")


def text(value: object) -> str:
    """A short text; empty where it is none."""
    return value[:TEXT_MAX] if isinstance(value, str) else ""


def number(value: object) -> float | int | None:
    """A number that can be shown; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -NUMBER_MAX < value < NUMBER_MAX else None  # not of NaN either


def time(value: object) -> str:
    """The time in our own spelling, so that text compares as time does. Raises `ValueError`."""
    return rfc3339(times_ms(str(value)))


def names(value: object) -> dict[str, str]:
    """Names in both languages."""
    return {lang: text(value.get(lang)) for lang in ("en", "th")} if isinstance(value, Mapping) else {}


def place(value: object) -> dict[str, float] | None:
    """A place on the globe, degrees; None where it is none."""
    if not isinstance(value, Mapping):
        return None
    latitude, longitude = number(value.get("latitude")), number(value.get("longitude"))
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        return None
    return {"latitude": float(latitude), "longitude": float(longitude)}


def described(form: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a `{device}/meta`. Raises what data of another shape raises."""
    points = {
        name[:64]: {
            "unit": text(facts.get("unit")),
            "kind": text(facts.get("kind")),
            "resolution": number(facts.get("resolution")),
            "limits": {k: v for k, v in (facts.get("limits") or {}).items() if number(v) is not None},
        }
        for name, facts in list(form["points"].items())[:POINTS_MAX]
    }
    lane = form.get("lane")
    told: dict[str, Any] = {"kind": text(form.get("kind")), "profile": text(form.get("profile")), "points": points}
    told |= {"name": names(form.get("name")), "every_s": number(form.get("every_s")), "serial": None}
    told |= {"streams": streams(form.get("streams")), "personal": form.get("personal") is True or None}
    told["location"] = place(form.get("location"))
    told["lane"] = {"n": number(lane.get("n")), "name": names(lane.get("name"))} if isinstance(lane, Mapping) else None
    return told


def identity(form: Mapping[str, Any]) -> dict[str, Any]:
    """Times of a record, and its epoch and number where both are as agreed. Raises `ValueError`."""
    found: dict[str, Any] = {key: time(form[key]) for key in ("t", "end") if key in form}
    epoch, seq = form.get("epoch"), number(form.get("seq"))
    fits = isinstance(epoch, str) and _EPOCH.fullmatch(epoch) and isinstance(seq, int)
    return found | {"epoch": epoch if fits else "", "seq": seq if fits else 0}


def streams(given: object) -> list[str]:
    """Names of streams, those that are known."""
    return [one for one in given if isinstance(one, str) and one in _STREAMS] if isinstance(given, list) else []


def values(v: object) -> dict[str, Any]:
    """Values and statistics of a record."""
    if not isinstance(v, Mapping):
        return {}
    found: dict[str, Any] = {}
    for name, value in v.items():
        if isinstance(value, Mapping):
            found[name] = {key: one for key, one in value.items() if number(one) is not None}
        elif number(value) is not None:
            found[name] = value
    return found


def quality(q: object) -> dict[str, str]:
    """Quality texts by point."""
    return {name: said[:80] for name, said in q.items() if isinstance(said, str)} if isinstance(q, Mapping) else {}


def figures(given: object) -> dict[str, dict[str, Any]]:
    """City figures of a record."""
    if not isinstance(given, Mapping):
        return {}
    found = {}
    for name, each in given.items():
        if number(each["value"]) is not None:
            kept = {key: each[key] for key in ("value", "level", "coverage") if number(each.get(key)) is not None}
            found[text(name)] = kept | {"rule": text(each.get("rule")), "span": text(each.get("span"))}
    return found


def event(form: Mapping[str, Any], device: str) -> dict[str, Any]:
    """An event of `device`. Raises `ValueError` where it has no time."""
    told = {key: text(form.get(key)) for key in ("id", "type", "code", "state", "point")}
    told |= {key: text(form[key]) for key in ("folded_into",) if form.get(key)}
    told |= {key: time(form[key]) for key in ("t", "since") if key == "t" or form.get(key)}
    level = number(form.get("level"))
    return {**told, "level": 1 if level is None else level, "text": names(form.get("text")), "device": device}


def health(form: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a gateway's health that the page shows. Raises `ValueError` where it has no time."""
    told: dict[str, Any] = {"t": time(form["t"])}
    told |= {key: form[key] for key in ("uptime_s", "disk_free", "rss", "temp") if number(form.get(key)) is not None}
    if isinstance(clock := form.get("clock"), Mapping):
        offset_s = number(clock.get("offset_s"))
        told["clock"] = {"trusted": clock.get("trusted") is True, "offset_s": offset_s}
    for part in ("buses", "sinks"):
        if isinstance(held := form.get(part), Mapping):
            told[part] = {text(name): _link(one) for name, one in list(held.items())[:PARTS_MAX]}
    return told


def _link(given: object) -> dict[str, Any]:
    """State, words and numbers of a bus or sink. Raises `ValueError` where its time is none."""
    if not isinstance(given, Mapping):
        return {}
    told: dict[str, Any] = {key: given[key] for key in _LINK if number(given.get(key)) is not None}
    told |= {key: text(given[key]) for key in _WORDS if given.get(key)}
    return told | ({"oldest_t": time(given["oldest_t"])} if given.get("oldest_t") else {})
