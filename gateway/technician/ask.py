"""One question on a wire that nobody knows yet: what was heard, to the byte, and whether it was an answer.

Unlike the master it keeps all that came, right or wrong: a scan judges a wire by what it should not have heard.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from drivers.checksum import crc16_modbus
from drivers.line import LineSettings
from drivers.link import Link
from drivers.modbus.envelope import EXCEPTION, Request, tcp_data
from drivers.modbus.hunt import Frame, RtuHunt, frames_in
from gateway.technician.tap import Errors, Tap

TAIL_S: Final = 0.02
ECHO_S: Final = 0.03
_TRANSACTION: Final = b"\x43\x47"


@dataclass(frozen=True, slots=True)
class Heard:
    """What followed one request.

    Attributes:
        unit: who was asked. seen: all bytes that came, an echo included.
        data: the data of the answer; None without one. code: its exception code, 0 where it was none.
        reply_s: from the end of the request to the first byte of the answer.
        echoed: the request itself came back. spoilt_echo: something else came back, as the request left.
        others: whole frames that nobody asked for. errors: what the receiver counted meanwhile; None if it cannot.
    """

    unit: int
    seen: bytes = b""
    data: bytes | None = None
    code: int = 0
    reply_s: float = 0.0
    echoed: bool = False
    spoilt_echo: bool = False
    others: tuple[Frame, ...] = field(default=())
    errors: Errors | None = None

    @property
    def answered(self) -> bool:
        """An answer or an exception whose checksum holds."""
        return self.data is not None or self.code != 0

    @property
    def garbled(self) -> bool:
        """Bytes came that make no answer, beside an echo."""
        return not self.answered and not self.others and len(self.seen) - (8 if self.echoed else 0) >= 3


async def listen(link: Link, tap: Tap, *, seconds: float) -> tuple[bytes, Errors | None]:
    """Everything that comes while nobody of ours speaks. Raises `LinkError`."""
    loop = asyncio.get_running_loop()
    before, heard, until_s = tap.errors(), b"", loop.time() + seconds
    while (left_s := until_s - loop.time()) > 0:
        data, _t_s = await link.read(left_s)
        heard += data
    after = tap.errors()
    return heard, None if before is None or after is None else after - before


async def ask_rtu(link: Link, tap: Tap, *, request: Request, line: LineSettings, timeout_s: float) -> Heard:
    """Ask in RTU frames; waits at most `timeout_s` from the beginning of the request. Raises `LinkError`."""
    loop = asyncio.get_running_loop()
    before = tap.errors()
    early = link.flush()
    hunt = RtuHunt(request, echo=True)
    begin_s = loop.time()
    end_s = begin_s + len(request.rtu) * line.char_s
    await link.write(request.rtu)
    until_s, first_s = begin_s + timeout_s, 0.0
    while (left_s := until_s - loop.time()) > 0:
        data, t_s = await link.read(left_s)
        first_s = first_s or t_s
        if data and hunt.feed(data, t_s):
            break
        if data:  # hear the whole of it, even where it begins late
            until_s = max(until_s, loop.time() + max(TAIL_S, 20 * line.char_s)) if not _only_echo(hunt) else until_s
    hunt.frame or hunt.last_look()
    after = tap.errors()
    await asyncio.sleep(line.t35_s)
    frames, _ = frames_in(early, 0, end=len(early))
    others, _junk, _surplus = hunt.others() if hunt.seen else ([], 0, 0)
    seen = bytes(hunt.seen)
    early_bytes = bool(seen) and first_s < end_s + ECHO_S and not hunt.echoed
    frame = hunt.frame
    return Heard(
        request.unit,
        seen,
        data=frame.data if frame and not frame.code else None,
        code=frame.code if frame else 0,
        reply_s=max(0.0, hunt.time_at(hunt.start) - end_s) if frame else 0.0,
        echoed=hunt.echoed,
        spoilt_echo=early_bytes and frame is None and not others and abs(len(seen) - len(request.rtu)) <= 2,
        others=(*(one for one, _at in frames), *(one for one, _t_s in others)),
        errors=None if before is None or after is None else after - before,
    )


def _only_echo(hunt: RtuHunt) -> bool:
    return hunt.echoed and len(hunt.seen) == len(hunt.request.rtu)


async def ask_tcp(link: Link, *, request: Request, timeout_s: float) -> Heard:
    """Ask in Modbus TCP frames. Raises `LinkError`."""
    loop = asyncio.get_running_loop()
    link.flush()
    begin_s, seen = loop.time(), b""
    await link.write(_TRANSACTION + request.mbap)
    while (left_s := begin_s + timeout_s - loop.time()) > 0:
        data, t_s = await link.read(left_s)
        seen += data
        if seen.startswith(_TRANSACTION) and len(seen) >= 6 + int.from_bytes(seen[4:6], "big") > 6:
            told = tcp_data(request, seen)
            if isinstance(told, int):
                return Heard(request.unit, seen, code=told, reply_s=t_s - begin_s)
            return Heard(request.unit, seen, data=told, reply_s=t_s - begin_s)
    return Heard(request.unit, seen)


def requests_in(data: bytes) -> list[tuple[int, int]]:
    """Unit and function of every whole RTU read request (functions 1 to 4) in `data`: another master speaks."""
    found = []
    at = 0
    while at + 8 <= len(data):
        if 1 <= data[at + 1] & ~EXCEPTION <= 4 and crc16_modbus(data[at : at + 8]) == 0:
            found.append((data[at], data[at + 1]))
            at += 8
        else:
            at += 1
    return found
