"""Config to wires: the link of a bus and the drivers of its devices. Opens nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drivers.device import Polled, Pushing
from drivers.line import LineSettings, line
from drivers.link import Link, SerialLink, TcpLink
from drivers.modbus.master import Master
from drivers.modbus.polled import polled
from drivers.uart.polled import PolledStream, Wire
from drivers.uart.stream import StreamDevice
from gateway.config import Bus
from gateway.inventory import Item


@dataclass(frozen=True, slots=True)
class Wiring:
    """One wire as its owner needs it: `way` opens and closes it; `drivers` in the order of the items."""

    link: Link
    way: Link | Master
    drivers: tuple[Polled | Pushing, ...]


def wiring(bus: Bus, items: Sequence[Item], *, patience_s: float = 0.0) -> Wiring:
    """The link and the drivers of `items`, all on `bus` and all of one way of speaking (the config sees to that).

    `patience_s`: how long a poll may wait for a Modbus unit that is in quarantine.
    """
    settings = _settings(bus, items)
    link = _tcp(bus) if settings is None else SerialLink(str(bus.port), settings, rs485=bus.rs485)
    speaks = {item.profile.speaks for item in items}
    if speaks == {"push"}:
        return Wiring(link, link, tuple(StreamDevice(item.profile) for item in items))
    if speaks == {"poll"}:
        wire = Wire(link)
        return Wiring(link, link, tuple(_asked(item, wire) for item in items))
    master = Master(link, framing="tcp" if settings is None and bus.framing == "tcp" else "rtu", echo=bus.echo)
    return Wiring(link, master, tuple(_registers(item, master, patience_s) for item in items))


def _tcp(bus: Bus) -> Link:
    return TcpLink(str(bus.host), int(bus.port or 502))


def _settings(bus: Bus, items: Sequence[Item]) -> LineSettings | None:
    if bus.kind == "tcp":
        return None
    return line(bus.line or (items[0].profile.wire.lines[0] if items else "9600 8N1"))


def _asked(item: Item, wire: Wire) -> PolledStream:
    parts = [part for part in item.series if part]
    return PolledStream(wire, item.profile, unit=item.config.unit or 1, parts=parts)


def _registers(item: Item, master: Master, patience_s: float) -> Polled:
    return polled(
        master,
        item.profile,
        unit=item.config.unit or 1,
        parts=tuple(item.series),
        patience_s=patience_s,
    )
