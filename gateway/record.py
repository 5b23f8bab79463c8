"""Record: a reading, aggregate or event with its identity, on the way to the journal and the sinks.

Identity, in every sink: (city, gateway, device, stream, t, rev). The city and the gateway are the sink's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from gateway.reading import Aggregate, Event, Reading

Body: TypeAlias = Reading | Aggregate | Event


@dataclass(frozen=True, slots=True)
class Record:
    """What is journaled and sent.

    Attributes:
        device: the outside device id (`_gateway` for the gateway itself).
        stream: "raw", a window length ("1m"), or "event".
        t_ms: UTC ms; unique per device and stream.
        epoch: start counter and random part, "0000002a-9f3c".
        seq: from 1 in every epoch, per device and stream, one more for each first issue.
        rev: 0 at first; a higher one replaces the lower as a whole.
        prev: in the first record of an epoch, the last committed (epoch, seq) before it.
        late: sent later than it was due (set by the shipper's second lane).
        estimated: replayed history; never selected by a sink.
    """

    device: str
    stream: str
    t_ms: int
    epoch: str
    seq: int
    body: Body
    rev: int = 0
    prev: tuple[str, int] | None = None
    late: bool = False
    estimated: bool = False

    @property
    def kind(self) -> str:
        """Field of the device: air, traffic, ...; `gateway` for events."""
        return "gateway" if isinstance(self.body, Event) else self.body.series.kind
