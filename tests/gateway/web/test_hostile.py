"""Hostile requests against the real process: every one is refused, none changes anything, the page goes on."""

import contextlib
import http.client
import socket
import time

import pytest
from live_desk import LivePage, ScriptedDaemon, device
from parts import poll

from gateway.web.serve import PEER_MAX

BAD_HOSTS = (
    "evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "localhost.evil.example",
    "127.0.0.1:1", "127.0.0.1:99999", "0.0.0.0:{port}", "[::1", "localhost:{port}:{port}", "127.0.0.2:{port}", "*",
    "169.254.169.254", "xn--lcalhost-n5a:{port}", "127.0.0.1:{port}/", "127.1:{port}", "2130706433:{port}", " ",
    "localhost.:{port}",
)  # fmt: skip
BAD_ORIGINS = (
    "http://evil.example", "https://127.0.0.1:{port}", "null", "http://127.0.0.1:1", "http://127.0.0.1",
    "http://127.0.0.1:{port}.evil.example", "file://", "http://localhost.evil.example:{port}", "", "javascript:1",
    "http://user@127.0.0.1:{port}",
)  # fmt: skip
METHODS = ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "BREW")
PATHS = (
    "/static/../app.py", "/static/..%2f..%2fapp.py", "/static/%2e%2e/%2e%2e/serve.py", "/static/..\\app.py",
    "/static//etc/passwd", "/static/%00app.js", "/static/app.js%00.css", "/..", "/etc/passwd", "//evil.example/",
    "/static/", "/static/.", "/static/app.py", "/admin", "/.env", "/.git/config", "/api/", "/api/history?key=../../x",
    "/api/device?key=%3Cscript%3E", "/export/..%2flatest.csv", "/export/secret", "/cmd", "/%0d%0aSet-Cookie:x=1",
    "/static/app.js/", "/events/x", "/api/history?key=gw-1/a&from=x",
    "/api/history?key=gw-1/a&from=1970-01-01T00:00:00Z", "/docs", "/openapi.json",
)  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "state").mkdir()
    with ScriptedDaemon(folder / "state", {"a": device()}) as daemon, LivePage(folder) as live:
        live.daemon = daemon
        yield live.ready()


def unharmed(page):
    """Waits for the rate limit too: a refusal must not lock the honest out for long."""
    return poll(lambda: page.get("/")[0] == 200, deadline_s=10, what="the page after that")


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_foreign_hosts(page, host):
    status, _, body = page.get("/", host=host.format(port=page.port))
    assert status in {400, 421}
    assert b"<html" not in body
    assert unharmed(page)


def test_our_own_names_are_served(page):
    for host in (f"localhost:{page.port}", f"127.0.0.1:{page.port}", f"LOCALHOST:{page.port}", f"[::1]:{page.port}"):
        assert page.get("/healthz", host=host)[0] == 200
    assert page.get("/healthz", {"Origin": page.url})[0] == 200


def test_no_host_and_two_hosts(page):
    assert page.get("/", host="")[0] == 400
    assert page.get("/", {"host": "evil.example"})[0] == 400


@pytest.mark.parametrize("origin", BAD_ORIGINS)
def test_foreign_origins(page, origin):
    status, headers, _ = page.get("/events", {"Origin": origin.format(port=page.port)})
    assert status == 403
    assert "access-control-allow-origin" not in {name.lower() for name in headers}


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_fetches_of_other_sites(page, site):
    assert page.get("/api/snapshot", {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"})[0] == 403
    assert page.get("/static/app.js", {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"})[0] == 403
    assert page.get("/", {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"})[0] == 200  # a plain link is no harm


@pytest.mark.parametrize("method", METHODS)
def test_nothing_can_be_changed(page, method):
    for path in ("/", "/api/snapshot", "/events"):
        status, _, body = page.get(path, method=method)
        assert status in {400, 405}, (method, path)
        assert b"gw-1" not in body


@pytest.mark.parametrize("path", PATHS)
def test_paths(page, path):
    status, headers, body = page.get(path)
    assert status in {400, 404}, (path, status)
    assert b"root:" not in body
    assert b"import" not in body
    assert "Set-Cookie" not in headers


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Length": "1073741824"}, None),
        ({"Content-Length": "5"}, b"hello"),
        ({"Transfer-Encoding": "chunked"}, b"5\r\nhello\r\n0\r\n\r\n"),
        ({"Content-Length": "-1"}, None),
        ({"Content-Length": "5", "Transfer-Encoding": "chunked"}, b"0\r\n\r\n"),
    ],
)
def test_bodies(page, headers, body):
    assert page.get("/", headers, body=body)[0] in {400, 413, 501}
    assert unharmed(page)


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: localhost:%d\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost:%d\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost:%d\r\n" + b"".join(b"X-%05d: y\r\n" % n for n in range(5000)) + b"\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost:%d\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03%d",
        b"GET / HTTP/1.1\r\nHost: localhost:%d\r\nA : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost:%d\r\nHost: evil.example\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example:%d\r\n\r\n",
        b"\r\n\r\n\r\n%d\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n%d",
    ],
)
def test_raw_garbage(page, raw):
    with socket.create_connection(("127.0.0.1", page.port), timeout=5) as sock:
        sock.settimeout(5)
        with contextlib.suppress(OSError):
            sock.sendall(raw.replace(b"%d", b"%d" % page.port))
            sock.shutdown(socket.SHUT_WR)
        got = b""
        with contextlib.suppress(OSError):
            while chunk := sock.recv(65536):
                got += chunk
    assert not got or got.split(b" ", 2)[1] in {b"400", b"404", b"413", b"414", b"421", b"431", b"505"}
    assert unharmed(page)


JSON = {"Content-Type": "application/json", "Content-Length": "2"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 411),
        ({"Content-Type": "application/json"}, 411),
        (JSON, 403),  # no origin
        (JSON | {"Origin": "null"}, 403),
        (JSON | {"Origin": "http://evil.example"}, 403),
        (JSON | {"Origin": "{url}", "Sec-Fetch-Site": "cross-site"}, 403),
        (JSON | {"Origin": "{url}", "Sec-Fetch-Site": "same-site"}, 403),
        (JSON | {"Origin": "{url}", "Sec-Fetch-Site": "none"}, 403),
        (JSON | {"Origin": "{url}", "Content-Type": "text/plain"}, 415),
        (JSON | {"Origin": "{url}", "Content-Type": "application/x-www-form-urlencoded"}, 415),
        (JSON | {"Origin": "{url}", "Content-Type": "multipart/form-data"}, 415),
        (JSON | {"Origin": "{url}", "Content-Length": "1073741824"}, 413),
        (JSON | {"Origin": "{url}", "Content-Length": "2049"}, 413),
        (JSON | {"Origin": "{url}", "Transfer-Encoding": "chunked"}, 411),
        (JSON | {"Origin": "{url}"}, 403),  # our own page, without a permit
        (JSON | {"Origin": "{url}", "X-Citygate-Permit": "guess"}, 403),
        (JSON | {"Origin": "{url}", "Cookie": "permit=guess", "Authorization": "Bearer guess"}, 403),
    ],
)
@pytest.mark.parametrize("what", ["scan", "add", "finish"])
def test_no_stranger_changes_anything(page, what, headers, status):
    given = {name: value.format(url=page.url) for name, value in headers.items()}
    seen = len(page.daemon.asked)
    assert page.get(f"/setup/{what}", given, method="POST", body=b"{}")[0] in {status, 400}
    steered = [one for one in page.daemon.asked[seen:] if one["ask"] in {"desk", "unlock"}]
    assert all(one["permit"] in {"", "guess"} for one in steered)  # the daemon is asked, and refuses
    assert len(steered) == (headers.get("Origin") == "{url}" and status == 403 and "Sec-Fetch-Site" not in headers)


@pytest.mark.parametrize("path", ["/setup/", "/setup/../scan", "/setup/rm", "/setup/unlock/x", "/setup/%2e%2e/unlock"])
def test_there_are_no_other_changes(page, path):
    assert page.get(path, JSON | {"Origin": page.url}, method="POST", body=b"{}")[0] in {400, 404}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_a_change_is_a_post(page, method):
    assert page.get("/setup/finish", {"Origin": page.url}, method=method)[0] == 405


def test_websockets_are_not_spoken(page):
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    status, _, _ = page.get("/events2", headers | {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
    assert status != 101


def test_every_answer_carries_the_safety_headers(page):
    for path in ("/", "/static/app.js", "/nothing", "/api/snapshot", "/metrics"):
        _, headers, _ = page.get(path)
        headers = {name.lower(): value for name, value in headers.items()}
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers
    assert page.get("/", host="evil.example")[1].get("content-security-policy")


def test_idle_connections_and_slow_requests_are_dropped_and_hold_nobody_up(page):
    sockets = []
    try:
        for number in range(100):
            sock = socket.create_connection(("127.0.0.1", page.port), timeout=5)
            if number % 2:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            sockets.append(sock)
        assert page.get("/healthz")[0] == 200
        end = time.monotonic() + 20
        for sock in sockets:
            sock.settimeout(max(0.1, end - time.monotonic()))
            with contextlib.suppress(ConnectionError):
                while sock.recv(4096):  # until the page hangs up
                    pass
    finally:
        for sock in sockets:
            sock.close()
    assert unharmed(page)


SECOND = (
    b"GET / HTTP/1.1\r\nHo",
    (
        b"POST /setup/scan HTTP/1.1\r\nHost: localhost:%d\r\nOrigin: http://localhost:%d\r\n"
        b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
    ),
)


def test_half_of_a_second_request_holds_nothing_and_an_open_stream_is_let_be(page):
    with contextlib.ExitStack() as stack:

        def asked(path):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", page.port), timeout=20))
            sock.sendall(b"GET %b HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % (path, page.port))
            assert b"200 OK" in sock.recv(65536)
            return sock

        stream, halves = asked(b"/events"), [asked(b"/healthz") for _ in SECOND]
        for sock, second in zip(halves, SECOND, strict=True):
            sock.sendall(second.replace(b"%d", b"%d" % page.port))
        for sock in halves:
            with contextlib.suppress(ConnectionError):
                while sock.recv(4096):  # until the page hangs up
                    pass
        stream.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                assert stream.recv(65536), "the page hung up on a stream"


def test_one_peer_alone_does_not_fill_the_page(tmp_path):
    """256 of 127.0.0.1 are let in, more are held and let go unheard; another address of this machine gets its page."""
    with LivePage(tmp_path) as live, contextlib.ExitStack() as held:
        for _ in range(PEER_MAX + 50):
            held.enter_context(socket.create_connection(("127.0.0.1", live.port), timeout=5))
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            live.get("/healthz")
        ask = b"GET /healthz HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % live.port
        with socket.create_connection(("127.0.0.1", live.port), 5, source_address=("127.0.0.2", 0)) as other:
            other.sendall(ask)
            assert b"200 OK" in other.recv(4096)


def test_too_many_requests_are_told_so(tmp_path):
    with LivePage(tmp_path) as page:
        statuses = [page.get("/healthz")[0] for _ in range(600)]
        assert set(statuses) == {200, 429}
        assert unharmed(page)


def test_names_and_values_are_escaped_without_javascript(tmp_path):
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    (tmp_path / "state").mkdir()
    alarm = {
        "id": "e",
        "state": "raised",
        "code": evil,
        "t": "2026-11-21T02:00:00.000Z",
        "text": {"en": evil},
        "level": 2,
    }
    daemon = ScriptedDaemon(tmp_path / "state", {"a": device(name={"en": evil, "th": evil})}, alarms=[alarm])
    with daemon, LivePage(tmp_path) as live:
        body = live.ready().get("/")[2]
        assert b"&lt;script&gt;alert(1)" in body
        assert b"<script>alert" not in body
        assert b"<img" not in body
        assert b"'alert" not in live.get("/export/latest.csv")[2]
