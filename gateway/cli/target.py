"""Which wire a technician means: a bus of the config, a port, or a host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.catalogue.fault import EXIT_USAGE, Fault, Trouble

if TYPE_CHECKING:
    from drivers.line import LineSettings
    from gateway.cli.face import Face
    from gateway.config import Bus

TCP_PORT: Final = 502


@dataclass(frozen=True, slots=True)
class Target:
    """A wire: a serial `port`, or `host` and `tcp_port`; with the config's names for it where it has any."""

    name: str
    port: str = ""
    host: str = ""
    tcp_port: int = TCP_PORT
    line: LineSettings | None = None
    framing: str = ""
    bus: str = ""


def target(face: Face, text: str) -> Target:
    """The wire called `text`: BUS, /PORT or HOST[:PORT].

    Raises:
        Trouble: it is none of these (exit 2).
    """
    buses = _buses(face)
    if text in buses:
        return _of_bus(text, buses[text])
    if text.startswith("/"):
        from pathlib import Path

        real = Path(text).resolve()
        for name, bus in buses.items():
            if isinstance(bus.port, str) and Path(bus.port).resolve() == real:
                return _of_bus(name, bus)
        return Target(text, port=text)
    host, _colon, port = text.rpartition(":") if text.count(":") == 1 else (text, "", "")
    if not host or (port and not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 0x10000)):
        raise Trouble([Fault("CG-BUS-16", {"target": text})], exit_code=EXIT_USAGE)
    if not port and "." not in host and host != "localhost" and buses:
        from gateway.config.shape import nearest

        raise Trouble([Fault("CG-BUS-16", {"target": text}, nearest=nearest(text, buses))], exit_code=EXIT_USAGE)
    number = int(port or TCP_PORT)
    for name, bus in buses.items():
        if bus.kind == "tcp" and (bus.host, int(bus.port or TCP_PORT)) == (host, number):
            return _of_bus(name, bus)
    return Target(text, host=host, tcp_port=number)


def _buses(face: Face) -> dict[str, Bus]:
    """The buses of the config; none where there is no config, or none that can be used: a scan needs none."""
    from gateway.config.load import load

    try:
        return dict(load(face.config).config.bus)
    except (Trouble, OSError):
        return {}


def _of_bus(name: str, bus: Bus) -> Target:
    from drivers.line import line

    if bus.kind == "tcp":
        return Target(name, host=str(bus.host), tcp_port=int(bus.port or TCP_PORT), framing=bus.framing, bus=name)
    return Target(name, port=str(bus.port), line=line(bus.line) if bus.line else None, bus=name)
