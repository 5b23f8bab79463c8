"""Memory sink: keeps what it is given and answers as it was told. For tests and dry runs; `check` refuses it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway.record import Record
from gateway.sinks import Fate, Parcel, Settle, SinkDown

KEPT: Final = 100_000


class MemorySink:
    """Everything is delivered at once, unless `answer` says otherwise.

    Attributes:
        taken: parcels in the order of arrival (the newest 100,000).
        answer: the fate and reason of a record; None leaves it unsettled.
        refuse_open, refuse_send: raised by the next `open` or `send`, and by each one after it, until taken away.
    """

    def __init__(self, *, window: int = 1000) -> None:
        self.window = window
        self.linger_s = 0.0
        self.taken: deque[Parcel] = deque(maxlen=KEPT)
        self.reports: deque[Mapping[str, object]] = deque(maxlen=100)
        self.answer: Callable[[Record], tuple[Fate, str] | None] = lambda _record: (Fate.DELIVERED, "")
        self.refuse_open: SinkDown | None = None
        self.refuse_send: SinkDown | None = None
        self.opened = 0
        self._settle: Settle | None = None
        self._down: SinkDown | None = None

    @property
    def records(self) -> list[Record]:
        """What was taken, in order."""
        return [parcel.record for parcel in self.taken]

    async def open(self, settle: Settle) -> None:
        """Ready, or `refuse_open`."""
        if self.refuse_open is not None:
            raise self.refuse_open
        self._settle, self._down = settle, None
        self.opened += 1

    async def send(self, parcels: Sequence[Parcel]) -> None:
        """Keep and answer. `refuse_send` strikes before the first parcel."""
        if self._settle is None:
            raise SinkDown("not open", code="CG-SNK-02")
        down = self.refuse_send or self._down
        if down is not None:
            raise down
        for parcel in parcels:
            self.taken.append(parcel)
            fate = self.answer(parcel.record)
            if fate is not None:
                self._settle(parcel.position, *fate)

    async def health(self, report: Mapping[str, object]) -> None:
        """Kept in `reports`."""
        self.reports.append(report)

    async def close(self) -> None:
        """Let go."""
        self._settle = None

    def lose(self, down: SinkDown) -> None:
        """The connection breaks now."""
        self._down = down

    def down(self) -> SinkDown | None:
        """As `lose` said."""
        return self._down if self._settle is not None else SinkDown("not open", code="CG-SNK-02")
