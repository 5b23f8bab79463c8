"""The shape of a stream-device family: pure functions of bytes, more of them for devices that are asked, and a framer.

A family file (`drivers/uart/<family>.py`) holds one `FAMILY` and its functions, nothing else:
no asyncio, no clock, no logging.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

LOOKS: Final = 32  # times that a byte of the stream may be looked at again behind a rejected head, on average
SAVED_LOOKS: Final = 1 << 19  # bytes that may be looked at again in one go
Value: TypeAlias = "float | int | str | tuple[Value, ...] | None"


@dataclass(frozen=True, slots=True)
class Facts:
    """All that one frame says, under the keys of captures/README.md (descriptive names, device's own units).

    A value is None where the device says "not available"; (number, unit) or (number, unit, time) where the unit
    is printed beside it. `part` is "lane1", "ch2" ... or "".
    `warming` is set where the frame itself shows a warm-up (all zero).
    `fault` is the device's own word, or proof in the frame, that the numbers are not to be believed (code `sensor`);
    `doubt` the same for numbers that are usable with care (code `suspect`).
    `once` names the interval or event: the same one again from the same part is not a new sample.
    """

    fields: Mapping[str, Value]
    part: str = ""
    warming: bool = False
    fault: str = ""
    doubt: str = ""
    once: str = ""


@dataclass(frozen=True, slots=True)
class Cut:
    """What stands at the head of a buffer: `size` bytes of junk, of one frame, or of a rejected candidate.

    A rejected candidate (`reason` set, for example "checksum") is reported with its size, but the search goes
    on one byte behind its head: the real frame may lie inside it (devices.md 0.2). See `Framer.patience`.
    """

    size: int
    frame: bool = False
    reason: str = ""


def judged(size: int, *, good: bool, reason: str = "checksum") -> Cut:
    """A frame of `size` bytes if it is `good`, else a candidate rejected for `reason`."""
    return Cut(size, frame=True) if good else Cut(size, reason=reason)


def _no_more(_facts: Sequence[Facts]) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Family:
    """One family of stream devices.

    cut(buffer): what stands at the head of the buffer, or None when more bytes are needed to tell.
    decode(frame, variant): the facts of one whole, checked frame; raises `BadFrame` where its layout does not hold,
        `DeviceRefused` where the device answers with an error; an empty tuple for frames that carry no measurement
        (command replies).
    start: commands sent when the port was opened. ask(unit, count): the request of the count-th poll.
    again: what got lost is asked for with the same count (twice at most), and the device says it again.
    whole(facts): true when the facts gathered so far complete the answer to `ask`.
    match(frame, unit, count): whether the frame answers that request.
    wake, rest: commands before and after each poll of a device that sleeps between polls (`duty` of its profile).
    more(facts): true when the device has more to tell (an event queue), so that the same poll asks again.
    reply(frame): what the host must say to a frame (acknowledgement, next step of a session), b"" for nothing.
    tuned(frame, baud): where the link's speed can change, what to say instead of `reply` on a line of `baud`, and the
        speed at which both sides go on after it; None for "as `reply`".
    gap_s: a silence longer than this never lies inside a frame; what is unfinished then is truncated.
    react_s: the longest time until the first byte of an answer, where it is shorter than the whole answer's timeout.
    """

    name: str
    cut: Callable[[bytes], Cut | None]
    decode: Callable[[bytes, str], tuple[Facts, ...]]
    start: tuple[bytes, ...] = ()
    ask: Callable[[int, int], bytes] | None = None
    wake: tuple[bytes, ...] = ()
    rest: tuple[bytes, ...] = ()
    whole: Callable[[Sequence[Facts]], bool] = bool
    match: Callable[[bytes, int, int], bool] = field(default=lambda _frame, _unit, _count: True)
    more: Callable[[Sequence[Facts]], bool] = _no_more
    reply: Callable[[bytes], bytes] = field(default=lambda _frame: b"")
    tuned: Callable[[bytes, int], tuple[bytes, int] | None] = field(default=lambda _frame, _baud: None)
    gap_s: float = 0.5
    react_s: float | None = None
    again: bool = False

    @property
    def queues(self) -> bool:
        """Whether the device has a queue: what it has told is gone from there, and told to nobody again."""
        return self.more is not _no_more


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the stream that the framer has judged: a frame, or a rejected candidate with its reason."""

    offset: int
    data: bytes
    reason: str = ""


def junk(buffer: bytes, head: bytes) -> int:
    """Bytes in front of the first `head`, or of what may become one at the end of the buffer."""
    at = buffer.find(head)
    if at >= 0:
        return at
    for kept in range(min(len(head) - 1, len(buffer)), 0, -1):
        if buffer.endswith(head[:kept]):
            return len(buffer) - kept
    return len(buffer)


@dataclass(slots=True)
class Framer:
    """Cuts a stream of bytes into frames, whatever the portions they arrive in. Holds at most `limit` bytes.

    `offset` is the place of the buffer's first byte in the stream, `junk_bytes` counts bytes that were no frame's.
    `patience` is how many bytes may still be looked at again behind rejected heads: where every byte can be a head
    (a peer that sends one byte for ever), the work and the evidence would grow with the square of what it says.
    """

    family: Family
    limit: int = 65536
    offset: int = 0
    junk_bytes: int = 0
    buffer: bytearray = field(default_factory=bytearray)
    patience: int = SAVED_LOOKS

    def feed(self, data: bytes) -> list[Piece]:
        """Frames and rejected candidates completed by `data`; junk between frames is only counted."""
        self.buffer += data
        self.patience = min(SAVED_LOOKS, self.patience + LOOKS * len(data))
        return self._cut(final=False)

    def finish(self) -> list[Piece]:
        """The stream paused or ended: what waits for more bytes is truncated; a frame inside it is still found."""
        return self._cut(final=True)

    def _cut(self, *, final: bool) -> list[Piece]:
        pieces: list[Piece] = []
        while self.buffer:
            cut = self.family.cut(bytes(self.buffer))
            if cut is None:
                if not final and len(self.buffer) <= self.limit:
                    break
                cut = self._unfinished() if final else Cut(1, reason="endless")
            if cut.frame or cut.reason:
                pieces.append(Piece(self.offset, bytes(self.buffer[: cut.size]), cut.reason))
            step = self._behind(cut) if cut.reason else cut.size
            del self.buffer[:step]
            self.offset += step
            self.junk_bytes += 0 if cut.frame else step
        return pieces

    def _behind(self, rejected: Cut) -> int:
        """Where the search goes on: one byte behind the head, or behind it all when the patience is used up."""
        looked = len(self.buffer) if rejected.reason == "endless" else rejected.size
        if looked > self.patience:
            return looked
        self.patience -= looked
        return 1

    def _unfinished(self) -> Cut:
        """What never became a frame: a line end or a few bytes of a head are no candidate."""
        blank = len(self.buffer) < 4 or not self.buffer.strip(b"\r\n \x00\xff")
        return Cut(len(self.buffer), reason="" if blank else "truncated")
