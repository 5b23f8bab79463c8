"""Where the page's data comes from: one interface, two sources (`local_source`, `broker_source`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from gateway.web.picture import Picture


class NoHistory(Exception):
    """The source cannot look back, or not now; the text says why."""


class NoSteering(Exception):
    """The source takes no changes, or not this one; the text says why."""


class Source(Protocol):
    """Fills a picture for as long as it runs, comes back by itself after an outage, and answers for the past.

    `tick_s`: how often the page's stream looks for what it brought, seconds.
    """

    tick_s: float

    async def run(self, picture: Picture) -> None:
        """Until cancelled."""

    async def history(self, gateway: str, *, question: Mapping[str, Any]) -> dict[str, Any]:
        """`{"records": [...], "truncated": bool}` for `series`, `stream`, `from`, `to` of the question.

        Raises:
            NoHistory: there is no looking back.
        """

    async def steer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The daemon's answer to a change (`gateway.desk`).

        Raises:
            NoSteering: nothing can be changed from here, or it was refused.
        """
