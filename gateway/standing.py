"""How a sink stands: its state, how often it failed in a row, and its alarms, each told once however the sink flaps.

A connection alone proves nothing: many a server takes a login and refuses all that follows. A sink counts as sound
again at the first fate of a record, or after 30 s without a loss; until then the waits before a new try go on growing
and its alarm stands.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from gateway.sinks import Renewed, SinkDown

LOG: Final = logging.getLogger("citygate.ship")
STEADY_S: Final = 30.0
AGAIN_S: Final = 600.0  # one that fails again so soon is believed after STEADY_S only: one pair of events, not hundreds
LETTERS: Final = "CG-SNK-04"

Say = Callable[[str, str, str, str], None]
"""say(name, code, state, fact): raises or clears an alarm of the sink."""


class Standing:
    """Belongs to one sink. `failures`: losses in a row; `code`, `fact`: why it was lost, until that is cleared."""

    def __init__(self, name: str) -> None:
        self.state = "connecting"
        self.fact = ""
        self.code = ""
        self.failures = 0
        self.proven = False
        self.say: Say = lambda _name, _code, _state, _fact: None
        self._name = name
        self._raised: dict[str, None] = {}
        self._raised_s = -AGAIN_S
        self._often = False
        self._steady: asyncio.TimerHandle | None = None
        self._letters = False

    def up(self) -> None:
        """It is connected, and has yet to show that it works."""
        self.state, self.proven = "up", False
        self._steady = asyncio.get_running_loop().call_later(STEADY_S, self._stood)

    def down(self, down: SinkDown) -> None:
        """It could not be opened, or was lost. A cause is told once in an outage, even where two of them alternate."""
        self.away()
        self.state, self.fact = "down", str(down)
        if isinstance(down, Renewed):
            LOG.info("sink %s: %s", self._name, down)
            return
        self.failures += 1
        self.code = down.code
        if down.code in self._raised:
            return
        if not self._raised:
            now_s = asyncio.get_running_loop().time()
            self._often, self._raised_s = now_s - self._raised_s < AGAIN_S, now_s
        self._raised[down.code] = None
        self.say(self._name, down.code, "raised", str(down))
        LOG.warning("sink %s: down: %s [%s]", self._name, down, down.code)

    def away(self) -> None:
        """Nothing is proven any more."""
        self.proven = True  # no fate that comes late shall prove anything
        if self._steady is not None:
            self._steady.cancel()
            self._steady = None

    def prove(self) -> None:
        """A record has its fate: the sink works."""
        self.proven, self.failures = True, 0
        if not self._often:
            self._clear()

    def _stood(self) -> None:
        self._steady = None
        self.proven, self.failures, self._often = True, 0, False
        self._clear()

    def _clear(self) -> None:
        raised, self._raised = self._raised, {}
        self.code = self.fact = ""
        for code in raised:
            self.say(self._name, code, "cleared", "connected")

    def letters(self, count: int, reason: str) -> None:
        """So many dead letters wait for somebody; `reason` is that of the newest."""
        if bool(count) != self._letters:
            self._letters = bool(count)
            fact = reason or (f"{count} dead letters" if count else "no dead letter is left")
            self.say(self._name, LETTERS, "raised" if count else "cleared", fact)
