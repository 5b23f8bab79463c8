"""One sink of the config with all that feeds it: ledger, lanes, meter, sampling, replay, shipper. Opens nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from gateway.clock import Clock
from gateway.codec import Codec
from gateway.config import Sink
from gateway.config.duration import budget, bytes_per_second
from gateway.config.load import Loaded
from gateway.journal import Journal
from gateway.lanes import Lanes
from gateway.ledger import Ledger
from gateway.meter import Meter
from gateway.pipeline import Pipeline
from gateway.replay import Replay
from gateway.sampling import Sampling
from gateway.selection import Selection
from gateway.shipper import Shipper
from gateway.sinks import Site
from gateway.sinks.registry import make_sink

LOG: Final = logging.getLogger("citygate")
ANNOUNCE: Final = frozenset({"mqtt", "sparkplug"})  # sinks that tell of devices, not of records only


def outlet(
    name: str,
    loaded: Loaded,
    *,
    personal: frozenset[str],
    journal: Journal,
    codec: Codec,
    pipeline: Pipeline,
    site: Site,
    clock: Clock,
) -> Shipper:
    """The shipper of `[sink.NAME]`; its ledger as the journal remembers it. `personal`: ids of personal devices."""
    config = loaded.config.sink[name]
    selection = Selection(config, personal=personal)
    blob = journal.marks.get(f"sink:{name}")
    ledger = _fresh(config, journal) if blob is None else Ledger.from_bytes(blob)
    lanes = Lanes(ledger=ledger, selection=selection, journal=journal, codec=codec)
    if blob is not None:
        lost = lanes.resume()
        if lost:
            LOG.warning("sink %s: %d records are gone from the journal [CG-JRN-04]", name, lost)
    elif config.start == "oldest":
        lanes.recount()
    view = _view(name, loaded, personal=personal, site=site) if config.kind in ANNOUNCE else site
    sink = make_sink(name, config, site=view, loaded=loaded, clock=clock)
    rate = 0.0 if config.backfill_rate is None else bytes_per_second(config.backfill_rate)
    shipper = Shipper(name, sink=sink, lanes=lanes, backfill_bytes_s=rate)
    shipper.bury = pipeline.bury
    shipper.replay = Replay(name, journal=journal, codec=codec, ledger=ledger, selection=selection, note=pipeline.note)
    if config.budget is not None:
        zone = ZoneInfo(loaded.config.gateway.timezone or "UTC")
        shipper.meter = Meter(ledger, budget=budget(config.budget), now_ms=_sure(clock), zone=zone)
    if config.raw_every is not None:
        sampling = Sampling(name, ledger=ledger, tell=pipeline.event, now_ms=clock.wall_ms)
        sampling.recall(journal, codec, selection=selection)
        lanes.left_out = sampling.note
        shipper.after_commit = lambda: sampling.tell(journal.next)
    return shipper


def _view(name: str, loaded: Loaded, *, personal: frozenset[str], site: Site) -> Site:
    """The site as this sink may tell it: the devices that it takes, no others by name, place or number.

    `shared`: what other sinks tell under the same topics, perhaps on the same broker: not this sink's to take back.
    """
    config = loaded.config.sink[name]
    selection = Selection(config, personal=personal)
    taken = tuple(series for series in site.series if selection.takes(series))
    shared: set[str] = set()
    for other, its in loaded.config.sink.items():
        if other != name and its.kind == "mqtt" and its.topic == config.topic and _hosts(its) & _hosts(config):
            theirs = Selection(its, personal=personal)
            shared |= {series.id for series in site.series if theirs.takes(series)}
    about = {series.id: site.devices[series.id] for series in taken if series.id in site.devices}
    return replace(site, series=taken, devices=about, shared=frozenset(shared))


def _hosts(config: Sink) -> set[str | None]:
    return {urlsplit(url).hostname for url in config.urls}


def _fresh(config: Sink, journal: Journal) -> Ledger:
    start = journal.next if config.start == "now" else journal.first
    return Ledger(low=start, since=start, told=start)


def _sure(clock: Clock) -> Callable[[], int | None]:
    return lambda: clock.wall_ms() if clock.trusted() else None
