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
