"""What a Sparkplug B edge node must remember: sequence numbers, birth counter, the newest value of every metric.

Eclipse Sparkplug 3.0, chapters 4 to 6. Group = city, node = gateway, device = outside device, metric = point (raw), or
`{stream}/{point}/{statistic}`. Pure but for `next_birth`, which keeps the birth counter in a small file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any, Final

from drivers.sample import FIRST_BAD, Code
from gateway.reading import LENGTHS_S, STATISTICS, Aggregate, Event, Reading, Series
from gateway.record import Record
from gateway.sinks import Site
from gateway.sinks.payload import Shapes
from gateway.sinks.sparkplug_payload import Metric, encode
from gateway.sinks.topics import GATEWAY, valid_id

NAMESPACE: Final = "spBv1.0"
REBIRTH: Final = "Node Control/Rebirth"
GOOD: Final = 192
BAD: Final = 0
METRICS_KEPT: Final = 5000  # of one device: more is a config that no birth message could carry


def topic(kind: str, *, group: str, node: str, device: str | None = None) -> str:
    """`spBv1.0/{group}/{kind}/{node}[/{device}]`."""
    return "/".join([NAMESPACE, group, kind, node, *([device] if device else [])])


def state_topic(host: str) -> str:
    """Where a host application says whether it is online (3.0 form)."""
    return f"{NAMESPACE}/STATE/{host}"


def next_seq(number: int) -> int:
    """Of the next message of a node and its devices: 0..255."""
    return (number + 1) % 256


def next_bdseq(number: int) -> int:
    """Of the next CONNECT: 0..255."""
    return (number + 1) % 256


def next_birth(file: Path | None, last: int) -> int:
    """The birth counter of the next CONNECT, kept in `file` over restarts. Blocking; raises OSError."""
    if file is None:
        return next_bdseq(last)
    # The first start, or a torn file: hosts may then see one counter twice, which their clocks tell apart.
    with contextlib.suppress(FileNotFoundError, ValueError):
        last = int(file.read_text(encoding="ascii")) % 256
    number = next_bdseq(last)
    fresh = file.with_suffix(".new")
    fresh.write_text(f"{number}\n", encoding="ascii")
    fresh.replace(file)
    return number


class Node:
    """Builds this gateway's messages: each method returns (topic, payload). Numbers rise with every message built."""

    def __init__(self, site: Site, *, points: tuple[str, ...] = ("*",), streams: tuple[str, ...] = ("raw",)) -> None:
        for name in (site.city, site.gateway):
            if not valid_id(name):
                raise ValueError(f"{name!r} is no id")
        self.bdseq = -1
        self._site = site
        self._seq = -1
        self._shapes = Shapes(points)
        self._streams = streams
        self._latest: dict[str, dict[str, Metric]] = {GATEWAY: {}}
        self._places: dict[tuple[str, str], tuple[str, int]] = {}  # epoch and seq of the newest record of each stream

    def topic(self, kind: str, device: str | None = None) -> str:
        """One of this node's topics."""
        return topic(kind, group=self._site.city, node=self._site.gateway, device=device)

    def death(self, t_ms: int) -> tuple[str, bytes]:
        """NDEATH: the will, and the goodbye. Without a sequence number."""
        return self.topic("NDEATH"), encode([self._bdseq(t_ms)], t_ms=t_ms, seq=None)

    def births(self, t_ms: int) -> list[tuple[str, bytes]]:
        """NBIRTH, then DBIRTH of every device, with the newest values known; the count begins anew."""
        self._seq = -1
        for series in self._site.series:
            self._learn(series.id, self._names(series), t_ms)
        own = [self._bdseq(t_ms), Metric(REBIRTH, "Boolean", value=False, t_ms=t_ms)]
        own += _present(self._latest[GATEWAY].values())
        first = self.topic("NBIRTH"), encode(own, t_ms=t_ms, seq=self._next())
        return [first, *(self._birth(device, t_ms) for device in self._latest if device != GATEWAY)]

    def data(self, record: Record, t_ms: int) -> list[tuple[str, bytes]]:
        """One record; before it a birth of its device, where it holds a metric that no birth has named.

        Raises:
            ValueError, TypeError, LookupError: it cannot be told.
        """
        device = record.device
        if device != GATEWAY and not valid_id(device):
            raise ValueError(f"{device!r} is no id")
        metrics = self._metrics(record)
        encode(metrics, t_ms=t_ms, seq=0)  # what cannot be encoded must not be kept for the next birth
        out: list[tuple[str, bytes]] = []
        if self._learn(device, [one.name for one in metrics], t_ms, like=metrics):
            out = self.births(t_ms) if device == GATEWAY else [self._birth(device, t_ms)]
        place = record.epoch, record.seq  # not the time: a clock that was ahead would show its last record for ever
        if place >= self._places.get((device, record.stream), place):
            self._places[device, record.stream] = place
            self._latest[device].update({one.name: one for one in metrics})
        kind, named = ("NDATA", None) if device == GATEWAY else ("DDATA", device)
        return [*out, (self.topic(kind, named), encode(metrics, t_ms=t_ms, seq=self._next()))]

    def _learn(self, device: str, names: list[str], t_ms: int, *, like: Sequence[Metric] = ()) -> bool:
        """Name metrics, without a value yet; whether one of them is new."""
        known = self._latest.setdefault(device, {})
        fresh = [name for name in names if name not in known]
        if len(known) + len(fresh) > METRICS_KEPT:
            raise ValueError(f"more than {METRICS_KEPT} metrics of one device")
        types = {one.name: one.datatype for one in like}
        known.update({name: Metric(name, types.get(name, "Double"), None, t_ms) for name in fresh})
        return bool(fresh)

    def _birth(self, device: str, t_ms: int) -> tuple[str, bytes]:
        known = _present(self._latest[device].values())
        return self.topic("DBIRTH", device), encode(known, t_ms=t_ms, seq=self._next())

    def _next(self) -> int:
        self._seq = next_seq(self._seq)
        return self._seq

    def _bdseq(self, t_ms: int) -> Metric:
        return Metric("bdSeq", "Int64", self.bdseq, t_ms)

    def _names(self, series: Series) -> list[str]:
        """The metrics of a device that are known before its first record: all but indicators and events."""
        shape = self._shapes.of(series)
        found = list(shape.names) if "raw" in self._streams else []
        for stream in (one for one in self._streams if one in LENGTHS_S):
            found += [f"{stream}/{name}/{kind}" for name, kinds in zip(shape.names, shape.kinds, strict=True)
                      for kind in kinds]  # fmt: skip
            found += [f"{stream}/n", f"{stream}/coverage"]
        return found

    def _metrics(self, record: Record) -> list[Metric]:
        body = record.body
        if isinstance(body, Event):
            told = {"id": body.id, "type": body.type, "code": body.code, "state": body.state}
            told["text"] = body.text.get("en", "")
            rows = [(f"event/{name}", "String", value, 0) for name, value in told.items()]
            return _stamped([*rows, ("event/level", "Int32", body.level, 0)], record, t_ms=record.t_ms)
        shape = self._shapes.of(body.series)
        places = shape.keep if shape.keep is not None else range(len(shape.names))
        if isinstance(body, Reading):
            rows = [_row(name, body.values[i], body.codes[i]) for name, i in zip(shape.names, places, strict=True)]
            return _stamped(rows, record, t_ms=record.t_ms)
        return _stamped(_window(body, list(zip(shape.names, places, strict=True))), record, t_ms=body.end_ms)


def _present(metrics: Iterable[Metric]) -> list[Metric]:
    """As a birth tells them: the newest that is known, even where it came late; the time stamp tells how old it is."""
    return [replace(one, historical=False) if one.historical else one for one in metrics]


def _window(body: Aggregate, chosen: list[tuple[str, int]]) -> list[tuple[str, str, Any, int]]:
    rows = []
    for name, i in chosen:
        doubt = max((code for code in body.codes[i] if code < FIRST_BAD), default=0)
        kinds = STATISTICS[body.series.points[i].kind]
        numbers = dict(zip(kinds, body.stats[i], strict=False))
        # Bad inputs do not enter a statistic, so they do not spoil it: coverage tells of them.
        rows += [_row(f"{body.stream}/{name}/{kind}", numbers.get(kind), doubt) for kind in kinds]
    rows += [_row(f"{body.stream}/{each.name}", each.value, 0) for each in body.indicators]
    rows += [_row(f"{body.stream}/n", float(body.n), 0), _row(f"{body.stream}/coverage", body.coverage, 0)]
    return rows


def _row(name: str, value: float | None, code: int) -> tuple[str, str, Any, int]:
    """Name, type, value and code of one number; a bad one, or none, has no value."""
    if value is None or not isfinite(value):
        return name, "Double", None, code if code >= FIRST_BAD else int(Code.ABSENT)
    return name, "Double", None if code >= FIRST_BAD else value, code


def _stamped(rows: list[tuple[str, str, Any, int]], record: Record, *, t_ms: int) -> list[Metric]:
    """Sparkplug knows good (192) and bad (0); the reason stands beside it as the property `q`."""
    past = record.late or record.rev > 0
    return [
        Metric(
            name,
            datatype,
            value,
            t_ms,
            past,
            {"Quality": GOOD if code < FIRST_BAD else BAD, "q": Code(code).text} if code else {},
        )
        for name, datatype, value, code in rows
    ]
