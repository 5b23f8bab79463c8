"""A peer that answers drop by drop: the sink is down in time, and nothing keeps the process from ending."""

import asyncio
import socket
import ssl
import threading

import pytest
from sink_cases import SITE, Book, options, parcels, raw, until

from gateway.sinks import http_sink
from gateway.sinks.credentials import Files
from gateway.sinks.influx import InfluxSink

DRIPS = {
    "a header": (b"HTTP/1.1 204 No Content\r\nX-A: ", b"a"),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body": (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 60000\r\n\r\n", b"a"),
    "a body without a length": (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", b"a"),
}


class Dripping:
    """Takes the first request (the canary); each later one gets an answer that never ends."""

    def __init__(self, drip, *, tls=None):
        self._head, self._drop = drip
        self._tls = tls
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._ended = threading.Event()
        self.asked = threading.Event()
        self.left = threading.Event()  # the other side has let go of the connection
        scheme, host = ("http", "127.0.0.1") if tls is None else ("https", "localhost")
        self.url = f"{scheme}://{host}:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        connection, _ = self._socket.accept()
        with connection if self._tls is None else self._tls.wrap_socket(connection, server_side=True) as peer:
            try:
                self._request(peer)
                peer.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
                self._request(peer)
                self.asked.set()
                peer.sendall(self._head)
                while not self._ended.wait(0.01):
                    peer.sendall(self._drop)
            except OSError:
                self.left.set()

    def _request(self, peer):
        data = b""
        while b"\r\n\r\n" not in data:
            data += peer.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(int(row[15:]) for row in head.split(b"\r\n") if row.lower().startswith(b"content-length:"))
        while len(body) < length:
            body += peer.recv(65536)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._socket.close()
        self._thread.join(10)


def posting():
    return [thread for thread in threading.enumerate() if thread.name.startswith("sink-drip")]


async def story(peer, *, ended, **more):
    config = options("influxdb", urls=(peer.url,), api="v1", database="city", **more)
    sink, book = InfluxSink("drip", config=config, site=SITE, files=Files()), Book()
    await sink.open(book)
    await sink.send(parcels([raw(1)]))
    assert await asyncio.to_thread(peer.asked.wait, 10)
    await until(lambda: ended(sink))
    down = sink.down()
    await sink.close()
    await until(lambda: not posting())
    assert await asyncio.to_thread(peer.left.wait, 10)
    return book.fates, down


@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS)
def test_a_peer_that_drips_is_down_in_time(monkeypatch, drip):
    monkeypatch.setattr(http_sink, "WHOLE_S", 0.3)
    with Dripping(drip) as peer:
        fates, down = asyncio.run(story(peer, ended=lambda sink: sink.down() is not None))
    assert fates == []
    assert (down.code, down.retry_s) == ("CG-INF-01", None)
    assert "not all of it within 0.3 s" in str(down)


@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS)
def test_a_sink_that_is_closed_leaves_no_thread_with_a_peer_that_drips(drip):
    with Dripping(drip) as peer:
        fates, down = asyncio.run(story(peer, ended=lambda _sink: True))
    assert (fates, down) == ([], None)


@pytest.mark.parts
@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS)
def test_the_same_below_tls(certificates, drip):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.server_key)
    with Dripping(drip, tls=context) as peer:
        fates, down = asyncio.run(story(peer, ended=lambda _sink: True, ca_file=str(certificates.ca)))
    assert (fates, down) == ([], None)
