"""`citygate config`: effective values with their origin; the JSON Schema for editors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from gateway.cli.face import Face


@click.group("config")
def command() -> None:
    """Show effective values with their origin, or export the JSON Schema for editors."""


@command.command("show")
@click.pass_obj
def show(face: Face) -> int:
    """Effective values, one `key = value` a line, with the file and line that set each. Secrets stay in their files."""
    import msgspec

    from gateway.config.load import load

    loaded = load(face.config)
    values = dict(_flat(msgspec.to_builtins(loaded.config)))
    if face.json:
        face.emit({
            "schema": 1,
            "hash": loaded.hash,
            "files": [str(path) for path in loaded.files],
            "values": {
                key: {"value": value, "origin": loaded.origins.get(key, "default")} for key, value in values.items()
            },
        })  # fmt: skip
        return 0
    face.faults(loaded.warnings)
    rows = []
    for key, value in values.items():
        origin = loaded.origins.get(key, face.pick("default", "ค่าเริ่มต้น"))
        rows.append((f"{key} = {msgspec.json.encode(value).decode()}", origin))
    face.table(rows)
    return 0


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        elif value is not None and value != {}:
            yield f"{prefix}{key}", value


@command.command("schema")
@click.pass_obj
def schema(face: Face) -> int:
    """The JSON Schema (draft 4) of gateway.toml, as editors and Taplo read it."""
    from gateway.config.schema import text

    face.data(text().removesuffix("\n"))
    return 0
