"""ISS RTMS G4 and Sx-300 radar: statistics of all zones (one message of several frames), and single vehicles.

Source: the working driver of the Minnesota DOT (mnit-rtmc/iris comm/g4). 115200 or 9600 8N1, or TCP; id 1 to 65535.
A message counts only as a whole, from its header frame (80) to its footer (81): a lost frame would shift the zones.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import pack, unpack
from typing import Final

from drivers.checksum import sum16
from drivers.errors import BadFrame, DeviceRefused
from drivers.uart.family import Cut, Facts, Family, Value, junk

HEAD: Final = b"\xff\xaa"
HEADER, FOOTER, EVENT, NAK, POLL = 0x80, 0x81, 0x5E, 0x1A, 0x53
VOLUME, OCCUPANCY, SPEED, GAP, HEADWAY, SPEED_P85 = 0x10, 0x11, 0x12, 0x13, 0x1E, 0x1F
CLASSES: Final = range(0x14, 0x19)
INSIDE: Final = (VOLUME, OCCUPANCY, SPEED, GAP, HEADWAY, SPEED_P85, FOOTER, *CLASSES)
LIMITS: Final = {VOLUME: 0xFE00, OCCUPANCY: 1000, SPEED: 200, SPEED_P85: 200, GAP: 36000, HEADWAY: 36000}
NAMES: Final = {OCCUPANCY: "occupancy_permille", GAP: "gap_ds", HEADWAY: "headway_ds"}
LONGEST: Final = 4096


def cut(buffer: bytes) -> Cut | None:
    """`FF AA`, kind, length, id and data, 16-bit sum of id and data; a header frame with all that follows it."""
    if skip := junk(buffer, HEAD):
        return Cut(skip)
    size = _one(buffer, 0)
    if size is None or size < 0:
        return None if size is None else Cut(-size, reason="checksum")
    if buffer[2] == HEADER:
        return _message(buffer, size)
    return Cut(size) if buffer[2] in INSIDE else Cut(size, frame=True)


def _message(buffer: bytes, size: int | None) -> Cut | None:
    at = 0
    while size is not None and at < LONGEST:
        at += size
        if len(buffer) >= at + 3 and (buffer[at : at + 2] != HEAD or buffer[at + 2] not in INSIDE):
            return Cut(at, reason="incomplete message")
        size = _one(buffer, at)
        if size is not None and size < 0:
            return Cut(at - size, reason="checksum")
        if size is not None and buffer[at + 2] == FOOTER:
            return Cut(at + size, frame=True)
    return None if size is None else Cut(at, reason="endless")


def _one(buffer: bytes, at: int) -> int | None:
    """Size of the frame at `at`; negative where its sum is wrong; None where it is not all there."""
    if len(buffer) < at + 4:
        return None
    size = 4 + buffer[at + 3] + 2
    if len(buffer) < at + size:
        return None
    good = sum16(buffer[at + 4 : at + size - 2]) == int.from_bytes(buffer[at + size - 2 : at + size])
    return size if good and size >= 8 else -size


def _frames(message: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(message):
        size = message[at + 3] + 6
        yield message[at + 2], message[at + 6 : at + size - 2]
        at += size


def decode(frame: bytes, _variant: str) -> tuple[Facts, ...]:
    """One set of facts per zone; a vehicle event is one of its zone."""
    if frame[2] == NAK:
        raise DeviceRefused("NAK", code=NAK, seen=frame)
    if frame[2] == EVENT:
        return (_event(frame),)
    if frame[2] != HEADER:
        return ()
    (_, head), *rest = _frames(frame)
    if len(head) != 22:
        raise BadFrame(f"header of {len(head)} bytes", seen=frame)
    zones = head[11] & 0x0F
    tables: dict[int, tuple[int, ...]] = {}
    for kind, data in rest:
        if kind != FOOTER:
            if len(data) != 2 * zones:
                raise BadFrame(f"table {kind:02X} of {len(data)} bytes for {zones} zones", seen=frame)
            tables[kind] = unpack(f">{zones}H", data)
    return tuple(_zone(zone, tables, head) for zone in range(zones))


def _zone(zone: int, tables: dict[int, tuple[int, ...]], head: bytes) -> Facts:
    unit = "mph" if head[3] & 1 else "km/h"
    value = {
        kind: values[zone] if values[zone] <= LIMITS.get(kind, 0xFE00) else None for kind, values in tables.items()
    }
    fields: dict[str, Value] = {"zone": zone + 1, "period_s": int.from_bytes(head[13:15]), "supply_v": head[15] / 10}
    volume = value.get(VOLUME)
    for kind, name in NAMES.items():
        if kind in value:  # no vehicle, no time between vehicles
            fields[name] = value[kind] if volume or kind == OCCUPANCY else None
    if VOLUME in value:
        fields["volume"] = volume
    for kind, name in ((SPEED, "speed"), (SPEED_P85, "speed_p85")):
        if kind in value:
            number = value[kind] if volume else None  # no vehicle, no speed
            fields[name] = None if number is None else (number, unit)
    classes = [value[kind] for kind in CLASSES if kind in value]
    known = [count for count in classes if count is not None]
    if volume is not None and len(known) == len(classes):
        fields |= {f"volume_c{k + 2}": count for k, count in enumerate(known)}
        fields["volume_c1"] = volume - sum(known)  # the small ones are what remains
    wrong = volume is not None and sum(known) > volume
    once = f"{head[0]}-{head[4:11].hex()}"
    return Facts(fields, part=f"lane{zone + 1}", once=once, fault="more classified than counted" if wrong else "")


def _event(frame: bytes) -> Facts:
    data = frame[6:-2]
    if len(data) != 15:
        raise BadFrame(f"event of {len(data)} bytes", seen=frame)
    fields: dict[str, Value] = {
        "zone": data[0],
        "class": data[1],
        "length_dm": data[2],
        "event_speed": (data[3], "mph" if data[14] else "km/h"),
        "dwell_ms": int.from_bytes(data[4:6]),
    }
    return Facts(fields, part=f"lane{data[0]}", once=data.hex())


def _ask(unit: int, _count: int) -> bytes:
    body = pack(">HB", unit, 0)
    return HEAD + bytes((POLL, 3)) + body + pack(">H", sum16(body))


def _match(frame: bytes, unit: int, _count: int) -> bool:
    return int.from_bytes(frame[4:6]) == unit and frame[2] in (HEADER, NAK)


FAMILY: Final = Family(name="rtms_g4", cut=cut, decode=decode, ask=_ask, match=_match)
