"""`citygate journal`: what waits, what was confirmed, where gaps are; and the records themselves, exported."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.catalogue.fault import EXIT_AGAIN, EXIT_NO_INPUT, EXIT_USAGE, Fault, Trouble
from gateway.cli.face import Face

if TYPE_CHECKING:
    from gateway.config.load import Loaded
    from gateway.journal.log import Log
    from gateway.record import Record

CHUNK_BYTES: Final = 1 << 20
PREFIX: Final = "sink:"


@click.group("journal")
def command() -> None:
    """What waits for each sink, what was confirmed, gaps; export of records."""


@command.command("status")
@click.pass_obj
def status(face: Face) -> int:
    """Positions, size, damage, and each sink's ledger: through the daemon if it runs, else from the files."""
    from gateway.cli.socket import ask

    try:
        snapshot = ask(face, {"ask": "snapshot"})
        facts = {"journal": snapshot["journal"], "sinks": snapshot["sinks"]}
    except Trouble as trouble:
        if trouble.faults[0].code != "CG-SYS-10":
            raise
        facts = _resting(face)
    if face.json:
        face.emit({"schema": 1, **facts})
        return 0
    face.facts([(name, f"{value}") for name, value in facts["journal"].items()])
    rows = [(name, "  ".join(f"{key} {value}" for key, value in sink.items())) for name, sink in facts["sinks"].items()]
    if rows:
        face.table(rows, head=(face.pick("sink", "ปลายทาง"), face.pick("ledger", "บัญชี")))
    return 0


def _resting(face: Face) -> dict[str, Any]:
    """The same facts from the files of a gateway that does not run."""
    from gateway.config.load import load
    from gateway.health import journal_facts
    from gateway.ledger import Ledger

    with _opened(load(face.config)) as journal:
        sinks = {}
        for name, blob in journal.marks.items():
            if name.startswith(PREFIX):
                ledger = Ledger.from_bytes(blob)
                sinks[name.removeprefix(PREFIX)] = {
                    "waiting": ledger.waiting,
                    "selected": ledger.selected,
                    **ledger.counts,
                }
        return {"journal": journal_facts(journal), "sinks": sinks}


@contextmanager
def _opened(loaded: Loaded) -> Iterator[Log]:
    import asyncio

    from gateway.journal.errors import JournalBusy
    from gateway.journal.log import open_journal

    folder = Path(loaded.config.gateway.state_dir) / "journal"
    if not folder.is_dir():
        raise Trouble([Fault("CG-SYS-06", {"path": str(folder)})], exit_code=EXIT_NO_INPUT)
    try:
        journal = open_journal(folder)
    except JournalBusy as error:
        fault = Fault("CG-JRN-01", {"path": str(folder)}, seen=str(error))
        raise Trouble([fault], exit_code=EXIT_AGAIN) from None
    try:
        yield journal
    finally:
        asyncio.run(journal.close())


@command.command("export")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv", "lp"]), default="jsonl", show_default=True)
@click.option("--from", "start", help="First time, UTC: 2026-11-21 or 2026-11-21T02:00:00Z.")
@click.option("--to", "end", help="End of the time (exclusive).")
@click.option("--device", "devices", multiple=True, help="Only this device (may be repeated).")
@click.option("--stream", "streams", multiple=True, help="Only this stream (may be repeated).")
@click.pass_obj
def export(
    face: Face, *, form: str, start: str | None, end: str | None, devices: tuple[str, ...], streams: tuple[str, ...]
) -> int:
    """Write records to stdout as JSON lines, CSV (one value a row) or line protocol. The daemon must not run."""
    from gateway.config.load import load

    first_ms, end_ms = _ms(start, 0), _ms(end, 1 << 62)
    loaded = load(face.config)
    write = _writer(form, loaded)
    count = 0
    with _opened(loaded) as journal:
        for record in records(journal):
            if (
                first_ms <= record.t_ms < end_ms
                and (not devices or record.device in devices)
                and (not streams or record.stream in streams)
            ):
                write(record)
                count += 1
    face.talk(face.pick(f"{count} records", f"{count} ระเบียน"))
    return 0


def records(journal: Log) -> Iterator[Record]:
    """Every record of the journal, oldest first; entries that are not records (notes, dead letters) are left out."""
    from gateway.codec import EVENT, RAW, WINDOW, Codec, UnknownSchema

    codec = Codec(journal.marks)
    at = journal.first
    while at < journal.next:
        entries = journal.read(at, limit_bytes=CHUNK_BYTES)
        if not entries:
            return
        for entry in entries:
            if entry.kind in {RAW, WINDOW, EVENT} and entry.position >= at:
                try:
                    yield codec.decode(entry.kind, entry.payload)
                except UnknownSchema:
                    continue
        at = entries[-1].position + 1


def _ms(text: str | None, otherwise: int) -> int:
    if text is None:
        return otherwise
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise Trouble([Fault("CG-SYS-11", {"value": text})], exit_code=EXIT_USAGE) from None
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)


def _writer(form: str, loaded: Loaded) -> Callable[[Record], None]:
    from gateway.sinks import Site
    from gateway.sinks.line_protocol import LineProtocol
    from gateway.sinks.payload import Payload

    gateway = loaded.config.gateway
    if form == "lp":
        site = Site(gateway.city, gateway.id, "", "", "", loaded.hash, gateway.name, None, ())
        lines = LineProtocol(site)
        return lambda record: print(lines.encode(record))
    payload = Payload()
    if form == "csv":
        table = csv.writer(sys.stdout, lineterminator="\n")
        table.writerow(["t", "device", "stream", "epoch", "seq", "rev", "point", "statistic", "value", "quality"])
        return lambda record: table.writerows(_rows(record, payload.form(record)))
    import msgspec

    place = {"city": gateway.city, "gateway": gateway.id}

    def jsonl(record: Record) -> None:
        told = place | {"device": record.device, "stream": record.stream} | payload.form(record)
        print(msgspec.json.encode(told).decode())

    return jsonl


def _rows(record: Record, form: dict[str, Any]) -> Iterator[list[Any]]:
    """One row per value: raw values have no statistic; a point without a value still shows its quality."""
    head = [form["t"], record.device, record.stream, record.epoch, record.seq, record.rev]
    values, quality = form.get("v", {}), form.get("q", {})
    for point, value in values.items():
        code = quality.get(point, quality.get("*", "good"))
        for statistic, number in value.items() if isinstance(value, dict) else (("", value),):
            yield [*head, point, statistic, number, code]
    for point, code in quality.items():
        if point not in values:
            yield [*head, point, "", "", code]
