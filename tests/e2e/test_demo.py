"""`citygate demo`: as a fresh machine would run it, with and without a real broker and database."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_desk import in_form
from parts import poll

pytestmark = [pytest.mark.e2e]
DEMO = [sys.executable, "-m", "gateway", "--json", "demo"]
DEVICES = {
    "air-north", "main-meter", "feeder-2", "chiller", "radar-lane1", "radar-lane2", "radar-lane3", "radar-lane4",
    "speed-sign", "canal",
}  # fmt: skip


def judged(output):
    in_form(output.strip().splitlines()[-1], ["demo"])
    summary = json.loads(output.strip().splitlines()[-1])
    assert summary["ok"] is True
    assert set(summary["devices"]) == DEVICES
    assert all(row["committed"] == row["records"] > 0 for row in summary["devices"].values())
    assert all(sink["confirmed"] > 0 and sink["waiting"] == 0 for sink in summary["sinks"].values())
    assert len(summary["sinks"]) >= 2
    return summary


@pytest.mark.parts
def test_the_demo_with_its_history(tmp_path):
    done = subprocess.run(
        [*DEMO, "--seconds", "8", "--keep", str(tmp_path)], capture_output=True, text=True, timeout=110
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = judged(done.stdout)
    assert summary["sinks"]["broker"]["delivered"] > 0
    assert "InfluxDB" in done.stderr or "VictoriaMetrics" in done.stderr
    assert "Traceback" not in "".join(log.read_text() for log in tmp_path.glob("*.log"))


def test_the_demo_without_broker_and_database(tmp_path, monkeypatch):
    """Nothing but Python: the simulated broker and a file stand in."""
    script = (
        "import gateway.demo.servers as s; s.find = lambda program: None\n"
        "from gateway.cli import main; main(['--json', 'demo', '--seconds', '6', '--no-history'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    judged(done.stdout)
    assert "none installed" in done.stderr


def test_a_broken_wire_and_a_dead_daemon_in_the_demo(tmp_path):
    """A port goes away, the daemon is killed: the others go on, it comes back, the account is right."""
    demo = subprocess.Popen(
        [*DEMO, "--seconds", "14", "--no-history", "--keep", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        log = tmp_path / "daemon.log"
        poll(lambda: log.exists() and "is open" in log.read_text(), what="the daemon")
        (tmp_path / "ports" / "speed").unlink()
        time.sleep(3.0)  # a moment of life with the broken wire
        daemon = poll(lambda: daemon_of(demo.pid), what="the daemon's process")
        os.kill(daemon, signal.SIGKILL)
        out, err = demo.communicate(timeout=60)
    finally:
        demo.kill()
        demo.wait()
    assert b"it starts again" in err
    summary = json.loads(out.decode().strip().splitlines()[-1])
    assert all(row["committed"] > 0 for name, row in summary["devices"].items() if name != "speed-sign")
    assert all(sink["waiting"] == 0 for sink in summary["sinks"].values())


def daemon_of(parent):
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
            above = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError):
            continue
        if above == parent and b"run" in command:
            return int(folder.name)
    return None


def children_of(parent):
    """Process id -> command of what a process started."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1]) == parent:
                found[int(folder.name)] = (folder / "cmdline").read_bytes().decode()
        except (OSError, ValueError):
            continue
    return found


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parts
def test_a_demo_that_was_killed_leaves_nothing_behind(tmp_path):
    """No daemon, page, broker or database without the demo that would end it: also of those started in threads."""
    demo = subprocess.Popen(
        [*DEMO, "--no-history", "--keep", str(tmp_path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        log = tmp_path / "daemon.log"
        poll(lambda: log.exists() and "is open" in log.read_text(), what="the daemon")
        poll(lambda: len(children_of(demo.pid)) >= 6, what="daemon, page, city, broker, database, leash")
        children = children_of(demo.pid)
        assert {word for word in ("run", "live", "mosquitto", "influxd") if word in "".join(children.values())}
    finally:
        demo.kill()
        demo.wait()
    killed_s = time.monotonic()
    try:
        poll(lambda: not any(map(lives, children)), what="the end of all that the demo started", deadline_s=8.0)
        print(f"all gone after {time.monotonic() - killed_s:.2f} s")
    finally:
        for pid in filter(lives, children):
            os.kill(pid, signal.SIGKILL)
