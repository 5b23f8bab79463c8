"""One exchange with a Modbus unit, recorded whole: every byte before, in and behind the answer, with its time.

The master wants values and throws the rest away; a diagnosis wants the rest.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from drivers.checksum import crc16_modbus
from drivers.link import Link
from drivers.modbus.envelope import Request

QUIET_S: Final = 0.06
"""Silence that ends an answer which is not whole: longer than the 16 ms of an FTDI adapter, and than a slow device."""
SHORT_S: Final = 0.2
"""The same while fewer bytes came than the answer has: they may be noise, and the answer still on its way."""
BEHIND_S: Final = 0.012
"""How long bytes behind a whole answer are waited for."""
TRANSACTION: Final = b"\x43\x47"


@dataclass(frozen=True, slots=True)
class Trace:
    """What one request brought.

    Attributes:
        request: what was asked; framing: "rtu" or "tcp".
        pieces: portions as they arrived, with seconds since the request had left. early: bytes from before it.
        timeout_s: the wait that the device is normally granted. char_s: time of a character, 0 on TCP.
    """

    request: Request
    framing: str
    pieces: tuple[tuple[float, bytes], ...] = ()
    early: bytes = b""
    timeout_s: float = 1.0
    char_s: float = 0.0

    @property
    def sent(self) -> bytes:
        """The frame as it left."""
        return self.request.rtu if self.framing == "rtu" else TRANSACTION + self.request.mbap

    @property
    def seen(self) -> bytes:
        """All bytes that came."""
        return b"".join(data for _t_s, data in self.pieces)

    @property
    def size_bytes(self) -> int:
        """Length of the answer that was asked for."""
        return self.request.byte_count + (5 if self.framing == "rtu" else 9)

    @property
    def head(self) -> bytes:
        """How that answer begins."""
        wanted = self.request
        rtu = bytes((wanted.unit, wanted.function, wanted.byte_count))
        return rtu if self.framing == "rtu" else TRANSACTION + wanted.answer

    @property
    def answer_at(self) -> int | None:
        """Offset in `seen` of the right and whole answer, None without one."""
        seen, at = self.seen, -1
        while (at := seen.find(self.head, at + 1)) >= 0:
            frame = seen[at : at + self.size_bytes]
            if len(frame) == self.size_bytes and (self.framing == "tcp" or crc16_modbus(frame) == 0):
                return at
        return None

    def time_at(self, offset: int) -> float:
        """Seconds from the request to the portion that holds the byte at `offset`."""
        end = 0
        for t_s, data in self.pieces:
            end += len(data)
            if offset < end:
                return t_s
        return self.pieces[-1][0] if self.pieces else 0.0


async def exchange(
    link: Link, request: Request, *, framing: str, timeout_s: float, patience_s: float, char_s: float = 0.0
) -> Trace:
    """Ask once and hear the whole of what comes; silence is waited out for `patience_s`. Raises `LinkError`."""
    loop = asyncio.get_running_loop()
    bare = Trace(request, framing, early=link.flush(), timeout_s=timeout_s, char_s=char_s)
    begin_s = loop.time() + len(bare.sent) * char_s
    await link.write(bare.sent)
    pieces: list[tuple[float, bytes]] = []
    until_s = begin_s + patience_s
    while (left_s := until_s - loop.time()) > 0:
        data, t_s = await link.read(left_s)
        if not data:
            break
        pieces.append((t_s - begin_s, data))
        heard = Trace(request, framing, tuple(pieces), bare.early, timeout_s, char_s)
        only_echo = framing == "rtu" and heard.seen == request.rtu
        short = len(heard.seen) < heard.size_bytes
        wait_s = BEHIND_S if heard.answer_at is not None else SHORT_S if short else QUIET_S
        until_s = until_s if only_echo else loop.time() + max(wait_s, 20 * char_s)
    return Trace(request, framing, tuple(pieces), bare.early, timeout_s, char_s)
