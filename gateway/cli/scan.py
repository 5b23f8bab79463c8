"""`citygate scan`: finds devices over line settings and unit ids, names them, and judges the wiring by its symptoms."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.catalogue.fault import EXIT_FOUND, Fault
from gateway.cli.again import again
from gateway.cli.face import Face
from gateway.cli.loan import borrowed
from gateway.cli.target import Target, target
from gateway.cli.words import Misuse

if TYPE_CHECKING:
    from drivers.line import LineSettings
    from gateway.technician.sweep import Found, Search

HOST_IDS: Final = (1, 255, 0, *range(2, 11))


@click.command("scan")
@click.argument("where", metavar="BUS|PORT|HOST[:PORT]")
@click.option("--line", "lines", multiple=True, help='Try these settings only, such as "9600 8N1"; may be repeated.')
@click.option("--ids", default="", help="Unit ids to try, such as 1-10 or 3,7 [1-10].")
@click.option("--all", "everything", is_flag=True, help="Go on behind the first hit; more speeds; ids 1-247.")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(0.05, 5.0), default=0.3, show_default=True, help="Wait for each, s."
)
@click.pass_obj
def command(face: Face, *, where: str, lines: Sequence[str], ids: str, everything: bool, timeout_s: float) -> int:
    """Find devices on a bus, a port or a host. Sends read requests only. Exit 1 where nobody or a fault was found."""
    wire = target(face, where)
    wanted = _ids(ids)
    if wire.port:
        search = _search(wire, lines, wanted, everything=everything, timeout_s=timeout_s)
        found, faults = borrowed(face, wire, work=lambda: _serial(face, wire, search))
    else:
        numbers = wanted or (range(256) if everything else HOST_IDS)
        found, faults, framing = borrowed(face, wire, work=lambda: _host(face, wire, numbers, timeout_s=timeout_s))
        wire = replace(wire, framing=framing)
    _say_end(face, wire, found, faults)
    return 0 if found and all(fault.warning for fault in faults) else EXIT_FOUND


def _ids(text: str) -> tuple[int, ...]:
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, _dash, last = part.partition("-")
        if not first.isdigit() or not (last or first).isdigit() or not 0 <= int(first) <= int(last or first) <= 255:
            raise Misuse(f"--ids {text}: write 1-10 or 3,7 (0 to 255)", f"--ids {text}: เขียน 1-10 หรือ 3,7 (0 ถึง 255)")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def _search(wire: Target, lines: Sequence[str], ids: tuple[int, ...], *, everything: bool, timeout_s: float) -> Search:
    from drivers.errors import DriverError
    from drivers.line import line
    from gateway.technician.sweep import ALL_IDS, IDS, MORE, SETTINGS, Search

    try:
        settings = tuple(line(text) for text in lines)
    except DriverError as error:
        raise Misuse(str(error), f"ค่าตั้งสายไม่ถูกต้อง: {error}") from None
    if not settings:
        usual = (*SETTINGS, *(MORE if everything else ()))
        settings = usual if wire.line is None else (wire.line, *(one for one in usual if one != wire.line))
    return Search(settings, ids or (ALL_IDS if everything else IDS), timeout_s, everything)


async def _serial(face: Face, wire: Target, search: Search) -> tuple[list[Found], list[Fault]]:
    from gateway.technician.sweep import sweep
    from gateway.technician.symptoms import findings
    from gateway.technician.tap import SerialTap

    lines, ids = len(search.settings), len(search.ids)
    about = f"{search.eta_s():.0f} s"
    face.talk(
        face.pick(
            f"listening, then {lines} line settings x {ids} ids: at most about {about}",
            f"ฟังก่อน แล้วลอง {lines} ค่าตั้งสาย x {ids} ที่อยู่ ไม่เกินประมาณ {about}",
        )
    )
    found, evidence = await sweep(SerialTap(wire.port), search, tell=_Teller(face, wire))
    return found, findings(evidence, configured=wire.line)


async def _host(
    face: Face, wire: Target, ids: Sequence[int], *, timeout_s: float
) -> tuple[list[Found], list[Fault], str]:
    """Both framings in turn: a device that speaks Modbus TCP, or a converter of RTU frames; and which it was."""
    from drivers.link import Link, TcpLink
    from gateway.technician.sweep import sweep_host

    def link() -> Link:
        return TcpLink(wire.host, wire.tcp_port)

    endpoint = f"{wire.host}:{wire.tcp_port}"
    for framing in ("tcp", "rtu"):
        teller = _Teller(face, wire, framing)
        found = await sweep_host(link, ids, framing=framing, timeout_s=timeout_s, tell=teller)
        if found:
            wrong = wire.framing not in {"", framing}
            args = {"endpoint": endpoint, "found": framing, "configured": wire.framing}
            faults = [Fault("CG-BUS-18", args)] if wrong else []
            if any(one.everywhere for one in found):
                faults.append(Fault("CG-DEV-07", {"endpoint": endpoint}, warning=True))
            return found, faults, framing
    seen = f"unit ids {', '.join(map(str, ids[:12]))}; tcp, rtu"
    return [], [Fault("CG-BUS-17", {"endpoint": endpoint}, seen=seen)], wire.framing


class _Teller:
    """Says what happens while it happens: found units to stdout, progress to a terminal's stderr."""

    def __init__(self, face: Face, wire: Target, framing: str = "") -> None:
        self._face, self._wire, self._framing = face, wire, framing
        self._live = sys.stderr.isatty() and not face.json

    def __call__(self, what: str, thing: Any) -> None:
        if what == "found":
            self._clear()
            self._found(thing)
        elif what == "try" and self._live:
            settings, unit, left_s = thing
            left = f"  {left_s:.0f} s" if left_s else ""
            sys.stderr.write(f"\r{settings}  id {unit}{left}   ")
            sys.stderr.flush()

    def _clear(self) -> None:
        if self._live:
            sys.stderr.write("\r" + " " * 39 + "\r")

    def _found(self, one: Found) -> None:
        face = self._face
        if face.json:
            face.emit(as_json(one, self._wire, framing=self._framing))
            return
        setting = self._framing if one.line is None else str(one.line)
        who = ", ".join(f"{name.profile} ({name.held}/{name.checks})" for name in one.names)
        unknown = face.pick("answers; no known profile fits", "ตอบ แต่ไม่ตรงกับโพรไฟล์ที่รู้จัก")
        face.data(
            f"{face.paint(face.pick('FOUND', 'พบ'), 'green')} id {one.unit}  {setting}  {one.reply_s * 1e3:.0f} ms"
        )
        face.facts([("", who or unknown)])


def asked_once(face: Face, wire: Target, *, unit: int) -> list[str]:
    """The profiles whose fingerprints fit the unit, asked with the bus's own settings; empty where it is silent."""
    search = _search(wire, [str(wire.line)], (unit,), everything=False, timeout_s=1.0)
    found, _faults = borrowed(face, wire, work=lambda: _serial(face, wire, search))
    return [name.profile for one in found for name in one.names]


def as_json(one: Found, wire: Target, *, framing: str = "") -> dict[str, Any]:
    """One unit that was found, as a line of JSON."""
    return {
        "schema": 1,
        "type": "found",
        "wire": wire.name,
        "unit": one.unit,
        "line": None if one.line is None else str(one.line),
        "framing": framing or "rtu",
        "reply_ms": round(one.reply_s * 1e3, 1),
        "exception": one.code or None,
        "profiles": [{"profile": name.profile, "held": name.held, "checks": name.checks} for name in one.names],
    }


def _say_end(face: Face, wire: Target, found: Sequence[Found], faults: Sequence[Fault]) -> None:
    face.faults(faults)
    if face.json:
        face.emit({"schema": 1, "type": "summary", "wire": wire.name, "found": len(found), "faults": len(faults)})
        return
    for one in found:
        face.data(f"{face.pick('next', 'ต่อไป')}: {again(face, add_words(wire, one))}")


def add_words(wire: Target, one: Found) -> str:
    """The words behind `citygate` that add a found unit to the config."""
    profile = f" --profile {one.names[0].profile}" if one.names else " --profile NAME"
    framing = " --framing rtu" if wire.framing == "rtu" and wire.host and not wire.bus else ""
    return f"add {wire.bus or wire.name}/{one.unit}{profile}" + _line_of(wire, one.line) + framing


def _line_of(wire: Target, found: LineSettings | None) -> str:
    return f' --line "{found}"' if found is not None and not wire.bus else ""
