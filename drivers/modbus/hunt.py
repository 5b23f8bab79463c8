"""The hunt for RTU answers in a stream of bytes: by unit, function, length and checksum, never by gaps between bytes.

USB adapters cut answers into pieces with gaps of 16 ms, far longer than 3.5 characters (devices.md 1.2): silence frames
nothing here. No clock, no I/O: bytes and the times of their arrival come in, frames go out.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from drivers.checksum import crc16_modbus
from drivers.modbus.envelope import EXCEPTION, MAX_ADU_BYTES, Request, Shape

_KEEP_BYTES: Final = 1024


class Frame(NamedTuple):
    """A whole RTU answer whose checksum holds. `code` is the exception code, 0 for an answer with data."""

    unit: int
    shape: Shape
    code: int
    data: bytes


def frame_at(buffer: bytes | bytearray, start: int) -> tuple[Frame, int] | None:
    """The RTU answer (functions 1 to 4) that stands whole at `start`, with its end; None if there is none."""
    if len(buffer) - start < 5:
        return None
    function = buffer[start + 1]
    refused = function >= EXCEPTION
    if not 1 <= function & 0x7F <= 4:
        return None
    end = start + (5 if refused else 5 + buffer[start + 2])
    if end > len(buffer) or crc16_modbus(buffer[start:end]) != 0:
        return None
    third = buffer[start + 2]
    shape = (function & 0x7F, 0 if refused else third)
    return Frame(buffer[start], shape, third if refused else 0, bytes(buffer[start + 3 : end - 2])), end


def frames_in(buffer: bytes | bytearray, begin: int, *, end: int) -> tuple[list[tuple[Frame, int]], int]:
    """All whole RTU answers in a stretch of `buffer` with their offsets, and how many bytes belong to none."""
    frames: list[tuple[Frame, int]] = []
    at, junk = begin, 0
    while at < end:
        found = frame_at(buffer, at)
        if found is None or found[1] > end:
            junk += 1
            at += 1
        else:
            frames.append((found[0], at))
            at = found[1]
    return frames, junk


class RtuHunt:
    """The hunt for the answer to one request in the bytes that follow it.

    Junk before the frame, an echo of the request, frames of others and one byte at a time are all the same to it. Since
    every wanted answer has the same size, the first whole one with a right checksum is found however many false
    heads stand before it. A rejected candidate is left by one byte, not by its length.

    Attributes:
        frame: the answer, or an exception answer, once it is found.
        end: offset behind it in `seen`, all that has come.
        spoiled: a candidate of the right head and length had a wrong checksum.
    """

    def __init__(self, request: Request, *, echo: bool = False) -> None:
        self.request = request
        self.frame: Frame | None = None
        self.spoiled = False
        self.echoed = False
        self.seen = bytearray()
        self._strip_echo = echo
        self._marks: list[tuple[int, float]] = []
        self._head = bytes((request.unit, request.function, request.byte_count))
        self._refusal = bytes((request.unit, request.function | EXCEPTION))
        self._from = 0
        self.end = 0

    @property
    def pending(self) -> bool:
        """A head of the wanted answer stands there and its end has not come yet."""
        return self.seen.find(self._head, self._from) >= 0

    def feed(self, data: bytes, t_s: float) -> bool:
        """More bytes, whose first arrived at `t_s`; true when the answer is there."""
        self._marks.append((len(self.seen), t_s))
        self.seen += data
        if not self.echoed and self.seen.startswith(self.request.rtu):
            self.echoed = True
            self._from = len(self.request.rtu) if self._strip_echo or self.request.byte_count != 3 else 0
        if len(self.seen) > 2 * _KEEP_BYTES:
            gone = len(self.seen) - _KEEP_BYTES
            del self.seen[:gone]
            self._from = max(0, self._from - gone)
            self._marks = [(max(0, begin - gone), then_s) for begin, then_s in self._marks[-_KEEP_BYTES:]]
        return self._search()

    def last_look(self) -> bool:
        """Nothing more will come: look behind heads that wait for their end; true when the answer is there."""
        for at in range(self._from, len(self.seen) - 4):
            if self.seen.startswith((self._head, self._refusal), at):
                found = frame_at(self.seen, at)
                if found is not None:
                    self.frame, self.end = found
                    return True
        return False

    def resume(self) -> bool:
        """Go on behind the exception answer just found, which was another request's; true when one more is there."""
        self._from = self.end
        self.frame = None
        return self._search()

    def others(self) -> tuple[list[tuple[Frame, float]], int, int]:
        """Frames beside the answer with their times, bytes before it that belong to none, and bytes after it."""
        if self.frame is None:
            frames, junk = frames_in(self.seen, 0, end=len(self.seen))
            return [(frame, self.time_at(at)) for frame, at in frames], junk, 0
        before, junk = frames_in(self.seen, 0, end=self.start)
        after, _ = frames_in(self.seen, self.end, end=len(self.seen))
        return [(frame, self.time_at(at)) for frame, at in before + after], junk, len(self.seen) - self.end

    @property
    def start(self) -> int:
        """Offset in `seen` of the first byte of the answer found."""
        return self.end - (5 if self.frame is not None and self.frame.code else self.request.rtu_size_bytes)

    def time_at(self, offset: int) -> float:
        """When the byte at `offset` arrived: the time of the last portion that began at or before it."""
        return next((t_s for begin, t_s in reversed(self._marks) if begin <= offset), self._marks[0][1])

    def _search(self) -> bool:
        at = self._from
        while at < len(self.seen) - 4:
            answer, refusal = self.seen.find(self._head, at), self.seen.find(self._refusal, at)
            at = min(place for place in (answer, refusal, len(self.seen)) if place >= 0)
            if at >= len(self.seen) - 4:
                break
            size = self.request.rtu_size_bytes if at == answer else 5
            if at + size > len(self.seen):
                self._from = at
                return False
            found = frame_at(self.seen, at)
            if found is not None:
                self.frame, self.end = found
                return True
            self.spoiled = self.spoiled or at == answer
            at += 1
        self._from = max(self._from, min(at, len(self.seen) - 4))
        return False


class RtuIdle:
    """What is heard while nothing is asked: late answers, frames of another master, noise; in pieces as it comes."""

    def __init__(self) -> None:
        self._heard = bytearray()
        self._t_s = 0.0

    @property
    def unfinished(self) -> bool:
        """Bytes stand there that may be the beginning of a frame."""
        return bool(self._heard)

    def feed(self, data: bytes, t_s: float) -> tuple[list[tuple[Frame, float]], int]:
        """Frames completed by `data`, each with the time of its first piece, and how many bytes were none."""
        if not self._heard:
            self._t_s = t_s
        self._heard += data
        frames, _ = frames_in(self._heard, 0, end=len(self._heard))
        if frames:
            junk = len(self._heard) - sum(_size(frame) for frame, _ in frames)
            self._heard.clear()
        else:
            junk = max(0, len(self._heard) - MAX_ADU_BYTES)
            del self._heard[:junk]
        return [(frame, self._t_s) for frame, _ in frames], junk

    def forget(self) -> int:
        """Something is asked now: how many bytes belonged to no frame."""
        junk = len(self._heard)
        self._heard.clear()
        return junk


def _size(frame: Frame) -> int:
    return 5 + (0 if frame.code else frame.shape[1])
