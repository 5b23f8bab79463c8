"""`citygate watch`: live values. A table on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import click

from gateway.catalogue.fault import EXIT_USAGE, Fault, Trouble
from gateway.cli.face import Face


@click.command("watch")
@click.argument("device", required=False)
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many records.")
@click.pass_obj
def command(face: Face, device: str | None, *, count: int | None) -> int:
    """Show what comes in, until Ctrl-C: a live table on a terminal; one line per record in a pipe or with --json."""
    from gateway.cli.socket import lines

    with closing(lines(face)) as stream:
        snapshot = next(stream, None)
        if snapshot is None:
            return 1
        if device is not None and not _of(snapshot["devices"], device):
            from gateway.config.shape import nearest

            near = nearest(device, snapshot["devices"])
            raise Trouble([Fault("CG-CFG-09", {"value": device}, nearest=near)], exit_code=EXIT_USAGE)
        records = _counted(_records(stream, snapshot, device), count)
        if sys.stdout.isatty() and not face.json:
            _table(face, snapshot, records, device)
        else:
            _plain(face, snapshot, records)
    return 0


def _of(devices: Mapping[str, Any], device: str) -> list[str]:
    """The outside devices of a configured one: itself, its lanes and channels."""
    return [id_ for id_, facts in devices.items() if device in {id_, facts.get("device")}]


def _records(
    stream: Iterator[dict[str, Any]], snapshot: dict[str, Any], device: str | None
) -> Iterator[dict[str, Any]]:
    wanted = set(_of(snapshot["devices"], device)) if device else set(snapshot["devices"])
    for line in stream:
        record = line.get("record")
        if record is not None and record["device"] in wanted and record["stream"] == "raw":
            snapshot["devices"][record["device"]]["last"] = record
            snapshot["t"] = max(snapshot["t"], record["t"])
            yield record


def _counted(records: Iterator[dict[str, Any]], count: int | None) -> Iterator[dict[str, Any]]:
    for number, record in enumerate(records, 1):
        yield record
        if number == count:
            return


def _plain(face: Face, snapshot: Mapping[str, Any], records: Iterator[dict[str, Any]]) -> None:
    from gateway.cli.status import number

    for record in records:
        if face.json:
            face.emit({"schema": 1, "record": record})
        else:
            points = snapshot["devices"][record["device"]]["points"]
            held = record.get("v") or {}
            told = [f"{name}={number(value, points.get(name, {})).replace(' ', '')}" for name, value in held.items()]
            doubts = [f"{name}!{text}" for name, text in (record.get("q") or {}).items()]
            face.data(" ".join([record["t"], record["device"], *told, *doubts]))
        sys.stdout.flush()


def _table(face: Face, snapshot: dict[str, Any], records: Iterator[dict[str, Any]], device: str | None) -> None:
    from rich.live import Live
    from rich.table import Table

    from gateway.cli.status import age, number

    def drawn() -> Table:
        table = Table(box=None, pad_edge=False)
        for title in face.pick("device|point|value|quality|age", "อุปกรณ์|จุดวัด|ค่า|คุณภาพ|อายุ").split("|"):
            table.add_column(title, overflow="fold")
        for id_, facts in snapshot["devices"].items():
            if device and id_ not in _of(snapshot["devices"], device):
                continue
            last = facts.get("last") or {}
            held, doubts = last.get("v") or {}, last.get("q") or {}
            for at, (name, point) in enumerate(facts["points"].items()):
                value = number(held[name], point) if name in held else "-"
                doubt = doubts.get(name, doubts.get("*", "good" if name in held else ""))
                table.add_row("" if at else id_, name, value, doubt, "" if at else age(last, snapshot["t"]))
        return table

    with Live(drawn(), refresh_per_second=4, screen=False) as live:
        for _record in records:
            live.update(drawn())
