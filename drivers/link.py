"""Links: the only file that opens ports and connections; serial and TCP follow the protocol below."""

from __future__ import annotations

from typing import Protocol


class Link(Protocol):
    """An open way to a wire: bytes out, bytes in, with the time of their arrival.

    One task owns a link. Times are event-loop time (`loop.time()`), so a test may run on virtual time.
    """

    endpoint: str

    async def open(self) -> None:
        """Open and lock it. Raises `LinkBusy`, `LinkLost`."""

    async def write(self, data: bytes) -> None:
        """Hand all of `data` to the line and return when it has left this process. Raises `LinkLost`."""

    async def read(self, timeout_s: float) -> tuple[bytes, float]:
        """Whatever has arrived, at least one byte, with the loop time of its first byte.

        Returns `(b"", now)` when `timeout_s` passes in silence. Raises `LinkLost`.
        """

    def flush(self) -> bytes:
        """Bytes that arrived and nobody read, now thrown away; returned so that they can be counted."""

    async def close(self) -> None:
        """Close it; harmless when it is not open."""
