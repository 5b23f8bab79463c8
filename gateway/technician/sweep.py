"""The sweep over line settings and unit ids: listen, test for an echo, ask, confirm three times, name.

One request an id; a unit counts only where it gave three answers that match unit, function and length. At a setting
where the receiver counts wrong parity bits or low stop bits in an answer, the unit is heard but the setting is not its
own: the sweep goes on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
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
NOBODY: Final = (246, 173)
"""Ids that hardly anybody gives a device: who answers under both of them answers under all."""
ABSENT: Final = frozenset({10, 11})
"""Exceptions that a gateway sends for itself: there is no device behind it (Modbus application protocol V1.1b3, 7)."""


@dataclass(frozen=True, slots=True)
class Found:
    """A unit that answered three times: with which settings, how fast (s), and who it may be (best first).

    `everywhere`: behind a TCP port, whoever answers here answers under ids that nobody has, too.
    """

    unit: int
    line: LineSettings | None
    reply_s: float
    code: int
    names: tuple[Name, ...]
    everywhere: bool = False


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
    """Search behind a TCP port with one framing ("tcp" or "rtu"). Raises `LinkError`: nobody listens there.

    Many TCP devices do not look at the unit id, and some gateways answer for ids that nobody has: whoever answers as
    ids do that hardly anybody gives is one device, found once (`everywhere`).
    """
    port = _Port(links, framing, timeout_s, known())
    found: list[Found] = []
    alike: Heard | None = None
    strangers: list[Heard] = []
    for unit in ids:
        tell("try", (framing, unit, 0.0))
        heard = await port.first(unit)
        if not heard.answered:
            continue
        strangers = strangers or [await port.first(stranger) for stranger in NOBODY]
        if not all(one.answered and one.code == heard.code for one in strangers):
            found.append(await port.named(heard))
            tell("found", found[-1])
            continue
        alike = alike or heard
        if not heard.code:
            break  # values under every id: the other ids are the same device
    if alike is not None and not found:
        found.append(await port.named(alike, everywhere=True))
        tell("found", found[-1])
    return found


@dataclass(frozen=True, slots=True)
class _Port:
    """A TCP port, asked with one framing over a connection for each unit."""

    links: Callable[[], Link]
    framing: str
    timeout_s: float
    profiles: Sequence[Profile]

    async def first(self, unit: int) -> Heard:
        """What a unit answers to the first question; nothing where the gateway says that nobody is there."""
        async with self._asking() as ask:
            heard = await ask(build(unit, "holding", address=0, count=2))
        return Heard(unit, heard.seen) if heard.code in ABSENT else heard

    async def named(self, heard: Heard, *, everywhere: bool = False) -> Found:
        """The unit that answered, with the profiles that fit it."""
        async with self._asking() as ask:
            who = await names(ask, heard.unit, profiles=self.profiles)
        return Found(heard.unit, None, heard.reply_s, heard.code, tuple(who), everywhere)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[Callable[[Request], Awaitable[Heard]]]:
        link = self.links()
        await link.open()

        async def ask(request: Request) -> Heard:
            if self.framing == "tcp":
                return await ask_tcp(link, request=request, timeout_s=self.timeout_s)
            settings = line("115200 8N1")
            return await ask_rtu(link, _Mute(), request=request, line=settings, timeout_s=self.timeout_s)

        try:
            yield ask
        finally:
            await link.close()


class _Mute:
    """A wire without counters."""

    endpoint = ""

    def link(self, settings: LineSettings) -> Link:
        raise NotImplementedError

    def errors(self) -> None:
        return None
