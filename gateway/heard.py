"""The last interval or event that each device told, kept over restarts.

A traffic sensor tells its latest interval as often as it is asked. A daemon that forgets at its end which one it had
delivered would deliver it again at its start: the vehicles of that interval counted twice. So the names of the last
ones are a journal mark, committed together with the records: a device puts a name into `seen` when it hands the sample
over, not when it hears it (a poll may ask many times). The parts heard last are kept, of a device with too many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from drivers.device import Remembering
from gateway.journal import Journal
from gateway.poller import Wire

MARK: Final = "heard"
MOST_PARTS: Final = 64  # of one device; more would not be lanes but noise


class Heard:
    """Puts back what the wires' devices remembered at the last commit, and marks what they remember now.

    What was said between the last commit and a sudden end is asked for again; so an interval is committed at once
    (`hurry`).
    """

    def __init__(self, journal: Journal, wires: Sequence[Wire], *, hurry: Callable[[], None]) -> None:
        self._journal = journal
        self._seen = {s.id: s.device.seen for w in wires for s in w.stations if isinstance(s.device, Remembering)}
        blob = journal.marks.get(MARK)
        kept: dict[str, dict[str, str]] = {} if blob is None else msgspec.msgpack.decode(blob)[1]
        for name, seen in self._seen.items():
            seen.update(kept.get(name, {}))
        for wire in wires:
            wire.hurry = hurry
        self._marked = self._now()

    def mark(self) -> None:
        """Set the mark, where it has changed; called before each commit."""
        now = self._now()
        if now != self._marked:
            self._journal.mark(MARK, msgspec.msgpack.encode([1, now]))
            self._marked = now

    def _now(self) -> dict[str, dict[str, str]]:
        return {name: dict(list(seen.items())[-MOST_PARTS:]) for name, seen in self._seen.items()}
