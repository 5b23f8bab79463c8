"""The shape of a stream-device family: three pure functions of bytes and a framer that runs them.

A family file (`drivers/uart/<family>.py`) holds one `FAMILY` and its functions, nothing else:
no asyncio, no clock, no logging.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

Value: TypeAlias = float | int | str | None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that one frame says, under the keys of captures/README.md (descriptive names, device's own units).

    A value is None where the device says "not available". `part` is "lane1", "ch2" ... or "".
    `warming` is set where the frame itself shows a warm-up (all zero).
    """

    fields: Mapping[str, Value]
    part: str = ""
    warming: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """What stands at the head of a buffer: `size` bytes of junk, of one frame, or of a rejected candidate.

    A rejected candidate (`reason` set, for example "checksum") is reported with its size, but the search goes
    on one byte behind its head: the real frame may lie inside it (devices.md 0.2).
    """

    size: int
    frame: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """One family of stream devices.

    cut(buffer): what stands at the head of the buffer, or None when more bytes are needed to tell.
    decode(frame, variant): the facts of one whole, checked frame; raises `BadFrame` where its layout does not hold;
        an empty tuple for frames that carry no measurement (command replies).
    start: commands sent when the port was opened. ask(unit, count): the request of the count-th poll.
    whole(facts): true when the facts gathered so far complete the answer to `ask`.
    match(frame, unit, count): whether the frame answers that request.
    """

    name: str
    cut: Callable[[bytes], Cut | None]
    decode: Callable[[bytes, str], tuple[Facts, ...]]
    start: tuple[bytes, ...] = ()
    ask: Callable[[int, int], bytes] | None = None
    whole: Callable[[Sequence[Facts]], bool] = bool
    match: Callable[[bytes, int, int], bool] = field(default=lambda _frame, _unit, _count: True)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the stream that the framer has judged: a frame, or a rejected candidate with its reason."""

    offset: int
    data: bytes
    reason: str = ""


@dataclass(slots=True)
class Framer:
    """Cuts a stream of bytes into frames, whatever the portions they arrive in. Holds at most `limit` bytes."""

    family: Family
    limit: int = 65536
    offset: int = 0
    buffer: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> list[Piece]:
        """Frames and rejected candidates completed by `data`; junk between frames is skipped silently."""
        self.buffer += data
        pieces: list[Piece] = []
        while self.buffer:
            cut = self.family.cut(bytes(self.buffer))
            if cut is None:
                if len(self.buffer) <= self.limit:
                    break
                cut = Cut(1, reason="endless")
            if cut.frame or cut.reason:
                pieces.append(Piece(self.offset, bytes(self.buffer[: cut.size]), cut.reason))
            step = 1 if cut.reason else cut.size
            del self.buffer[:step]
            self.offset += step
        return pieces
