"""Device profiles: one TOML table per model, loaded into frozen types.

A register device is described completely by its rows (`read = "input 0x0034 f32"`); a stream device names
the family file in `drivers/uart/` that knows its bytes, and its rows map the family's fields to points.

Row grammar of `read`: TABLE ADDRESS TYPE [ORDER]
    TABLE    input | holding | coil | discrete
    ADDRESS  protocol address, 0-based, decimal or 0x hex
    TYPE     u16 s16 u32 s32 u64 s64 f32 f64 bit
    ORDER    ABCD (default, most significant word first) | CDAB (low word first) | BADC | DCBA
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final, Literal

import msgspec

from drivers.errors import ProfileError
from drivers.points import Point, point, points

TABLES: Final = ("coil", "discrete", "holding", "input")
WORDS: Final = {"bit": 1, "u16": 1, "s16": 1, "u32": 2, "s32": 2, "f32": 2, "u64": 4, "s64": 4, "f64": 4}
ORDERS: Final = ("ABCD", "CDAB", "BADC", "DCBA")
MODBUS_FAMILIES: Final = ("", "sunspec")
_READ = re.compile(r"(coil|discrete|holding|input) (0x[0-9a-fA-F]{1,4}|\d{1,5}) ([a-z]+\d*)(?: ([A-D]{4}))?")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?")


class Where(msgspec.Struct, frozen=True):
    """Where a value sits in a register device: parsed from a row's `read`."""

    table: str
    address: int
    type: str
    order: str = "ABCD"

    @property
    def count(self) -> int:
        """Registers (or bits) that the value spans."""
        return WORDS[self.type]


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One value of a device: from a register (`read`) or a decoder's field (`field`) to a point.

    point value = raw x scale + offset, in the point's unit (or `unit`, which must be the point's own).
    `sentinel` lists raw numbers that mean "not available" (code `sentinel`; checked before scaling).
    `digits` is the number of decimals of this device's resolution, where it differs from the point's.
    `part` is "lane" or "channel" for rows that stand once per lane or channel, "" for the whole sensor.
    `via` names a further conversion of `drivers.modbus.decode` (for example Schneider's four-quadrant power factor).
    `stride` is the distance in registers from one lane or channel to the next, for register rows with a `part`.
    """

    point: str
    read: str | None = None
    field: str | None = None
    scale: float = 1.0
    offset: float = 0.0
    digits: int | None = None
    valid: tuple[float, float] | None = None
    expect: tuple[float, float] | None = None
    sentinel: tuple[float, ...] = ()
    part: Literal["", "lane", "channel"] = ""
    via: str | None = None
    stride: int = 0


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a register device puts up with, from its manual.

    `no_go` lists [table, first, last] that must never be touched; `even_start` and `whole_map` keep reads on
    value borders; `hole` is false where a read across an undefined register fails as a whole.
    Times in ms: `timeout_ms` is the first guess, `turnaround_ms` the silence after an answer that the device
    needs before it hears the next request. `outstanding` counts concurrent requests on TCP. `retry` is false where
    a read changes the device (counts that a read sets to zero): such a read is never repeated.
    """

    max_registers: int = 125
    even_start: bool = False
    hole: bool = True
    no_go: tuple[tuple[str, int, int], ...] = ()
    timeout_ms: int = 1000
    turnaround_ms: int = 0
    outstanding: int = 1
    retry: bool = True


class Fingerprint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One check that tells the model: the value at `read` lies `between`, `equals` a number, or begins with `text`.

    `registers` is how many a text must be read with, where the device refuses to give a part of it.
    """

    read: str
    means: str
    between: tuple[float, float] | None = None
    equals: float | None = None
    text: str | None = None
    registers: int = 0


class Wire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Line settings the device ships with, first the default; `echo` where the maker's adapter repeats requests."""

    lines: tuple[str, ...] = ("9600 8N1",)
    tcp_port: int | None = None
    note: str = ""


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"rows": "row"}):
    """One model of device.

    `kind` is the field (air, traffic, ...); `speaks` tells whether registers are polled (`modbus`) or bytes are
    a stream of their own (`push`: it talks by itself; `poll`: it is asked) decoded by `family`/`variant`.
    A Modbus device of family `sunspec` has rows with `field`: its registers are found on the device, not fixed.
    A `duty` device sleeps between polls: each wakes it and waits `warmup_s` first.
    `serial` is where its serial number stands: not what it is, but that it stays the same tells a replaced device.
    `every_s` is the period of polls, or of pushed frames, that windows expect; 0 marks an event stream.
    `quality` holds thresholds of plausibility under the names of the device options (`pm2_5_stuck_s`), which overrule.
    """

    schema: Literal[1]
    id: str
    maker: str
    model: str
    kind: Literal["air", "traffic", "energy", "water", "weather", "noise"]
    version: int
    speaks: Literal["modbus", "push", "poll"]
    every_s: float
    source: str
    proven: Literal["recorded", "manual", "untested"]
    rows: tuple[Row, ...]
    family: str = ""
    variant: str = ""
    warmup_s: float = 0.0
    silence_s: float = 0.0
    duty: bool = False
    wire: Wire = Wire()
    limits: Limits = Limits()
    quality: dict[str, float] = {}
    fingerprint: tuple[Fingerprint, ...] = ()
    serial: Fingerprint | None = None
    quirks: tuple[str, ...] = ()

    @property
    def by_registers(self) -> bool:
        """Whether the rows name registers (a Modbus device whose map is fixed)."""
        return self.speaks == "modbus" and not self.family

    def rows_of(self, part: str = "") -> tuple[Row, ...]:
        """Rows of the whole sensor ("") or of one lane or channel (part "lane2" means rows marked "lane")."""
        kind = part.rstrip("0123456789").replace("ch", "channel") if part else ""
        number = int(part.lstrip("lanech") or 1) if part else 1
        return tuple(_shifted(row, number - 1) for row in self.rows if row.part == kind)

    def points(self, part: str = "") -> tuple[Point, ...]:
        """The fixed tuple of points of the whole sensor or of one part, as samples carry them."""
        return tuple(_point_of(row) for row in self.rows_of(part))


def _shifted(row: Row, steps: int) -> Row:
    """The row as it stands for a further lane or channel: its address moved by `steps` strides."""
    if not (row.read and row.stride and steps):
        return row
    place = where(row.read)
    moved = f"{place.table} {place.address + steps * row.stride} {place.type} {place.order}"
    where(moved)
    return msgspec.structs.replace(row, read=moved)


def _point_of(row: Row) -> Point:
    base = point(row.point)
    return Point(
        name=base.name,
        unit=base.unit,
        kind=base.kind,
        digits=base.digits if row.digits is None else row.digits,
        en=base.en,
        th=base.th,
        valid=row.valid,
        expect=row.expect,
    )


@cache
def where(read: str) -> Where:
    """A row's `read`, parsed.

    Raises:
        ProfileError: the text does not follow the grammar.
    """
    match = _READ.fullmatch(read)
    if not match or match[3] not in WORDS or (match[4] or "ABCD") not in ORDERS:
        raise ProfileError(f"`read = {read!r}` is not TABLE ADDRESS TYPE [ORDER], for example `input 0x0034 f32`")
    table, address, kind = match[1], int(match[2], 0), match[3]
    if (kind == "bit") != (table in {"coil", "discrete"}) or address + WORDS[kind] > 0x10000:
        raise ProfileError(f"`read = {read!r}`: no such value in table {table}")
    return Where(table, address, kind, match[4] or "ABCD")


def parse(text: str | bytes, *, name: str) -> Profile:
    """A profile from the text of its TOML file; `name` is the file's name without `.toml`.

    Raises:
        ProfileError: says which file, which row and what is wrong with it.
    """
    try:
        profile = msgspec.toml.decode(text, type=Profile)
    except (msgspec.DecodeError, ValueError) as error:
        raise ProfileError(f"profile {name}: {error}") from None
    try:
        _check(profile, name)
    except ProfileError as error:
        raise ProfileError(f"profile {name}: {error}") from None
    return profile


def _check(profile: Profile, name: str) -> None:
    if profile.id != name or not _NAME.fullmatch(name):
        raise ProfileError(f"the file is called {name}, the profile {profile.id!r}")
    if not profile.rows:
        raise ProfileError("it has no rows")
    if profile.family not in MODBUS_FAMILIES if profile.speaks == "modbus" else not profile.family:
        raise ProfileError("`family` belongs to stream devices, and they need one; Modbus knows sunspec alone")
    seen: set[tuple[str, str]] = set()
    for row in profile.rows:
        if row.point not in points():
            raise ProfileError(f"no point is called {row.point!r}")
        if (row.part, row.point) in seen:
            raise ProfileError(f"point {row.point} stands twice")
        seen.add((row.part, row.point))
        if (row.read is None) == (row.field is None) or (row.read is not None) != profile.by_registers:
            raise ProfileError(f"point {row.point}: a register row has `read`, a stream row has `field`")
        if row.read is not None:
            where(row.read)
        if row.valid is not None and row.valid[0] >= row.valid[1]:
            raise ProfileError(f"point {row.point}: valid = {list(row.valid)} is empty")


@cache
def shipped() -> dict[str, Path]:
    """The profiles that come with the product: name -> file."""
    return {path.stem: path for path in sorted(Path(__file__).with_name("profiles").glob("*.toml"))}


@cache
def load(name: str, folder: Path | None = None) -> Profile:
    """The profile called `name`, from `folder` (a site's own profiles) or from those shipped.

    Raises:
        ProfileError: there is none, or it is faulty.
    """
    own = folder / f"{name}.toml" if folder is not None and _NAME.fullmatch(name) else None
    path = own if own is not None and own.is_file() else shipped().get(name)
    if path is None:
        raise ProfileError(f"no profile is called {name!r}; `citygate profiles` lists them")
    return parse(path.read_bytes(), name=name)
