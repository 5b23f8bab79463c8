"""26 hours of simulated history, replayed in virtual time through the same drivers and pipeline.

Every five minutes each simulated device is read through its real driver over an in-memory link; the records are marked
`estimated` and no sink selects them. So day figures exist before the first day is over.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final
from zoneinfo import ZoneInfo

from drivers.link import CallLink
from drivers.modbus.master import Master
from drivers.modbus.polled import polled
from drivers.sample import Sample
from drivers.uart.polled import PolledStream, Wire
from drivers.uart.stream import StreamDevice
from firmware_sims import virtual_time
from firmware_sims.lines import Slave, TcpUnits
from gateway.clock import FakeClock, SystemClock
from gateway.codec import Codec
from gateway.config.load import Loaded
from gateway.figures import Figures
from gateway.fitting import judged
from gateway.inventory import Item, inventory
from gateway.journal import Journal
from gateway.numbers import next_epoch
from gateway.pipeline import Pipeline
from gateway.reading import Series
from gateway.window import Windows

HOURS: Final = 26
STEP_S: Final = 300
LENGTHS: Final = ("15m", "1h", "1d")

Read = Callable[[], Awaitable[tuple[Sample, ...]]]


def replay(loaded: Loaded, journal: Journal, *, devices: Mapping[str, Any], hours: int = HOURS) -> int:
    """Append the `hours` before now to `journal`; returns the number of raw records. `devices`: simulated, by id.

    Does not commit: the caller does, on a loop in real time.
    """
    clock = FakeClock(wall_ms=SystemClock("system").wall_ms() - hours * 3_600_000)
    epoch = next_epoch(journal.marks, secrets.token_hex(2))
    pipeline = Pipeline(clock=clock, journal=journal, codec=Codec(journal.marks), epoch=epoch, estimated=True)
    items = [_slow(item) for item in inventory(loaded.config, profiles_dir=loaded.profiles_dir)]
    series = tuple(one for item in items for one in item.series.values())
    zone = ZoneInfo(loaded.config.gateway.timezone or "UTC")
    options = {item.id: item.config.options for item in items}
    figures = Figures(series, options)
    judge = judged(items, zone=zone, warmup=False)
    pipeline.fit(series, judge=judge, windows=Windows(series, LENGTHS, zone=zone), attach=figures.attach)
    counted = virtual_time.run(_days(pipeline, clock, items=items, devices=devices, steps=hours * 3600 // STEP_S))
    pipeline.set_marks()
    return counted


async def _days(
    pipeline: Pipeline, clock: FakeClock, *, items: list[Item], devices: Mapping[str, Any], steps: int
) -> int:
    readers = [(item, await _reader(item, devices[item.id], clock)) for item in items if item.id in devices]
    counted = 0
    for step in range(steps):
        clock.now_ns = (step * STEP_S + STEP_S // 4) * 1_000_000_000
        for item, read in readers:
            for sample in await read():
                series = item.series.get(sample.part)
                if series is not None:
                    pipeline.take(series, replace(sample, t_mono_ns=clock.now_ns))
                    counted += 1
        pipeline.tick()
    return counted


def _slow(item: Item) -> Item:
    """The device as history reads it: once in `STEP_S`."""
    slow = {part: _at_step(series) for part, series in item.series.items()}
    return replace(item, series=slow, every_s=float(STEP_S) if item.every_s else 0.0)


def _at_step(series: Series) -> Series:
    return replace(series, every_ms=STEP_S * 1000 if series.every_ms else None)


async def _reader(item: Item, simulated: Any, clock: FakeClock) -> Read:
    """A function that reads this device at the clock's time, through its driver."""

    def now_s() -> float:
        return clock.wall_ms() / 1000

    if item.profile.speaks == "push":
        listener = StreamDevice(item.profile)

        async def listen() -> tuple[Sample, ...]:
            data, _next_s = simulated.speak(now_s())
            return listener.feed(data, clock.now_ns)[-1:] if data else ()

        return listen

    unit = item.config.unit or 1
    asked = TcpUnits({unit: Slave(simulated)}).session() if item.profile.speaks == "modbus" else simulated
    link = CallLink(lambda request: b"".join(answer for _delay_s, answer in asked.hear(request, now_s())))
    if item.profile.speaks == "modbus":
        master = Master(link, framing="tcp")
        await master.open()
        return polled(master, item.profile, unit=unit).poll
    await link.open()
    return PolledStream(Wire(link), item.profile, unit=unit).poll
