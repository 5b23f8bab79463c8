"""`citygate capture`: what a device says, byte for byte, with times, in the format that `decode` and the tests read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.catalogue.fault import EXIT_FOUND, Fault
from gateway.cli.face import Face
from gateway.cli.loan import borrowed
from gateway.cli.target import Target, target
from gateway.cli.words import Misuse

if TYPE_CHECKING:
    from drivers.link import Link
    from drivers.profile import Profile
    from gateway.config.load import Loaded

PAUSE_S: Final = 0.05
"""A silence that ends a stretch of bytes; frames of one device come closer together than their next ones."""
FRAME_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes between two silences: seconds since the start, and the request before them where we asked."""

    at_s: float
    data: bytes
    request: bytes = b""


@click.command("capture")
@click.argument("where", metavar="DEVICE|BUS|PORT|HOST[:PORT]")
@click.option("--seconds", type=click.FloatRange(0.1, 3600.0), default=10.0, show_default=True, help="How long.")
@click.option("--line", "line_text", default="", help='Line settings of a port, such as "9600 8N1".')
@click.option("--out", type=click.Path(path_type=Path), help="The file [stdout].")
@click.pass_obj
def command(face: Face, *, where: str, seconds: float, line_text: str, out: Path | None) -> int:
    """Record raw bytes: of a Modbus device the answers to one round of reads, of anything else what it says."""
    loaded = _config(face)
    device = loaded.config.device.get(where) if loaded else None
    wire = target(face, device.bus if device else where)
    profile = loaded.profiles[where] if loaded and device else None
    link = _link(wire, line_text or (profile.wire.lines[0] if profile else "9600 8N1"))
    if profile is not None and profile.by_registers:
        unit = (device.unit if device else None) or 1
        pieces = borrowed(face, wire, work=lambda: _asked(link, profile, unit, wire=wire))
    else:
        pieces = borrowed(face, wire, work=lambda: _heard(link, seconds, start=_commands(profile)))
    text = json.dumps(_file(where, wire, pieces=pieces), ensure_ascii=False, indent=1) + "\n"
    if out is None:
        face.data(text.rstrip())
    else:
        out.write_text(text, encoding="utf-8")
        size = sum(len(piece.data) for piece in pieces)
        if face.json:
            face.emit({"schema": 1, "file": str(out), "captures": len(pieces), "bytes": size})
        else:
            face.data(f"{out}: {len(pieces)} x, {size} bytes")
    if not any(piece.data for piece in pieces):
        face.faults([Fault("CG-BUS-15", {"endpoint": wire.port or wire.host}, seen=f"{seconds:g} s")])
        return EXIT_FOUND
    return 0


def _config(face: Face) -> Loaded | None:
    from gateway.config.load import ConfigError, load

    try:
        return load(face.config)
    except ConfigError:
        return None  # a port can be captured without any config


def _link(wire: Target, line_text: str) -> Link:
    from drivers.errors import DriverError
    from drivers.link import SerialLink, TcpLink, line

    if not wire.port:
        return TcpLink(wire.host, wire.tcp_port)
    try:
        return SerialLink(wire.port, wire.line or line(line_text))
    except DriverError as error:
        raise Misuse(str(error), f"ค่าตั้งสายไม่ถูกต้อง: {error}") from None


def _commands(profile: Profile | None) -> tuple[bytes, ...]:
    """What makes a talking sensor talk."""
    if profile is None or profile.speaks != "push":
        return ()
    from drivers.uart.stream import StreamDevice

    return StreamDevice(profile).start()


async def _heard(link: Link, seconds: float, *, start: tuple[bytes, ...]) -> list[Piece]:
    loop = asyncio.get_running_loop()
    await link.open()
    try:
        for order in start:
            await link.write(order)
        begin_s, pieces, part, part_s = loop.time(), [], b"", 0.0
        while (left_s := begin_s + seconds - loop.time()) > 0:
            data, t_s = await link.read(min(left_s, PAUSE_S) if part else left_s)
            if not data and part:
                pieces.append(Piece(part_s - begin_s, part))
                part = b""
            part_s = part_s if part else t_s
            part += data
        return [*pieces, Piece(part_s - begin_s, part)] if part else pieces
    finally:
        await link.close()


async def _asked(link: Link, profile: Profile, unit: int, *, wire: Target) -> list[Piece]:
    """One round of the profile's reads; whatever comes back to each of them, right or wrong."""
    from drivers.modbus.envelope import build

    loop = asyncio.get_running_loop()
    await link.open()
    try:
        begin_s, pieces = loop.time(), []
        for table, address, count in _spans(profile):
            request = build(unit, table, address=address, count=count)
            tcp = not wire.port and wire.framing != "rtu"
            sent = b"\0\1" + request.mbap if tcp else request.rtu
            link.flush()
            await link.write(sent)
            at_s, heard = loop.time() - begin_s, b""
            data, _t_s = await link.read(FRAME_S)
            while data:
                heard += data
                data, _t_s = await link.read(PAUSE_S)
            pieces.append(Piece(at_s, heard, sent))
        return pieces
    finally:
        await link.close()


def _spans(profile: Profile) -> Iterator[tuple[str, int, int]]:
    from gateway.cli.probe import spans

    return spans(profile, margin=0)


def _file(where: str, wire: Target, *, pieces: list[Piece]) -> dict[str, Any]:
    """The file: format captures-1, one entry a piece."""
    from gateway.clock import SystemClock, rfc3339

    now_ms = SystemClock("system").wall_ms()
    last_s = pieces[-1].at_s if pieces else 0.0
    return {
        "format": "captures-1",
        "device": where,
        "transport": wire.port or f"{wire.host}:{wire.tcp_port}",
        "captures": [
            {
                "id": f"{number:04d}",
                "t": rfc3339(now_ms - round((last_s - piece.at_s) * 1000)),
                "raw_hex": piece.data.hex(" "),
                **({"request_hex": piece.request.hex(" ")} if piece.request else {}),
            }
            for number, piece in enumerate(pieces, 1)
        ],
    }
