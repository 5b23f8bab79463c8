"""What a poller holds: devices on a wire, whatever they speak."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from drivers.sample import Sample


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
