"""The inner rooms, put in place from the config: quality, windows, figures, and the recall of before the start."""

from __future__ import annotations

from collections.abc import Iterable
from zoneinfo import ZoneInfo

from gateway.calibration import Curve
from gateway.clock import Clock, boot_id
from gateway.codec import Codec
from gateway.config.duration import seconds
from gateway.config.load import Loaded
from gateway.figures import REACH_MS, Figures
from gateway.inventory import Item
from gateway.journal import Journal
from gateway.pipeline import Pipeline
from gateway.quality import Judge, Overrides
from gateway.reading import Series
from gateway.recall import Recall
from gateway.window import Windows
from gateway.window.registers import RATED, moduli


def fitted(
    loaded: Loaded, items: tuple[Item, ...], *, clock: Clock, journal: Journal, codec: Codec, epoch: str
) -> tuple[Pipeline, Windows]:
    """The pipeline with all rooms in it, and its windows, which count what they could not take.

    It takes readings at once, and closes windows after `Pipeline.remember`.
    """
    config = loaded.config
    pipeline = Pipeline(
        clock=clock,
        journal=journal,
        codec=codec,
        epoch=epoch,
        boot=boot_id(),
        max_wait_s=seconds(config.clock.max_wait),
    )
    series = tuple(one for item in items for one in item.series.values())
    zone = ZoneInfo(config.gateway.timezone or "UTC")
    windows = Windows(
        series,
        config.windows.lengths,
        zone=zone,
        moduli={one.id: _registers(item, one) for item in items for one in item.series.values()},
    )
    figures = Figures(series, {item.id: item.config.options for item in items})
    recall = Recall(
        journal=journal, codec=codec, series=series, windows=windows, note=figures.recall, reach_ms=REACH_MS
    )
    pipeline.fit(series, judge=judged(items, zone=zone), windows=windows, attach=figures.attach, recall=recall)
    return pipeline, windows


def judged(items: Iterable[Item], *, zone: ZoneInfo, warmup: bool = True) -> Judge:
    """The judge of these devices: thresholds of the profile, overruled by the device's options, and calibration.

    Without `warmup` a first reading is not held for that of a device that was just switched on.
    """
    found = {}
    for item in items:
        curves = {point: Curve.of(each, zone=zone) for point, each in item.config.calibration.items()}
        options = {**item.profile.quality, **item.config.options, **({} if warmup else {"warmup_s": 0.0})}
        for one in item.series.values():
            found[one] = Overrides.of(one, warmup_s=item.profile.warmup_s, options=options, curves=curves)
    return Judge(tuple(found), {one.id: each for one, each in found.items()})


def _registers(item: Item, one: Series) -> dict[str, float]:
    """What is known of the registers of a series: their moduli, and the power of the circuit."""
    rated_kw = item.config.options.get(RATED)
    return moduli(item.profile, one.part) | ({} if rated_kw is None else {RATED: rated_kw})
