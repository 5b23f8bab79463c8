"""Faults that can be switched on and off while a device or a line runs.

A fault works on whole answers (or pushed frames) after the device has made them: devices stay honest, and what
was done to their bytes stands in the ground truth beside what they said. Everything is drawn from a seeded die.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from firmware_sims.device import Answers, Served, Simulated
from firmware_sims.framing import Dress

NAMES: Final = (
    "silence",  # no answer, no frame
    "bad_checksum",  # one bit flipped somewhere, the check value left as it was
    "late",  # `delay_s`, or uniform between `delay_s` and `delay_to_s`, on top of the reply time
    "half",  # the first half of a frame
    "tail",  # the second half of a frame: the port was opened in its middle
    "banner",  # boot text in front: the device restarted (DTR at opening, a power dip)
    "noise_before",  # `size` random bytes in front
    "noise_between",  # `size` random bytes at some time after the answer
    "noise_after",  # `size` random bytes right behind
    "extra_byte",  # one more byte inside
    "dribble",  # every byte a write of its own, `delay_s` apart
    "chunks",  # portions of 62 bytes, 16 ms apart: the latency timer of an FTDI adapter
    "echo",  # the request comes back in front of the answer
    "exception",  # exception `code` instead of the answer
    "wrong_unit",  # a correct frame of the next unit id
    "wrong_function",  # a correct frame of another function code
    "foreign",  # somebody else's answer in front of the right one
    "duplicate",  # the answer comes twice
    "missing",  # of an answer of several frames, one does not come
    "wrong_transaction",  # Modbus TCP: another transaction id
    "length_lie",  # Modbus TCP: the length field says 0, or 65,535 where `code` is 0
)
BANNER: Final = b"\r\nBoot v1.8b\r\nREADY\r\n"
FTDI_BYTES: Final = 62
FTDI_S: Final = 0.016


@dataclass(frozen=True, slots=True)
class Fault:
    """One switched-on fault.

    Attributes:
        name: one of `NAMES`.
        rate: probability per answer.
        left: answers it still strikes; None = until healed.
        delay_s, delay_to_s: for "late", "dribble" and "noise_between", seconds.
        size: bytes of noise.
        code: Modbus exception code.
    """

    name: str
    rate: float = 1.0
    left: int | None = None
    delay_s: float = 0.0
    delay_to_s: float | None = None
    size: int = 7
    code: int = 4

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ValueError(f"no fault is called {self.name!r}; there are {', '.join(NAMES)}")


@dataclass
class Faults:
    """The faults of one device, in the order in which they were switched on. `struck` counts by name."""

    dress: Dress = field(default_factory=Dress)
    seed: int = 1
    active: dict[str, Fault] = field(default_factory=dict)
    struck: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)

    def switch_on(self, fault: Fault) -> None:
        """Switch a fault on; one of the same name is replaced."""
        self.active[fault.name] = fault

    def heal(self, name: str | None = None) -> None:
        """Switch one fault off, or all."""
        if name is None:
            self.active.clear()
        else:
            self.active.pop(name, None)

    def around(self, device: Simulated, request: bytes, *, exchange: Callable[[], Answers]) -> Answers:
        """Answers of `exchange` after the faults; what the device noted meanwhile goes on with their names."""
        if not self.active:
            return exchange()
        notes: list[Served] = []
        note, device.note = device.note, notes.append
        try:
            answers = exchange()
        finally:
            device.note = note
        answers, names = self.apply(request, answers)
        for served in notes:
            note(replace(served, fault="+".join(filter(None, [served.fault, *names]))))
        return answers

    def apply(self, request: bytes, answers: Answers) -> tuple[Answers, list[str]]:
        """Answers after the faults that strike this time, and their names."""
        names = []
        for fault in list(self.active.values()):
            if not answers or self.dice.random() >= fault.rate:
                continue
            names.append(fault.name)
            self.struck[fault.name] = self.struck.get(fault.name, 0) + 1
            if fault.left is not None:
                if fault.left <= 1:
                    self.active.pop(fault.name, None)
                else:
                    self.active[fault.name] = replace(fault, left=fault.left - 1)
            answers = _EFFECTS[fault.name](_Strike(fault, request, answers, self.dress, self.dice))
        return answers, names


@dataclass(frozen=True, slots=True)
class _Strike:
    fault: Fault
    request: bytes
    answers: Answers
    dress: Dress
    dice: random.Random

    def each(self, change: Callable[[bytes], bytes]) -> Answers:
        return [(delay_s, change(frame)) for delay_s, frame in self.answers]

    def noise(self) -> bytes:
        return self.dice.randbytes(self.fault.size)

    def late_s(self) -> float:
        low = self.fault.delay_s
        return low if self.fault.delay_to_s is None else self.dice.uniform(low, self.fault.delay_to_s)


def _flip(strike: _Strike) -> Answers:
    def change(frame: bytes) -> bytes:
        # Without a check value the damage must still be visible: where the dress says, or bit 7 of a text.
        at = strike.dice.randrange(*strike.dress.damage) if strike.dress.damage else strike.dice.randrange(len(frame))
        bit = strike.dice.randrange(8) if strike.dress.tail or strike.dress.damage else 7
        return frame[:at] + bytes([frame[at] ^ 1 << bit]) + frame[at + 1 :]

    return strike.each(change)


def _late(strike: _Strike) -> Answers:
    late_s = strike.late_s()
    return [(delay_s + late_s, frame) for delay_s, frame in strike.answers]


def _between(strike: _Strike) -> Answers:
    return [*strike.answers, (strike.answers[-1][0] + strike.late_s(), strike.noise())]


def _extra(strike: _Strike) -> Answers:
    def change(frame: bytes) -> bytes:
        at = strike.dice.randrange(1, max(len(frame), 2))
        return frame[:at] + strike.dice.randbytes(1) + frame[at:]

    return strike.each(change)


def _dribble(strike: _Strike) -> Answers:
    answers: Answers = []
    for delay_s, frame in strike.answers:
        answers += [(delay_s + n * strike.fault.delay_s, frame[n : n + 1]) for n in range(len(frame))]
    return answers


def _chunks(strike: _Strike) -> Answers:
    return [
        (delay_s + n * FTDI_S, frame[n * FTDI_BYTES : (n + 1) * FTDI_BYTES])
        for delay_s, frame in strike.answers
        for n in range(-(-len(frame) // FTDI_BYTES))
    ]


def _mbap(strike: _Strike, at: int, *, field: bytes | None = None) -> Answers:
    """Two bytes of the MBAP header changed, where the protocol has one."""
    if not strike.dress.mbap:
        return strike.answers
    return strike.each(
        lambda frame: frame[:at] + (field or bytes(byte ^ 0x5A for byte in frame[at : at + 2])) + frame[at + 2 :]
    )


def _echo(strike: _Strike) -> Answers:
    return [(0.0, strike.request), *strike.answers]


def _exception(strike: _Strike) -> Answers:
    at = strike.dress.function_at
    if at is None:
        return strike.answers

    def change(frame: bytes) -> bytes:
        refusal = bytes([frame[at] | 0x80, strike.fault.code])
        return strike.dress.reseal(frame[:at] + refusal + bytes(strike.dress.tail))

    return strike.each(change)


def _other(strike: _Strike, at: int | None) -> Answers:
    if at is None:
        return strike.answers
    return strike.each(lambda frame: strike.dress.reseal(frame[:at] + bytes([frame[at] ^ 7]) + frame[at + 1 :]))


def _missing(strike: _Strike) -> Answers:
    gone = strike.dice.randrange(len(strike.answers))
    return [answer for n, answer in enumerate(strike.answers) if n != gone or len(strike.answers) == 1]


_EFFECTS: Final[dict[str, Callable[[_Strike], Answers]]] = {
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
}
