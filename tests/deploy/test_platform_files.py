"""What a city's platform is set up with: compose, database, tokens; against the real part where there is one."""

import json
import shutil
import stat
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from parts import Influx1

DEPLOY = Path(__file__).parents[2] / "deploy"


def compose():
    """The compose file as Debian's YAML reader understands it."""
    code = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)"
    done = subprocess.run(
        ["/usr/bin/python3", "-c", code, DEPLOY / "compose/compose.yaml"], capture_output=True, text=True, timeout=60
    )
    if "No module named 'yaml'" in done.stderr:
        pytest.skip("apt-get install python3-yaml")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_compose_shows_nothing_to_the_world_and_holds_no_secret():
    made = compose()
    for name, service in made["services"].items():
        assert service["restart"] == "unless-stopped", name
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert not service.get("privileged"), name
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            known = source in made["volumes"] or source.startswith("./secrets/")
            assert known or (DEPLOY / "compose" / source).resolve().exists(), volume
        for secret in service.get("secrets", []):
            assert secret in made["secrets"]
        assert [key for key in service.get("environment", {}) if "PASSWORD" in key and not key.endswith("_FILE")] == []
    gateway = made["services"]["gateway"]
    assert gateway["read_only"]
    assert gateway["cap_drop"] == ["ALL"]
    assert (DEPLOY.parent / gateway["build"]["dockerfile"]).exists()


@pytest.mark.skipif(shutil.which("mosquitto_passwd") is None, reason="apt-get install mosquitto")
def test_the_desks_secrets_fit_the_gateways_config(tmp_path, monkeypatch):
    from gateway.config.load import load

    shutil.copytree(DEPLOY / "compose", tmp_path / "compose")
    for _again in range(2):
        subprocess.run([tmp_path / "compose/secrets.sh"], check=True, timeout=30, capture_output=True)
        kept = {path.name: path.read_bytes() for path in (tmp_path / "compose/secrets").iterdir()}
    assert stat.S_IMODE((tmp_path / "compose/secrets").stat().st_mode) == 0o700
    assert b"$7$" in kept["broker.passwd"]
    assert kept["mqtt_password"] not in kept["broker.passwd"]
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "compose/secrets"))
    loaded = load(tmp_path / "compose/gateway/gateway.toml")
    named = compose()["services"]["gateway"]["secrets"]
    assert {loaded.config.sink["city"].password_file, loaded.config.sink["platform"].token_file} == set(named)


@pytest.mark.parts
@pytest.mark.skipif(shutil.which("influxd") is None, reason="apt-get install influxdb")
def test_the_first_generation_database_is_made_by_its_file():
    rows = (DEPLOY / "influxdb/v1.iql").read_text().splitlines()
    statements = [row for row in rows if row and not row.startswith("--")]
    with Influx1() as database:
        for statement in statements:
            assert "error" not in str(database.query(statement)), statement
        grants = str(database.query('SHOW GRANTS FOR "kkc-0412"'))
        assert "WRITE" in grants
        assert "READ" not in grants
        assert "9600h0m0s" in str(database.query("SHOW RETENTION POLICIES ON citygate"))


class Stub(BaseHTTPRequestHandler):
    """As much of InfluxDB 2's API as the script needs; keeps what it was asked."""

    def answer(self, thing):
        data = json.dumps(thing).encode()
        self.send_response(200 if self.headers["Authorization"] == "Token operator" else 401)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if "/orgs" in self.path:
            return self.answer({"links": {"self": "/api/v2/orgs"}, "orgs": [{"id": "0a1b", "name": "city"}]})
        made = [{"id": "0c2d", "name": "sensors"}] if self.server.buckets else []
        return self.answer({"links": {"self": "/x"}, "buckets": made})

    def do_POST(self):
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, told))
        if self.path.endswith("/buckets"):
            self.server.buckets.append(told)
            return self.answer({"id": "0c2d", "name": told["name"]})
        return self.answer({"id": "77", "token": f"token-{len(self.server.asked)}==", "status": "active"})

    def log_message(self, *_args):
        pass


@pytest.mark.skipif(shutil.which("curl") is None, reason="apt-get install curl")
def test_the_second_generation_gets_a_bucket_and_a_token_for_each_gateway(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    server.asked, server.buckets = [], []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        argv = [
            DEPLOY / "influxdb/v2.sh",
            f"http://127.0.0.1:{server.server_port}",
            "city",
            "sensors",
            "400",
            "kkc-0412",
        ]
        for _again in range(2):
            done = subprocess.run(
                argv, cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "INFLUX_TOKEN": "operator"}, timeout=60,
                capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
        refused = subprocess.run(
            argv, cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "INFLUX_TOKEN": "x"}, timeout=60, capture_output=True
        )
        assert refused.returncode != 0
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
    buckets = [told for path, told in server.asked if path.endswith("/buckets")]
    assert [one["retentionRules"] for one in buckets] == [[{"type": "expire", "everySeconds": 400 * 86400}]]
    tokens = [told for path, told in server.asked if path.endswith("/authorizations")]
    scope = {"type": "buckets", "id": "0c2d", "orgID": "0a1b"}
    assert [one["permissions"] for one in tokens] == [
        [{"action": "read", "resource": scope}], [{"action": "write", "resource": scope}],
    ]  # fmt: skip
    assert (tmp_path / "kkc-0412.token").read_text().strip() == "token-3=="
    assert (tmp_path / "kkc-0412.token").stat().st_mode & 0o777 == 0o600
