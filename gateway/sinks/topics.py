"""MQTT topics and client ids: built from validated ids only, so that no name from outside can leave our prefix."""

from __future__ import annotations

import re
from typing import Final

from gateway.reading import LENGTHS_S
from gateway.sinks import Site

ID: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
RESERVED: Final = frozenset({"status", "health", "meta", "event", "raw", "cmd"})
_PREFIX: Final = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
GATEWAY: Final = "_gateway"


def valid_id(text: str) -> bool:
    """Whether `text` may name a gateway, device or sink (contracts.md, "Config")."""
    return ID.fullmatch(text) is not None and text not in RESERVED


class Topics:
    """All topics of one sink under its prefix.

    Raises:
        ValueError: the template, or an id, has a character that does not belong into a topic.
    """

    def __init__(self, template: str, site: Site) -> None:
        for name in (site.city, site.gateway):
            if not valid_id(name):
                raise ValueError(f"{name!r} is no id")
        prefix = template.replace("{city}", site.city).replace("{gateway}", site.gateway)
        if not _PREFIX.fullmatch(prefix) or len(prefix) > 200:
            raise ValueError(f"topic = {template!r} is no prefix of topics")
        self.prefix = prefix
        self.status = f"{prefix}/status"
        self.meta = f"{prefix}/meta"
        self.health = f"{prefix}/health"
        self.device_metas = f"{prefix}/+/meta"
        self._known: dict[tuple[str, str], str] = {}

    def of(self, device: str, stream: str) -> str:
        """`{prefix}/{device}/{stream}`; the gateway's own events stand at `{prefix}/event`."""
        topic = self._known.get((device, stream))
        if topic is None:
            if stream not in LENGTHS_S and stream not in {"raw", "event", "meta"}:
                raise ValueError(f"{stream!r} is no stream")
            if device == GATEWAY:
                topic = f"{self.prefix}/{stream}"
            elif valid_id(device):
                topic = f"{self.prefix}/{device}/{stream}"
            else:
                raise ValueError(f"{device!r} is no id")
            self._known[device, stream] = topic
        return topic

    def device_of_meta(self, topic: str) -> str | None:
        """The device whose `meta` this topic is, or None."""
        parts = topic.removeprefix(self.prefix + "/").split("/")
        return parts[0] if len(parts) == 2 and parts[1] == "meta" and valid_id(parts[0]) else None
