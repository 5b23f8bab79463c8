"""Which records a sink takes, by stream, device, kind, points and personal data; and how its raw is thinned."""

from __future__ import annotations

import re
import zlib
from typing import Final

import msgspec

from gateway.config import Sink
from gateway.config.duration import seconds
from gateway.config.patterns import chosen
from gateway.reading import Event, Series
from gateway.record import Record

_PART: Final = re.compile(r"-(lane|ch)[0-9]+$")  # of a device that stands for several: its name takes all of them


EARLY: Final = 8  # a slot of `raw_every` begins this part of the poll's period late


class Selection:
    """The selection of one sink; `personal`: series with data of people, which only a pattern that names them takes."""

    def __init__(self, sink: Sink, *, personal: frozenset[str]) -> None:
        self._streams = frozenset(sink.streams)
        self._devices = sink.devices
        self._kinds = sink.kinds
        self._personal = personal
        self._raw_every_ms = 0 if sink.raw_every is None else round(seconds(sink.raw_every) * 1000)
        self._points = sink.points
        self._known: dict[tuple[str, str], bool] = {}
        facts = [sorted(sink.streams), sink.devices, sink.kinds, sorted(personal), self._raw_every_ms]
        facts += [sink.points] if sink.points != ("*",) else []
        facts += [EARLY] if self._raw_every_ms else []
        self.fingerprint = f"{zlib.crc32(msgspec.msgpack.encode(facts)):08x}"

    def selects(self, record: Record) -> bool:
        """Whether the record is this sink's business at all."""
        if record.stream not in self._streams or record.estimated:
            return False
        key = record.device, record.kind
        if key not in self._known:
            body = record.body
            self._known[key] = self._device(*key) if isinstance(body, Event) else self.takes(body.series)
        return self._known[key]

    def takes(self, series: Series) -> bool:
        """Whether it is chosen and any point of it: of a device without a chosen point there is nothing to tell."""
        return self._device(series.id, series.kind) and (
            self._points == ("*",) or any(chosen(point.name, self._points) for point in series.points)
        )

    def thinned(self, record: Record) -> bool:
        """Whether `raw_every` leaves this raw record out: only the poll at the start of each slot goes out.

        Told from the record alone, so that a start, a replay and an audit come to the same. The polls of a wire lie
        between 0.25 and 0.95 of a period behind the slot, and later by the answer: a slot begins an eighth of the
        period late, so that none of them comes near its edge. Where a wire is too busy for its `every`, a slot in which
        that poll did not happen has none.
        """
        if not self._raw_every_ms or record.stream != "raw" or isinstance(record.body, Event):
            return False
        every_ms = record.body.series.every_ms
        return every_ms is not None and (record.t_ms - every_ms // EARLY) % self._raw_every_ms >= every_ms

    def wants(self, record: Record) -> bool:
        """Whether the record is to reach the sink."""
        return self.selects(record) and not self.thinned(record)

    def _device(self, device: str, kind: str) -> bool:
        named = device in self._devices or _PART.sub("", device) in self._devices
        if device in self._personal and not named:
            return False
        return (device == "_gateway" or chosen(device, self._devices)) and (
            kind == "gateway" or chosen(kind, self._kinds)
        )  # fmt: skip
