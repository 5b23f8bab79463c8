"""`citygate probe PLACE --value 230.1`: which register, type, word order and scale show the value on the display."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

import click

from gateway.catalogue.fault import EXIT_FOUND, EXIT_USAGE, Fault, Trouble
from gateway.cli.face import Face
from gateway.cli.loan import borrowed
from gateway.cli.target import target
from gateway.cli.words import Misuse

if TYPE_CHECKING:
    from drivers.link import Link
    from drivers.modbus.master import Master
    from drivers.profile import Limits, Profile
    from gateway.config.load import Loaded
    from gateway.technician.search_value import Place

MARGIN: Final = 2
"""Registers before and behind those of the profile that are read too: maps are often off by one."""
SHOWN: Final = 5
STRIDE: Final = 50
Hints: TypeAlias = dict[tuple[str, int, str, str], tuple[str, float]]
_PLACE: Final = re.compile(r"(.+)/([0-9]{1,3})")
_SPAN: Final = re.compile(r"(\d{1,5})-(\d{1,5})")


@click.command("probe")
@click.argument("place", metavar="DEVICE|BUS/UNIT|PORT/UNIT|HOST[:PORT]/UNIT")
@click.option("--value", "shown", required=True, help="The number on the device's display, with all its digits.")
@click.option("--count", type=click.IntRange(1, 100), default=SHOWN, show_default=True, help="How many answers.")
@click.option("--span", default="0-399", show_default=True, help="Registers to search where there is no profile.")
@click.option("--line", "line_text", default="", help="Line settings of a port that is no bus yet.")
@click.pass_obj
def command(face: Face, *, place: str, shown: str, count: int, span: str, line_text: str) -> int:
    """Read DEVICE's registers and their neighbours; tell which of them show the value. Exit 1 where none does.

    PLACE is a device of the config, or BUS/UNIT, PORT/UNIT, HOST[:PORT]/UNIT of one that is not known yet.
    """
    from gateway.technician.search_value import places

    value, tolerance = _number(shown)
    split = _PLACE.fullmatch(place)
    if split is not None:
        hints: Hints = {}
        blocks = _strange(face, split[1], unit=int(split[2]), span=span, line_text=line_text)
    else:
        blocks, hints = _known(face, place)
    found = places(blocks, value, tolerance=tolerance, known=hints)[:count]
    for one in found:
        _tell(face, one)
    if not found:
        face.faults([Fault("CG-DEV-04", {"device": place, "value": shown}, seen=f"{len(blocks)} blocks")])
    return 0 if found else EXIT_FOUND


def _known(face: Face, device: str) -> tuple[list[tuple[str, int, bytes]], Hints]:
    """The registers of a device of the config, and what its profile says of them."""
    from gateway.config.load import load

    loaded = load(face.config)
    if device not in loaded.config.device:
        from gateway.config.shape import nearest

        near = nearest(device, loaded.config.device)
        raise Trouble([Fault("CG-CFG-09", {"value": device}, nearest=near)], exit_code=EXIT_USAGE)
    profile = loaded.profiles[device]
    if not profile.by_registers:
        raise Misuse(
            f"{device} is no Modbus device with a fixed map: `citygate capture {device}` shows bytes",
            f"{device} ไม่ใช่อุปกรณ์ Modbus ที่มีตารางตายตัว: `citygate capture {device}` แสดงไบต์",
        )
    wire = target(face, loaded.config.device[device].bus)
    return borrowed(face, wire, work=lambda: blocks_of(loaded, device)), known(profile)


def _strange(face: Face, where: str, *, unit: int, span: str, line_text: str) -> list[tuple[str, int, bytes]]:
    """The registers of a unit that nobody knows: both tables, the whole span, as far as it answers."""
    from drivers.errors import DriverError
    from drivers.line import line
    from drivers.link import SerialLink, TcpLink

    ends = _SPAN.fullmatch(span)
    if ends is None or not int(ends[1]) <= int(ends[2]) < 0x10000 or unit > 247:
        raise Misuse(
            f"--span {span}: write FIRST-LAST, addresses on the wire; a unit is 1 to 247",
            f"--span {span}: เขียน FIRST-LAST เป็นที่อยู่บนสาย ส่วน unit คือ 1 ถึง 247",
        )
    wire = target(face, where)
    try:
        link: Link = (
            SerialLink(wire.port, wire.line or line(line_text or "9600 8N1"))
            if wire.port
            else TcpLink(wire.host, wire.tcp_port)
        )
    except DriverError as error:
        raise Misuse(str(error), f"ค่าตั้งสายไม่ถูกต้อง: {error}") from None
    framing = "rtu" if wire.port else wire.framing or "tcp"
    first, last = int(ends[1]), int(ends[2])
    return borrowed(face, wire, work=lambda: _swept(link, framing, unit=unit, first=first, last=last))


async def _swept(link: Link, framing: str, *, unit: int, first: int, last: int) -> list[tuple[str, int, bytes]]:
    from drivers.modbus.master import Master
    from drivers.profile import Limits

    master = Master(link, framing="rtu" if framing == "rtu" else "tcp")
    await master.open()
    try:
        blocks = []
        for table in ("input", "holding"):
            for at in range(first, last + 1, STRIDE):
                size = min(STRIDE, last + 1 - at)
                blocks += await _block(master, Limits(), unit, span=(table, at, size))
        return blocks
    finally:
        await master.close()


def _number(text: str) -> tuple[float, float]:
    """The value and half a unit of its last digit."""
    try:
        value = float(text)
    except ValueError:
        raise Misuse(
            f"--value {text}: write the number as the display shows it, such as 230.1",
            f"--value {text}: เขียนตัวเลขตามที่จอแสดง เช่น 230.1",
        ) from None
    return value, 0.5000001 * 10.0 ** -len(text.partition(".")[2])


def known(profile: Profile) -> Hints:
    """What the profile says of its registers: (table, address, type, order) -> (point, scale)."""
    from drivers.profile import where

    placed = [(where(row.read), row) for row in profile.rows if row.read]
    return {(at.table, at.address, at.type, at.order): (row.point, row.scale) for at, row in placed}


def spans(profile: Profile, *, margin: int = MARGIN) -> Iterator[tuple[str, int, int]]:
    """The profile's registers with their neighbours, as reads that the device allows: table, address, count."""
    from drivers.profile import where

    limits = profile.limits
    step = 2 if limits.even_start else 1
    wanted: dict[str, set[int]] = {}
    for row in profile.rows:
        place = where(row.read or "")
        if place.table in {"input", "holding"}:
            near = range(max(0, place.address - margin), min(0x10000, place.address + place.count + margin))
            wanted.setdefault(place.table, set()).update(near)
    for table, addresses in wanted.items():
        no_go = {at for name, first, last in limits.no_go if name == table for at in range(first, last + 1)}
        left = sorted({at - at % step + n for at in addresses for n in range(step)} - no_go)
        while left:
            first = left[0]
            count = 1
            while count < min(len(left), limits.max_registers // step * step) and left[count] == first + count:
                count += 1
            yield table, first, count
            left = left[count:]


async def blocks_of(loaded: Loaded, device: str) -> list[tuple[str, int, bytes]]:
    """The registers that can be read; what the device refuses is left out, neighbours first. Raises `LinkError`."""
    from drivers.modbus.master import Master
    from gateway.inventory import inventory
    from gateway.wiring import wiring

    item = next(one for one in inventory(loaded.config, profiles_dir=loaded.profiles_dir) if one.id == device)
    made = wiring(loaded.config.bus[item.config.bus], [item], patience_s=2.0)
    if not isinstance(made.way, Master):
        return []
    await made.way.open()
    try:
        blocks = []
        for table, address, count in spans(item.profile):
            blocks += await _block(made.way, item.profile.limits, item.config.unit or 1, span=(table, address, count))
        return blocks
    finally:
        await made.way.close()


async def _block(
    master: Master, limits: Limits, unit: int, *, span: tuple[str, int, int]
) -> list[tuple[str, int, bytes]]:
    """One read; where it is refused, its halves, down to a handful of registers."""
    from drivers.errors import DeviceRefused, ReplyError

    table, address, count = span
    try:
        answer = await master.read(unit, table, address=address, count=count, limits=limits, patience_s=2.0)
    except DeviceRefused:
        half = count // 2 - count // 2 % 2
        if half < 2:
            return []
        first = await _block(master, limits, unit, span=(table, address, half))
        return first + await _block(master, limits, unit, span=(table, address + half, count - half))
    except ReplyError:
        return []
    return [(table, address, answer.data)]


def _tell(face: Face, place: Place) -> None:
    row: Mapping[str, object] = {"read": place.read, "scale": place.scale, "value": place.value, "point": place.known}
    if face.json:
        face.emit({"schema": 1, **row})
        return
    scale = "" if place.scale == 1.0 else f" x {place.scale:g}"
    point = f"  {face.pick('this is', 'คือ')} {place.known}" if place.known else ""
    face.data(f'read = "{place.read}"{scale}  ->  {place.value:.6g}{point}')
