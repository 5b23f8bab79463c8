"""The fixtures of the test kit, and the README's example in an installation of its own."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from firmware_sims.bench import UnknownDevice
from firmware_sims.gateway_process import until
from firmware_sims.score import lines, score
from firmware_sims.truth import line

ROOT = Path(__file__).parents[2]


def example():
    """The README's test."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (found,) = [block for block in blocks if "cg_daemon" in block]
    return found


def closure(names):
    """Distributions that `names` need, with their own needs; extras are not followed."""
    found, todo = {}, [Requirement(name) for name in names]
    while todo:
        need = todo.pop()
        if need.name in found or (need.marker and not need.marker.evaluate({"extra": ""})):
            continue
        found[need.name] = importlib.metadata.distribution(need.name)
        todo += [Requirement(each) for each in found[need.name].requires or []]
    return found.values()


def install(site):
    """What a wheel of this tree and its declared needs put into a fresh environment; without the network."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", site.parent], cwd=ROOT, check=True,
        capture_output=True,
    )  # fmt: skip
    (wheel,) = site.parent.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    (info,) = site.glob("citygate-*.dist-info/METADATA")
    needs = re.findall(r"^Requires-Dist: (.*)$", info.read_text(encoding="utf-8"), re.MULTILINE)
    plain = [need for need in needs if "extra ==" not in need]
    plain += [need.split(";")[0] for need in needs if "extra == 'testing'" in need]
    for distribution in closure(plain):
        for top in {Path(file).parts[0] for file in distribution.files or [] if not str(file).startswith("..")}:
            if not (site / top).exists() and top != "__pycache__":
                (site / top).symlink_to(distribution.locate_file(top))


@pytest.mark.parts
def test_the_readme_example_runs_in_a_clean_environment(tmp_path):
    code = example()
    assert len(code.splitlines()) <= 15
    venv.create(tmp_path / "venv", with_pip=False)
    (site,) = (tmp_path / "venv").glob("lib/python3*/site-packages")
    install(site)
    work = tmp_path / "work"
    work.mkdir()
    (work / "test_meter.py").write_text(code, encoding="utf-8")
    python = tmp_path / "venv" / "bin" / "python"
    environment = {"PATH": os.environ["PATH"], "HOME": str(work), "LANG": "C.UTF-8"}
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-W", "error", "--durations=1", "--durations-min=0"],
        cwd=work, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    print(done.stdout)


def test_the_plugin_is_cheap_to_import():
    code = (
        "import sys, pytest; before = set(sys.modules); import firmware_sims.pytest_plugin;"
        "print(*sorted({name for name in set(sys.modules) - before if not name.startswith('_')}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"firmware_sims", "firmware_sims.pytest_plugin"}


@pytest.mark.parts
def test_several_units_behind_one_tcp_port(cg_bus, cg_daemon):
    units = cg_bus({1: "eastron-sdm630", 7: "schneider-pm5xxx"}, tcp=True)
    assert units[1].tcp == units[7].tcp
    gateway = cg_daemon(units, every="500ms")
    for unit in units.values():
        told = gateway.record(unit.id)["v"]
        assert told["frequency"] == pytest.approx(unit.said()["frequency"], abs=0.5)
    units[7].strike("exception", code=6)
    failed = gateway.until(lambda one: one["device"] == units[7].id and not one["v"])
    assert failed["q"] == {"*": "b:exception"}
    units[7].heal()
    units[1].act("cut")
    after = len(gateway.records(units[7].id))
    until(lambda: any(one["v"] for one in gateway.records(units[7].id)[after:]), deadline_s=20, what="values again")
    assert gateway.stop() == 0
    truth = [json.loads(line(served, 0.0)) for unit in units.values() for served in tuple(unit.served)]
    for each in truth:
        each["device"] = units[int(each["device"])].id
    found = score(truth, lines(gateway.folder / "records.jsonl"))[""]
    assert found["right"] > 50
    assert found["struck"]
    assert found["failed"]
    assert found["wrong"] == found["stale"] == found["doubled"] == 0


@pytest.mark.parts
def test_broker_database_and_bus(cg_bus, cg_daemon, cg_broker, cg_database, cg_faults):
    units = cg_bus({1: "eastron-sdm630", 2: "eastron-sdm120"})
    extra = f"""
[sink.city]
kind = "mqtt"
urls = ["mqtt://127.0.0.1:{cg_broker.port}"]
streams = ["raw"]
[sink.platform]
kind = "influxdb"
urls = ["{cg_database.url}"]
api = "v2"
org = "o"
bucket = "b"
streams = ["raw"]
"""
    gateway = cg_daemon(units, every="1s", extra=extra)
    gateway.record("eastron-sdm120")
    until(
        lambda: any(b"/eastron-sdm630/raw" in str(m.topic).encode() for m in list(cg_broker.messages)),
        deadline_s=20,
        what="a message",
    )
    until(
        lambda: any("device=eastron-sdm120" in line for line in list(cg_database.lines)), deadline_s=20, what="a line"
    )
    cg_faults(units[2], "silence")
    failed = gateway.until(lambda one: one["device"] == "eastron-sdm120" and not one["v"])
    assert failed["q"] == {"*": "b:timeout"}
    assert gateway.stop() == 0


def test_virtual_time(cg_clock):
    import asyncio

    async def hours():
        await asyncio.sleep(7200.0)
        return asyncio.get_running_loop().time()

    assert cg_clock(hours()) >= 7200.0


@pytest.mark.parametrize("where", ["device", "bus"])
def test_a_device_that_nobody_simulates_is_named_with_those_like_it(cg_device, cg_bus, where):
    with pytest.raises(UnknownDevice) as caught:
        _ = cg_device("eastron-sdm360") if where == "device" else cg_bus({1: "eastron-sdm360"})
    assert "no device 'eastron-sdm360' is simulated; you meant eastron-sdm630" in str(caught.value)
    assert caught.value.near[0] == "eastron-sdm630"
    with pytest.raises(UnknownDevice, match=r"no device 'unknown' is simulated \(`citygate sim --help` lists all \d+"):
        cg_device("unknown")
