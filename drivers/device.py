"""What a poller holds: devices on a wire, whatever they speak.

`Polled` and `Pushing` are what every device is. The others are what some can do beside that; a poller asks for them
with `isinstance`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from drivers.sample import Sample


@dataclass(frozen=True, slots=True)
class Finding:
    """One fingerprint held against a device: whether it `holds`, and what was `seen` (a number, a text, an error).

    `read` is false where no answer came that says anything. `same`: whatever is seen, it must stay the same.
    """

    means: str
    holds: bool
    seen: str
    read: bool = True
    same: bool = False


@runtime_checkable
class Polled(Protocol):
    """A device that is asked."""

    async def poll(self) -> tuple[Sample, ...]:
        """One poll: one sample per part. What failed is marked in the sample's codes.

        Raises:
            LinkError: the wire itself is gone; nothing can be said about the device.
        """


@runtime_checkable
class Pushing(Protocol):
    """A device that talks by itself, alone on its wire: pure functions of bytes behind a buffer."""

    def start(self) -> tuple[bytes, ...]:
        """Commands to send after the port was opened, in order."""

    def feed(self, data: bytes, t_mono_ns: int) -> tuple[Sample, ...]:
        """Samples of all frames completed by `data`, whose first byte arrived at `t_mono_ns`."""


@runtime_checkable
class Acknowledging(Protocol):
    """A pushing device that waits for acknowledgements: `replies` are to be sent, oldest first."""

    replies: deque[bytes]


@runtime_checkable
class Excusing(Protocol):
    """A polled device that may have nothing to tell: after a poll without samples `failure` is "" if it answered."""

    failure: str


@runtime_checkable
class Slow(Protocol):
    """A polled device whose poll may rightly take as long as `longest_s`: a readout at 300 Bd, a warm-up."""

    longest_s: float


@runtime_checkable
class Remembering(Protocol):
    """A device whose intervals or events have names: `seen` holds the last one delivered of each part.

    The same one again is no new sample. Whoever keeps `seen` over a restart puts it back before the first poll.
    """

    seen: dict[str, str]


@runtime_checkable
class Unloading(Protocol):
    """A polled device whose poll may be broken off (lost wire, loan, end) after it has told what it tells only once."""

    def left(self) -> tuple[Sample, ...]:
        """Samples that no poll has handed over yet; they are the caller's now. The next poll would bring them else."""


@runtime_checkable
class Addressed(Polled, Protocol):
    """A device on a shared wire whose master knows whether it answers, and who can be asked who it is."""

    def doubt_s(self) -> float:
        """Seconds of the wire's time that the next poll may waste: 0 while the device answers or is not asked."""

    def plan_s(self) -> float:
        """Seconds of the wire's time that a poll takes by its plan, of a device that answers as usual; 0 if unknown."""

    async def poll_now(self) -> tuple[Sample, ...]:
        """As `poll`, for a person who waits: before other reads, and not held up by the device's rest."""

    async def poll_within(self, limit_s: float) -> tuple[Sample, ...]:
        """As `poll`, but no answer is waited for longer than `limit_s`; a poll that takes longer then has failed."""

    async def identify(self) -> tuple[Finding, ...]:
        """All fingerprints of its profile held against it. Raises `LinkError`."""
