"""The error tree of the wire side. Errors carry evidence; they say what was seen, never what to do next.

DriverError
├── ProfileError      a profile or the point table is wrong (a fault of data, found before a port is opened)
├── LinkError         the way to the device is gone
│   ├── LinkBusy      somebody else holds the port
│   └── LinkLost      unplugged, reset, refused, closed
└── ReplyError        the way is there, this exchange failed
    ├── NoReply       nothing matching came in time
    ├── BadFrame      bytes came that no checksum, length or id vouches for
    └── DeviceRefused the device answered with an exception of its protocol
"""

from __future__ import annotations


class DriverError(Exception):
    """Everything that `drivers` raises."""


class ProfileError(DriverError):
    """A profile, or the table of points, contradicts itself."""


class LinkError(DriverError):
    """The way to the device cannot be used; `endpoint` names it."""

    def __init__(self, fact: str, *, endpoint: str) -> None:
        super().__init__(f"{endpoint}: {fact}")
        self.fact = fact
        self.endpoint = endpoint


class LinkBusy(LinkError):
    """Another process holds the port's lock."""


class LinkLost(LinkError):
    """The port vanished or the peer closed; it may come back."""


class ReplyError(DriverError):
    """One exchange failed; the link is fine. `seen` holds the bytes that came, if any."""

    def __init__(self, fact: str, *, seen: bytes = b"") -> None:
        super().__init__(fact if not seen else f"{fact} (seen: {seen[:64].hex(' ')})")
        self.fact = fact
        self.seen = seen


class NoReply(ReplyError):
    """No matching answer before the deadline."""


class BadFrame(ReplyError):
    """Checksum, length or layout does not hold."""


class DeviceRefused(ReplyError):
    """The device answered with an exception code of its protocol (Modbus: 1 to 11)."""

    def __init__(self, fact: str, *, code: int, seen: bytes = b"") -> None:
        super().__init__(fact, seen=seen)
        self.code = code
