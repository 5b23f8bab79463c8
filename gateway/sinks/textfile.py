"""File sink, format "prometheus": the newest values in the text exposition format, for a textfile collector.

The file is replaced as a whole (write, sync, rename), so a reader never sees half of it. A point that was read badly
loses its sample at once: the last good value is never shown again. What is newest, epoch and number tell, not the time:
a clock that was ahead must not keep a value for ever. The fate is `sent`: nobody says who has read it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from operator import itemgetter
from pathlib import Path
from typing import Final

from gateway.config import Sink as Options
from gateway.reading import Aggregate, Reading
from gateway.record import Record
from gateway.sinks import UNFIT, Fate, Parcel, Settle, SinkDown, Site
from gateway.sinks.payload import Payload

SERIES_KEPT: Final = 2000


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the file shows of one series: its place among the records, its time (UTC ms), (point, statistic, value)."""

    place: tuple[str, int]
    t_ms: int
    samples: list[tuple[str, str, float]]


class TextfileSink:
    """Writes `path`; one sample per point (raw) or per point and statistic (windows) of every device."""

    window = 2000
    linger_s = 1.0

    def __init__(self, name: str, *, config: Options, site: Site) -> None:
        if config.path is None:
            raise ValueError(f"sink.{name}: a file sink needs `path`")
        self._path = Path(config.path)
        self._site = site
        self._payload = Payload(config.points)
        self._latest: dict[tuple[str, str], _Shown] = {}
        self._settle: Settle = lambda _position, _fate, _reason: None
        self._down: SinkDown | None = SinkDown("not open", code="CG-SNK-02")

    async def open(self, settle: Settle) -> None:
        """Write what is known, to learn whether it can be written."""
        self._settle = settle
        await self._write()

    async def send(self, parcels: Sequence[Parcel]) -> None:
        """Take the newest of each series, write the file, and settle."""
        if self._down is not None:
            raise self._down
        fates: list[tuple[int, Fate, str]] = []
        for parcel in parcels:
            try:
                self._take(parcel.record)
                fates.append((parcel.position, Fate.SENT, ""))
            except UNFIT as error:
                fates.append((parcel.position, Fate.DEAD, f"it cannot be encoded: {error}"))
        await self._write()
        for fate in fates:
            self._settle(*fate)

    async def health(self, report: Mapping[str, object]) -> None:
        """Not written."""

    async def close(self) -> None:
        """Nothing is held open."""
        self._down = self._down or SinkDown("closed", code="CG-SNK-02")

    def down(self) -> SinkDown | None:
        """Why writing ended, or None."""
        return self._down

    def _take(self, record: Record) -> None:
        body = record.body
        if not isinstance(body, Reading | Aggregate):
            return  # an event is no sample: there is nothing of it that a scrape could show
        key = record.device, record.stream
        known = self._latest.get(key)
        if known is None and len(self._latest) >= SERIES_KEPT:
            raise ValueError(f"more than {SERIES_KEPT} series")
        place = record.epoch, record.seq
        if known is not None and known.place > place:
            return  # an older record: of the backlog, or amended
        samples: list[tuple[str, str, float]] = []
        for point, value in self._payload.form(record)["v"].items():
            numbers = value if isinstance(value, dict) else {"": value}
            samples += [(point, statistic, number) for statistic, number in numbers.items()]
        self._latest[key] = _Shown(place, record.t_ms, samples)

    def _text(self) -> str:
        metrics: dict[str, list[str]] = {}
        for (device, stream), shown in sorted(self._latest.items(), key=itemgetter(0)):
            labels = f'city="{self._site.city}",gateway="{self._site.gateway}",device="{device}",stream="{stream}"'
            metrics.setdefault("citygate_record_time_seconds", []).append(f"{{{labels}}} {shown.t_ms / 1000:.3f}")
            for point, statistic, value in shown.samples:
                name = f"citygate_{point}" + (f"_{statistic}" if statistic else "")
                if isfinite(value):
                    metrics.setdefault(name, []).append(f"{{{labels}}} {float(value)!r}")
        return "".join(
            f"# TYPE {name} gauge\n" + "".join(f"{name}{sample}\n" for sample in samples)
            for name, samples in sorted(metrics.items())
        )

    async def _write(self) -> None:
        try:
            await asyncio.to_thread(_replace, self._path, self._text().encode())
        except OSError as error:
            self._down = SinkDown(f"{self._path}: {error.strerror or error}", code="CG-SNK-02")
            raise self._down from None
        self._down = None


def _replace(path: Path, data: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(data)
        os.fsync(fd)
    finally:
        os.close(fd)
    fresh.replace(path)
