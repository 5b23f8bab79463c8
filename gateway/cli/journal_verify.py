"""`citygate journal verify`: what each sink holds, against the journal; missing, doubled, altered records named."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from gateway.catalogue.fault import EXIT_FOUND, EXIT_UNAVAILABLE, Fault, Trouble
from gateway.cli import journal_shelf as desk
from gateway.cli.face import Face

if TYPE_CHECKING:
    from gateway.audit.compare import Finding, Tally
    from gateway.audit.selection import Due
    from gateway.audit.verify import Verdict
    from gateway.config.load import Loaded


@click.command("verify")
@click.argument("sinks", nargs=-1, metavar="[SINK]...")
@click.option("--from", "start", help="First time, UTC: 2026-11-21 or 2026-11-21T02:00:00Z.")
@click.option("--to", "end", help="End of the time (exclusive).")
@click.pass_obj
def verify(face: Face, *, sinks: tuple[str, ...], start: str | None, end: str | None) -> int:
    """Compare the databases and files with the journal. The daemon may run; what still waits is not expected."""
    from gateway.config.load import load

    loaded = load(face.config)
    within = desk.ms(start, 0), desk.ms(end, desk.FOREVER_MS)
    for name in sinks:
        desk.known(loaded, name)
    codes = [_one(face, loaded, name, within=within, named=bool(sinks)) for name in sinks or loaded.config.sink]
    return max(codes, default=0)


def _one(face: Face, loaded: Loaded, sink: str, *, within: tuple[int, int], named: bool) -> int:
    from gateway.audit import Unreadable
    from gateway.audit.registry import NO_WAY_BACK, make_reader
    from gateway.audit.selection import Due
    from gateway.audit.verify import Audit
    from gateway.sinks.registry import guarded

    kind = loaded.config.sink[sink].kind
    try:
        reader = make_reader(loaded.config.sink[sink], site=desk.site(loaded), files=guarded(sink, loaded))
        with desk.opened(loaded) as shelf:
            ledger = shelf.ledgers().get(sink)
            if ledger is None:
                face.talk(face.pick(f"{sink}: has had no record yet", f"{sink}: ยังไม่มีระเบียน"))
                return 0
            due = Due(shelf, sink, ledger, desk.chosen(loaded, sink), *within)
            audit = Audit(reader, tell=lambda finding: _finding(face, sink, finding), within_ms=within)
            verdict = audit.run(due.records())
    except Unreadable as error:
        if error.code == NO_WAY_BACK and not named:
            face.talk(face.pick(f"{sink}: {error}; left out", f"{sink}: อ่านกลับไม่ได้ ข้ามไป"))
            return 0
        fault = Fault(error.code, {"sink": sink, "kind": kind}, seen=str(error))
        raise Trouble([fault], exit_code=EXIT_UNAVAILABLE) from None
    _summary(face, sink, verdict, due)
    return 0 if verdict.sound else EXIT_FOUND


def _finding(face: Face, sink: str, finding: Finding) -> None:
    from gateway.clock import rfc3339

    key = finding.key
    if face.json:
        told = {"sink": sink, "finding": finding.what, **asdict(key), "t": rfc3339(finding.t_ms), "rev": finding.rev}
        face.emit(told | ({"detail": finding.detail} if finding.detail else {}))
        return
    rev = f" rev {finding.rev}" if finding.rev else ""
    detail = f": {finding.detail}" if finding.detail else ""
    face.data(f"{finding.what:<8} {sink} {key.device}/{key.stream} {rfc3339(finding.t_ms)}{rev}{detail}")


def _line(tally: Tally) -> dict[str, Any]:
    facts = asdict(tally)
    facts |= facts.pop("key")
    return facts | {"expected_hash": f"{tally.expected_hash:016x}", "found_hash": f"{tally.found_hash:016x}"}


def _summary(face: Face, sink: str, verdict: Verdict, due: Due) -> None:
    tallies = [tally for _key, tally in sorted(verdict.tallies.items())]
    names = ("expected", "found", "missing", "doubled", "altered", "beyond")
    totals = {name: sum(getattr(tally, name) for tally in tallies) for name in names}
    rest = {"waiting": due.waiting, "dead": due.dead, "unspeakable": verdict.unspeakable}
    if face.json:
        for tally in tallies:
            face.emit({"sink": sink, "series": _line(tally)})
        face.emit({"sink": sink, "sound": verdict.sound, **totals, **rest, "unreadable": due.shelf.unreadable})
    else:
        rows = [
            [f"{t.key.device}/{t.key.stream}", *(f"{getattr(t, name)}" for name in names), f"{t.found_hash:016x}"]
            for t in tallies
        ]
        if rows:
            face.table(rows, head=(sink, *names, "hash"), right=range(1, 7))
        words = ", ".join(f"{count} {name}" for name, count in (totals | rest).items() if count)
        face.data(f"{sink}: {words or 'nothing to compare'}")
    if not verdict.sound:
        times = _span(due)
        args = {"sink": sink, **{name: f"{totals[name]}" for name in ("missing", "doubled", "altered")}, **times}
        face.faults([Fault("CG-AUD-04", args)])


def _span(due: Due) -> dict[str, str]:
    from gateway.clock import rfc3339

    end_ms = due.end_ms if due.end_ms < desk.FOREVER_MS else due.latest_ms + 1
    return {"start": rfc3339(max(due.first_ms, due.earliest_ms)), "end": rfc3339(end_ms)}
