"""The way to a wire whose settings are searched: links by setting, and the receiver's error counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from drivers.line import LineSettings
from drivers.link import Link, SerialLink


@dataclass(frozen=True, slots=True)
class Errors:
    """What the receiver counted: characters with a low stop bit, with a wrong parity bit, and breaks."""

    framing: int = 0
    parity: int = 0
    breaks: int = 0

    def __sub__(self, before: Errors) -> Errors:
        return Errors(self.framing - before.framing, self.parity - before.parity, self.breaks - before.breaks)


class Tap(Protocol):
    """A wire that can be listened to with any settings, one link at a time."""

    endpoint: str

    def link(self, settings: LineSettings) -> Link:
        """A closed link with these settings."""

    def errors(self) -> Errors | None:
        """The counters of the open link since the port exists; None where the driver counts nothing."""


class SerialTap:
    """A serial port. Implements `Tap`."""

    def __init__(self, port: str) -> None:
        self.endpoint = port
        self._link: SerialLink | None = None

    def link(self, settings: LineSettings) -> Link:
        """A closed link to the port."""
        self._link = SerialLink(self.endpoint, settings)
        return self._link

    def errors(self) -> Errors | None:
        """The kernel's counters (TIOCGICOUNT); ptys and some USB adapters have none."""
        counted = None if self._link is None else self._link.receive_errors()
        return None if counted is None else Errors(*counted)
