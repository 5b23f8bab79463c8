"""The sweep over line settings and unit ids: listen, test for an echo, ask, confirm three times, name.

One request an id; a unit counts only where it gave three answers that match unit, function and length. At a setting
where the receiver counts wrong parity bits or low stop bits in an answer, the unit is heard but the setting is not its
own: the sweep goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.line import LineSettings, line
from drivers.link import Link
from drivers.modbus.envelope import Request, build
from drivers.profile import Profile
from gateway.technician.ask import Heard, ask_rtu, ask_tcp, listen
from gateway.technician.naming import Name, known, names
from gateway.technician.symptoms import Evidence, Quiet
from gateway.technician.tap import Tap

LISTEN_S: Final = 1.5
NAMING_S: Final = 0.15
"""Longest wait for a register that a confirmed unit may not have; widened to three of its reply times."""
SETTINGS: Final = tuple(
    line(text)
    for text in (
        "9600 8N1", "19200 8E1", "9600 8E1", "19200 8N1", "4800 8N1", "38400 8N1",
        "38400 8E1", "4800 8E1", "9600 8O1", "19200 8O1", "38400 8O1", "4800 8O1",
    )
)  # fmt: skip
"""Four speeds in three parities, the settings that the known devices ship with first."""
MORE: Final = tuple(line(f"{baud} 8{parity}1") for baud in (2400, 115200, 57600, 1200) for parity in "NEO")
IDS: Final = tuple(range(1, 11))
ALL_IDS: Final = tuple(range(1, 248))


@dataclass(frozen=True, slots=True)
class Found:
    """A unit that answered three times: with which settings, how fast (s), and who it may be (best first)."""

    unit: int
    line: LineSettings | None
    reply_s: float
    code: int
    names: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Search:
    """What to try. `everything`: go on behind the first settings at which somebody answers."""

    settings: Sequence[LineSettings] = SETTINGS
    ids: Sequence[int] = IDS
    timeout_s: float = 0.3
    everything: bool = False

    def eta_s(self, done: int = 0) -> float:
        """Seconds that the questions behind the first `done` take where nobody answers, listening included."""
        left_s = 0.0 if done else LISTEN_S
        for number, one in enumerate(self.settings):
            asked = min(len(self.ids), max(0, done - number * len(self.ids)))
            left_s += (len(self.ids) - asked) * (self.timeout_s + one.t35_s)
        return left_s


Tell = Callable[[str, object], None]
"""Progress: ("quiet", Quiet), ("try", (settings, unit, seconds left)), ("found", Found)."""


async def sweep(
    tap: Tap, search: Search, *, tell: Tell, profiles: Sequence[Profile] | None = None
) -> tuple[list[Found], Evidence]:
    """Search a serial wire. Raises `LinkError`: the port cannot be used."""
    evidence, found = Evidence(tap.endpoint), []
    profiles = known() if profiles is None else profiles
    done = 0
    for number, settings in enumerate(search.settings):
        link = tap.link(settings)
        await link.open()
        try:
            if not number:
                evidence.quiet = Quiet(*await listen(link, tap, seconds=LISTEN_S))
                tell("quiet", evidence.quiet)
            for unit in search.ids:
                tell("try", (settings, unit, search.eta_s(done)))
                hit = await _try(link, tap, settings, unit=unit, search=search, evidence=evidence)
                done += 1
                if hit is not None:
                    one = await _named(link, tap, settings, hit=hit, search=search, profiles=profiles)
                    found.append(one)
                    tell("found", one)
        finally:
            await link.close()
        if found and not search.everything:
            break
    return found, evidence


async def _try(
    link: Link, tap: Tap, settings: LineSettings, *, unit: int, search: Search, evidence: Evidence
) -> Heard | None:
    """Ask a unit once, and twice more where anything came; its answer where all three are answers."""
    request = build(unit, "holding", address=0, count=2)
    heard = []
    for _again in range(3):
        heard.append(await ask_rtu(link, tap, request=request, line=settings, timeout_s=search.timeout_s))
        evidence.tries.append((settings, heard[-1]))
        if not (heard[-1].answered or heard[-1].garbled):
            break
    answers = [one for one in heard if one.answered]
    errors = [one.errors for one in answers if one.errors is not None]
    if len(answers) < 3 or any(one.parity or one.framing for one in errors):
        return None
    evidence.hits.append((settings, unit))
    return answers[0]


async def _named(
    link: Link, tap: Tap, settings: LineSettings, *, hit: Heard, search: Search, profiles: Sequence[Profile]
) -> Found:
    wait_s = min(search.timeout_s, max(NAMING_S, 3 * hit.reply_s))

    async def ask(request: Request) -> Heard:
        answer_s = request.rtu_size_bytes * settings.char_s
        return await ask_rtu(link, tap, request=request, line=settings, timeout_s=wait_s + answer_s)

    who = await names(ask, hit.unit, profiles=profiles)
    return Found(hit.unit, settings, hit.reply_s, hit.code, tuple(who))


async def sweep_host(
    links: Callable[[], Link], ids: Iterable[int], *, framing: str, timeout_s: float, tell: Tell
) -> list[Found]:
    """Search behind a TCP port with one framing ("tcp" or "rtu"). Raises `LinkError`: nobody listens there."""
    found: list[Found] = []
    wire = line("115200 8N1")
    profiles = known()
    for unit in ids:
        link = links()
        await link.open()

        async def ask(request: Request, link: Link = link) -> Heard:
            if framing == "tcp":
                return await ask_tcp(link, request=request, timeout_s=timeout_s)
            return await ask_rtu(link, _Mute(), request=request, line=wire, timeout_s=timeout_s)

        try:
            tell("try", (framing, unit, 0.0))
            heard = await ask(build(unit, "holding", address=0, count=2))
            absent = heard.code in {10, 11}  # the gateway speaks, not a device behind it
            if heard.answered and not absent:
                who = await names(ask, unit, profiles=profiles)
                found.append(Found(unit, None, heard.reply_s, heard.code, tuple(who)))
                tell("found", found[-1])
        finally:
            await link.close()
    return found


class _Mute:
    """A wire without counters."""

    endpoint = ""

    def link(self, settings: LineSettings) -> Link:
        raise NotImplementedError

    def errors(self) -> None:
        return None
