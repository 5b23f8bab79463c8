"""Modbus units behind their envelopes: several on one RTU line, or behind one TCP port."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from firmware_sims.device import Answers, Note
from firmware_sims.faults import Faults
from firmware_sims.framing import RTU, TCP, mbap, rtu, rtu_request_size, rtu_whole
from firmware_sims.registers import Unit

RESYNC_S: Final = 0.02  # silence after which a slave gives up an unfinished request


@dataclass
class Slave:
    """One unit on a line: its reply time and its faults.

    `reply_s` is the range from which each reply time is drawn; `anywhere` marks an id that any address reaches.
    """

    unit: Unit
    reply_s: tuple[float, float] = (0.008, 0.02)
    faults: Faults = field(default_factory=lambda: Faults(dress=RTU))


class _Units:
    """A line's name and note, passed on to its units."""

    name = ""

    def _all(self) -> Iterable[Slave]:
        raise NotImplementedError

    @property
    def note(self) -> Note:
        """Where the units tell the truth to."""
        return next(iter(self._all())).unit.note

    @note.setter
    def note(self, note: Note) -> None:
        for slave in self._all():
            slave.unit.note = note


@dataclass
class RtuLine(_Units):
    """Units that share one RTU line (or one RTU-over-TCP stream). Requests for absent units stay unanswered.

    Attributes:
        slaves: unit id -> slave.
        heard: whole requests with a good CRC, whoever they were for. `garbage` counts bytes given up.
    """

    slaves: Mapping[int, Slave]
    seed: int = 1
    heard: int = 0
    garbage: int = 0
    last_s: float = field(default=float("-inf"), repr=False)
    buffer: bytearray = field(default_factory=bytearray, repr=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)

    def _all(self) -> Iterable[Slave]:
        return self.slaves.values()

    def hear(self, data: bytes, now_s: float) -> Answers:
        """Answers to the requests completed by `data`."""
        if now_s - self.last_s > RESYNC_S:
            self._give_up(len(self.buffer))
        self.last_s = now_s
        self.buffer += data
        answers: Answers = []
        while self.buffer:
            size = rtu_request_size(bytes(self.buffer))
            if size is None or len(self.buffer) < size:
                break
            frame = bytes(self.buffer[:size])
            if not size or not rtu_whole(frame):
                self._give_up(len(self.buffer))  # a slave that lost its place waits for silence
                break
            del self.buffer[:size]
            answers += self._answer(frame, now_s)
        return answers

    def _give_up(self, size: int) -> None:
        self.garbage += size
        del self.buffer[:size]

    def _answer(self, frame: bytes, now_s: float) -> Answers:
        self.heard += 1
        slave = self.slaves.get(frame[0])
        if slave is None or frame[0] == 0:
            return []

        def exchange() -> Answers:
            pdu = slave.unit.answer(frame[1:-2], now_s)
            return [] if pdu is None else [(self.dice.uniform(*slave.reply_s), rtu(frame[0], pdu))]

        return slave.faults.around(slave.unit, frame, exchange=exchange)


@dataclass
class TcpUnits(_Units):
    """Units behind one Modbus TCP port; `anything` answers for every unit id that is not listed."""

    slaves: Mapping[int, Slave]
    anything: Slave | None = None
    gateway: bool = False
    seed: int = 1
    heard: int = 0

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        for slave in self._all():
            slave.faults.dress = TCP

    def _all(self) -> Iterable[Slave]:
        return [*self.slaves.values(), *filter(None, [self.anything])]

    def session(self) -> TcpSession:
        """A device end for one connection."""
        return TcpSession(self)


@dataclass
class TcpSession:
    """One connection's requests: cut by the MBAP length, answered in order."""

    units: TcpUnits
    buffer: bytearray = field(default_factory=bytearray, repr=False)

    def hear(self, data: bytes, now_s: float) -> Answers:
        """Answers to the requests completed by `data`; a frame that is no Modbus TCP ends the session's hearing."""
        self.buffer += data
        answers: Answers = []
        while len(self.buffer) >= 8:
            size = 6 + int.from_bytes(self.buffer[4:6], "big")
            if self.buffer[2:4] != b"\0\0" or not 8 <= size <= 260:
                self.buffer.clear()
                break
            if len(self.buffer) < size:
                break
            frame = bytes(self.buffer[:size])
            del self.buffer[:size]
            answers += self._answer(frame, now_s)
        return answers

    def _answer(self, frame: bytes, now_s: float) -> Answers:
        self.units.heard += 1
        transaction, unit_id, pdu = int.from_bytes(frame[:2], "big"), frame[6], frame[7:]
        slave = self.units.slaves.get(unit_id, self.units.anything)
        if slave is None:
            # A gateway says that its target failed to respond (exception 0x0B); a device keeps silent.
            return [(0.002, mbap(transaction, unit_id, pdu=bytes([pdu[0] | 0x80, 0x0B])))] if self.units.gateway else []

        def exchange() -> Answers:
            answer = slave.unit.answer(pdu, now_s)
            delay_s = self.units.dice.uniform(*slave.reply_s)
            return [] if answer is None else [(delay_s, mbap(transaction, unit_id, pdu=answer))]

        return slave.faults.around(slave.unit, frame, exchange=exchange)
