"""`citygate probe DEVICE --value 230.1`: which register, type, word order and scale show the value on the display."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

import click

from gateway.catalogue.fault import EXIT_FOUND, EXIT_USAGE, Fault, Trouble
from gateway.cli.face import Face
from gateway.cli.target import lent, target

if TYPE_CHECKING:
    from drivers.modbus.master import Master
    from drivers.profile import Profile
    from gateway.config.load import Loaded
    from gateway.technician.search_value import Place

MARGIN: Final = 2
"""Registers before and behind those of the profile that are read too: maps are often off by one."""
SHOWN: Final = 5
_LONGEST: Final = 60.0


@click.command("probe")
@click.argument("device")
@click.option("--value", "shown", required=True, help="The number on the device's display, with all its digits.")
@click.option("--count", type=click.IntRange(1, 100), default=SHOWN, show_default=True, help="How many answers.")
@click.pass_obj
def command(face: Face, device: str, *, shown: str, count: int) -> int:
    """Read DEVICE's registers and their neighbours; tell which of them show the value. Exit 1 where none does."""
    from gateway.config.load import load
    from gateway.technician.search_value import places

    value, tolerance = _number(shown)
    loaded = load(face.config)
    if device not in loaded.config.device:
        from gateway.config.shape import nearest

        near = nearest(device, loaded.config.device)
        raise Trouble([Fault("CG-CFG-09", {"value": device}, nearest=near)], exit_code=EXIT_USAGE)
    profile = loaded.profiles[device]
    if not profile.by_registers:
        raise click.UsageError(
            f"{device} is no Modbus device with a fixed map: `citygate capture {device}` shows bytes."
        )
    with lent(face, target(face, loaded.config.device[device].bus), for_s=_LONGEST):
        blocks = asyncio.run(_read(loaded, device))
    found = places(blocks, value, tolerance=tolerance, known=known(profile))[:count]
    for place in found:
        _tell(face, place)
    if not found:
        face.faults([Fault("CG-DEV-04", {"device": device, "value": shown}, seen=f"{len(blocks)} blocks")])
    return 0 if found else EXIT_FOUND


def _number(text: str) -> tuple[float, float]:
    """The value and half a unit of its last digit."""
    try:
        value = float(text)
    except ValueError:
        raise click.UsageError(f"--value {text}: write the number as the display shows it, such as 230.1.") from None
    return value, 0.5000001 * 10.0 ** -len(text.partition(".")[2])


def known(profile: Profile) -> dict[tuple[str, int, str, str], tuple[str, float]]:
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


async def _read(loaded: Loaded, device: str) -> list[tuple[str, int, bytes]]:
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
            blocks += await _block(made.way, item.profile, item.config.unit or 1, span=(table, address, count))
        return blocks
    finally:
        await made.way.close()


async def _block(
    master: Master, profile: Profile, unit: int, *, span: tuple[str, int, int]
) -> list[tuple[str, int, bytes]]:
    """One read; where it is refused, its halves, down to a handful of registers."""
    from drivers.errors import DeviceRefused, ReplyError

    table, address, count = span
    try:
        answer = await master.read(unit, table, address=address, count=count, limits=profile.limits, patience_s=2.0)
    except DeviceRefused:
        half = count // 2 - count // 2 % 2
        if half < 2:
            return []
        first = await _block(master, profile, unit, span=(table, address, half))
        return first + await _block(master, profile, unit, span=(table, address + half, count - half))
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
