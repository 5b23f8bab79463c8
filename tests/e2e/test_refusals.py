"""Bad surroundings: a broker and a database that say no, a port that is a directory. Said clearly, nothing lost."""

import json
import subprocess
import sys

import pytest
from e2e_site import RunningSite
from parts import Influx1, Mosquitto, poll

pytestmark = [pytest.mark.e2e, pytest.mark.parts]


class Refusing(RunningSite):
    """The broker wants a password that the config does not have, the database a login, and one port is a directory."""

    def __init__(self, folder):
        super().__init__(folder)
        self.broker = Mosquitto(users={"platform": "secret"}, persistence=True)
        self.database = Influx1(users={"root": "toor"})

    def __enter__(self):
        import e2e_site

        silent = type("Silent", (), {"close": lambda self: None, "__init__": lambda self, port: None})
        original, e2e_site.Subscriber = e2e_site.Subscriber, silent
        try:
            super().__enter__()
        finally:
            e2e_site.Subscriber = original
        (self.folder / "ports" / "level").unlink()
        (self.folder / "ports" / "level").mkdir()
        return self


def test_refusals_are_said_and_nothing_is_lost(tmp_path):
    with Refusing(tmp_path / "site") as site:
        site.start()

        def told():
            snapshot = site.ask({"ask": "snapshot"})
            sinks, level = snapshot["sinks"], snapshot["buses"]["level"]
            done = all(sink.get("code") for sink in sinks.values()) and level["state"] == "down"
            done = done and snapshot["devices"]["main-meter"]["state"] == "ok"
            return done and all(sink["waiting"] >= 5 for sink in sinks.values()) and snapshot

        snapshot = poll(told, deadline_s=30.0, what="the refusals")
        assert snapshot["sinks"]["broker"]["code"].startswith("CG-MQT-")
        assert snapshot["sinks"]["database"]["code"].startswith("CG-INF-")
        assert "folder" in snapshot["buses"]["level"]["fact"]
        assert site.stop() == 0
        log = (site.folder / "daemon.log").read_text()
        assert "Traceback" not in log
        assert log.count("down:") == 2  # one line per state change, not per attempt
        waiting = [record for record in site.journaled() if record.stream in {"raw", "5s", "1m", "event"}]
        assert len(waiting) >= snapshot["sinks"]["broker"]["waiting"]
        codes = {sink["code"] for sink in snapshot["sinks"].values()} | {"CG-BUS-01"}
        told = [record.body.code for record in waiting if record.stream == "event"]
        assert codes <= set(told)
        for code in codes:
            explained = subprocess.run(
                [sys.executable, "-m", "gateway", "--json", "help", code], capture_output=True, text=True, timeout=30
            )
            assert explained.returncode == 0, explained.stderr
            assert json.loads(explained.stdout)


def test_a_second_daemon_on_the_same_state_is_refused(tmp_path):
    with RunningSite(tmp_path / "site") as site:
        site.start()
        second = subprocess.run(
            [sys.executable, "-m", "gateway", "--config", str(site.folder / "etc"), "run"],
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        assert second.returncode in {73, 75, 78, 69}
        assert "CG-" in second.stderr
        assert "Traceback" not in second.stderr
        assert site.ask({"ask": "snapshot"})["gateway"]["id"] == "demo-001"
        assert site.stop() == 0
