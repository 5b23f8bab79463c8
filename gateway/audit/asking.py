"""One HTTP server that is asked: whole answers, within a deadline and a cap. Blocking."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode, urlsplit

from gateway.audit import Unreadable

WAIT_S: Final = 60.0
MAX_BYTES: Final = 256 << 20


class Asked:
    """`headers` go with every question (credentials among them: to this host only; redirects are not followed)."""

    def __init__(self, url: str, *, headers: Mapping[str, str], tls: ssl.SSLContext | None) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(url)
        self._host, self._port, self._base = parts.hostname or "", parts.port, parts.path.rstrip("/")
        self._headers, self._tls = dict(headers), tls

    def get(self, path: str, query: Mapping[str, str]) -> bytes:
        """The body of a 200. Raises `Unreadable`."""
        status, body = self.ask("GET", f"{path}?{urlencode(query)}" if query else path)
        if status != http.client.OK:
            words = " ".join(body[:300].decode("utf-8", "replace").split())
            raise Unreadable(f"{self.url}{path}: HTTP {status}: {words}")
        return body

    def ask(self, method: str, path: str) -> tuple[int, bytes]:
        """Status and body of any answer. Raises `Unreadable` where there is none."""
        connection = self._connection()
        try:
            connection.request(method, self._base + path, headers=self._headers)
            answer = connection.getresponse()
            body = answer.read(MAX_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            raise Unreadable(f"{self.url}: no answer: {error!s}") from None
        finally:
            connection.close()
        if len(body) > MAX_BYTES:
            raise Unreadable(f"{self.url}{path}: more than {MAX_BYTES >> 20} MiB for one range")
        if answer.length:  # read(n) takes a body that is shorter than its Content-Length without a word
            raise Unreadable(f"{self.url}: the answer ends {answer.length} bytes before its end")
        return answer.status, body

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=WAIT_S)
        return http.client.HTTPSConnection(self._host, self._port, timeout=WAIT_S, context=self._tls)
