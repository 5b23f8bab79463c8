"""One PUBLISH on its way to a broker."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from paho.mqtt.properties import Properties

OVERHEAD_BYTES: Final = 16  # fixed header, topic length, packet id, property length


@dataclass(slots=True, eq=False)
class Message:
    """One PUBLISH on its way. `position` is None for what is ours: status, meta, health."""

    topic: str
    payload: bytes
    retain: bool = False
    properties: Properties | None = None
    position: int | None = None
    sent_s: float = 0.0
    answer: asyncio.Future[int] | None = None

    @property
    def key(self) -> int | str:
        """What it is known by over several connections."""
        return self.topic if self.position is None else self.position

    @property
    def size_bytes(self) -> int:
        """An upper bound of the packet's size."""
        extra = 0 if self.properties is None else len(self.properties.pack())  # type: ignore[no-untyped-call]
        return OVERHEAD_BYTES + len(self.topic) + len(self.payload) + extra
