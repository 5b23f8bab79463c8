"""What the page shows, as plain data: gateways, devices, alarms; and what changed since it was last asked.

Sources fill it in, the stream takes it out. Device ids are unique in a gateway, so the page's key is "gateway/device".
Values of a device in the stream are those of its leading points alone; the detail view asks for all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

from gateway.reading import LENGTHS_S
from gateway.web import figures
from gateway.web.bins import STEP_MS, Bins
from gateway.web.headline import LEAD_MAX, lead
from gateway.web.labels import point_facts, times_ms

DEVICES_MAX: Final = 50_000
GATEWAYS_MAX: Final = 5_000
ALARMS_MAX: Final = 500
AHEAD: Final = 3  # intervals
_ABOUT: Final = ("kind", "device", "profile", "name", "location", "lane", "every_s", "serial", "personal")
_STREAM_S: Final = {"raw": 0, **LENGTHS_S}


@dataclass(slots=True)
class Device:
    """One outside device: `about` changes seldom, `now` with every record.

    `good` is the newest time with values, and those of the leading points; `ends` the newest window of each length (s).
    """

    about: dict[str, Any]
    now: dict[str, Any] = field(default_factory=dict)
    full: dict[str, Any] = field(default_factory=dict)
    good: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    ends: dict[int, str] = field(default_factory=dict)
    spark: Bins = field(default_factory=Bins)
    order: tuple[str, int] = ("", 0)  # epoch and number of the record shown; an empty epoch tells nothing
    changed: set[str] = field(default_factory=set)
    told_s: float = -inf  # when its changes were last taken


class Picture:
    """The newest state of everything. `take` gives and clears the changes.

    `now_ms` is wall time, UTC: a record from the future stands only until the next one. Without, none is from there.
    """

    def __init__(self, now_ms: Callable[[], int] | None = None) -> None:
        self.gateways: dict[str, dict[str, Any]] = {}
        self.devices: dict[str, Device] = {}
        self.alarms: dict[str, dict[str, Any]] = {}
        self.source: dict[str, Any] = {"kind": "", "where": "", "up": False, "since": None, "fact": ""}
        self.points: dict[str, dict[str, Any]] = {}
        self.left: Counter[str] = Counter()  # what was not taken, or let go, by kind, since the start
        self._now_ms = now_ms
        self._changed: set[str] = set()
        self._changed_gateways: set[str] = set()
        self._gone: set[str] = set()
        self._touched: dict[str, None] = {}  # keys of the devices that have changes, in their order

    def state(self, *, up: bool, since: str, fact: str = "") -> None:
        """Whether the source answers, since when (RFC 3339), and what it said if not."""
        if (self.source["up"], self.source["fact"]) != (up, fact):
            self.source |= {"up": up, "since": since, "fact": fact}
            self._changed.add("source")

    def gateway(self, ident: str, facts: Mapping[str, Any]) -> None:
        """Facts of one gateway; those given replace those held."""
        if ident not in self.gateways and len(self.gateways) >= GATEWAYS_MAX:
            self.left["gateways"] += 1
            return
        held = self.gateways.setdefault(ident, {"id": ident})
        if any(held.get(key) != value for key, value in facts.items()):
            held.update(facts)
            self._changed_gateways.add(ident)

    def device(self, gateway: str, ident: str, *, facts: Mapping[str, Any]) -> None:
        """What a device is: kind, name, period, points. An existing one keeps its values."""
        key = f"{gateway}/{ident}"
        if key not in self.devices and len(self.devices) >= DEVICES_MAX:
            self.left["devices"] += 1
            return
        names = list(facts.get("points", {}))
        for name in names:
            if name not in self.points:
                self.points[name] = point_facts(name, facts["points"][name])
                self._changed.add("points")
        about = {"gateway": gateway, "id": ident, **{k: facts[k] for k in _ABOUT if facts.get(k) is not None}}
        about |= {"points": names, "lead": lead(str(facts.get("kind", "")), names)}
        about |= {"window": _window(facts.get("streams"))}
        about |= {"limits": {n: p["limits"] for n, p in facts.get("points", {}).items() if p.get("limits")}}
        held = self.devices.get(key)
        if held is None:
            self.devices[key] = Device(about)
            self._touch(key, "about")
        elif held.about != about:
            held.about = about
            self._touch(key, "about")

    def _touch(self, key: str, part: str) -> None:
        self.devices[key].changed.add(part)
        self._touched[key] = None

    def drop(self, key: str) -> None:
        """A device that exists no more. One that comes back under its name is told as gone, then as new."""
        if self.devices.pop(key, None) is not None:
            self._gone.add(key)

    def reading(self, gateway: str, line: Mapping[str, Any]) -> None:
        """The newest values of a device: a raw record, or a window where raw records are not sent."""
        key = f"{gateway}/{line['device']}"
        device = self.devices.get(key)
        if device is None or line["stream"] not in _STREAM_S:
            return
        seconds = _STREAM_S[line["stream"]]
        at = str(line.get("end") or line["t"])
        order = (str(line.get("epoch") or ""), int(line.get("seq") or 0))
        if seconds and device.now.get("step", seconds) < seconds:
            return
        if device.now and not self._newer(device, at, order=order, step=seconds):
            return
        device.order = order
        values = {name: one for name, value in line.get("v", {}).items() if (one := _one(value)) is not None}
        doubts = line.get("q", {})
        device.full = {"v": values, "q": doubts, "bad": line.get("bad", {})}
        leading = device.about["lead"]
        device.now = {"t": at, "step": seconds, "v": {n: values[n] for n in leading if n in values}}
        device.now["q"] = {n: q for n in (*leading[:LEAD_MAX], "*") if (q := doubts.get(n))}
        device.now["state"] = "ok" if values or not device.about["points"] else "failed"
        if values and not self._ahead(device, at):
            device.good = {"t": at, "v": device.now["v"]}
        elif device.now["state"] == "failed":
            device.now["last"] = device.good  # named as such, with its time; never as a value of now
        device.now["doubts"] = len(device.about["points"]) if "*" in doubts else len(doubts)
        if leading and leading[0] in values and not seconds and not self._ahead(device, at):
            device.spark.add(times_ms(at), values[leading[0]])
        self._touch(key, "now")

    def _newer(self, device: Device, at: str, *, order: tuple[str, int], step: int) -> bool:
        """Whether a record replaces the one shown. In one stream and epoch the number says so: `t` may step back."""
        epoch, seq = order
        held_epoch, held_seq = device.order
        if epoch and held_epoch and step == device.now["step"]:
            if epoch == held_epoch:
                return seq >= held_seq
            if epoch > held_epoch:  # the daemon started anew; a lower one is a card that was set up again, or old
                return True
        return bool(at >= device.now["t"]) or self._ahead(device, device.now["t"])

    def _ahead(self, device: Device, at: str) -> bool:
        """Whether a time lies ahead of now, by more than a late clock explains."""
        return self._now_ms is not None and ahead(device, at, now_ms=self._now_ms())

    def window(self, gateway: str, line: Mapping[str, Any]) -> None:
        """City figures and the sparkline from a window record."""
        key = f"{gateway}/{line['device']}"
        device = self.devices.get(key)
        if device is None:
            return
        seconds = _STREAM_S.get(line["stream"])
        if seconds is None:
            return
        before = device.ends.get(seconds, "")
        news = line["end"] >= before or self._ahead(device, before)  # a late window is none
        if seconds >= figures.SHORTEST_S and news:
            device.ends[seconds] = line["end"]
            if figures.take(device.figures, line.get("i", {}), end=line["end"], step_s=seconds):
                self._touch(key, "figures")
        leading = device.about["lead"]
        past = not self._ahead(device, line["t"])
        if line["stream"] == device.about["window"] and past and leading and leading[0] in line.get("v", {}):
            fill = device.spark.put if seconds * 1000 == STEP_MS else device.spark.mix
            fill(times_ms(line["t"]), _one(line["v"][leading[0]]))
            self._touch(key, "spark")

    def event(self, gateway: str, line: Mapping[str, Any]) -> None:
        """An alarm raised or cleared; other events are the journal's business."""
        key = f"{gateway}/{line['id']}"
        if self.alarms.pop(key, None) is not None:
            self._changed.add("alarms")
        if line["state"] == "raised":
            shown = ("id", "type", "code", "level", "point", "value", "limit", "text", "folded_into")
            self.alarms[key] = {k: line[k] for k in shown if k in line} | {
                "gateway": gateway,
                "device": str(line.get("device", "_gateway")),
                "since": line.get("since") or line["t"],
            }
            if len(self.alarms) > ALARMS_MAX:  # the lowest level goes first, of one level the oldest
                del self.alarms[min(self.alarms, key=lambda one: self.alarms[one].get("level") or 0)]
                self.left["alarms"] += 1
            self._changed.add("alarms")

    def quiet(self, gateway: str, keep: Iterable[str]) -> None:
        """Forget this gateway's alarms that are not in `keep` (ids): a new snapshot lists all that stand."""
        standing = {f"{gateway}/{ident}" for ident in keep}
        for key in [key for key in self.alarms if key.startswith(f"{gateway}/") and key not in standing]:
            del self.alarms[key]
            self._changed.add("alarms")

    def snapshot(self) -> dict[str, Any]:
        """Everything, for a page that begins."""
        return {
            "schema": 1, "source": self.source, "points": self.points, "gateways": self.gateways,
            "devices": {key: self.shown(device) for key, device in self.devices.items()},
            "alarms": list(self.alarms.values()),
        }  # fmt: skip

    @staticmethod
    def shown(device: Device) -> dict[str, Any]:
        """All that the page holds of one device."""
        return {**device.about, **device.now, "figures": device.figures, "spark": device.spark.shown()}

    def detail(self, key: str) -> dict[str, Any] | None:
        """One device with all its points, for the detail view; None where there is none."""
        device = self.devices.get(key)
        return None if device is None else {**self.shown(device), "all": device.full}

    def take(self, now_s: float = 0.0, *, apart_s: float = 0.0) -> dict[str, Any]:
        """What changed since the last call; empty where nothing did.

        A device whose changes were taken less than `apart_s` before `now_s` (of a clock that does not step) keeps its
        new ones for a later call, which gives them as they are then.
        """
        found: dict[str, Any] = {}
        devices: dict[str, dict[str, Any]] = {}
        waiting: dict[str, None] = {}
        for key in self._touched:
            device = self.devices.get(key)
            if device is not None and now_s - device.told_s < apart_s:
                waiting[key] = None
            elif device is not None:
                device.told_s = now_s
                devices[key] = _changes(device)
        self._touched = waiting
        if devices:
            found["devices"] = devices
        if self._changed_gateways:
            found["gateways"] = {ident: self.gateways[ident] for ident in self._changed_gateways}
        if self._gone:
            found["gone"] = sorted(self._gone)
        for part in self._changed:
            found[part] = list(self.alarms.values()) if part == "alarms" else getattr(self, part)
        self._changed, self._changed_gateways, self._gone = set(), set(), set()
        return found


def ahead(device: Device, at: str, *, now_ms: int) -> bool:
    """Whether the time `at` lies ahead of now, by more than three intervals of the device and at least 3 s."""
    interval_s = max(float(device.about.get("every_s") or 60.0), float(device.now.get("step") or 0.0), 1.0)
    return times_ms(at) - now_ms > AHEAD * interval_s * 1000


def _changes(device: Device) -> dict[str, Any]:
    """The changed parts of a device, flat as in the snapshot; the parts are clean afterwards."""
    parts: dict[str, Any] = {}
    if "about" in device.changed:
        parts |= device.about
    if "now" in device.changed:
        parts |= device.now
    if "figures" in device.changed or "about" in device.changed:
        parts["figures"] = device.figures
    if "spark" in device.changed or "about" in device.changed:
        parts["spark"] = device.spark.shown()
    device.changed = set()
    return parts


def _window(streams: Iterable[str] | None) -> str:
    """The stream for 24 hours of a device: its longest windows of at most 15 minutes; "" where it has none."""
    fits = [one for one in streams or ("15m",) if 0 < _STREAM_S.get(one, 0) * 1000 <= STEP_MS]
    return max(fits, key=_STREAM_S.__getitem__, default="")


def _one(value: Any) -> Any:
    """The number that stands for a point: itself, or a window's mean, sum, change or last."""
    if not isinstance(value, Mapping):
        return value
    return next((value[name] for name in ("mean", "sum", "delta", "last") if name in value), None)
