"""Ultrasonic level sensors: MaxBotix HRXL text lines and A01NYUB binary frames (devices.md 7.1, 7.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from firmware_sims.device import Answers, Note, Served, forget
from firmware_sims.framing import Dress

BANNER: Final = b"HRXL-MaxSonar-WRML\rPN:MB7389\rCopyright 2011-2017\rMaxBotix Inc.\rRoHS 1.8b090  0713\rTempI\r"
DRESS: Final = Dress()
A01_DRESS: Final = Dress(lambda data: a01_frame(int.from_bytes(data[1:3], "big")), tail=1)


def a01_frame(distance_mm: int) -> bytes:
    """FF, distance u16 big-endian, sum of the three modulo 256."""
    body = b"\xff" + distance_mm.to_bytes(2, "big")
    return body + bytes([sum(body) & 0xFF])


@dataclass
class Pinger:
    """A sensor that measures `distance_m` (to the surface, at a Unix time) every `period_s` and is never asked."""

    name: str
    distance_m: Callable[[float], float]
    period_s: float = 1 / 6
    note: Note = forget
    polls: int = 0
    due_s: float = float("-inf")

    def hear(self, data: bytes, now_s: float) -> Answers:
        """Nothing: the sensor has no receiver."""
        return []

    def speak(self, now_s: float) -> tuple[bytes, float]:
        """The measurement due now."""
        if now_s < self.due_s:
            return b"", self.due_s
        self.due_s = max(self.due_s + self.period_s, now_s) if self.due_s > now_s - 5 else now_s + self.period_s
        self.polls += 1
        return self.measure(now_s), self.due_s

    def measure(self, now_s: float) -> bytes:
        """One measurement as bytes."""
        raise NotImplementedError


@dataclass
class MaxBotixHRXL(Pinger):
    """A 5 m HRXL: `R1234` CR in mm; closer than 500 mm reads 500, no target reads 5000.

    Boot text comes first when `booted` is false.
    """

    booted: bool = True

    def measure(self, now_s: float) -> bytes:
        """One line."""
        distance_mm = min(max(round(1000 * self.distance_m(now_s)), 500), 5000)
        if distance_mm < 5000:
            self.note(Served(self.name, now_s, self.polls, {"distance": distance_mm / 1000}))
        line = b"R%04d\r" % distance_mm
        if not self.booted:
            self.booted = True
            return BANNER + line
        return line


@dataclass
class A01NYUB(Pinger):
    """An A01NYUB: four bytes, mm; its range begins at 280 mm."""

    period_s: float = 0.1

    def measure(self, now_s: float) -> bytes:
        """One frame."""
        distance_mm = min(max(round(1000 * self.distance_m(now_s)), 280), 7500)
        if 280 < distance_mm < 7500:
            self.note(Served(self.name, now_s, self.polls, {"distance": distance_mm / 1000}))
        return a01_frame(distance_mm)
