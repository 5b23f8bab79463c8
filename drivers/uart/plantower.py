"""Plantower particle sensors: PMS1003/5003/7003/A003, PMS3003, PMS5003S, PMS5003T, PMS5003ST.

Sources: Plantower data manuals of each model (section "transport protocol, active mode"); layouts cross-checked
against recorded frames (avaldebe/PyPMS). UART 9600 8N1, one frame per second or faster. The frame does not name
the model: the variant does, and the counts, which cannot rise with size, betray a wrong one.
"""

from __future__ import annotations

from struct import unpack_from
from typing import Final, NamedTuple

from drivers.checksum import sum16
from drivers.errors import BadFrame
from drivers.uart.family import Cut, Facts, Family, Value, judged, junk

HEAD: Final = b"BM"
LENGTHS: Final = (0x04, 0x14, 0x1C, 0x24)  # command reply, PMS3003, most models, PMS5003ST
MASS: Final = (  # u16 from offset 4, ug/m3: the "CF=1" block, then the atmospheric one; two spellings of each key
    ("raw01", "pm1_cf1"),
    ("raw25", "pm25_cf1"),
    ("raw10", "pm10_cf1"),
    ("pm01", "pm1_atm"),
    ("pm25", "pm25_atm"),
    ("pm10", "pm10_atm"),
)
COUNTS: Final = (
    "n0_3",
    "n0_5",
    "n1_0",
    "n2_5",
    "n5_0",
    "n10_0",
)  # u16 from offset 16: larger than, per 0.1 L


class Layout(NamedTuple):
    """What differs between models: frame size, number of counts, further values (key, offset, format, divisor)."""

    size: int
    counts: int
    rest: tuple[tuple[str, int, str, int], ...]
    error: int | None


LAYOUTS: Final = {
    "pmsx003": Layout(32, 6, (("byte28_version", 28, "B", 1), ("byte29_error", 29, "B", 1)), 29),
    "pms3003": Layout(24, 0, (), None),
    "pms5003s": Layout(32, 6, (("hcho", 28, ">H", 1),), None),  # ug/m3
    "pms5003t": Layout(
        32,
        4,
        (
            ("temp", 24, ">h", 10),
            ("rhum", 26, ">H", 10),
            ("byte28_version", 28, "B", 1),
            ("byte29_error", 29, "B", 1),
        ),
        29,
    ),
    "pms5003st": Layout(
        40,
        6,
        (
            ("hcho", 28, ">H", 1),
            ("temp", 30, ">h", 10),
            ("rhum", 32, ">H", 10),
            ("byte36_version", 36, "B", 1),
            ("byte37_error", 37, "B", 1),
        ),
        37,
    ),
}


def cut(buffer: bytes) -> Cut | None:
    """`42 4D`, u16 length of the rest, payload, u16 sum of everything before it."""
    if skip := junk(buffer, HEAD):
        return Cut(skip)
    if len(buffer) < 4:
        return None
    length = int.from_bytes(buffer[2:4])
    if length not in LENGTHS:
        return Cut(4, reason="length")
    size = length + 4
    if len(buffer) < size:
        return None
    return judged(size, good=sum16(buffer[: size - 2]) == int.from_bytes(buffer[size - 2 : size]))


def decode(frame: bytes, variant: str) -> tuple[Facts, ...]:
    """The values of one frame; none for the reply to a command."""
    if len(frame) == 8:
        return ()
    layout = LAYOUTS[variant or "pmsx003"]
    if len(frame) != layout.size:
        raise BadFrame(f"{len(frame)} bytes, but a {variant} sends {layout.size}: another model?", seen=frame)
    fields: dict[str, Value] = {}
    mass = unpack_from(">6H", frame, 4)
    for keys, value in zip(MASS, mass, strict=True):
        fields |= dict.fromkeys(keys, value)
    counts = unpack_from(f">{layout.counts}H", frame, 16)
    for key, count in zip(COUNTS, counts, strict=False):
        fields[key] = count / 100
        fields[f"{key}_per_0_1L"] = count
    for key, offset, kind, divisor in layout.rest:
        raw = unpack_from(kind, frame, offset)[0]
        fields[key] = raw if divisor == 1 else raw / divisor
    return (
        Facts(
            fields,
            warming=not any(mass) and not any(counts),
            fault=_fault(frame, layout.error, mass=mass, counts=counts),
            doubt="the counts rise with size: another model?" if list(counts) != sorted(counts, reverse=True) else "",
        ),
    )


def _fault(frame: bytes, error: int | None, *, mass: tuple[int, ...], counts: tuple[int, ...]) -> str:
    if error is not None and frame[error]:
        return f"error byte 0x{frame[error]:02X}"
    if counts and not counts[0] and any(mass):
        return "mass without particles"  # seen in the field (PyPMS InconsistentObservation)
    return ""


FAMILY: Final = Family(name="plantower", cut=cut, decode=decode)
