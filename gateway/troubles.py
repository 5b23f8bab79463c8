"""Alarms of wires and sinks that stood when the gateway ended: cleared after the next start, unless they came again.

A wire or a sink forgets with its process what it raised. Without this, a trouble that ended while the gateway was down
would stand on the city's platform for ever. So the open ones are a journal mark, committed with the events themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final

import msgspec

from gateway.journal import Journal
from gateway.reading import Event
from gateway.record import Record

MARK: Final = "troubles"
KINDS: Final = frozenset({"link", "sink"})
AGAIN_S: Final = 180.0  # within which what is still wrong has been raised again, silent urls in turn included
STRANGER: Final = "CG-BUS-06"  # another device answers: its wire asks until the right one does, however long that takes
MOST: Final = 1000

Say = Callable[[str, str, str, str], None]
"""say(name, code, state, fact), as wires and sinks have it."""


class Troubles:
    """Listens to the pipeline. `say(kind)` gives what raises and clears alarms of wires ("link") or sinks ("sink").

    `strangers`: stations at which another device had answered; those who own them clear these.
    """

    def __init__(self, journal: Journal, *, say: Callable[[str], Say], stations: Collection[str]) -> None:
        self._journal = journal
        self._say = say
        blob = journal.marks.get(MARK)
        self._open: dict[str, list[str]] = {} if blob is None else msgspec.msgpack.decode(blob)[1]
        self.strangers = {one for one in stations if f"link-{one}-{STRANGER}" in self._open}
        self._before = set(self._open) - {f"link-{one}-{STRANGER}" for one in self.strangers}

    def note(self, _position: int, record: Record | None) -> None:
        """A record was journaled."""
        event = None if record is None else record.body
        if not isinstance(event, Event) or event.type not in KINDS:
            return
        self._before.discard(event.id)
        if event.state == "raised" and len(self._open) < MOST:
            self._open[event.id] = [event.type, event.code]
        elif event.state != "cleared" or self._open.pop(event.id, None) is None:
            return
        self._journal.mark(MARK, msgspec.msgpack.encode([1, self._open]))

    async def run(self) -> None:
        """Some time after the start, clear what did not come again."""
        await asyncio.sleep(AGAIN_S)
        left, self._before = sorted(self._before), set()
        for ident in left:
            kind, code = self._open[ident]
            name = ident.removeprefix(f"{kind}-").removesuffix(f"-{code}")
            self._say(kind)(name, code, "cleared", "not seen again since the gateway was started")
