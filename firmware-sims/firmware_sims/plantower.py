"""Plantower PMS5003: 32-byte frames, pushed once a second or asked for; sleep, wake, warm-up (devices.md 3.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from firmware_sims.device import Answers, Note, Served, forget
from firmware_sims.framing import Dress

HEADER: Final = b"BM"  # 42 4D
_PASSIVE: Final = 0xE1
_READ: Final = 0xE2
_SLEEP: Final = 0xE4
_POINTS: Final = ("pm1", "pm2_5", "pm10")
_SIZES: Final = ("0_3", "0_5", "1_0", "2_5", "5_0", "10_0")
_FAR_S: Final = 3600.0
_MOST: Final = 20_000.0  # no air holds so much: the words are at their limit


def seal(body: bytes) -> bytes:
    """A frame with its checksum: the sum of all bytes in front, u16 big-endian."""
    return body + (sum(body) & 0xFFFF).to_bytes(2, "big")


def frame(words: list[int], *, version: int = 0x97, error: int = 0) -> bytes:
    """A data frame of 12 words: CF=1 masses, atmospheric masses, six counts per 0.1 L."""
    return seal(HEADER + b"\0\x1c" + b"".join(word.to_bytes(2, "big") for word in words) + bytes([version, error]))


DRESS: Final = Dress(lambda data: seal(data[:-2]), tail=2)


def _said(air: list[int], counts: list[int]) -> dict[str, float]:
    """What the words of a frame say."""
    said = {point: float(value) for point, value in zip(_POINTS, air, strict=True)}
    return said | {f"particles_{size}": count / 100 for size, count in zip(_SIZES, counts, strict=True)}


@dataclass
class PMS5003:
    """A PMS5003 that sees the mass concentration `pm2_5` (ug/m3 at a Unix time).

    It was switched on long ago unless `on_s` says when; the first `zeros_s` after that its frames are all zero.
    Period `period_s` in active mode.
    """

    name: str
    pm2_5: Callable[[float], float]
    period_s: float = 1.0
    zeros_s: float = 5.0
    on_s: float = float("-inf")
    passive: bool = False
    asleep: bool = False
    note: Note = forget
    polls: int = 0
    due_s: float = float("-inf")
    buffer: bytearray = field(default_factory=bytearray, repr=False)

    def speak(self, now_s: float) -> tuple[bytes, float]:
        """The frame due now, in active mode."""
        if self.passive or self.asleep:
            return b"", now_s + _FAR_S
        if now_s < self.due_s:
            return b"", self.due_s
        self.due_s = max(self.due_s + self.period_s, now_s) if self.due_s > now_s - 5 else now_s + self.period_s
        return self._data(now_s), self.due_s

    def hear(self, data: bytes, now_s: float) -> Answers:
        """Answers to commands; one with a wrong checksum is ignored without a word."""
        self.buffer += data
        answers: Answers = []
        while (at := self.buffer.find(HEADER)) >= 0 and len(self.buffer) >= at + 7:
            command = bytes(self.buffer[at : at + 7])
            whole = seal(command[:5]) == command
            del self.buffer[: at + (7 if whole else 2)]
            if whole:
                answers += self._obey(command[2], command[4], now_s=now_s)
        del self.buffer[:-7]
        return answers

    def _obey(self, command: int, data: int, *, now_s: float) -> Answers:
        if self.asleep and (command, data) != (_SLEEP, 1):
            return []
        if command == _READ and self.passive:
            return [(0.06, self._data(now_s))]
        if command == _PASSIVE:
            self.passive, self.due_s = data == 0, now_s + self.period_s
            return [(0.02, seal(HEADER + b"\0\x04" + bytes([command, data])))]
        if command == _SLEEP and data == 0:
            self.asleep = True
            return [(0.02, seal(HEADER + b"\0\x04" + bytes([command, data])))]
        if command == _SLEEP and self.asleep:
            self.asleep, self.passive, self.on_s, self.due_s = False, False, now_s, now_s + 2.0
        return []

    def _data(self, now_s: float) -> bytes:
        self.polls += 1
        if now_s - self.on_s < self.zeros_s:
            self.note(Served(self.name, now_s, self.polls, _said([0] * 3, [0] * 6), fault="warmup"))
            return frame([0] * 12)
        fine = self.pm2_5(now_s)
        if fine > _MOST:
            self.note(Served(self.name, now_s, self.polls, _said([0xFFFF] * 3, [0xFFFF] * 6), fault="wild"))
            return frame([0xFFFF] * 12)
        air = [round(fine * share) for share in (0.62, 1.0, 1.22)]
        # The factory calibration (CF=1) reads higher at high load, the same below 30 ug/m3.
        factory = [value if value <= 30 else round(30 + (value - 30) * 1.5) for value in air]
        counts = [min(round(fine * share), 0xFFFF) for share in (190, 56, 9.5, 0.95, 0.3, 0.12)]
        self.note(Served(self.name, now_s, self.polls, _said(air, counts)))
        return frame([*factory, *air, *counts])
