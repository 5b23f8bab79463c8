"""What stands in front of every request: host, origin, method, size, rate, credentials; and the answers' headers.

ASGI middleware without a framework, so that nothing is parsed before it is allowed. Rules: faults.md 2.9 of the design
(DNS rebinding, cross-site requests, slow and big requests). GET and HEAD change nothing; a POST goes to `/setup/`
alone, as JSON of our own page, and there the daemon asks for its permit.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

PATH_MAX: Final = 2048
HEADERS_MAX: Final = 100
HEADERS_MAX_BYTES: Final = 16_384
BODY_MAX: Final = 2048
CHANGES: Final = "/setup/"
PEERS_MAX: Final = 4096
CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=()"),
)


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may ask. `hosts`: host names without port, in lower case; `port`: ours; `secret`: sha256 of user:password."""

    hosts: frozenset[str]
    port: int
    secure: bool = False
    secret: bytes = b""
    per_second: float = 50.0
    burst: float = 200.0


class Refused(Exception):
    """A request that goes no further: status and one sentence."""

    def __init__(self, status: int, fact: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(fact)
        self.status, self.fact, self.headers = status, fact, headers


class Guard:
    """Refuses or passes on; counts what it refused by status."""

    def __init__(self, app: App, rules: Rules, *, mono_s: Callable[[], float]) -> None:
        self.refused: dict[int, int] = {}
        self._app = app
        self._rules = rules
        self._mono_s = mono_s
        self._peers: dict[str, tuple[float, float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request (ASGI). Websockets are closed; the lifespan is passed on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        try:
            self._judge(scope)
        except Refused as refused:
            self.refused[refused.status] = self.refused.get(refused.status, 0) + 1
            await _tell(refused, with_headers)
            return
        await self._app(scope, receive, with_headers)

    def _judge(self, scope: Scope) -> None:
        self._rate(scope)
        if scope["http_version"] not in {"1.0", "1.1"}:
            raise Refused(505, "HTTP/1.1 is spoken here")
        headers = _headers(scope)
        self._host(headers)
        changing = scope["path"].startswith(CHANGES)
        if scope["method"] not in ({"POST"} if changing else {"GET", "HEAD"}):
            allowed = b"POST" if changing else b"GET, HEAD"
            raise Refused(405, f"only {allowed.decode()} is served here", ((b"allow", allowed),))
        if len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"]) > PATH_MAX:
            raise Refused(414, "this address is too long")
        if changing:
            _change(headers)
        elif headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            raise Refused(413, "a request with a body is not taken")
        if not scope["path"].isprintable() or "\\" in scope["path"] or ".." in scope["path"]:
            raise Refused(400, "this address is not one of ours")
        self._origin(scope, headers)
        if self._rules.secret:
            self._credentials(headers)

    def _rate(self, scope: Scope) -> None:
        peer = (scope.get("client") or ("?", 0))[0]
        now_s = self._mono_s()
        room, at_s = self._peers.pop(peer, (self._rules.burst, now_s))
        room = min(self._rules.burst, room + (now_s - at_s) * self._rules.per_second)
        if len(self._peers) >= PEERS_MAX:
            del self._peers[next(iter(self._peers))]
        self._peers[peer] = max(0.0, room - 1.0), now_s
        if room < 1.0:
            raise Refused(429, "too many requests", ((b"retry-after", b"1"),))

    def _host(self, headers: Mapping[str, str]) -> None:
        host = headers.get("host", "")
        if not host:
            raise Refused(400, "the request names no host")
        if not self._ours(host, unsaid=self._rules.port):  # a proxy may leave the port out
            raise Refused(421, "this server does not answer for that host name")

    def _ours(self, host: str, *, unsaid: int) -> bool:
        """Whether host[:port] is one of our names with our port; `unsaid` is meant where no port is given."""
        name, colon, port = host.lower().rpartition(":")
        if not colon or (host.startswith("[") and host.endswith("]")):
            name, port = host.lower(), str(unsaid)
        return name in self._rules.hosts and port == str(self._rules.port)

    def _origin(self, scope: Scope, headers: Mapping[str, str]) -> None:
        origin = headers.get("origin")
        if origin is not None:
            scheme, _, host = origin.partition("://")
            ours, unsaid = ("https", 443) if self._rules.secure else ("http", 80)
            if scheme != ours or not self._ours(host, unsaid=unsaid):
                raise Refused(403, "a page of another site may not ask here")
        elsewhere = headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}
        if elsewhere and not (scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"):
            raise Refused(403, "a page of another site may not ask here")

    def _credentials(self, headers: Mapping[str, str]) -> None:
        kind, _, given = headers.get("authorization", "").partition(" ")
        try:
            pair = base64.b64decode(given, validate=True) if kind.lower() == "basic" else b""
        except ValueError:
            pair = b""
        if not hmac.compare_digest(hashlib.sha256(pair).digest(), self._rules.secret):
            realm = b'Basic realm="citygate", charset="UTF-8"'
            raise Refused(401, "name and password are needed", ((b"www-authenticate", realm),))


def _change(headers: Mapping[str, str]) -> None:
    """A change is a small JSON body that names its origin: no form of another site can send one unasked."""
    length = headers.get("content-length", "")
    if "transfer-encoding" in headers or not (length.isascii() and length.isdigit()):
        raise Refused(411, "the length of the body is needed")
    if len(length) > 6 or int(length) > BODY_MAX:
        raise Refused(413, "this body is too long")
    if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise Refused(415, "changes are JSON")
    if "origin" not in headers or headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise Refused(403, "changes are asked for by our own page alone")


def _headers(scope: Scope) -> dict[str, str]:
    """Names to values; a header that must stand once and stands twice refuses the request."""
    given = scope["headers"]
    if len(given) > HEADERS_MAX or sum(len(name) + len(value) for name, value in given) > HEADERS_MAX_BYTES:
        raise Refused(431, "these headers are too long")
    found: dict[str, str] = {}
    for raw_name, raw_value in given:
        name = raw_name.decode("latin-1").lower()
        if name in found and name in {"host", "origin", "content-length", "transfer-encoding", "authorization"}:
            raise Refused(400, "a header stands twice")
        found[name] = raw_value.decode("latin-1")
    return found


async def _tell(refused: Refused, send: Send) -> None:
    body = f"{refused.fact}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    headers += [*refused.headers, (b"cache-control", b"no-store")]
    if refused.status in {400, 403, 405, 411, 413, 415, 429, 431, 505}:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
