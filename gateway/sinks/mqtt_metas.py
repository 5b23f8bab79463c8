"""Retained metas of one sink: of what it may tell, and the end of those of devices that it tells no more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from gateway.sinks import Site, announce
from gateway.sinks.mqtt_message import Message
from gateway.sinks.topics import Topics

GONE_MAX: Final = 1024  # taken back on one connection; the next one finds the rest


class Metas:
    """`gone` keeps the topics to be emptied: as they are heard, and no longer than until `taken_back` gives them."""

    def __init__(self, site: Site, topics: Topics, *, points: Sequence[str]) -> None:
        self._site = site
        self._topics = topics
        self._points = points
        self._ours = {each.id for each in site.series} | site.shared
        self.gone: dict[str, None] = {}

    def births(self) -> Iterator[Message]:
        """The gateway's meta, then one for each device."""
        yield Message(self._topics.meta, announce.meta(self._site), retain=True)
        for series in self._site.series:
            form = announce.device_meta(self._site, series, points=self._points)
            yield Message(self._topics.of(series.id, "meta"), form, retain=True)

    def heard(self, topic: str, payload: bytes) -> None:
        """A retained message of the broker: is it the meta of a device that nobody here tells any more?

        It was removed, or has become personal, or the sink's `devices` leave it out. What another sink tells under the
        same topic stays.
        """
        device = self._topics.device_of_meta(topic)
        if device is not None and payload and device not in self._ours and len(self.gone) < GONE_MAX:
            self.gone[topic] = None

    def taken_back(self) -> Message | None:
        """The next meta to be emptied, or None."""
        if not self.gone:
            return None
        topic = next(iter(self.gone))
        del self.gone[topic]
        return Message(topic, b"", retain=True)
