"""The broker's rules, held against a real mosquitto: a gateway writes its own topics and nobody else's."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

DEPLOY = Path(__file__).parents[2] / "deploy/mosquitto"
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
pytestmark = [pytest.mark.parts, pytest.mark.skipif(MOSQUITTO is None, reason="apt-get install mosquitto")]
REFUSED = 0x87


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def broker(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tmp_path.chmod(0o755)
    acl = tmp_path / "acl"
    acl.write_text((DEPLOY / "citygate.acl").read_text())
    acl.chmod(0o600)
    kept = ("max_", "persistent_client", "per_listener")
    rows = [row for row in (DEPLOY / "citygate.conf").read_text().splitlines() if row.startswith(kept)]
    rows += [f"listener {port} 127.0.0.1", "allow_anonymous true", f"acl_file {acl}", "persistence false"]
    (tmp_path / "conf").write_text("\n".join([*rows, f"user {Path('/').owner()}", ""]))
    process = subprocess.Popen([MOSQUITTO, "-c", tmp_path / "conf"], stderr=subprocess.PIPE, text=True)
    with process:
        until = time.monotonic() + 10
        while not listening(port):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.02)
        yield port
        process.terminate()


def answer(port, user, topic):
    """The reason code of the PUBACK to a message on `topic`."""
    codes = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.username_pw_set(user)
    client.on_publish = lambda _client, _data, _mid, reason, _properties: codes.append(reason.value)
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.publish(topic, b"{}", qos=1)
    until = time.monotonic() + 10
    while not codes and time.monotonic() < until:
        time.sleep(0.01)
    client.disconnect()
    client.loop_stop()
    return codes[0]


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
    assert (answer(broker, user, topic) == REFUSED) == refused


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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
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
    (tmp_path / "conf").write_text(text + f"user {Path('/').owner()}\n")
    for name in ("passwd", "acl"):
        (tmp_path / name).chmod(0o600)
    process = subprocess.Popen([MOSQUITTO, "-c", tmp_path / "conf"], stderr=subprocess.PIPE, text=True)
    with process:
        until = time.monotonic() + 10
        while not listening(port):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.02)

        def signed_in(password, *, tls=True):
            codes = []
            client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
            client.username_pw_set("kkc-0412", password)
            if tls:
                client.tls_set(ca_certs=str(tmp_path / "ca.crt"))
            client.on_connect = lambda _c, _d, _f, reason, _p: codes.append(reason.value)
            client.on_connect_fail = client.on_disconnect = lambda *_: codes.append(None)
            client.connect("127.0.0.1", port)
            client.loop_start()
            until = time.monotonic() + 10
            while not codes and time.monotonic() < until:
                time.sleep(0.01)
            client.disconnect()
            client.loop_stop()
            return codes[0]

        assert signed_in("right") == 0
        assert signed_in("wrong") == 0x86 or signed_in("wrong") == REFUSED
        assert signed_in("right", tls=False) is None
        process.terminate()
