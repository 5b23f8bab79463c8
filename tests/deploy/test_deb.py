"""The Debian package: built for both architectures, then installed, run, upgraded and purged in a clean root (soak)."""

import gzip
import json
import os
import re
import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed"),
]
MACHINE = {"amd64": 62, "arm64": 183}  # elf.h: EM_X86_64, EM_AARCH64


def built(folder, arch):
    done = subprocess.run(
        [ROOT / "deploy/deb/build.sh", arch, folder], capture_output=True, text=True, timeout=900, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_every_elf_file_is_of_the_architecture(tmp_path, arch):
    package = built(tmp_path, arch)
    subprocess.run(["dpkg-deb", "-x", package, tmp_path / "root"], check=True, timeout=120)
    machines = {}
    for path in (tmp_path / "root").rglob("*"):
        if path.is_file() and not path.is_symlink() and path.read_bytes()[:4] == b"\x7fELF":
            (machines[path],) = struct.unpack_from("<H", path.read_bytes(), 18)
    assert len(machines) > 20
    assert set(machines.values()) == {MACHINE[arch]}
    control = subprocess.run(["dpkg-deb", "-f", package], capture_output=True, text=True, timeout=60).stdout
    assert f"Architecture: {arch}" in control
    for part in (
        "usr/share/man/man1/citygate.1.gz", "usr/share/bash-completion/completions/citygate",
        "usr/lib/udev/rules.d/60-citygate-serial.rules", "usr/lib/systemd/system/citygate-identity.service",
        "usr/lib/systemd/journald.conf.d/60-citygate.conf", "usr/lib/citygate/identity.sh",
        "usr/share/citygate/grafana/dashboards/city.json",
        "usr/share/citygate/grafana/provisioning/alerting/citygate.json",
        "usr/share/doc/citygate/install.md", "usr/share/doc/citygate/influxdb/v2.sh",
    ):  # fmt: skip
        assert (tmp_path / "root" / part).stat().st_size > 100, part
    manual = gzip.decompress((tmp_path / "root/usr/share/man/man1/citygate.1.gz").read_bytes()).decode()
    assert all(f"\n.B {verb}" in manual for verb in ("scan", "read", "probe", "config"))
    static = next((tmp_path / "root").rglob("gateway/web/static"))
    for name, needed in (("uplot.js", b"export default uPlot"), ("uplot.css", b".u-"), ("uplot.LICENSE", b"MIT")):
        assert needed in (static / name).read_bytes(), name
    print(f"{arch}: {len(machines)} ELF files, all of machine {MACHINE[arch]}")
    assert list((tmp_path / "root").rglob("direct_url.json")) == []  # it would name the folder of the build


def test_without_npm_it_fails_or_says_that_the_chart_is_left_out(tmp_path):
    """A package without its chart library is one that somebody asked for."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "npm").write_text("#!/bin/sh\necho npm: no network >&2\nexit 1\n")
    (tools / "npm").chmod(0o755)
    path = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    options = {"capture_output": True, "text": True, "timeout": 900, "cwd": ROOT, "env": path}
    done = subprocess.run([ROOT / "deploy/deb/build.sh", "amd64", tmp_path], **options)
    assert done.returncode == 69
    assert "--without-chart" in done.stderr
    assert list(tmp_path.glob("*.deb")) == []
    done = subprocess.run([ROOT / "deploy/deb/build.sh", "--without-chart", "amd64", tmp_path], **options)
    assert done.returncode == 0, done.stderr
    package = done.stdout.strip().splitlines()[-1]
    names = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True, timeout=120, check=True).stdout
    assert "static/app.js" in names
    assert "uplot" not in names


def mirror():
    """The first http mirror of the machine's apt sources."""
    files = [*Path("/etc/apt").glob("sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    rows = [row for path in files for row in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    named = [
        found[0] for row in rows if not row.startswith("#") and (found := re.search(r"https?://\S+/debian/?", row))
    ]
    return named[0] if named else "http://deb.debian.org/debian"


@pytest.fixture(scope="module")
def clean_root(tmp_path_factory):
    """A Debian 12 with Python and nothing else."""
    if os.geteuid() or shutil.which("debootstrap") is None:
        pytest.skip("debootstrap and root are needed")
    root = tmp_path_factory.mktemp("debian") / "root"
    argv = ["debootstrap", "--variant=minbase", "--include=python3,passwd", "bookworm", root, mirror()]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout[-2000:]
    return root


def inside(root, *argv, ok=True):
    done = subprocess.run(["chroot", root, *argv], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 or not ok, done.stdout + done.stderr
    return done


def with_devices(root, *argv):
    """The same with /proc and terminals, in a mount namespace of its own: nothing stays mounted."""
    mounts = f"mount --rbind /dev {root}/dev && mount -t proc proc {root}/proc"
    script = f'{mounts} && exec chroot {root} "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *argv], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_install_run_upgrade_purge(tmp_path, clean_root):
    package = built(tmp_path, "amd64")
    shutil.copy(package, clean_root / "citygate.deb")
    (clean_root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    begin = time.monotonic()
    inside(clean_root, "dpkg", "-i", "/citygate.deb")
    seen = with_devices(clean_root, "citygate", "--json", "demo", "--seconds", "6", "--no-history").stdout
    took_s = time.monotonic() - begin
    summary = json.loads(seen.splitlines()[-1])
    assert summary["ok"], summary
    print(f"from dpkg -i to {sum(row['records'] for row in summary['devices'].values())} readings: {took_s:.0f} s")
    assert took_s < 120
    assert inside(clean_root, "citygate", "--version").stdout.startswith("citygate ")
    config = clean_root / "etc/citygate/gateway.toml"
    assert re.search(r'^id = "gw-[0-9a-f]{8}"$', config.read_text(), re.MULTILINE)
    assert inside(clean_root, "citygate", "check").returncode == 0
    unit = (clean_root / "usr/lib/systemd/system/citygate.service").read_text()
    start = re.search(r"^ExecStart=(.+)$", unit, re.MULTILINE)[1].split()
    config.write_text(config.read_text() + '\n[clock]\ntrust = "system"\n')
    run = subprocess.Popen(
        ["chroot", "--userspec=citygate:citygate", clean_root, *start], stderr=subprocess.PIPE, text=True
    )
    with run:
        seen = ""
        while "citygate" not in seen or "epoch" not in seen:
            row = run.stderr.readline()
            assert row, seen
            seen += row
        run.terminate()
        assert run.wait(60) == 0
    old = config.read_text()
    config.write_text(old.replace("schema = 1\n", "# of before\n"))
    assert "+schema = 1" in inside(clean_root, "citygate", "config", "migrate", "--dry-run").stdout
    inside(clean_root, "citygate", "config", "migrate")
    assert config.read_text() == "schema = 1\n" + old.replace("schema = 1\n", "# of before\n")
    epochs = list((clean_root / "var/lib/citygate/journal").iterdir())
    assert epochs
    mine = config.read_bytes() + b"# mine\n"
    config.write_bytes(mine)
    inside(clean_root, "dpkg", "-i", "/citygate.deb")
    assert config.read_bytes() == mine
    assert list((clean_root / "var/lib/citygate/journal").iterdir()) == epochs
    told = json.loads(inside(clean_root, "citygate", "--json", "help", "CG-BUS-15").stdout)
    assert told["code"] == "CG-BUS-15"
    inside(clean_root, "dpkg", "--remove", "citygate")
    assert config.exists()
    inside(clean_root, "dpkg", "--purge", "citygate")
    left = [path for path in ("etc/citygate", "var/lib/citygate", "usr/lib/citygate") if (clean_root / path).exists()]
    assert left == []
    assert "citygate" not in (clean_root / "etc/passwd").read_text()
