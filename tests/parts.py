"""Real parts for tests, demos and benches: mosquitto, InfluxDB 1.x and VictoriaMetrics on free loopback ports.

Each is a context manager with its own temporary folder; `stop()` and `start()` work on the same port and data, so an
outage is two calls. A part that is not installed is an error that names the Debian package: tests never skip it.

    with Mosquitto() as broker:
        print(broker.port)
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import paho.mqtt.client as paho
import pytest

START_S = 20.0


class PartMissing(AssertionError):
    """A program is not installed."""


def program(name, *, package):
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise PartMissing(f"{name} is not installed; on Debian: apt-get install {package} (or: make test PARTS=none)")
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def poll(question, *, deadline_s=START_S, what="condition"):
    """Ask until the answer is true; the answer."""
    end = time.monotonic() + deadline_s
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {deadline_s} s")
        time.sleep(0.02)


class Part:
    """A server process. Subclasses give `command()`, write their files in `prepare()`, and answer `alive()`."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix=f"citygate-{type(self).__name__.lower()}-"))
        self.port = free_port()
        self.process = None

    def prepare(self):
        pass

    def command(self):
        raise NotImplementedError

    def alive(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    def start(self):
        log = (self.folder / "log").open("ab")
        try:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.folder)
        finally:
            log.close()
        poll(self._up, what=f"{type(self).__name__} on port {self.port}")
        return self

    def _up(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{type(self).__name__} ended with {self.process.returncode}:\n{self.log()[-2000:]}")
        return self.alive()

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def stop(self, *, kill=False):
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

    def freeze(self):
        """Stop answering without closing anything: a half-open peer."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self):
        try:
            self.prepare()
            return self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Mosquitto(Part):
    """An MQTT broker. `users`: {name: password}; `acl`: lines of an acl_file; `tls`: a `Certificates`; `extra`: lines.

    With `tls`, `port` speaks TLS and `plain_port` does not.
    """

    def __init__(self, *, users=None, acl=None, tls=None, client_certificates=False, extra=(), persistence=False):
        super().__init__()
        self.users, self.acl, self.tls, self.extra = users, acl, tls, extra
        self.client_certificates, self.persistence = client_certificates, persistence
        self.plain_port = free_port() if tls else self.port

    def prepare(self):
        lines = ["per_listener_settings false", f"persistence {'true' if self.persistence else 'false'}"]
        lines += [f"persistence_location {self.folder}/"] if self.persistence else []
        lines += [f"allow_anonymous {'false' if self.users else 'true'}"]
        if os.geteuid() == 0:
            lines.append("user root")
        if self.users:
            secret = self.folder / "passwords"
            secret.touch(0o600)
            for name, password in self.users.items():
                tool = program("mosquitto_passwd", package="mosquitto")
                subprocess.run([tool, "-b", str(secret), name, password], check=True, capture_output=True)
            lines.append(f"password_file {secret}")
        if self.acl:
            file = self.folder / "acl"
            file.write_text("\n".join(self.acl) + "\n")
            file.chmod(0o600)
            lines.append(f"acl_file {file}")
        lines.append(f"listener {self.plain_port} 127.0.0.1")
        if self.tls:
            lines += [f"listener {self.port} 127.0.0.1", f"cafile {self.tls.ca}"]
            lines += [f"certfile {self.tls.server}", f"keyfile {self.tls.server_key}"]
            lines += ["require_certificate true"] if self.client_certificates else []
        (self.folder / "mosquitto.conf").write_text("\n".join([*lines, *self.extra]) + "\n")

    def command(self):
        return [program("mosquitto", package="mosquitto"), "-c", str(self.folder / "mosquitto.conf"), "-v"]

    @property
    def url(self):
        return f"mqtts://localhost:{self.port}" if self.tls else f"mqtt://127.0.0.1:{self.port}"


class Certificates:
    """A CA, a server certificate for localhost, and a client's; made by openssl in `folder`."""

    def __init__(self, folder, *, name="localhost", days=2):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._openssl = program("openssl", package="openssl")
        self.ca, self.ca_key = self.folder / "ca.pem", self.folder / "ca.key"
        self._run("req", "-x509", *self._key(self.ca_key), "-out", self.ca, "-days", "30", "-subj", "/CN=test CA")
        self.server, self.server_key = self.issue("server", f"subjectAltName=DNS:{name},IP:127.0.0.1", days=days)
        self.client, self.client_key = self.issue("client", "extendedKeyUsage=clientAuth", days=days)

    def issue(self, stem, extension, *, days):
        crt, key = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        csr, ext = self.folder / f"{stem}.csr", self.folder / f"{stem}.ext"
        ext.write_text(extension + "\n")
        self._run("req", *self._key(key), "-out", csr, "-subj", f"/CN={stem}")
        self._run(
            "x509", "-req", "-in", csr, "-CA", self.ca, "-CAkey", self.ca_key, "-CAcreateserial", "-out", crt,
            "-days", str(days), "-extfile", ext,
        )  # fmt: skip
        return crt, key

    @staticmethod
    def _key(path):
        return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path

    def _run(self, *args):
        subprocess.run([self._openssl, *map(str, args)], check=True, capture_output=True)


class Http(Part):
    """What the two databases share."""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def get(self, path, **query):
        url = f"{self.url}{path}?{urllib.parse.urlencode(query)}" if query else f"{self.url}{path}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            body = answer.read()
            return gzip.decompress(body) if answer.headers.get("Content-Encoding") == "gzip" else body

    def post(self, path, body=b"", **query):
        url = f"{self.url}{path}?{urllib.parse.urlencode(query)}" if query else f"{self.url}{path}"
        with urllib.request.urlopen(urllib.request.Request(url, data=body, method="POST"), timeout=10) as answer:
            return answer.read()


class Influx1(Http):
    """InfluxDB 1.x with one database, `city`. `users` = {name: password} turns authentication on."""

    database = "city"

    def __init__(self, *, users=None):
        super().__init__()
        self.users = users
        self._rpc_port = free_port()

    def prepare(self):
        self._configure(auth=False)
        if self.users:  # users are made before the door is locked
            self.start()
            for name, password in self.users.items():
                self.query(f"CREATE USER \"{name}\" WITH PASSWORD '{password}' WITH ALL PRIVILEGES")
            self.stop()
            self._configure(auth=True)

    def _configure(self, *, auth):
        (self.folder / "influx.conf").write_text(
            f'reporting-disabled = true\nbind-address = "127.0.0.1:{self._rpc_port}"\n'
            f'[meta]\ndir = "{self.folder}/meta"\n'
            f'[data]\ndir = "{self.folder}/data"\nwal-dir = "{self.folder}/wal"\nquery-log-enabled = false\n'
            f'[http]\nbind-address = "127.0.0.1:{self.port}"\nlog-enabled = false\n'
            f"auth-enabled = {'true' if auth else 'false'}\n"
            "[monitor]\nstore-enabled = false\n"
        )

    def command(self):
        return [program("influxd", package="influxdb"), "-config", str(self.folder / "influx.conf")]

    def alive(self):
        try:
            self.get("/ping")
        except OSError:
            return False
        return True

    def start(self):
        super().start()
        self.query(f"CREATE DATABASE {self.database}")
        return self

    def _login(self):
        if not self.users:
            return {}
        name, password = next(iter(self.users.items()))
        return {"u": name, "p": password}

    def query(self, text):
        """Rows of the first series, as dicts; [] where there is none."""
        with contextlib.suppress(urllib.error.HTTPError):
            answer = json.loads(
                self.post("/query", db=self.database, q=text, epoch="ms", **self._login())
            )  # fmt: skip
            if "error" in answer["results"][0]:
                raise AssertionError(answer["results"][0]["error"])
            return [
                dict(zip(each["columns"], row, strict=True)) | each.get("tags", {})
                for each in answer["results"][0].get("series", [])
                for row in each["values"]
            ]
        return []


class VictoriaMetrics(Http):
    """VictoriaMetrics, single node. `dedup` keeps one sample per series and millisecond."""

    def __init__(self, *, dedup=True):
        super().__init__()
        self.dedup = dedup

    def command(self):
        return [
            program("victoria-metrics", package="victoria-metrics"),
            f"-storageDataPath={self.folder}/data",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-retentionPeriod=120",
            "-search.latencyOffset=0s",
            "-memory.allowedBytes=64MB",
            "-loggerLevel=WARN",
            *(["-dedup.minScrapeInterval=1ms"] if self.dedup else []),
        ]

    def alive(self):
        try:
            return self.get("/health") == b"OK"
        except OSError:
            return False

    def flush(self):
        """Make everything written so far visible to queries."""
        self.get("/internal/force_flush")

    def query(self, text, *, at_s):
        """The instant vector at `at_s` (Unix s): [(labels, value)]."""
        answer = json.loads(self.get("/api/v1/query", query=text, time=at_s, nocache=1))
        return [(row["metric"], float(row["value"][1])) for row in answer["data"]["result"]]

    def samples(self, match):
        """All raw samples of the series that match: {labels as sorted items: [(t_ms, value)]}."""
        self.flush()
        lines = self.get("/api/v1/export", **{"match[]": match}).decode().splitlines()
        found = {}
        for text in lines:
            row = json.loads(text)
            key = tuple(sorted(row["metric"].items()))
            found.setdefault(key, []).extend(zip(row["timestamps"], row["values"], strict=True))
        return found


class Listener:
    """Subscribes to `topics` of a broker in a thread of its own and keeps every message; reconnects by itself."""

    def __init__(self, port, topics="#", *, username=None, password=None):
        self.messages = []
        self.ready = threading.Event()
        self._topics = topics
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=f"listener-{os.getpid()}-{id(self)}", protocol=paho.MQTTv5
        )  # fmt: skip
        self._client.username_pw_set(username, password)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda *_: self.ready.set()
        self._client.on_message = lambda _client, _data, message: self.messages.append(message)
        self._port = port

    def _connected(self, client, _data, _flags, _reason, _properties):
        options = paho.SubscribeOptions(qos=1, retainAsPublished=True)
        client.subscribe(self._topics, options=options)

    def __enter__(self):
        self._client.connect("127.0.0.1", self._port, keepalive=10)
        self._client.loop_start()
        assert self.ready.wait(10), "the listener was not subscribed"
        return self

    def __exit__(self, *_):
        self._client.disconnect()
        self._client.loop_stop()

    def forms(self, ending):
        """The JSON bodies of messages whose topic ends so."""
        return [json.loads(m.payload) for m in list(self.messages) if m.topic.endswith(ending) and m.payload]


@pytest.fixture
def mosquitto():
    with Mosquitto() as part:
        yield part


@pytest.fixture(scope="session")
def influx1():
    with Influx1() as part:
        yield part


@pytest.fixture(scope="session")
def victoria():
    with VictoriaMetrics() as part:
        yield part


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))
