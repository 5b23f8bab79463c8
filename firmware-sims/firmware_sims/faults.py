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
from firmware_sims.effects import EFFECTS, Strike
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
    "wrong_count",  # a correct frame with one register less than was asked for
    "burst",  # two to sixteen neighbouring bits damaged, the check value left as it was
    "scrambled",  # the frame's head, then random bytes of the right number
    "garbage",  # `size` random bytes instead of the answer: the first one after a wake-up
    "false_head",  # the frame's own first bytes in front of it, as they occur inside data
    "idle",  # `size` bytes of 0xFF, or 0x00 where `code` is 0, in front: a line that nobody drives
)


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
            answers = EFFECTS[fault.name](Strike(fault, request, answers, self.dress, self.dice))
        return answers, names
