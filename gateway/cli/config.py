"""`citygate config`: effective values with their origin; JSON Schemas for editors and scripts; older configs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from gateway.catalogue.fault import EXIT_CONFIG, Fault, Trouble
from gateway.cli.face import Face
from gateway.cli.words import Misuse


@click.group("config")
def command() -> None:
    """Show effective values with their origin; export JSON Schemas; bring an older config up to date."""


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
@click.argument("verb", nargs=-1)
@click.pass_obj
def schema(face: Face, verb: tuple[str, ...]) -> int:
    """The JSON Schema (draft 4) of gateway.toml, as editors and Taplo read it; with VERB, that of its --json."""
    if verb:
        import json

        from gateway.cli.forms import form, verbs

        found = form(" ".join(verb))
        if found is None:
            known = ", ".join(verbs())
            raise Misuse(f"there is no schema for {' '.join(verb)}; there are {known}", f"ไม่มีสคีมานี้ มี {known}")
        face.data(json.dumps(found, ensure_ascii=False, indent=1))
        return 0
    from gateway.config.schema import text

    face.data(text().removesuffix("\n"))
    return 0


@command.command("migrate")
@click.option("--dry-run", is_flag=True, help="Show the changes and write nothing.")
@click.pass_obj
def migrate(face: Face, *, dry_run: bool) -> int:
    """Bring config files of an older schema to today's; comments stay. Each changed file leaves a copy behind."""
    from difflib import unified_diff

    from gateway.config.files import collect
    from gateway.config.migrate import CURRENT, migrated, schema_of

    files = collect(face.config).files
    texts = [_text(path) for path in files]
    since = schema_of(texts[0]) if texts else CURRENT
    told: list[dict[str, str | None]] = []
    afters = [migrated(text, main=not number, since=since) for number, text in enumerate(texts)]
    if since < CURRENT:
        _check(files, afters, current=CURRENT)
    for path, text, after in zip(files, texts, afters, strict=True):
        if since >= CURRENT or after == text:
            continue
        names = (str(path), f"{path} (schema {CURRENT})")
        diff = "".join(unified_diff(text.splitlines(keepends=True), after.splitlines(keepends=True), *names))
        kept = None if dry_run else _replaced(path, after, since=since)
        told.append({"file": str(path), "diff": diff, "backup": kept})
    if face.json:
        face.emit({"schema": 1, "from": since, "to": CURRENT, "written": bool(told) and not dry_run, "files": told})
        return 0
    for row in told:
        face.data(str(row["diff"]).rstrip())
        if row["backup"]:
            face.talk(f"{face.pick('the old file', 'ไฟล์เดิม')}: {row['backup']}")
    if not told:
        face.prose(face.pick(f"nothing to do: this is schema {since}", f"ไม่ต้องทำอะไร: เป็น schema {since} แล้ว"))
    return 0


def _text(path: Path) -> str:
    """A file with its line ends as they are."""
    with path.open(encoding="utf-8", newline="") as file:
        return file.read()


def _check(files: Sequence[Path], texts: Sequence[str], *, current: int) -> None:
    """Each file parses, and the first one states the schema. Raises Trouble: nothing is written then."""
    import tomllib

    faults = []
    for number, (path, text) in enumerate(zip(files, texts, strict=True)):
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            faults.append(Fault("CG-CFG-02", {"detail": str(error)}, at=str(path)))
            continue
        if not number and data.get("schema") != current:
            faults.append(Fault("CG-CFG-02", {"detail": f"schema = {current} does not fit in"}, at=str(path)))
    if faults:
        raise Trouble(faults, exit_code=EXIT_CONFIG)


def _replaced(path: Path, text: str, *, since: int) -> str:
    """Write the file whole or not at all, with a copy of the old one beside it; its mode and owner stay."""
    import os
    import shutil

    backup = path.with_name(f"{path.name}.schema-{since}")
    shutil.copy2(path, backup)
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    stat = path.stat()
    fresh.chmod(stat.st_mode & 0o7777)
    os.chown(fresh, stat.st_uid, stat.st_gid)
    fresh.rename(path)
    return str(backup)
