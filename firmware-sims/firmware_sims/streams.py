"""A serial device in general: frames of its own every `period_s`, and replies to the requests it knows.

A model is a few pure functions: from what the device measures to the bytes of a frame and what they say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from firmware_sims.device import Answers, Note, Served, forget

Said: TypeAlias = Mapping[str, Mapping[str, float]]
"""What bytes say: part ("" = the whole sensor) -> point -> value."""
Told: TypeAlias = tuple[bytes, Said]
Frame: TypeAlias = "Callable[[Stream, float], Told]"
Reply: TypeAlias = "Callable[[Stream, re.Match[bytes], float], Told]"
NOTHING: Final[Told] = (b"", {})
FAR_S: Final = 3600.0
LONGEST_REQUEST: Final = 256


@dataclass
class Stream:
    """A device with a line of its own.

    Attributes:
        frame: the frame due at a moment; None for a device that only answers. Nothing said and no bytes = none due.
        period_s: how often it looks whether a frame is due.
        replies: requests by pattern, in the order in which they are tried; one without an answer says nothing.
        delay_s: time from a request to its answer, s.
        unit: its address. talking: whether it sends frames by itself now.
        frozen_s: where its time stands still (a stuck sensor). ahead_s: how wrong its own clock is.
        quirks: those of its own that its model knows; odd: those that it has now.
        memory: what the model keeps from one exchange to the next.
    """

    name: str
    frame: Frame | None = None
    period_s: float = 1.0
    replies: Sequence[tuple[re.Pattern[bytes], Reply]] = ()
    delay_s: float = 0.02
    unit: int = 1
    talking: bool = True
    frozen_s: float | None = None
    ahead_s: float = 0.0
    quirks: frozenset[str] = frozenset()
    odd: set[str] = field(default_factory=set)
    memory: dict[str, float] = field(default_factory=dict)
    note: Note = forget
    polls: int = 0
    due_s: float = float("-inf")
    buffer: bytearray = field(default_factory=bytearray, repr=False)

    def baud_at(self, now_s: float) -> int:
        """The speed that its UART has now; 0 = that of its line."""
        return int(self.memory["baud"]) if now_s < self.memory.get("fast_to_s", float("-inf")) else 0

    def speak(self, now_s: float) -> tuple[bytes, float]:
        """The frame due now."""
        if self.frame is None or not self.talking:
            return b"", now_s + FAR_S
        if now_s < self.due_s:
            return b"", self.due_s
        self.due_s = max(self.due_s + self.period_s, now_s) if self.due_s > now_s - 5 else now_s + self.period_s
        return self._noted(self.frame(self, self._time(now_s)), now_s), self.due_s

    def hear(self, data: bytes, now_s: float) -> Answers:
        """Answers to the requests completed by `data`; what is no request is dropped."""
        self.buffer += data
        answers: Answers = []
        while True:
            matches = [(match, reply) for form, reply in self.replies if (match := form.search(self.buffer))]
            if not matches:
                break
            match, reply = min(matches, key=lambda pair: pair[0].start())
            answer = self._noted(reply(self, match, self._time(now_s)), now_s)
            del self.buffer[: match.end()]
            if answer:
                answers.append((self.delay_s, answer))
        del self.buffer[:-LONGEST_REQUEST]
        return answers

    def _time(self, now_s: float) -> float:
        return now_s if self.frozen_s is None else self.frozen_s

    def _noted(self, told: Told, now_s: float) -> bytes:
        data, said = told
        if data:
            self.polls += 1
        for part, values in said.items():
            if values:
                self.note(Served(self.name, now_s, self.polls, values, part=part))
        return data


def exactly(request: str) -> re.Pattern[bytes]:
    """The pattern of a request whose bytes (hex) never change."""
    return re.compile(re.escape(bytes.fromhex(request)))


def complement(body: bytes) -> bytes:
    """Two's complement of the sum, so that the sum of it all is 0 modulo 256."""
    return bytes([-sum(body) & 0xFF])


def xor(data: bytes) -> int:
    """Exclusive or of all bytes."""
    value = 0
    for byte in data:
        value ^= byte
    return value


def crc(data: bytes, poly: int, *, init: int = 0, reflected: bool = True) -> int:
    """CRC-16 bit by bit, reflected (ARC, X-25) or not (XMODEM)."""
    value = init
    for byte in data:
        value ^= byte if reflected else byte << 8
        for _ in range(8):
            if reflected:
                value = (value >> 1) ^ poly if value & 1 else value >> 1
            else:
                value = ((value << 1) ^ poly) & 0xFFFF if value & 0x8000 else value << 1
    return value
