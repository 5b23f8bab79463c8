"""`citygate status`: one screen of the running gateway, and the next useful command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import click

from gateway.cli.face import Face

SHOWN: Final = 3
_LEVEL_COLOUR: Final = {1: "yellow", 2: "red", 3: "red"}
_STATE_COLOUR: Final = {"ok": "green", "up": "green", "failed": "red", "silent": "red", "down": "red"}


@click.command("status")
@click.pass_obj
def command(face: Face) -> int:
    """One screen: gateway, clock, devices, buses, sinks. Exit 1 where something is not well, 69 without a daemon."""
    from gateway.cli.socket import ask

    snapshot = ask(face, {"ask": "snapshot"})
    if face.json:
        face.emit(snapshot)
        return 0
    show(face, snapshot)
    return 1 if _troubles(snapshot) else 0


def show(face: Face, snapshot: Mapping[str, Any]) -> None:
    """The screen."""
    gateway, clock = snapshot["gateway"], snapshot["clock"]
    name = gateway.get("name") or {}
    label = name.get(face.lang) or name.get("en") or ""
    face.data(
        f"{face.paint(gateway['id'], 'bold')}  {label}  {gateway['city']}  {gateway['version']}".replace("    ", "  ")
    )
    trusted = face.pick("trusted", "เชื่อถือได้") if clock["trusted"] else face.pick("NOT trusted", "ยังเชื่อไม่ได้")
    face.data(f"{face.pick('clock', 'นาฬิกา')} {trusted}  {face.pick('up', 'ทำงานมา')} {span(gateway['uptime_s'])}")
    face.data()
    rows = [
        (id_, facts["kind"], _state(face, facts["state"]), age(facts["last"], snapshot["t"]), values(facts))
        for id_, facts in snapshot["devices"].items()
    ]
    face.table(rows, head=face.pick("device|kind|state|age|values", "อุปกรณ์|ชนิด|สถานะ|อายุ|ค่า").split("|"), right=(3,))
    for title, key in ((face.pick("bus", "บัส"), "buses"), (face.pick("sink", "ปลายทาง"), "sinks")):
        if snapshot.get(key):
            face.data()
            rows_ = [(id_, _standing(face, facts), _rest(facts)) for id_, facts in snapshot[key].items()]
            face.table(rows_, head=(title, face.pick("state", "สถานะ"), ""))
    _windows(face, snapshot.get("windows") or {})
    if snapshot.get("alarms"):
        face.data()
        head = face.pick("alarm|level|since|", "สัญญาณเตือน|ระดับ|นาน|").split("|")
        face.table(list(_alarms(face, snapshot)), head=head, right=(1, 2))
    face.data()
    face.data(f"{face.pick('next', 'ต่อไป')}: {_next(snapshot)}")


def _windows(face: Face, facts: Mapping[str, int]) -> None:
    """What stands in no window since the start, where there is any."""
    if any(facts.values()):
        told = "  ".join(f"{key} {count}" for key, count in facts.items() if count)
        face.data()
        face.data(f"{face.pick('in no window', 'ไม่อยู่ในช่วงเวลาใด')}  {told}")


def _alarms(face: Face, snapshot: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """What stands, worst first; alarms behind which another stands are only counted beside it."""
    folded = Counter(alarm["folded_into"] for alarm in snapshot["alarms"] if alarm.get("folded_into"))
    roots = [alarm for alarm in snapshot["alarms"] if not alarm.get("folded_into")]
    known = {alarm["id"] for alarm in roots}
    loose = [alarm for alarm in snapshot["alarms"] if alarm.get("folded_into") not in {None, *known}]
    for alarm in sorted([*roots, *loose], key=lambda one: (-one["level"], one["t"])):
        since = span((_when(snapshot["t"]) - _when(alarm.get("since") or alarm["t"])).total_seconds())
        behind = folded[alarm["id"]]
        more = f" (+{behind})" if behind else ""
        text = alarm["text"].get(face.lang) or alarm["text"].get("en", "")
        yield alarm["code"], face.paint(str(alarm["level"]), _LEVEL_COLOUR[alarm["level"]]), since, text + more


def _state(face: Face, state: str) -> str:
    return face.paint(state, _STATE_COLOUR[state]) if state in _STATE_COLOUR else state


def _standing(face: Face, facts: Mapping[str, Any]) -> str:
    """The state of a bus or sink; yellow where it works, but not as it should."""
    state = str(facts.get("state", ""))
    return face.paint(state, "yellow") if state == "up" and _warned(facts) else _state(face, state)


def _rest(facts: Mapping[str, Any]) -> str:
    told = [
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in facts.items()
        if key not in {"state", "selected", "delivered"} and value not in (None, "", 0, {}, [])
    ]
    return "  ".join(told)


def _troubles(snapshot: Mapping[str, Any]) -> list[str]:
    bad = [id_ for id_, facts in snapshot["devices"].items() if facts["state"] in {"failed", "silent"}]
    bad += [id_ for id_, facts in snapshot["buses"].items() if facts.get("state") == "down"]
    bad += [alarm["id"] for alarm in snapshot.get("alarms", ()) if alarm["level"] > 1]
    return bad + [id_ for id_, facts in snapshot["sinks"].items() if facts.get("state") == "down" or _warned(facts)]


def _warned(facts: Mapping[str, Any]) -> bool:
    return bool(facts.get("warning") or _letters(facts))


def _letters(facts: Mapping[str, Any]) -> int:
    """Dead letters of a sink that nobody has sent again yet."""
    count: int = facts.get("letters", facts.get("dead", 0))
    return count


def _next(snapshot: Mapping[str, Any]) -> str:
    for id_, facts in snapshot["devices"].items():
        if facts["state"] in {"failed", "silent"}:
            return f"citygate read {id_}"
    if any(map(_letters, snapshot["sinks"].values())):
        return "citygate journal dead list"
    return "citygate doctor" if _troubles(snapshot) else "citygate watch"


def values(facts: Mapping[str, Any], count: int = SHOWN) -> str:
    """The first values of a device with their units; "-" where the last record holds none."""
    last = facts.get("last") or {}
    held: Mapping[str, float] = last.get("v") or {}
    points = facts["points"]
    told = [f"{name} {number(value, points.get(name, {}))}" for name, value in list(held.items())[:count]]
    more = len(held) - count
    return (", ".join(told) + (f" +{more}" if more > 0 else "")) or "-"


def number(value: float, point: Mapping[str, Any]) -> str:
    """A value with its digits and unit."""
    unit = point.get("unit", "")
    return f"{value:.{point.get('digits', 3)}f}" + (f" {unit}" if unit not in {"", "1"} else "")


def age(last: Mapping[str, Any] | None, now: str) -> str:
    """Time since the last record, short."""
    if not last:
        return "-"
    return span((_when(now) - _when(last["t"])).total_seconds())


def _when(text: str) -> datetime:
    return datetime.fromisoformat(text)


def span(seconds: float) -> str:
    """A duration for people: "3 s", "4 min", "5 h", "2 d"."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
