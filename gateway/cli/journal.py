"""`citygate journal`: what waits, what was confirmed, where gaps are; and the records themselves, exported."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from gateway.catalogue.fault import EXIT_DATA, Fault, Trouble
from gateway.cli import journal_shelf as desk
from gateway.cli.face import Face
from gateway.cli.journal_replay import dead, replay
from gateway.cli.journal_verify import verify

if TYPE_CHECKING:
    from gateway.config.load import Loaded
    from gateway.record import Record


@click.group("journal")
def command() -> None:
    """What waits for each sink, what was confirmed, gaps; export, audit, sending again."""


command.add_command(verify)
command.add_command(replay)
command.add_command(dead)


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

    with desk.opened(load(face.config)) as shelf:
        sinks = {
            name: {"waiting": ledger.waiting, "selected": ledger.selected, **ledger.counts}
            for name, ledger in shelf.ledgers().items()
        }
        return {"journal": journal_facts(shelf.journal), "sinks": sinks}


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
    """Write records to stdout as JSON lines, CSV (one value a row) or line protocol; the daemon may run."""
    from gateway.audit.seen import Seen, appended_before
    from gateway.config.load import load

    first_ms, end_ms = desk.ms(start, 0), desk.ms(end, desk.FOREVER_MS)
    loaded = load(face.config)
    write = _writer(form, loaded)
    count = 0
    with desk.opened(loaded) as shelf:
        seen = Seen(shelf.journal, first=max(shelf.first, appended_before(shelf.journal, first_ms)))
        for _position, record in shelf.records(seen):
            if (
                first_ms <= record.t_ms < end_ms
                and (not devices or record.device in devices)
                and (not streams or record.stream in streams)
            ):
                write(record)
                count += 1
    face.talk(face.pick(f"{count} records", f"{count} ระเบียน"))
    if seen.let_go:
        told = face.pick("positions were let go of and are not in it", "ตำแหน่งถูกปล่อยไปแล้ว ไม่อยู่ในไฟล์")
        face.talk(f"{seen.let_go} {told}")
    if seen.damaged or shelf.unreadable:
        lost = {"damaged": f"{seen.damaged}", "unreadable": f"{shelf.unreadable}"}
        raise Trouble([Fault("CG-AUD-08", lost)], exit_code=EXIT_DATA)
    return 0


def _writer(form: str, loaded: Loaded) -> Callable[[Record], None]:
    from gateway.sinks.line_protocol import LineProtocol
    from gateway.sinks.payload import Payload
    from gateway.sinks.table import HEADER, Table

    if form == "lp":
        lines = LineProtocol(desk.site(loaded))
        return lambda record: print(lines.encode(record))
    if form == "csv":
        table = Table(("*",))
        print(HEADER.decode(), end="")
        return lambda record: print(table.encode(record).decode())
    import msgspec

    payload = Payload()
    place = {"city": loaded.config.gateway.city, "gateway": loaded.config.gateway.id}

    def jsonl(record: Record) -> None:
        told = place | {"device": record.device, "stream": record.stream} | payload.form(record)
        print(msgspec.json.encode(told).decode())

    return jsonl
