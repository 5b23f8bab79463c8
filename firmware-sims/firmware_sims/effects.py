"""What each fault does to answers: functions of the answers, the request and a die."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from firmware_sims.device import Answers
from firmware_sims.framing import Dress

BANNER: Final = b"\r\nBoot v1.8b\r\nREADY\r\n"
FTDI_BYTES: Final = 62
FTDI_S: Final = 0.016
_HEAD: Final = 3  # bytes of a frame that announce it


class Options(Protocol):
    """How a fault strikes (`faults.Fault`)."""

    @property
    def delay_s(self) -> float:
        """Delay, or the least of it, s."""

    @property
    def delay_to_s(self) -> float | None:
        """The most of it, s."""

    @property
    def size(self) -> int:
        """Bytes of noise."""

    @property
    def code(self) -> int:
        """Exception code, or 0 for the other form of the fault."""


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault and what it strikes: the request, the answers to it, their dress, and the die to draw from."""

    fault: Options
    request: bytes
    answers: Answers
    dress: Dress
    dice: random.Random

    def each(self, change: Callable[[bytes], bytes]) -> Answers:
        """Every frame changed, at its own time."""
        return [(delay_s, change(frame)) for delay_s, frame in self.answers]

    def noise(self) -> bytes:
        """Random bytes, as many as the fault says."""
        return self.dice.randbytes(self.fault.size)

    def late_s(self) -> float:
        """A delay as the fault says."""
        low = self.fault.delay_s
        return low if self.fault.delay_to_s is None else self.dice.uniform(low, self.fault.delay_to_s)


def _flip(strike: Strike) -> Answers:
    def change(frame: bytes) -> bytes:
        # Without a check value the damage must still be visible: where the dress says, or bit 7 of a text.
        at = strike.dice.randrange(*strike.dress.damage) if strike.dress.damage else strike.dice.randrange(len(frame))
        bit = strike.dice.randrange(8) if strike.dress.tail or strike.dress.damage else 7
        return frame[:at] + bytes([frame[at] ^ 1 << bit]) + frame[at + 1 :]

    return strike.each(change)


def _burst(strike: Strike) -> Answers:
    """First and last bit of a stretch, and some between; without a check value bit 7 of two neighbouring characters."""

    def change(frame: bytes) -> bytes:
        if not strike.dress.tail and not strike.dress.damage:
            at = strike.dice.randrange(max(len(frame) - 1, 1))
            return frame[:at] + bytes(byte ^ 0x80 for byte in frame[at : at + 2]) + frame[at + 2 :]
        first, last = strike.dress.damage or (0, len(frame))
        span = strike.dice.randint(2, 16)
        pattern = 1 | 1 << (span - 1) | strike.dice.getrandbits(span)
        room = 8 * (last - first) - span
        whole = int.from_bytes(frame) ^ pattern << 8 * (len(frame) - last) + strike.dice.randint(0, max(room, 0))
        return whole.to_bytes(len(frame) + 2)[2:]

    return strike.each(change)


def _scrambled(strike: Strike) -> Answers:
    return strike.each(lambda frame: frame[:_HEAD] + strike.dice.randbytes(max(len(frame) - _HEAD, 0)))


def _fewer(strike: Strike) -> Answers:
    """One register less, with a byte count and a check value that agree."""
    at = strike.dress.function_at
    if at is None:
        return strike.answers

    def change(frame: bytes) -> bytes:
        if frame[at] & 0x80 or len(frame) < at + 6 + strike.dress.tail:
            return frame
        body = frame[: at + 1] + bytes([frame[at + 1] - 2]) + frame[at + 2 : len(frame) - strike.dress.tail - 2]
        return strike.dress.reseal(body + bytes(strike.dress.tail))

    return strike.each(change)


def _idle(strike: Strike) -> Answers:
    filling = (b"\xff" if strike.fault.code else b"\0") * strike.fault.size
    return strike.each(lambda frame: filling + frame)


def _late(strike: Strike) -> Answers:
    late_s = strike.late_s()
    return [(delay_s + late_s, frame) for delay_s, frame in strike.answers]


def _between(strike: Strike) -> Answers:
    return [*strike.answers, (strike.answers[-1][0] + strike.late_s(), strike.noise())]


def _extra(strike: Strike) -> Answers:
    def change(frame: bytes) -> bytes:
        at = strike.dice.randrange(1, max(len(frame), 2))
        return frame[:at] + strike.dice.randbytes(1) + frame[at:]

    return strike.each(change)


def _dribble(strike: Strike) -> Answers:
    answers: Answers = []
    for delay_s, frame in strike.answers:
        answers += [(delay_s + n * strike.fault.delay_s, frame[n : n + 1]) for n in range(len(frame))]
    return answers


def _chunks(strike: Strike) -> Answers:
    return [
        (delay_s + n * FTDI_S, frame[n * FTDI_BYTES : (n + 1) * FTDI_BYTES])
        for delay_s, frame in strike.answers
        for n in range(-(-len(frame) // FTDI_BYTES))
    ]


def _mbap(strike: Strike, at: int, *, field: bytes | None = None) -> Answers:
    """Two bytes of the MBAP header changed, where the protocol has one."""
    if not strike.dress.mbap:
        return strike.answers
    return strike.each(
        lambda frame: frame[:at] + (field or bytes(byte ^ 0x5A for byte in frame[at : at + 2])) + frame[at + 2 :]
    )


def _echo(strike: Strike) -> Answers:
    return [(0.0, strike.request), *strike.answers]


def _exception(strike: Strike) -> Answers:
    at = strike.dress.function_at
    if at is None:
        return strike.answers

    def change(frame: bytes) -> bytes:
        refusal = bytes([frame[at] | 0x80, strike.fault.code])
        return strike.dress.reseal(frame[:at] + refusal + bytes(strike.dress.tail))

    return strike.each(change)


def _other(strike: Strike, at: int | None) -> Answers:
    if at is None:
        return strike.answers
    return strike.each(lambda frame: strike.dress.reseal(frame[:at] + bytes([frame[at] ^ 7]) + frame[at + 1 :]))


def _missing(strike: Strike) -> Answers:
    gone = strike.dice.randrange(len(strike.answers))
    return [answer for n, answer in enumerate(strike.answers) if n != gone or len(strike.answers) == 1]


EFFECTS: Final[dict[str, Callable[[Strike], Answers]]] = {
    "silence": lambda _strike: [],
    "bad_checksum": _flip,
    "late": _late,
    "half": lambda strike: strike.each(lambda frame: frame[: len(frame) // 2]),
    "tail": lambda strike: strike.each(lambda frame: frame[len(frame) // 2 :]),
    "banner": lambda strike: strike.each(lambda frame: BANNER + frame),
    "chunks": _chunks,
    "wrong_transaction": lambda strike: _mbap(strike, 0),
    "length_lie": lambda strike: _mbap(strike, 4, field=b"\0\0" if strike.fault.code else b"\xff\xff"),
    "noise_before": lambda strike: strike.each(lambda frame: strike.noise() + frame),
    "noise_between": _between,
    "noise_after": lambda strike: strike.each(lambda frame: frame + strike.noise()),
    "extra_byte": _extra,
    "dribble": _dribble,
    "echo": _echo,
    "exception": _exception,
    "wrong_unit": lambda strike: _other(strike, strike.dress.unit_at),
    "wrong_function": lambda strike: _other(strike, strike.dress.function_at),
    "foreign": lambda strike: [(0.0, strike.dress.foreign)] * bool(strike.dress.foreign) + strike.answers,
    "duplicate": lambda strike: strike.answers + strike.answers,
    "missing": _missing,
    "wrong_count": _fewer,
    "burst": _burst,
    "scrambled": _scrambled,
    "garbage": lambda strike: [(strike.answers[0][0], strike.noise())],
    "false_head": lambda strike: strike.each(lambda frame: frame[:_HEAD] + frame),
    "idle": _idle,
}
