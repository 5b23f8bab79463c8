"""The forms of `--json`: schemas.json beside this file, one JSON Schema (2020-12) for the lines of each verb."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any


@cache
def _file() -> Mapping[str, Any]:
    table: Mapping[str, Any] = json.loads(Path(__file__).with_name("schemas.json").read_text(encoding="utf-8"))
    return table


def verbs() -> tuple[str, ...]:
    """The verbs that have a schema; "config show" is a verb of a group."""
    return tuple(_file()["verbs"])


def form(verb: str) -> dict[str, Any] | None:
    """The schema of what `verb` prints, complete in itself; that of its group where it has none of its own."""
    found = _file()["verbs"].get(verb) or _file()["verbs"].get(verb.partition(" ")[0])
    if found is None:
        return None
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"citygate {verb} --json"}
    return {**head, **found, "$defs": _file()["$defs"]}
