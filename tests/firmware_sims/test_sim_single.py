"""`citygate sim NAME`: any device as a program, its ready line, its control lines, a clean end."""

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from firmware_sims.single import DEVICES


@contextmanager
def sim(*arguments, command=("gateway", "sim")):
    words = [sys.executable, "-m", *command, *map(str, arguments)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        try:
            yield process, json.loads(process.stdout.readline())
            process.terminate()
            assert process.wait(10) == 0
        finally:
            process.kill()


def tell(process, order):
    process.stdin.write(json.dumps(order) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


@pytest.mark.parametrize("name", ["carlo-gavazzi-em340", "sensirion-sps30", "dsmr-p1"])
def test_a_device_on_a_port(name, tmp_path):
    with sim(name, "--port-link", tmp_path / "port", "--fault", "half") as (process, ready):
        assert ready == {"ready": True, "device": name, "port": str(tmp_path / "port")}
        assert Path(ready["port"]).is_symlink()
        assert "done" in tell(process, {"fault": "late", "delay_s": 0.2})
        assert "done" in tell(process, {"unplug": 1})
        assert not Path(ready["port"]).is_symlink()
        assert "done" in tell(process, {"replug": 1})
        assert Path(ready["port"]).is_symlink()
        assert "done" in tell(process, {"heal": 1})
        assert "error" in tell(process, {"fault": "nonsense"})
        assert "error" in tell(process, {"quirk": "rusty"})
        assert "error" in tell(process, {"dance": 1})
        assert "error" in tell(process, {})


def test_without_options_the_port_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with sim("ecowitt-ws90", "--quirk", "stuck") as (_, ready):
        assert ready["port"] == str(tmp_path / "citygate-sim-ecowitt-ws90")


def test_on_tcp_and_the_city(tmp_path):
    with sim("sunspec-meter", "--tcp", "0") as (process, ready):
        assert ready["tcp"] > 0
        assert "done" in tell(process, {"unplug": 1})
    with sim("city", "--dir", tmp_path / "city") as (_, ready):
        assert set(ready["ports"]) == {"pm-head", "rs485", "radar", "speed", "level"}


def test_every_device_can_be_made():
    for kind in DEVICES.values():
        device = kind.make(1, kind.unit)
        assert device.name
