"""A device behind switchable faults, with the interface of the device itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from firmware_sims.device import Answers, Asked, Note, Simulated, Speaking, Tuned
from firmware_sims.faults import Faults


@dataclass
class Faulty:
    """A polled or pushing device and its faults. Late pushed frames are kept and come when they are due."""

    device: Simulated
    faults: Faults
    pending: list[tuple[float, bytes]] = field(default_factory=list, repr=False)

    @property
    def name(self) -> str:
        """Id of the device."""
        return self.device.name

    @property
    def note(self) -> Note:
        """Where the device tells the truth to."""
        return self.device.note

    @note.setter
    def note(self, note: Note) -> None:
        self.device.note = note

    def baud_at(self, now_s: float) -> int:
        """The speed that the device's UART has now; 0 = that of its line."""
        return self.device.baud_at(now_s) if isinstance(self.device, Tuned) else 0

    def hear(self, data: bytes, now_s: float) -> Answers:
        """The device's answers after the faults."""
        device = self.device
        if not isinstance(device, Asked):
            return []
        return self.faults.around(self.device, data, exchange=lambda: device.hear(data, now_s))

    def speak(self, now_s: float) -> tuple[bytes, float]:
        """The device's frame after the faults, with late ones that are due now."""
        device = self.device
        if not isinstance(device, Speaking):
            return b"", now_s + 3600.0
        due_s = now_s

        def exchange() -> Answers:
            nonlocal due_s
            data, due_s = device.speak(now_s)
            return [(0.0, data)] if data else []

        for delay_s, data in self.faults.around(self.device, b"", exchange=exchange):
            self.pending.append((now_s + delay_s, data))
        ready = [data for at_s, data in self.pending if at_s <= now_s]
        self.pending = [(at_s, data) for at_s, data in self.pending if at_s > now_s]
        return b"".join(ready), min([due_s, *(at_s for at_s, _ in self.pending)])
