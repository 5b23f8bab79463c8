"""The urls of one broker: which is tried next, and where a server may send us (MQTT 5.0, 4.13: server redirection).

A server's reference is followed only to an address that the config lists: else whoever answers once could take all of
a city's data elsewhere. The scheme, so TLS too, is that of the listed url.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from gateway.sinks import SinkDown
from gateway.sinks.mqtt_dial import Redirected, address


class Urls:
    """Belongs to one sink."""

    def __init__(self, urls: tuple[str, ...]) -> None:
        self.urls = urls
        self.warning = ""  # of the last reference that leads nowhere
        self._first = 0

    def order(self) -> list[str]:
        """All of them; first the one that was taken last."""
        return [*self.urls[self._first :], *self.urls[: self._first]]

    def took(self, url: str) -> None:
        """A connection stands."""
        self._first = self.urls.index(url)

    def turn(self) -> None:
        """None would have us: the next time begins with another."""
        self._first = (self._first + 1) % max(1, len(self.urls))

    def sent_on(self, url: str, down: Redirected) -> str:
        """The listed url that the server at `url` names.

        Raises:
            SinkDown: it names none of ours; the next time begins with the url after this one.
        """
        for named in down.reference.split():
            for one in self.urls:
                if one != url and _same(named, one):
                    self.took(one)
                    self.warning = ""
                    return one
        self.took(url)
        self.turn()
        to = repr(down.reference[:100]) if down.reference else "a server that it does not name"
        self.warning = f"{url} sends us to {to}, which is not in `urls`"
        alone = 60.0 if len(self.urls) == 1 else None
        raise SinkDown(self.warning, code="CG-MQT-09", retry_s=alone)


def _same(named: str, url: str) -> bool:
    """Whether a reference (host or host:port) means this url."""
    host, port, _tls = address(url)
    try:
        parts = urlsplit(f"//{named}")
        same = parts.hostname == host and parts.port in {None, port}
    except ValueError:
        return False
    return same
