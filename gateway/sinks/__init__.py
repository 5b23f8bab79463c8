"""Sinks: encode a batch, send it, report each record's fate. They know nothing of the journal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol, TypeAlias, runtime_checkable

from gateway.reading import Series
from gateway.record import Record


class Fate(Enum):
    """What became of a record that was handed to a sink. Exactly one, once."""

    DELIVERED = "delivered"
    UNHEARD = "unheard"  # MQTT 5 reason 0x10: the broker took it, nobody listened; replayable
    SENT = "sent"  # the sink gives no answer
    DEAD = "dead"  # refused for good; kept as a dead letter with the reason
    AGAIN = "again"  # not taken; stays waiting


@dataclass(frozen=True, slots=True)
class Parcel:
    """A record with its place in the journal; the sink hands the place back with the fate."""

    position: int
    record: Record


UNFIT: Final = (ValueError, TypeError, LookupError)
"""What encoding a malformed record raises. Such a record becomes a dead letter; it never stops its sink."""

Settle: TypeAlias = Callable[[int, Fate, str], None]
"""settle(position, fate, reason): called on the event loop, once per parcel, as the peer's answers arrive."""


@dataclass(frozen=True, slots=True)
class Site:
    """What sinks tell about where they stand. `devices`: configured names, locations, serials, lanes by series id.

    `series` and `devices` are those that the sink may tell of; `shared`: ids that another sink tells under its topics.
    """

    city: str
    gateway: str
    version: str
    boot: str
    epoch: str
    config_hash: str
    name: Mapping[str, str]
    location: Mapping[str, float] | None
    series: tuple[Series, ...]
    devices: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    streams: tuple[str, ...] = ()
    shared: frozenset[str] = frozenset()


class SinkDown(Exception):
    """The sink cannot be used now; what it has not settled stays waiting. Carries the catalogue code of the cause.

    `retry_s` is the server's own wish (Retry-After), already capped; None leaves it to the shipper's backoff.
    """

    def __init__(self, fact: str, *, code: str, retry_s: float | None = None) -> None:
        super().__init__(fact)
        self.code = code
        self.retry_s = retry_s


class Renewed(SinkDown):
    """A sound connection is given up to begin anew with renewed certificates: no alarm, and no long wait."""


class Sink(Protocol):
    """One destination. A new sink is one file and passes tests/contract/test_sinks.py.

    After `SinkDown` from any method the shipper calls `close`, waits, and calls `open` again; parcels that were
    not settled by then are handed over again, with the same identity.
    """

    window: int  # parcels that may be unsettled at a time
    linger_s: float  # how long live parcels may gather before they are handed over: 0 for messages, about 1 s for HTTP

    async def open(self, settle: Settle) -> None:
        """Connect and announce. Raises `SinkDown`."""

    async def send(self, parcels: Sequence[Parcel]) -> None:
        """Take the parcels, in order; return when they are on their way. Fates may come later. Raises `SinkDown`."""

    async def health(self, report: Mapping[str, object]) -> None:
        """The gateway's health, every 30 s; sinks without a place for it ignore it."""

    async def close(self) -> None:
        """Say goodbye if possible and let go; never raises."""

    def down(self) -> SinkDown | None:
        """Why the connection was lost since `open`, or None while it stands."""


@runtime_checkable
class Weighs(Protocol):
    """A sink that counts what it sends: its packets, requests or lines; not what TCP, TLS and answers add."""

    @property
    def sent_bytes(self) -> int:
        """Bytes since the sink was made; never less than before."""


@runtime_checkable
class Warns(Protocol):
    """A sink that may work, but not as it should (a refused topic, a server that cannot amend)."""

    def warning(self) -> str:
        """What is wrong while the sink is up, in one sentence; empty if all is well."""
