"""`citygate doctor`: no bus traffic, one fix for each trouble, done within 5 s; `citygate logs` as systemd has them."""

import json
import os
import socket
import time

from cli_desk import said, site


def findings(shown):
    return {row["what"]: row for row in map(json.loads, shown.out.splitlines())}


def test_every_trouble_has_its_fix(capsys, tmp_path):
    master, slave = os.openpty()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = free.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as alive:
        more = (
            f'[bus.gone]\nkind = "serial"\nport = "{tmp_path}/none"\nline = "9600 8N1"\n'
            f'[bus.held]\nkind = "serial"\nport = "{os.ttyname(slave)}"\nline = "9600 8N1"\n'
            f'[sink.city]\nkind = "mqtt"\nurls = ["mqtt://127.0.0.1:{dead}", "mqtt://no.such.host.invalid"]\n'
        )
        path = site(tmp_path, port=alive.getsockname()[1], more=more)
        begin = time.monotonic()
        shown = said(capsys, "--json", "--config", path, "doctor")
        took_s = time.monotonic() - begin
        alive.setblocking(False)
        peer, _address = alive.accept()
        assert peer.recv(100) == b"", "nothing is sent to a bus"
        peer.close()
    os.close(master)
    os.close(slave)
    found = findings(shown)
    assert shown.code == 1
    assert took_s < 15  # 5 s on its own; this machine is shared
    assert {what: row["mark"] for what, row in found.items()} == {
        "config": "WARN" if found["config"]["fault"] else "ok",
        "daemon": "WARN", "bus plc": "ok", "bus gone": "FAIL", "bus held": "ok", "clock": "ok", "sink city": "FAIL",
        "disk": "ok",
    }  # fmt: skip
    assert all(row["fault"]["do"] for row in found.values() if row["mark"] != "ok")
    text = said(capsys, "--config", path, "doctor", "--lang", "th").out
    assert "\x1b" not in text
    assert "ทำ" in text


def test_who_holds_a_port_is_named(capsys, tmp_path):
    import subprocess
    import sys

    master, slave = os.openpty()
    name = os.ttyname(slave)
    code = "import os, sys; os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); print('open', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "open\n"
        path = site(tmp_path, more=f'[bus.held]\nkind = "serial"\nport = "{name}"\nline = "9600 8N1"\n')
        row = findings(said(capsys, "--json", "--config", path, "doctor"))["bus held"]
        holder.stdin.close()
    os.close(master)
    os.close(slave)
    assert row["mark"] == "WARN"
    assert f"process {holder.pid}" in row["seen"]
    assert row["fault"]["code"] == "CG-BUS-03"


def test_logs_come_from_the_systems_journal(capfd, monkeypatch, tmp_path):
    import gateway.cli

    tool = tmp_path / "journalctl"
    tool.write_text('#!/bin/sh\necho "$@"\nexit 3\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert gateway.cli.call(["logs", "--lines", "7"]) == 3
    assert capfd.readouterr().out == "--unit=citygate --lines=7 --no-pager --output=short-iso\n"
    gateway.cli.call(["--json", "logs", "-f"])
    assert "--output=json --follow" in capfd.readouterr().out


def test_a_disk_that_forgets_is_told(capsys, monkeypatch, tmp_path):
    from gateway.cli import doctor

    mounts = "overlay / overlay rw 0 0\n/dev/sda2 /var/lib/citygate ext4 rw 0 0\ntmpfs /run tmpfs rw 0 0\n"
    for place, kind in (("/var/lib/citygate/journal", "ext4"), ("/var/lib/citygate-x", "overlay"), ("/run/x", "tmpfs")):
        assert doctor.filesystem(doctor.Path(place), mounts) == kind
    monkeypatch.setattr(doctor, "filesystem", lambda _place: "overlay")
    row = findings(said(capsys, "--json", "--config", site(tmp_path), "doctor"))["disk"]
    assert (row["mark"], row["fault"]["code"]) == ("WARN", "CG-SYS-14")


def test_a_resolver_that_hangs_does_not_hold_the_doctor_up(capsys, monkeypatch, tmp_path):
    """Without an uplink a name may take minutes to be not found: 5 s are all that the doctor has."""
    import socket as net
    import threading

    from gateway.cli import doctor

    hang, ended = threading.Event(), threading.Event()

    def slow(*_args, **_named):
        hang.wait(60)
        ended.set()
        raise OSError("no such name")

    monkeypatch.setattr(doctor, "LONGEST_S", 0.3)
    monkeypatch.setattr(net, "getaddrinfo", slow)
    more = '[sink.city]\nkind = "mqtt"\nurls = ["mqtt://broker.city.example"]\n'
    begin = time.monotonic()
    found = findings(said(capsys, "--json", "--config", site(tmp_path, more=more), "doctor"))
    took_s = time.monotonic() - begin
    hang.set()
    assert ended.wait(10)
    assert found["sink city"]["mark"] == "FAIL"
    assert found["sink city"]["fault"]["do"]
    assert found["disk"]["mark"] in {"ok", "WARN"}
    assert took_s < 30
