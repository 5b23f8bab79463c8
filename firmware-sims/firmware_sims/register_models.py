"""Modbus devices by their register maps: `models.toml` and `models_sunspec.toml` made into units."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.resources import files
from typing import Any, Final

from firmware_sims.device import Note, Simulated
from firmware_sims.kind import Kind
from firmware_sims.quantities import FLAVOURS, Source
from firmware_sims.registers import ILLEGAL_VALUE, Cell, RegisterUnit, text

MARKER: Final = 0x53756E53  # "SunS"
_END: Final = 0xFFFF
_COMMON_WORDS: Final = ((2, 16), (18, 16), (42, 8), (50, 16))  # maker, model, version, serial: offset, registers
SUNSPEC_HOLE: Final = b"\x80\x00"


@dataclass(frozen=True, slots=True)
class _Style:
    """What the rows of one model share."""

    low_first: bool = False
    offsets: Mapping[str, float] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)


@dataclass
class TwoTables:
    """A unit whose settings are another table: `measured` serves functions 4 and the rest, `settings` function 3."""

    measured: RegisterUnit
    settings: RegisterUnit

    @property
    def name(self) -> str:
        """Id of the device."""
        return self.measured.name

    @property
    def note(self) -> Note:
        """Where the unit tells the truth to."""
        return self.measured.note

    @note.setter
    def note(self, note: Note) -> None:
        self.measured.note = note

    def answer(self, pdu: bytes, now_s: float) -> bytes | None:
        """The answer PDU."""
        return (self.settings if pdu[0] == 3 else self.measured).answer(pdu, now_s)


def rows(lines: Iterable[str], style: _Style, *, base: int = 0) -> tuple[list[Cell], dict[str, float]]:
    """Cells of rows written as models.toml says, and the values of their constants by key."""
    cells: list[Cell] = []
    constants: dict[str, float] = {}
    for line in lines:
        start, kind, scale, *keys = line.split()
        at = base + int(start, 0)
        for key in keys:
            known = key.startswith("=")
            named = f"={at}" if known else key.lstrip("~")
            if known:
                constants[named] = float(key[1:])
            cell = Cell(
                at,
                kind,
                named,
                1.0 if known else float(scale),
                low_first=style.low_first,
                truth=not known and not key.startswith("~"),
                offset=style.offsets.get(named, 0.0),
                absent=bytes.fromhex(style.absent.get(kind, "")),
            )
            cells.append(cell)
            at += cell.count
    return cells, constants


def _merged(senses: Source, constants: Mapping[str, float]) -> Source:
    return lambda now_s: {**senses(now_s), **constants}


@cache
def _tables() -> dict[str, dict[str, Any]]:
    shelf = files("firmware_sims")
    plain = tomllib.loads(shelf.joinpath("models.toml").read_text("utf-8"))
    sunspec = tomllib.loads(shelf.joinpath("models_sunspec.toml").read_text("utf-8"))
    whole = {name: _resolved(plain, table) for name, table in plain.items()}
    return whole | sunspec


def _resolved(tables: Mapping[str, dict[str, Any]], table: dict[str, Any]) -> dict[str, Any]:
    if "like" not in table:
        return table
    return _resolved(tables, tables[table["like"]]) | table


def _unit(name: str, seed: int, _unit_id: int) -> Simulated:
    table = _tables()[name]
    style = _Style(table.get("order") == "low", table.get("offsets", {}), table.get("absent", {}))
    cells, constants = rows([*table["row"], *table.get("more", [])], style)
    texts: dict[int, bytes] = {}
    for line in table.get("words", []):
        at, registers, words = line.split(maxsplit=2)
        texts |= text(int(at), words, registers=int(registers))
    unit = RegisterUnit(
        name,
        cells,
        _merged(FLAVOURS[table["senses"]](seed), constants),
        tables=frozenset(table.get("tables", ["holding"])),
        max_registers=table.get("max_registers", 125),
        over=table.get("over", ILLEGAL_VALUE),
        hole=bytes.fromhex(table["hole"]) if "hole" in table else None,
        splits=table.get("splits", True),
        constants=texts,
        alone={int(at, 0): code.to_bytes(2) for at, code in table.get("alone", {}).items()},
    )
    if "settings" not in table:
        return unit
    cells, constants = rows(table["settings"], style)
    return TwoTables(unit, RegisterUnit(name, cells, lambda _now_s: constants, tables=frozenset({"holding"})))


@dataclass
class _Chain:
    """SunSpec models one behind the other."""

    cells: list[Cell] = field(default_factory=list)
    constants: dict[str, float] = field(default_factory=dict)
    words: dict[int, bytes] = field(default_factory=dict)
    at: int = 0

    def add(self, model: int, length: int, *, lines: Iterable[str]) -> None:
        """One model of `length` registers behind its two registers of header."""
        head = [f"0 u16 1 ={model} ={length}"]
        cells, constants = rows([*head, *lines], _Style(), base=self.at)
        self.cells += cells
        self.constants |= constants
        for place in range(self.at, self.at + 2 + length):
            self.words.setdefault(place, SUNSPEC_HOLE)
        self.at += 2 + length

    def common(self, length: int, words: Iterable[str], *, address: int) -> None:
        """The common model with its texts; device address as given."""
        begin = self.at
        for (offset, registers), entry in zip(_COMMON_WORDS, words, strict=True):
            self.words |= text(begin + offset, entry, registers=registers)
        self.words |= text(begin + 34, "", registers=8)
        self.add(1, length, lines=[f"66 u16 1 ={address}"])


def _sunspec(name: str, seed: int, unit_id: int) -> Simulated:
    table = _tables()[name]
    chain = _Chain(at=table["base"])
    marker, constants = rows([f"0 u32 1 ={MARKER}"], _Style(), base=chain.at)
    chain.cells, chain.constants, chain.at = marker, dict(constants), chain.at + 2
    chain.common(table["common"], table["words"], address=unit_id)
    if "silent" in table:  # a first meter whose values are all "not implemented"
        chain.add(table["silent"], 105, lines=[])
    for model in table["model"]:
        if "words" in model:
            chain.common(65, model["words"], address=unit_id)
        chain.add(model["id"], model["length"], lines=model["row"])
    end, constants = rows([f"0 u16 1 ={_END} =0"], _Style(), base=chain.at)
    return RegisterUnit(
        name,
        chain.cells + end,
        _merged(FLAVOURS[table["senses"]](seed), chain.constants | constants),
        tables=frozenset({"holding"}),
        constants=chain.words,
    )


def kinds() -> dict[str, Kind]:
    """Every device of the tables, by its profile's name."""
    found = {}
    for name, table in _tables().items():
        make = _sunspec if "model" in table else _unit
        parts = "lanes" if table["senses"].startswith("traffic") else ""
        tcp = table.get("tcp", "model" in table)
        found[name] = Kind(
            partial(make, name), table.get("line", "9600 8N1"), table.get("unit", 1), tcp=tcp, parts=parts
        )
    return found
