"""One HTTP destination that takes POSTs: persistent connection, deadlines, no redirects, a cap on what is read.

Blocking; a sink runs it in its own single thread. What an answer means is the sink's to say. The deadlines here are for
each step; a peer that answers drop by drop keeps all of them, so whoever waits for the whole has `WHOLE_S`, and `cut`.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

CONNECT_S: Final = 10.0
ANSWER_S: Final = 30.0
WHOLE_S: Final = 120.0  # all of it: connecting, sending, answering, and once more on a fresh connection
MAX_ANSWER_BYTES: Final = 65536
MAX_WAIT_S: Final = 600.0
DEFAULT_WAIT_S: Final = 60.0
REQUEST_BYTES: Final = 80  # request line, Host, Accept-Encoding, Content-Length


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (lower case) and the first 64 KiB of the body as text."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def retry_s(self) -> float | None:
        """What Retry-After asks for: seconds, or a date judged by the server's own Date; 1 s to 10 min; or None."""
        asked = self.headers.get("retry-after")
        if asked is None:
            return None
        try:
            wait_s = float(asked) if asked.strip().lstrip("+-").replace(".", "", 1).isdigit() else self._until(asked)
        except (ValueError, TypeError, OverflowError):
            wait_s = DEFAULT_WAIT_S
        return min(MAX_WAIT_S, max(1.0, wait_s))

    def _until(self, date: str) -> float:
        then, now = parsedate_to_datetime(date), parsedate_to_datetime(self.headers.get("date", ""))
        return (then.replace(tzinfo=then.tzinfo or UTC) - now.replace(tzinfo=now.tzinfo or UTC)).total_seconds()


class Poster:
    """Posts to one url. `headers` go with every request (credentials among them: they go to this host only)."""

    def __init__(self, url: str, *, headers: Mapping[str, str], tls: ssl.SSLContext | None) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port
        self._tls = tls
        self._base = parts.path.rstrip("/")
        self._headers = dict(headers)
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._cut = False
        self.count: Callable[[int], None] = lambda _size_bytes: None  # told of every request, in the posting thread

    def post(self, path: str, body: bytes, *, headers: Mapping[str, str]) -> Answer:
        """Send once; once more on a fresh connection if a kept one turns out dead before any answer.

        Raises:
            OSError, http.client.HTTPException: no answer, or none that is HTTP.
        """
        kept = self._connection is not None
        try:
            return self._post(path, body, headers=headers)
        except (ConnectionError, http.client.RemoteDisconnected, http.client.CannotSendRequest):
            self.close()
            if self._cut or not kept:
                raise
        try:
            return self._post(path, body, headers=headers)
        except BaseException:
            self.close()
            raise

    def _post(self, path: str, body: bytes, *, headers: Mapping[str, str]) -> Answer:
        connection = self._connection = self._connection or self._connect()
        self._socket = connection.sock  # an answer without a length takes it from the connection
        if self._cut:
            raise ConnectionAbortedError("given up")
        named = self._headers | dict(headers)
        heads = sum(len(name) + len(value) + 4 for name, value in named.items())
        self.count(REQUEST_BYTES + len(self._host) + len(self._base + path) + heads + len(body))
        try:
            connection.request("POST", self._base + path, body=body, headers=named)
            response = connection.getresponse()
            text = response.read(MAX_ANSWER_BYTES)
            if response.read(1) or response.will_close:
                self.close()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, text.decode("utf-8", "replace"))

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_S)
        else:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=CONNECT_S, context=self._tls)
        connection.connect()
        connection.sock.settimeout(ANSWER_S)
        return connection

    def cut(self) -> None:
        """From another thread: end what is being posted, and let nothing more be posted. The thread then closes it."""
        self._cut = True
        if self._socket is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # below TLS, which is the other thread's

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
