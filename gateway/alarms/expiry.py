"""Expiry: calibrations whose certificate has run out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.alarms.words import EXPIRED, Saying, Tell, Text
from gateway.clock import rfc3339

RULE = "calibration"


@dataclass(slots=True)
class Certificate:
    """The calibration of one point of one device, and when it ends (UTC ms)."""

    device: str
    label: Text
    point: Text
    name: str
    ends_ms: float
    raised: bool = False

    @property
    def ident(self) -> str:
        """The alarm's id."""
        return f"calibration-{self.device}-{self.name}"


class Expiry:
    """Tells once when a certificate ends, and when a new one stands in the config."""

    def __init__(self, certificates: Iterable[Certificate], *, tell: Tell) -> None:
        self._certificates = tuple(certificates)
        self._tell = tell

    def tick(self, now_ms: int) -> None:
        """Called with trusted time."""
        for one in self._certificates:
            if (now_ms >= one.ends_ms) != one.raised:
                one.raised = not one.raised
                self._say(one, 1 if one.raised else 0, "expired" if one.raised else "renewed")

    def restore(self, ident: str) -> bool:
        """It stood before this start; whether it is one of ours."""
        one = next((one for one in self._certificates if one.ident == ident), None)
        if one is not None:
            one.raised = True
            self._say(one, 1, "expired")
        return one is not None

    def _say(self, one: Certificate, level: int, phrase: str) -> None:
        ends_ms = int(one.ends_ms) if one.ends_ms < 1e15 else 0
        words: dict[str, Text | str] = {"what": one.point, "value": rfc3339(ends_ms)[:10]}
        self._tell(Saying(
            one.ident, one.device, EXPIRED, level, one.label, phrase, words, {"point": one.name},
            since_ms=ends_ms, rule=RULE,
        ))  # fmt: skip
