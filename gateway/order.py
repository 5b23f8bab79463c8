"""An order to send again (gateway.replay): what it asks for, and its account."""

from __future__ import annotations

from dataclasses import dataclass, field


class OrderGoesOn(Exception):
    """Another order of this sink is not done yet."""


@dataclass(slots=True)
class Order:
    """What to send again: records of [from_ms, to_ms) (UTC), of them only the unheard; or dead letters by position.

    `fates` counts what became of the `found` records, `reasons` the sink's words for the first ten kinds of refusal.
    """

    from_ms: int = 0
    to_ms: int = 0
    unheard: bool = False
    letters: tuple[int, ...] = ()
    number: int = 0
    found: int = 0
    fates: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    done: bool = False


def count(counts: dict[str, int], key: str) -> None:
    """One more of `key`."""
    counts[key] = counts.get(key, 0) + 1


def progress(order: Order) -> dict[str, object]:
    """How far an order is, as plain data for the local socket."""
    told = {"number": order.number, "found": order.found, "fates": order.fates}
    return {**told, "reasons": order.reasons, "done": order.done}
