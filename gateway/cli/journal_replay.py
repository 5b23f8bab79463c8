"""`citygate journal replay` and `journal dead`: sending again through the running daemon."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.catalogue.fault import EXIT_DATA, EXIT_FOUND, EXIT_USAGE, Fault, Trouble
from gateway.cli import journal_shelf as desk
from gateway.cli.face import Face
from gateway.cli.words import Misuse

if TYPE_CHECKING:
    from gateway.audit.expected import Letter

LOOK_S: Final = 0.1
TAKEN: Final = frozenset({"delivered", "sent", "unheard", "superseded"})  # of the last, a newer revision is there


_ACCOUNT: Final[Mapping[str, Any]] = {"number": 0, "found": 0, "fates": {}, "reasons": {}, "done": True}


@click.command("replay")
@click.option("--sink", required=True, help="The sink to send to again.")
@click.option("--from", "start", help="First time, UTC: 2026-11-21 or 2026-11-21T02:00:00Z.")
@click.option("--to", "end", help="End of the time (exclusive); without it, until now.")
@click.option("--unheard", is_flag=True, help="Only records that the broker took while nobody listened.")
@click.option("--stop", is_flag=True, help="End the order that goes on; what is on its way still counts.")
@click.option("--wait", "wait_s", default=600.0, show_default=True, help="Seconds to wait for the end.")
@click.pass_obj
def replay(
    face: Face, *, sink: str, start: str | None, end: str | None, unheard: bool, stop: bool, wait_s: float
) -> int:
    """Send records again, with the identity that they had, through the running daemon.

    One order at a time for each sink: a second one is refused until the first is done, or stopped. Exit 1 where not
    all of them were taken, or the wait was over before.
    """
    from gateway.config.load import load

    desk.known(load(face.config), sink)
    if stop:
        from gateway.cli.socket import ask

        return _told(face, sink, {**_ACCOUNT, **ask(face, {"ask": "replay", "sink": sink, "stop": True})})
    if start is None:
        raise Misuse("name --from, or --stop", "ระบุ --from หรือ --stop")
    order = {"from_ms": desk.ms(start, 0), "to_ms": desk.ms(end, desk.FOREVER_MS), "unheard": unheard}
    return _told(face, sink, _driven(face, sink, order, wait_s=wait_s))


def _driven(face: Face, sink: str, order: Mapping[str, Any], *, wait_s: float) -> dict[str, Any]:
    """Give the order and wait until it is done, or the time is over."""
    from gateway.cli.socket import ask

    answer = ask(face, {"ask": "replay", "sink": sink, **order})
    until_s = time.monotonic() + wait_s
    while not answer["done"] and time.monotonic() < until_s:
        time.sleep(LOOK_S)
        now = ask(face, {"ask": "replay", "sink": sink, "number": answer["number"]})
        if "number" not in now:  # the daemon started anew and knows nothing of it
            return {**answer, "fact": "the gateway was restarted; give the order again"}
        answer = now
    return answer


def _told(face: Face, sink: str, answer: Mapping[str, Any]) -> int:
    fates: dict[str, int] = answer["fates"]
    if face.json:
        face.emit({"schema": 1, "sink": sink, **answer})
    else:
        words = ", ".join(f"{count} {fate}" for fate, count in fates.items()) or face.pick("none", "ไม่มี")
        face.data(
            face.pick(f"{sink}: {answer['found']} to send again: {words}", f"{sink}: ส่งซ้ำ {answer['found']}: {words}")
        )
        for reason, count in answer["reasons"].items():
            face.data(f"  {count} x {reason}")
        if not answer["done"]:
            fact = f"{answer['state']} {answer['fact']}".strip()
            face.talk(face.pick(f"it goes on; the sink is {fact}", f"ยังดำเนินต่อ ปลายทาง: {fact}"))
    taken = sum(count for fate, count in fates.items() if fate in TAKEN)
    return 0 if answer["done"] and taken == answer["found"] else EXIT_FOUND


@click.group("dead")
def dead() -> None:
    """Dead letters: records that a sink refused for good, with the reason."""


@dead.command("list")
@click.option("--sink", help="Only of this sink.")
@click.pass_obj
def listed(face: Face, *, sink: str | None) -> int:
    """All of them, oldest first."""
    letters = _letters(face, sink)
    if face.json:
        for letter in letters:
            face.emit(_facts(letter))
        return 0
    rows = [[f"{letter.position}", letter.sink or "-", _name(letter), letter.reason] for letter in letters]
    if rows:
        face.table(
            rows, head=("#", face.pick("sink", "ปลายทาง"), face.pick("record", "ระเบียน"), face.pick("reason", "เหตุผล"))
        )
    face.talk(face.pick(f"{len(letters)} dead letters", f"จดหมายตีกลับ {len(letters)}"))
    return 0


@dead.command("show")
@click.argument("number", type=int)
@click.pass_obj
def show(face: Face, *, number: int) -> int:
    """One of them: the record as it was, and why it was refused."""
    letter = next((one for one in _letters(face, None, start=number) if one.position == number), None)
    if letter is None:
        raise Trouble([Fault("CG-AUD-05", {"number": f"{number}"})], exit_code=EXIT_DATA)
    facts = _facts(letter)
    if face.json:
        face.emit(facts)
        return 0
    from gateway.cli.dead_reasons import explained

    face.facts([(name, f"{value}") for name, value in facts.items() if name != "record"])
    face.facts([(face.pick("means", "หมายถึง"), explained(face, letter.reason))])
    if "record" in facts:
        import json

        face.data(json.dumps(facts["record"], ensure_ascii=False, indent=2))
    return 0


@dead.command("requeue")
@click.argument("numbers", nargs=-1, type=int, metavar="[NUMBER]...")
@click.option("--sink", help="All of this sink.")
@click.option("--wait", "wait_s", default=120.0, show_default=True, help="Seconds to wait for the end.")
@click.pass_obj
def requeue(face: Face, *, numbers: tuple[int, ...], sink: str | None, wait_s: float) -> int:
    """Send them again. One that is taken is a dead letter no more; one that is refused again stays."""
    if not numbers and sink is None:
        raise Misuse("name NUMBER... or --sink", "ระบุ NUMBER... หรือ --sink")
    letters = [one for one in _letters(face, sink, start=min(numbers, default=0)) if one.record is not None]
    missing = set(numbers) - {one.position for one in letters}
    if missing:
        raise Trouble([Fault("CG-AUD-05", {"number": f"{min(missing)}"})], exit_code=EXIT_USAGE)
    chosen = [one for one in letters if not numbers or one.position in numbers]
    codes = [0]
    for name in sorted({one.sink for one in chosen}):
        order = {"letters": [one.position for one in chosen if one.sink == name]}
        codes.append(_told(face, name, _driven(face, name, order, wait_s=wait_s)))
    return max(codes)


def _letters(face: Face, sink: str | None, *, start: int = 0) -> list[Letter]:
    """Those from a position on: what is noted of a letter stands behind it."""
    from gateway.config.load import load

    with desk.opened(load(face.config)) as shelf:
        letters = [letter for letter in shelf.letters(start=start) if sink is None or letter.sink == sink]
        lost = sum(max(0, damage.last - max(damage.first, start) + 1) for damage in shelf.journal.damages)
    if lost:
        words = f"{lost} positions of the journal cannot be read: letters may be among them"
        face.talk(face.pick(words, f"เจอร์นัลอ่านไม่ได้ {lost} ตำแหน่ง อาจมีจดหมายตีกลับอยู่ด้วย"))
    return letters


def _name(letter: Letter) -> str:
    from gateway.clock import rfc3339

    record = letter.record
    if record is None:
        return "?"
    return f"{record.device}/{record.stream} {rfc3339(record.t_ms)}" + (f" rev {record.rev}" if record.rev else "")


def _facts(letter: Letter) -> dict[str, Any]:
    from gateway.sinks.payload import Payload

    facts: dict[str, Any] = {"number": letter.position, "sink": letter.sink, "reason": letter.reason}
    record = letter.record
    if record is not None:
        facts["record"] = {"device": record.device, "stream": record.stream} | Payload().form(record)
    return facts
