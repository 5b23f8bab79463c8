"""SunSpec: find a device's models by walking its chain, and decode their bodies. Pure functions and one `read`.

A device carries the marker "SunS" at protocol address 40000, 50000 or 0, then models one after another: id, length L
(registers that follow), L registers; id 0xFFFF ends the chain. A common model (id 1) begins a device block; SolarEdge
appends further blocks (meters) without a marker of their own, which is the same chain. Addresses are never fixed:
the same inverter serves integer or float models by a setting. Source: SunSpec Device Information Model; sunspec/models.

Not implemented is never 0: 0x8000, 0xFFFF and their wider kin, NaN, and every value whose scale factor is 0x8000. An
accumulator of 0 stays 0: the standard lets it mean "none" too, and nothing tells the two apart.
"""

from __future__ import annotations

import struct
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any, Final, TypeAlias

from drivers.errors import BadFrame, DeviceRefused

Read: TypeAlias = Callable[[str, int, int], Awaitable[bytes]]
"""read(table, address, count) -> bytes of the registers; raises as `drivers.errors` says."""
Value: TypeAlias = float | int | str | None

TABLE: Final = "holding"
BASES: Final = (40000, 50000, 0)
MARKER: Final = b"SunS"
END: Final = 0xFFFF
MAX_MODELS: Final = 64
MAX_REGISTERS: Final = 125
COMMON: Final = 1
_TYPES: Final[dict[str, tuple[str, tuple[int, ...]]]] = {
    "u16": (">H", (0xFFFF,)),
    "s16": (">h", (-0x8000,)),
    "u32": (">I", (0xFFFFFFFF,)),
    "s32": (">i", (-0x80000000,)),
    "acc32": (">I", (0xFFFFFFFF,)),
    "f32": (">f", ()),
}
_BIG_EXPONENT: Final = 10


@dataclass(frozen=True, slots=True)
class Spot:
    """One point of a model: its offset in registers from the model's id register, type and scale."""

    name: str
    offset: int
    type: str
    scale: str | int = 0

    @property
    def count(self) -> int:
        """Registers that it spans."""
        return int(self.type[3:]) if self.type.startswith("str") else struct.calcsize(_TYPES[self.type][0]) // 2


@dataclass(frozen=True, slots=True)
class Layout:
    """The table of one model: what kind of device it describes, its length L, its points and scale factors."""

    kind: str
    length: int
    spots: tuple[Spot, ...]
    scales: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Model:
    """A model found on a device: its id, the protocol address of its id register, its length L, its device block."""

    id: int
    address: int
    length: int
    block: int = 0

    @property
    def layout(self) -> Layout | None:
        """Its table, where this product knows the model and the length fits."""
        found = layouts().get(self.id)
        return found if found is not None and self.length >= found.length else None


@cache
def layouts() -> dict[int, Layout]:
    """The known models by id (sunspec_models.toml)."""
    rows = tomllib.loads(Path(__file__).with_name("sunspec_models.toml").read_text(encoding="utf-8"))["model"]
    return {
        number: Layout(row["kind"], row["length"], tuple(Spot(*spot) for spot in row["points"]), row["scales"])
        for row in rows
        for number in row["ids"]
    }


async def find(read: Read) -> int | None:
    """The protocol address of the marker, or None where there is none at the three places.

    Raises:
        ReplyError, LinkError: the device did not answer (a refusal of an address is an answer).
    """
    for base in BASES:
        try:
            if await read(TABLE, base, 2) == MARKER:
                return base
        except DeviceRefused:
            continue
    return None


async def walk(read: Read, marker_at: int) -> AsyncIterator[Model]:
    """The models behind the marker, one by one, each with the number of its device block (0, 1, ...).

    Raises:
        BadFrame: the chain leads nowhere: an impossible id or length, or no end after 64 models.
        ReplyError, LinkError: the device did not answer.
    """
    address, block = marker_at + 2, -1
    for _ in range(MAX_MODELS):
        head = await read(TABLE, address, 2)
        number, length = struct.unpack(">HH", head)
        if number == END:
            return
        if number in {0, 0x8000} or length == 0 or address + 2 + length + 2 > 0x10000:
            raise BadFrame(f"the SunSpec chain breaks at {address}: model {number}, length {length}", seen=head)
        block += number == COMMON or block < 0
        yield Model(number, address, length, block)
        address += 2 + length
    raise BadFrame(f"the SunSpec chain has no end within {MAX_MODELS} models")


async def discover(read: Read) -> tuple[Model, ...]:
    """All models of the device; empty where it does not speak SunSpec. A chain that breaks counts up to the break.

    Raises:
        ReplyError, LinkError: the device did not answer.
    """
    marker_at = await find(read)
    if marker_at is None:
        return ()
    models: list[Model] = []
    try:
        async for model in walk(read, marker_at):
            models.append(model)  # noqa: PERF401  (what stands before a break is kept)
    except (BadFrame, DeviceRefused):
        if not models:
            raise
    return tuple(models)


def span(model: Model) -> tuple[int, int, int]:
    """The one read that covers a model: address, count, and the offset of its first register in the model.

    With the header where that fits into 125 registers (so that a moved chain is seen), else the body alone. Values and
    their scale factors come in the same answer, because a torn read would mix them.
    """
    layout = model.layout
    count = 2 + (model.length if layout is None else layout.length)
    return (model.address, count, 0) if count <= MAX_REGISTERS else (model.address + 2, count - 2, 2)


def decode(layout: Layout, data: bytes, *, first: int = 2) -> dict[str, Value]:
    """Points of a model from `data`, whose first register has offset `first`; scaled, None where not available.

    Units: A, V, Hz, W, VA, var, % (power factor), Wh, varh, degC. Points that `data` does not cover are left out.
    """
    exponents = {name: _exponent(data, offset - first) for name, offset in layout.scales.items()}
    fields: dict[str, Value] = {}
    for spot in layout.spots:
        if spot.offset < first or 2 * (spot.offset - first + spot.count) > len(data):
            continue
        if spot.type.startswith("str"):
            start = 2 * (spot.offset - first)
            fields[spot.name] = text(data[start : start + 2 * spot.count])
            continue
        raw = _number(data, spot.type, spot.offset - first)
        fields[spot.name] = scaled(raw, exponents[spot.scale] if isinstance(spot.scale, str) else spot.scale)
    return fields


def scale_factors(layout: Layout, data: bytes, *, first: int = 2) -> dict[str, int | None]:
    """The exponents in `data` by group (`A`, `V`, `TotWh` ...); None where not implemented."""
    return {name.removesuffix("_SF"): _exponent(data, at - first) for name, at in layout.scales.items()}


def scaled(raw: float | None, exponent: int | None) -> float | None:
    """Raw x 10^exponent, by a division where the exponent is negative (103, -1 is 10.3); None if either is None."""
    if raw is None or exponent is None or abs(exponent) > _BIG_EXPONENT:
        return None
    return raw / float(10**-exponent) if exponent < 0 else raw * int(10**exponent)


def text(data: bytes) -> str | None:
    """A text without its NUL padding (blanks stay); None where it is all NUL."""
    return data.rstrip(b"\0").decode("latin-1") or None


def _exponent(data: bytes, index: int) -> int | None:
    value = _number(data, "s16", index)
    return None if value is None else int(value)


def _number(data: bytes, kind: str, index: int) -> float | None:
    form, absent = _TYPES[kind]
    if index < 0 or 2 * index + struct.calcsize(form) > len(data):
        return None
    value: float = struct.unpack_from(form, data, 2 * index)[0]
    return None if value in absent or not isfinite(value) else value


def fields(data: bytes) -> dict[str, Any]:
    """All that recorded registers say: from the marker, from a model's header, or one model's body alone.

    Keys: `sunspec_id`, `model_id` and `model_length` of the first model, its points, `scale_factors`. Empty where the
    bytes are none of these.
    """
    found: dict[str, Any] = {"sunspec_id": MARKER.decode()} if data.startswith(MARKER) else {}
    at = 2 * len(found)
    if not found and not _headed(data):
        body = next((layout for layout in layouts().values() if len(data) // 2 in _lengths(layout)), None)
        return {} if body is None else _said(body, data, first=2)
    while at + 2 <= len(data) // 2:
        number, length = struct.unpack_from(">HH", data, 2 * at)
        if number == END or length == 0:
            break
        found.setdefault("model_id", number)
        found.setdefault("model_length", length)
        layout = layouts().get(number)
        if layout is not None:
            found = _said(layout, data[2 * at : 2 * (at + 2 + length)], first=0) | found
        at += 2 + length
    return found


def _said(layout: Layout, data: bytes, *, first: int) -> dict[str, Any]:
    said: dict[str, Any] = dict(decode(layout, data, first=first))
    exponents = scale_factors(layout, data, first=first)
    return said | ({"scale_factors": exponents} if exponents and said else {})


def _lengths(layout: Layout) -> tuple[int, ...]:
    """The lengths in use: the common model comes with and without its pad register."""
    return (layout.length, layout.length + 1) if layout.kind == "common" else (layout.length,)


def _headed(data: bytes) -> bool:
    """Whether the bytes begin with a model's id and length (two registers alone are taken for a header)."""
    number, length = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
    if number == END or len(data) == 4:
        return bool(length) or number == END
    layout = layouts().get(number)
    return length in _lengths(layout) if layout is not None else len(data) == 2 * (2 + length)
