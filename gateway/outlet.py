"""One sink of the config with all that feeds it: ledger, lanes, meter, sampling, replay, shipper. Opens nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final
from zoneinfo import ZoneInfo

from gateway.clock import Clock
from gateway.codec import Codec
from gateway.config import Sink
from gateway.config.duration import budget, bytes_per_second
from gateway.config.load import Loaded
from gateway.journal import Journal
from gateway.lanes import Lanes
from gateway.ledger import Filter, Ledger
from gateway.meter import Meter
from gateway.pipeline import Pipeline
from gateway.replay import Replay
from gateway.sampling import Sampling
from gateway.shipper import Shipper
from gateway.sinks import Site
from gateway.sinks.registry import make_sink

LOG: Final = logging.getLogger("citygate")


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
    chosen = Filter(config, personal=personal)
    blob = journal.marks.get(f"sink:{name}")
    ledger = _fresh(config, journal) if blob is None else Ledger.from_bytes(blob)
    lanes = Lanes(ledger=ledger, chosen=chosen, journal=journal, codec=codec)
    if blob is not None:
        lost = lanes.resume()
        if lost:
            LOG.warning("sink %s: %d records are gone from the journal [CG-JRN-04]", name, lost)
    elif config.start == "oldest":
        lanes.recount()
    sink = make_sink(name, config, site=site, loaded=loaded, clock=clock)
    rate = 0.0 if config.backfill_rate is None else bytes_per_second(config.backfill_rate)
    shipper = Shipper(name, sink=sink, lanes=lanes, backfill_bytes_s=rate)
    shipper.bury = pipeline.bury
    shipper.replay = Replay(journal=journal, codec=codec, ledger=ledger, chosen=chosen, note=pipeline.note)
    if config.budget is not None:
        zone = ZoneInfo(loaded.config.gateway.timezone or "UTC")
        shipper.meter = Meter(ledger, budget=budget(config.budget), now_ms=_sure(clock), zone=zone)
    if config.raw_every is not None:
        sampling = Sampling(name, ledger=ledger, tell=pipeline.event, now_ms=clock.wall_ms)
        sampling.recall(journal, codec, chosen=chosen)
        lanes.left_out = sampling.note
        shipper.after_commit = lambda: sampling.tell(journal.next)
    return shipper


def _fresh(config: Sink, journal: Journal) -> Ledger:
    start = journal.next if config.start == "now" else journal.first
    return Ledger(low=start, since=start, told=start)


def _sure(clock: Clock) -> Callable[[], int | None]:
    return lambda: clock.wall_ms() if clock.trusted() else None
