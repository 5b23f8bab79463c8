"""One poll of one device without the daemon: opens its wire, reads, closes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from drivers.line import line
from drivers.link import Link, SerialLink, TcpLink
from drivers.modbus.device import RegisterDevice
from drivers.modbus.master import Master
from drivers.modbus.plan import cost
from drivers.sample import FIRST_BAD, Code, Sample
from drivers.uart.polled import PolledStream, Wire
from drivers.uart.stream import StreamDevice
from gateway.clock import SystemClock
from gateway.config import Bus
from gateway.config.load import Loaded
from gateway.health import rfc3339
from gateway.inventory import Item, inventory
from gateway.quality import Judge
from gateway.reading import Reading

LISTEN_S: Final = 10.0


async def poll_once(loaded: Loaded, device: str) -> list[dict[str, Any]]:
    """The records of one poll of `device`, or of the next frame of one that talks by itself, judged as the daemon does.

    Raises:
        LinkError: its wire cannot be opened (LinkBusy: the daemon, or another program, holds it).
    """
    item = next(one for one in inventory(loaded.config, profiles_dir=loaded.profiles_dir) if one.id == device)
    bus = loaded.config.bus[item.config.bus]
    link: Link = SerialLink(str(bus.port), bus.line or "9600 8N1") if bus.kind == "serial" else _tcp(bus)
    if item.profile.speaks == "modbus":
        samples = await _registers(item, bus, link)
    elif item.profile.speaks == "poll":
        samples = await _asked(item, link)
    else:
        samples = await _heard(item, link)
    judge = Judge(tuple(item.series.values()))
    wall_ms = SystemClock(loaded.config.clock.trust).wall_ms()
    records = []
    for sample in samples:
        series = item.series.get(sample.part)
        if series is not None:
            reading = judge.judge(Reading(series, wall_ms, sample.t_mono_ns, sample.values, sample.codes))
            records.append(_line(reading))
    return records


def _tcp(bus: Bus) -> TcpLink:
    return TcpLink(str(bus.host), int(bus.port or 502))


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


async def _registers(item: Item, bus: Bus, link: Link) -> Sequence[Sample]:
    settings = line(bus.line) if bus.kind == "serial" and bus.line else None
    framing = "tcp" if bus.kind == "tcp" and bus.framing == "tcp" else "rtu"
    master = Master(link, framing="tcp" if framing == "tcp" else "rtu", line=settings, echo=bus.echo)
    device = RegisterDevice(
        master, item.profile, unit=item.config.unit or 1, price=cost(settings, item.profile.limits), patience_s=2.0
    )
    await master.open()
    try:
        return await device.poll()
    finally:
        await master.close()


async def _asked(item: Item, link: Link) -> Sequence[Sample]:
    parts = [part for part in item.series if part]
    device = PolledStream(Wire(link), item.profile, unit=item.config.unit or 1, parts=parts)
    await link.open()
    try:
        return await device.poll()
    finally:
        await link.close()


async def _heard(item: Item, link: Link) -> Sequence[Sample]:
    """Listen for the first whole frame, at most `LISTEN_S` or three of its intervals."""
    device = StreamDevice(item.profile)
    loop = asyncio.get_running_loop()
    await link.open()
    try:
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
    finally:
        await link.close()
