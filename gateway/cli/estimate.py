"""What a config will cost before anything runs: the time on each bus, and the bytes to each sink in a day."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.line import LineSettings, line
from drivers.modbus.plan import Budget, Load, budget, cost, plan
from drivers.profile import Profile, where
from gateway.catalogue import Fault
from gateway.config import Bus, Config, Device, Sink
from gateway.config.duration import budget as parse_budget
from gateway.config.duration import seconds
from gateway.config.load import Loaded
from gateway.config.windows import LENGTHS
from gateway.inventory import inventory, personal_ids
from gateway.reading import STATISTICS, Aggregate, Reading, Series
from gateway.record import Record
from gateway.selection import Selection
from gateway.sinks import Site
from gateway.sinks.line_protocol import LineProtocol
from gateway.sinks.payload import Payload

DAY_S: Final = 86400
PERIOD_DAYS: Final = {"hour": 1 / 24, "day": 1.0, "week": 7.0, "month": 30.4}
_MQTT_EXTRA: Final = 120  # fixed header, topic length, IP and TCP of PUBLISH and PUBACK
_HTTP_EXTRA: Final = 600  # request and answer headers, IP and TCP, shared by what was gathered in a second
_NOW_MS: Final = 1_795_000_000_000
_EPOCH: Final = "00000001-0000"


@dataclass(frozen=True, slots=True)
class BusPlan:
    """One bus: how it is used ("planned", "listens", "asked"), and its budget where it is planned from registers."""

    bus: str
    use: str
    devices: tuple[str, ...]
    reads: Mapping[str, int]
    budget: Budget | None = None
    least: float = 0.0


def buses(loaded: Loaded) -> Iterator[BusPlan]:
    """The plan of every bus. Reply times are a usual meter's: only the running daemon learns the real ones."""
    for name, bus in loaded.config.bus.items():
        here = {key: device for key, device in loaded.config.device.items() if device.bus == name}
        profiles = {key: loaded.profiles[key] for key in here}
        if not any(profile.by_registers for profile in profiles.values()):
            pushes = all(profile.speaks == "push" for profile in profiles.values())
            yield BusPlan(name, "listens" if pushes else "asked", tuple(here), {})
            continue
        settings = _line_of(bus, list(profiles.values()))
        usual = [_load(key, here[key], profiles[key], settings=settings) for key in here if profiles[key].by_registers]
        least = [Load(one.name, one.blocks, one.every_s, one.limits, reply_s=0.0) for one in usual]
        yield BusPlan(
            name,
            "planned",
            tuple(here),
            {one.name: len(one.blocks) for one in usual},
            budget(usual, settings),
            budget(least, settings).load,
        )


def _line_of(bus: Bus, profiles: Sequence[Profile]) -> LineSettings | None:
    """The line that the bus will have: its own, or that of its first device; None over TCP."""
    return line(bus.line or profiles[0].wire.lines[0]) if bus.kind == "serial" else None


def _load(name: str, device: Device, profile: Profile, *, settings: LineSettings | None) -> Load:
    parts = ["", *(f"lane{n}" for n in device.lanes), *(f"ch{n}" for n in device.channels)]
    rows = [row for part in parts for row in profile.rows_of(part)]
    wheres = [where(row.read) for row in rows if row.read]
    blocks = plan(wheres, profile.limits, price=cost(settings, profile.limits))
    return Load(name, blocks, seconds(device.every) if device.every else profile.every_s or 1.0, profile.limits)


@dataclass(frozen=True, slots=True)
class SinkPlan:
    """Bytes to one sink: of records as encoded, and on the way (compression, headers, acknowledgements)."""

    sink: str
    records_day: float
    bytes_day: float
    events: bool

    @property
    def mb_day(self) -> float:
        """Megabytes (10^6) a day on the way."""
        return self.bytes_day / 1e6


def sinks(loaded: Loaded) -> Iterator[SinkPlan]:
    """What each sink takes in a day when everything works; event streams and alarms come on top (`events`)."""
    items = inventory(loaded.config, profiles_dir=loaded.profiles_dir)
    series = tuple(one for item in items for one in item.series.values())
    site = _site(loaded.config, series)
    for name, sink in loaded.config.sink.items():
        records = size = 0.0
        selection = Selection(sink, personal=personal_ids(items))
        for one in filter(selection.takes, series):
            for stream in sink.streams:
                times = _per_day(one, stream, sink)
                if times:
                    records += times
                    size += times * _bytes(_sample(one, stream), sink, site=site)
        if sink.kind == "influxdb":
            size += _HTTP_EXTRA * min(records, DAY_S)
        events = "raw" in sink.streams and any(one.every_ms is None for one in series)
        yield SinkPlan(name, records, size, events=events)


def _per_day(one: Series, stream: str, sink: Sink) -> float:
    if stream == "event" or (one.every_ms is None and stream == "raw"):
        return 0.0
    if stream != "raw":
        return DAY_S / LENGTHS[stream]
    every_s = (one.every_ms or 1000) / 1000
    return DAY_S / max(every_s, seconds(sink.raw_every) if sink.raw_every else 0.0)


def _sample(one: Series, stream: str) -> Record:
    """A record of usual size: every point has a value with the digits of its resolution."""
    values = tuple(round(123.4567, point.digits) for point in one.points)
    body: Reading | Aggregate = Reading(one, _NOW_MS, 0, values, (0,) * len(values))
    if stream != "raw":
        width = {kind: len(names) for kind, names in STATISTICS.items()}
        stats = tuple(
            (value,) * width[point.kind] for value, point in zip(values, one.points, strict=True)
        )  # fmt: skip
        end_ms = _NOW_MS + LENGTHS[stream] * 1000
        n = max(1, LENGTHS[stream] * 1000 // (one.every_ms or 1000))
        body = Aggregate(one, stream, _NOW_MS, end_ms, n, 1.0, stats, (n,) * len(values), ((),) * len(values))
    return Record(one.id, stream, _NOW_MS, _EPOCH, 123456, body)


def _bytes(record: Record, sink: Sink, *, site: Site) -> float:
    if sink.kind == "influxdb" or (sink.kind == "file" and sink.format == "lp"):
        text = LineProtocol(site, points=sink.points, rev_tag=sink.rev_tag).encode(record).encode()
        return len(text) if sink.kind == "file" else len(zlib.compress(text * 20, 1)) / 20
    data = Payload(sink.points).encode(record)
    if sink.kind == "file":
        return len(data) + 1
    if sink.encoding == "json+deflate":
        data = zlib.compress(data, 6)
    topic = f"citygate/{site.city}/{site.gateway}/{record.device}/{record.stream}"
    return len(data) + len(topic) + _MQTT_EXTRA


def _site(config: Config, series: tuple[Series, ...]) -> Site:
    return Site(config.gateway.city, config.gateway.id, "0", "", _EPOCH, "", {}, None, series)


def faults(loaded: Loaded, *, plans: list[BusPlan], flows: list[SinkPlan]) -> Iterator[Fault]:
    """Buses that cannot keep up (an error where no device could answer so fast), budgets that will not do."""
    for one in plans:
        if one.budget is not None and one.budget.load > 1:
            at = loaded.origins.get(f"bus.{one.bus}", "")
            args = {"bus": one.bus, "load": f"{100 * one.budget.load:.0f}"}
            yield Fault("CG-CFG-44", args, at=at, warning=one.least <= 1)
    for flow in flows:
        text = loaded.config.sink[flow.sink].budget
        if text is None:
            continue
        allowed = parse_budget(text)
        needed = flow.bytes_day * PERIOD_DAYS[allowed.period]
        if needed > allowed.size_bytes:
            args = {"sink": flow.sink, "budget": text, "needed": f"{needed / 1e9:.2f} GB/{allowed.period}"}
            yield Fault("CG-CFG-63", args, at=loaded.origins.get(f"sink.{flow.sink}.budget", ""), warning=True)
