"""The broker's rules, held against a real mosquitto: a gateway writes its own topics and nobody else's."""

import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from parts import free_port

DEPLOY = Path(__file__).parents[2] / "deploy/mosquitto"
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
pytestmark = [pytest.mark.parts, pytest.mark.skipif(MOSQUITTO is None, reason="apt-get install mosquitto")]
REFUSED = 0x87


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def served(conf, text, port):
    """A broker with this config, until the end of the block."""
    conf.write_text(f"{text}\nuser {Path('/').owner()}\n")
    process = subprocess.Popen([MOSQUITTO, "-c", conf], stderr=subprocess.PIPE, text=True)
    with process:
        until = time.monotonic() + 10
        while not listening(port):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.02)
        try:
            yield
        finally:
            process.terminate()


def first(port, hook, *, user, password=None, topic=None, ca=None):
    """What a client that signs in, and publishes on `topic` where one is given, is told first: a reason code, or None.

    `hook`: where the client is told it, `on_connect` or `on_publish`.
    """
    codes = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.username_pw_set(user, password)
    if ca is not None:
        client.tls_set(ca_certs=str(ca))
    setattr(client, hook, lambda *told: codes.append(told[3].value))
    if hook == "on_connect":
        client.on_connect_fail = client.on_disconnect = lambda *_: codes.append(None)
    client.connect("127.0.0.1", port)
    client.loop_start()
    if topic is not None:
        client.publish(topic, b"{}", qos=1)
    until = time.monotonic() + 10
    while not codes and time.monotonic() < until:
        time.sleep(0.01)
    client.disconnect()
    client.loop_stop()
    return codes[0]


@pytest.fixture
def broker(tmp_path):
    port = free_port()
    tmp_path.chmod(0o755)
    acl = tmp_path / "acl"
    acl.write_text((DEPLOY / "citygate.acl").read_text())
    acl.chmod(0o600)
    kept = ("max_", "persistent_client", "per_listener")
    rows = [row for row in (DEPLOY / "citygate.conf").read_text().splitlines() if row.startswith(kept)]
    rows += [f"listener {port} 127.0.0.1", "allow_anonymous true", f"acl_file {acl}", "persistence false"]
    with served(tmp_path / "conf", "\n".join(rows), port):
        yield port


@pytest.mark.parametrize(
    ("user", "topic", "refused"),
    [
        ("kkc-0412", "citygate/khon-kaen/kkc-0412/main-meter/1m", False),
        ("kkc-0412", "citygate/khon-kaen/kkc-0413/main-meter/1m", True),
        ("kkc-0412", "citygate/khon-kaen/kkc-0412x/status", True),
        ("kkc-0412", "other/khon-kaen/kkc-0412/status", True),
        ("platform", "citygate/khon-kaen/kkc-0412/status", True),
    ],
)
def test_who_may_write_what(broker, user, topic, refused):
    assert (first(broker, "on_publish", user=user, topic=topic) == REFUSED) == refused


def certificate(folder):
    """A CA and a server certificate for 127.0.0.1, as a city's own CA would make them."""

    def openssl(*argv):
        subprocess.run(["openssl", *argv], check=True, capture_output=True, timeout=60, cwd=folder)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    openssl("req", "-x509", *curve, "-subj", "/CN=city", "-keyout", "ca.key", "-out", "ca.crt")
    openssl("req", *curve[:-2], "-subj", "/CN=broker", "-keyout", "server.key", "-out", "server.csr")
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl(
        "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
        "-extfile", "san", "-out", "server.crt",
    )  # fmt: skip


def test_the_shipped_broker_config_takes_tls_and_passwords_alone(tmp_path):
    """The file as it is, but for its folders and its port."""
    certificate(tmp_path)
    port = free_port()
    subprocess.run(["mosquitto_passwd", "-b", "-c", tmp_path / "passwd", "kkc-0412", "right"], check=True, timeout=30)
    shutil.copy(DEPLOY / "citygate.acl", tmp_path / "acl")
    text = (DEPLOY / "citygate.conf").read_text()
    for old, new in (
        ("/etc/mosquitto/certs/", f"{tmp_path}/"), ("/etc/mosquitto/citygate.passwd", f"{tmp_path}/passwd"),
        ("/etc/mosquitto/citygate.acl", f"{tmp_path}/acl"), ("/var/lib/mosquitto/", f"{tmp_path}/"),
        ("listener 8883", f"listener {port} 127.0.0.1"),
    ):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    for name in ("passwd", "acl"):
        (tmp_path / name).chmod(0o600)
    with served(tmp_path / "conf", text, port):

        def signed_in(password, *, ca=tmp_path / "ca.crt"):
            return first(port, "on_connect", user="kkc-0412", password=password, ca=ca)

        assert signed_in("right") == 0
        assert signed_in("wrong") in {0x86, REFUSED}
        assert signed_in("right", ca=None) is None
