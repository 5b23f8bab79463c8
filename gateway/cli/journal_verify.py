"""`citygate journal verify`: what each sink holds, against the journal; missing, doubled, altered records named."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from gateway.catalogue.fault import EXIT_FOUND, EXIT_UNAVAILABLE, Fault
from gateway.cli import journal_shelf as desk
from gateway.cli.face import Face

if TYPE_CHECKING:
    from gateway.audit import Reader
    from gateway.audit.compare import Finding, Tally
    from gateway.audit.expected import Expected
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
    from gateway.sinks.registry import guarded

    kind = loaded.config.sink[sink].kind
    try:
        reader = make_reader(loaded.config.sink[sink], site=desk.site(loaded), files=guarded(sink, loaded))
        return _compared(face, loaded, sink, reader=reader, within=within)
    except Unreadable as error:
        if error.code == NO_WAY_BACK and not named:
            face.talk(face.pick(f"{sink}: {error}; left out", f"{sink}: อ่านกลับไม่ได้ ข้ามไป"))
            return 0
        face.faults([Fault(error.code, {"sink": sink, "kind": kind}, seen=str(error))])
        return EXIT_UNAVAILABLE


def _compared(face: Face, loaded: Loaded, sink: str, *, reader: Reader, within: tuple[int, int]) -> int:
    """The account of one sink, told; the exit code. Raises `Unreadable`."""
    from gateway.audit.expected import Expected
    from gateway.audit.verify import Audit

    with desk.opened(loaded) as shelf:
        ledgers = shelf.ledgers()
        ledger = ledgers.get(sink)
        if ledger is None and not ledgers and shelf.journal.damages:  # the account may be what is damaged
            face.faults([Fault("CG-JRN-03", seen=shelf.journal.damages[0].reason)])
            return EXIT_FOUND
        if ledger is None:
            face.talk(face.pick(f"{sink}: has had no record yet", f"{sink}: ยังไม่มีระเบียน"))
            return 0
        expected = Expected(shelf, sink, ledger, desk.selection(loaded, sink), *within)
        audit = Audit(reader, tell=lambda finding: _finding(face, sink, finding), within_ms=within)
        verdict = audit.run(expected.records())
        _summary(face, sink, verdict, expected)
        whole = _told_unseen(face, sink, expected)
    return 0 if verdict.sound and whole else EXIT_FOUND


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


def _summary(face: Face, sink: str, verdict: Verdict, expected: Expected) -> None:
    tallies = [tally for _key, tally in sorted(verdict.tallies.items())]
    names = ("expected", "found", "missing", "doubled", "altered", "beyond")
    totals = {name: sum(getattr(tally, name) for tally in tallies) for name in names}
    rest = {"waiting": expected.waiting, "dead": expected.dead, "unspeakable": verdict.unspeakable}
    rest |= {"before": expected.before, **expected.unseen}
    sound = verdict.sound and not any(expected.unseen.values())
    if face.json:
        for tally in tallies:
            face.emit({"sink": sink, "series": _line(tally)})
        face.emit({"sink": sink, "sound": sound, **totals, **rest})
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
        times = _span(expected)
        args = {"sink": sink, **{name: f"{totals[name]}" for name in ("missing", "doubled", "altered")}, **times}
        face.faults([Fault("CG-AUD-04", args)])


def _told_unseen(face: Face, sink: str, expected: Expected) -> bool:
    """Say what could not be compared, and from when on everything can be; whether there was nothing of the kind."""
    from gateway.audit.seen import time_after
    from gateway.clock import rfc3339

    unseen = {name: count for name, count in expected.unseen.items() if count}
    if not unseen:
        if expected.before and not face.json:
            words = f"the journal begins behind {expected.before} positions, which it has let go of: not compared"
            face.talk(face.pick(f"{sink}: {words}", f"{sink}: เจอร์นัลปล่อยไปแล้ว {expected.before} ตำแหน่ง ไม่ได้เปรียบเทียบ"))
        return True
    from_ms = time_after(expected.shelf.journal, expected.upto, upto_ms=expected.latest_ms)
    whole = "" if from_ms is None else f"citygate journal verify {sink} --from {rfc3339(from_ms)}"
    args = {"sink": sink, **{name: f"{count}" for name, count in expected.unseen.items()}}
    face.faults([Fault("CG-AUD-07", args, do=whole)])
    return False


def _span(expected: Expected) -> dict[str, str]:
    from gateway.clock import rfc3339

    end_ms = expected.end_ms if expected.end_ms < desk.FOREVER_MS else expected.latest_ms + 1
    return {"start": rfc3339(max(expected.first_ms, expected.earliest_ms)), "end": rfc3339(end_ms)}
