"""The systemd units, udev rules, users and folders that the package installs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
EXPOSURE = re.compile(r"Overall exposure level for \S+: ([0-9.]+)")
RULE = re.compile(r'\s*[A-Z_]+(?:\{[^}]+\})?\s*(?:==|!=|=|\+=|-=|:=)\s*"[^"]*"\s*')
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def directives(path):
    """Every `Key=value` of a unit: key -> values."""
    found = {}
    for row in path.read_text(encoding="utf-8").splitlines():
        if "=" in row and not row.startswith(("#", "[")):
            key, _equals, value = row.partition("=")
            found.setdefault(key, []).append(value)
    return found


@needs_systemd
@pytest.mark.parametrize("unit", ["citygate", "citygate-live"])
def test_the_exposure_is_small(unit):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", DEPLOY / f"systemd/{unit}.service"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert float(EXPOSURE.search(done.stdout)[1]) <= 1.6, done.stdout


@needs_systemd
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_units_are_understood(path):
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, timeout=60)
    complaints = [
        row for row in done.stderr.splitlines() if re.search(r"Unknown|Failed to parse|Invalid|ignoring", row)
    ]
    assert [row for row in complaints if path.name in row] == []


def test_the_daemons_unit():
    found = directives(DEPLOY / "systemd/citygate.service")
    assert found["Type"] == ["notify"]
    assert found["User"] == ["citygate"]
    assert int(found["WatchdogSec"][0]) >= 60  # the daemon calls a task stalled after 30 s
    assert found["StartLimitIntervalSec"] == ["0"]
    assert found["Restart"] == ["always"]
    assert found["RestartPreventExitStatus"] == ["78"]
    assert "m citygate dialout" in (DEPLOY / "sysusers/citygate.conf").read_text()
    assert "SupplementaryGroups" not in found


def test_udev_rules_are_well_formed_and_keep_others_away():
    text = (DEPLOY / "udev/60-citygate-serial.rules").read_text(encoding="utf-8")
    rules = [row for row in text.splitlines() if row and not row.startswith("#")]
    for rule in rules:
        for part in re.findall(r'[^,]*?"[^"]*"[^,]*', rule):
            assert RULE.fullmatch(part), part
    assert 'ENV{ID_MM_DEVICE_IGNORE}="1"' in text
    assert "BRLTTY" in text
    assert 'GROUP="dialout"' in text
    assert text.count("LABEL=") == 1


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed")
def test_users_and_folders_are_made(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/group").write_text("root:x:0:\ndialout:x:20:\n")
    (tmp_path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    lib = tmp_path / "usr/lib"
    for kind in ("sysusers", "tmpfiles"):
        (lib / f"{kind}.d").mkdir(parents=True)
        shutil.copy(DEPLOY / kind / "citygate.conf", lib / f"{kind}.d/citygate.conf")
    done = subprocess.run(["systemd-sysusers", f"--root={tmp_path}"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "citygate:" in (tmp_path / "etc/passwd").read_text()
    assert re.search(r"^dialout:x:20:citygate$", (tmp_path / "etc/group").read_text(), re.MULTILINE)
    argv = ["systemd-tmpfiles", "--create", f"--root={tmp_path}", "citygate.conf"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "var/lib/citygate/conf.d").stat().st_mode & 0o777 == 0o750


def _calls(names):
    """System calls of the sets and names of one SystemCallFilter= line."""
    found = set()
    for name in names:
        if not name.startswith("@"):
            found.add(name)
            continue
        shown = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, timeout=60)
        rows = [row.strip() for row in shown.stdout.splitlines()[1:] if row.strip() and not row.strip().startswith("#")]
        found |= _calls(rows)
    return found


def _sandboxed(*argv, code):
    lines = directives(DEPLOY / "systemd/citygate.service")["SystemCallFilter"]
    allowed = _calls([name for line in lines if not line.startswith("~") for name in line.split()])
    denied = _calls([name for line in lines if line.startswith("~") for name in line[1:].split()])
    wrapper = Path(__file__).with_name("sandboxed.py")
    # As systemd does: what is needed to start the process itself is always allowed.
    allowed |= _calls(["@default"])
    denied -= _calls(["@default"]) | {"execve"}
    command = ["/usr/bin/python3", str(wrapper), ",".join(allowed), ",".join(denied), sys.executable, "-c", code, *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)


def _has_seccomp():
    return not subprocess.run(["/usr/bin/python3", "-c", "import seccomp"], capture_output=True).returncode


sandbox = pytest.mark.skipif(
    not (Path("/usr/bin/python3").exists() and _has_seccomp()), reason="apt-get install python3-seccomp"
)

NUMPY = """
import numpy, asyncio, threading, google_crc32c
from gateway import daemon
total = numpy.sort(numpy.random.default_rng(1).random((500, 500)), axis=0) @ numpy.ones((500, 500))
assert numpy.isfinite(total).all()
async def go():
    await asyncio.to_thread(numpy.percentile, total, 95)
    await asyncio.get_running_loop().getaddrinfo("localhost", 1883)
asyncio.run(go())
print("done")
"""


@needs_systemd
@sandbox
def test_numpy_and_the_daemon_run_under_the_units_system_calls():
    done = _sandboxed(code=NUMPY)
    assert done.stdout == "done\n", done.stderr


@needs_systemd
@sandbox
def test_the_filter_is_really_on_and_the_clock_is_told_by_the_mark(tmp_path):
    code = f"""
import os
from pathlib import Path
from gateway import clock
clock.SYNCHRONISED = Path({str(tmp_path / "mark")!r})
print(clock.kernel_synchronised())
clock.SYNCHRONISED.touch()
print(clock.kernel_synchronised())
try:
    os.nice(-1) if False else os.sched_setaffinity(0, {{0}})
except PermissionError:
    print("refused")
"""
    done = _sandboxed(code=code)
    assert done.stdout.split() == ["False", "True", "refused"], done.stderr + done.stdout


def test_the_mark_is_the_one_that_the_unit_leaves():
    from gateway.clock import SYNCHRONISED

    assert f"ExecStart=/usr/bin/touch {SYNCHRONISED}" in (DEPLOY / "systemd/citygate-clock.service").read_text()
    assert os.path.dirname(SYNCHRONISED) == "/run/citygate-clock"
