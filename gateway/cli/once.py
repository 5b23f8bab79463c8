"""One poll of one device without the daemon: opens its wire, reads, closes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

from drivers.device import Polled, Pushing
from drivers.link import Link
from drivers.sample import FIRST_BAD, Code, Sample
from drivers.uart.polled import PolledStream
from drivers.uart.stream import StreamDevice
from gateway.clock import SystemClock, rfc3339
from gateway.config.load import Loaded
from gateway.fitting import judged
from gateway.inventory import Item, inventory
from gateway.reading import Reading
from gateway.wiring import wiring

LISTEN_S: Final = 10.0
PATIENCE_S: Final = 2.0


async def poll_once(loaded: Loaded, device: str, *, heard: dict[str, int] | None = None) -> list[dict[str, Any]]:
    """The records of one poll of `device`, or of the next frame of one that talks by itself, judged as the daemon does.

    `heard` is filled with what a stream device sent: frames, rejected frames, bytes of neither.

    Raises:
        LinkError: its wire cannot be opened (LinkBusy: the daemon, or another program, holds it).
    """
    item = next(one for one in inventory(loaded.config, profiles_dir=loaded.profiles_dir) if one.id == device)
    made = wiring(loaded.config.bus[item.config.bus], [item], patience_s=PATIENCE_S)
    driver = made.drivers[0]
    await made.way.open()
    try:
        samples = await _heard(item, made.link, driver) if isinstance(driver, Pushing) else await _polled(driver)
    finally:
        await made.way.close()
    if heard is not None and isinstance(driver, StreamDevice | PolledStream):
        told = driver.figures
        heard |= {"frames": told.frames, "rejected": sum(told.rejected.values()), "junk_bytes": told.junk_bytes}
    judge = judged([item], zone=ZoneInfo(loaded.config.gateway.timezone or "UTC"), warmup=False)
    wall_ms = SystemClock(loaded.config.clock.trust).wall_ms()
    records = []
    for sample in samples:
        series = item.series.get(sample.part)
        if series is not None:
            reading = judge.judge(Reading(series, wall_ms, sample.t_mono_ns, sample.values, sample.codes))
            records.append(_line(reading))
    return records


def _line(reading: Reading) -> dict[str, Any]:
    """The record as the local socket tells it."""
    named = list(zip(reading.series.points, reading.values, reading.codes, strict=True))
    return {
        "device": reading.series.id,
        "stream": "raw",
        "t": rfc3339(reading.t_ms),
        "v": {point.name: round(value, point.digits) for point, value, code in named if code < FIRST_BAD},
        "q": {point.name: Code(code).text for point, _value, code in named if code},
    }


async def _polled(driver: Polled) -> Sequence[Sample]:
    return await driver.poll()


async def _heard(item: Item, link: Link, device: Pushing) -> Sequence[Sample]:
    """Listen for the first whole frame, at most `LISTEN_S` or three of its intervals."""
    loop = asyncio.get_running_loop()
    for command in device.start():
        await link.write(command)
    until_s = loop.time() + max(LISTEN_S, 3 * item.profile.every_s)
    while loop.time() < until_s:
        data, t_s = await link.read(until_s - loop.time())
        samples = device.feed(data, round(t_s * 1e9)) if data else ()
        if samples:
            return samples
    count = len(item.profile.points(next(iter(item.series))))
    return (Sample.failed(round(loop.time() * 1e9), count=count, code=Code.TIMEOUT),)
