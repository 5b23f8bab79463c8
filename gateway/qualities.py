"""Qualities: what each code means, and its twins in OPC UA and QARTOD; the table is qualities.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from drivers.sample import Code


@dataclass(frozen=True, slots=True)
class Meaning:
    """One quality code. `opcua` is the StatusCode's name, `status` its number; `qartod` the primary flag."""

    code: int
    opcua: str
    status: int
    qartod: int
    en: str
    th: str


@cache
def meanings() -> Mapping[Code, Meaning]:
    """All codes, good first."""
    rows = tomllib.loads(Path(__file__).with_name("qualities.toml").read_text(encoding="utf-8"))
    return {Code[name.upper()]: Meaning(**row) for name, row in rows.items()}


def dictionary() -> dict[str, dict[str, Any]]:
    """The table as plain data: spelling in records -> number, twins, and meaning in English and Thai."""
    return {
        code.text: {
            "code": row.code,
            "opcua": row.opcua,
            "opcua_status": f"0x{row.status:08X}",
            "qartod": row.qartod,
            "en": row.en,
            "th": row.th,
        }
        for code, row in meanings().items()
    }
