"""Certificates are renewed on disk, and taken up without a restart; what does not load changes nothing."""

import asyncio
import os
import shutil
import socketserver
import ssl
import threading

import pytest
from parts import Certificates, Listener, Mosquitto
from scripted_influx import GOOD, Database
from sink_cases import SITE, T0_MS, Book, options, parcels, raw, until

from gateway.clock import FakeClock
from gateway.sinks import Renewed, SinkDown, renewal
from gateway.sinks.credentials import Files
from gateway.sinks.influx import InfluxSink
from gateway.sinks.mqtt import MqttSink
from gateway.sinks.sparkplug import SparkplugSink


@pytest.fixture(autouse=True)
def _often(monkeypatch):
    monkeypatch.setattr(renewal, "LOOK_S", 0.02)


class Own:
    """The sink's own copies of the files, replaced as a certificate client does it: written beside, then renamed."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.options = {}

    def put(self, **files):
        for option, source in files.items():
            target = self.folder / option
            shutil.copy(source, self.folder / "new")
            (self.folder / "new").chmod(0o600)
            os.replace(self.folder / "new", target)
            self.options[option] = str(target)


async def shipped(one, book, seqs):
    await one.send(parcels([raw(seq) for seq in seqs], first=seqs[0]))
    await until(lambda: {position for position, _, _ in book.fates} >= set(seqs))


def mqtt(url, own, **more):
    config = options("mqtt", urls=(url,), **own.options, **more)
    return MqttSink("city", config=config, site=SITE, clock=FakeClock(wall_ms=T0_MS), files=Files())


@pytest.mark.parts
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_renewed_client_certificate_is_used_by_the_next_connection(tmp_path, protocol):
    tls = Certificates(tmp_path / "ca")
    own = Own(tmp_path / "own")
    own.put(ca_file=tls.ca, cert_file=tls.client, key_file=tls.client_key)
    second, second_key = tls.issue("second", "extendedKeyUsage=clientAuth", days=2)
    with (
        Mosquitto(tls=tls, client_certificates=True, extra=["use_identity_as_username true"]) as broker,
        Listener(broker.plain_port, "citygate/#") as platform,
    ):

        async def story():
            one, book = mqtt(broker.url, own, protocol=protocol), Book()
            await one.open(book)
            await shipped(one, book, range(3))
            own.put(cert_file=second)  # the key is still the old one: the pair does not load
            await until(one.warning)
            warned = one.warning()
            assert one.down() is None, "a half-renewed pair costs no connection"
            await shipped(one, book, range(3, 6))
            own.put(key_file=second_key)
            await until(lambda: one.down() is not None)
            assert isinstance(one.down(), Renewed)
            await one.close()
            await one.open(book)
            assert not one.warning()
            await shipped(one, book, range(6, 9))
            await one.close()
            return warned

        warned = asyncio.run(story())
        assert "cannot be used" in warned
        assert "u'client'" in broker.log()
        assert "u'second'" in broker.log()
        assert {form["seq"] for form in platform.forms("/raw")} == set(range(9))


@pytest.mark.parts
def test_a_new_authority_on_both_sides_needs_no_restart_of_ours(tmp_path):
    """The server's certificate is replaced by one of another CA: refused until our `ca_file` is renewed too."""
    old, new = Certificates(tmp_path / "old"), Certificates(tmp_path / "new")
    own = Own(tmp_path / "own")
    own.put(ca_file=old.ca)
    with Mosquitto(tls=old) as broker:

        async def story():
            one, book = mqtt(broker.url, own), Book()
            await one.open(book)
            broker.stop()
            broker.tls = new
            broker.prepare()
            await asyncio.to_thread(broker.start)
            await until(lambda: one.down() is not None)
            await one.close()
            with pytest.raises(SinkDown) as refused:
                await one.open(book)
            await one.close()
            own.put(ca_file=new.ca)
            await one.open(book)
            await shipped(one, book, range(3))
            await one.close()
            return refused.value.code

        assert asyncio.run(story()) == "CG-MQT-08"


@pytest.mark.parts
def test_sparkplug_takes_them_up_too(tmp_path):
    tls = Certificates(tmp_path / "ca")
    own = Own(tmp_path / "own")
    own.put(ca_file=tls.ca)
    with Mosquitto(tls=tls) as broker:

        async def story():
            config = options("sparkplug", urls=(broker.url,), **own.options)
            one = SparkplugSink("s", config=config, site=SITE, clock=FakeClock(wall_ms=T0_MS), files=Files())
            await one.open(Book())
            own.put(ca_file=tls.ca)
            await until(lambda: isinstance(one.down(), Renewed))
            await one.close()

        asyncio.run(story())


class Front:
    """TLS before a database: whom it saw, by the common name of the client's certificate."""

    def __init__(self, target_port, context):
        front = self
        self.seen = []

        class Pipe(socketserver.BaseRequestHandler):
            def handle(self):
                import socket

                try:
                    peer = context.wrap_socket(self.request, server_side=True)
                except OSError:
                    return
                subject = dict(part[0] for part in peer.getpeercert()["subject"])
                front.seen.append(subject["commonName"])
                with peer, socket.create_connection(("127.0.0.1", target_port)) as back:
                    thread = threading.Thread(target=self.pump, args=(back, peer))
                    thread.start()
                    self.pump(peer, back)
                    thread.join()

            @staticmethod
            def pump(source, target):
                import socket

                try:
                    while data := source.recv(65536):
                        target.sendall(data)
                    target.shutdown(socket.SHUT_WR)
                except OSError:
                    target.close()

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Pipe)
        self.server.daemon_threads = True
        self.url = f"https://localhost:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def test_http_goes_on_with_renewed_files_and_never_stops(tmp_path):
    tls = Certificates(tmp_path / "ca")
    second, second_key = tls.issue("second", "extendedKeyUsage=clientAuth", days=2)
    token = tmp_path / "token"
    token.write_text("one\n")
    token.chmod(0o600)
    own = Own(tmp_path / "own")
    own.put(ca_file=tls.ca, cert_file=tls.client, key_file=tls.client_key, token_file=token)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(tls.server, tls.server_key)
    database = Database(lambda _lines: GOOD)
    with database as server, Front(server.server_address[1], context) as front:

        async def story():
            config = options("influxdb", urls=(front.url,), api="v2", org="o", bucket="b", **own.options)
            one, book = InfluxSink("db", config=config, site=SITE, files=Files()), Book()
            await one.open(book)
            await shipped(one, book, range(3))
            poster = one._poster
            token.write_text("two\n")
            own.put(cert_file=second)
            await until(one.warning)
            assert one._poster is poster
            own.put(key_file=second_key, token_file=token)
            await until(lambda: one._poster is not poster)
            await shipped(one, book, range(3, 6))
            assert one.down() is None
            assert not one.warning()
            await one.close()
            return book

        book = asyncio.run(story())
    assert sorted(book.delivered) == list(range(6))
    assert (front.seen[0], front.seen[-1]) == ("client", "second")
    assert server.requests[0][1]["Authorization"] == "Token one"
    assert server.requests[-1][1]["Authorization"] == "Token two"
