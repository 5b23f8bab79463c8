"""The verbs: check, config, profiles, help, decode, status, watch, read."""

import asyncio
import json
import struct
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_desk import SNAPSHOT, daemon, said, site

ROOT = Path(__file__).parents[3]


def test_check_of_a_good_config(capsys, tmp_path):
    shown = said(capsys, "check", "--config", site(tmp_path))
    assert shown.code == 0
    assert "plc" in shown.out
    assert "MB/day" in shown.out
    assert shown.out.splitlines()[-1].startswith("ok: ")
    told = json.loads(said(capsys, "check", "--json", "--config", site(tmp_path)).out)
    assert told["ok"] is True
    assert told["buses"]["plc"]["reads"] == {"main-meter": 2}
    assert 0 < told["buses"]["plc"]["load"] < 0.2
    assert told["sinks"]["archive"]["records_day"] == 1440 + 96 + 24


def test_check_of_a_broken_config(capsys, tmp_path):
    path = site(tmp_path, more='[sink.bad]\nkind = "fil"\n')
    shown = said(capsys, "check", "--config", path)
    assert shown.code == 78
    assert f"{path}:26" in shown.out
    assert "1 error, 0 warnings" in shown.out
    told = json.loads(said(capsys, "check", "--json", "--config", path).out)
    assert told["ok"] is False
    assert [fault["code"] for fault in told["faults"]] == ["CG-CFG-04"]
    assert told["faults"][0]["likely"] == ["you meant `file`"]


def test_run_starts_nothing_with_a_broken_config(capsys, tmp_path):
    path = site(tmp_path, more="nonsense\n")
    assert said(capsys, "run", "--config", path).code == 78
    assert list((tmp_path / "state").iterdir()) == []


def test_a_way_to_trust_the_clock_that_is_not_built_is_refused(capsys, tmp_path):
    """A box that believed in it would hold every record for a day, and then drop it."""
    path = site(tmp_path)
    path.write_text(path.read_text().replace('trust = "system"', 'trust = "http"'))
    shown = said(capsys, "check", "--config", path)
    assert (shown.code, "error[CG-CFG-66]" in shown.out) == (78, True)
    assert said(capsys, "run", "--once", "--dry-run", "--config", path).code == 78
    path.write_text(path.read_text().replace('trust = "http"', 'trust = "rtc"'))
    assert said(capsys, "check", "--config", path).code == 0


def test_an_impossible_bus_is_an_error_a_tight_one_a_warning(capsys, tmp_path):
    wire = '[bus.slow]\nkind = "serial"\nport = "/dev/serial/by-path/x"\nline = "{line}"\n'
    meters = "".join(
        f'[device.m{n}]\nbus = "slow"\nprofile = "eastron-sdm630"\nunit = {n}\nevery = "1s"\n' for n in range(1, 4)
    )
    shown = said(capsys, "check", "--config", site(tmp_path, more=wire.format(line="9600 8N1") + meters))
    assert shown.code == 78
    assert "CG-CFG-44" in shown.out
    shown = said(capsys, "check", "--config", site(tmp_path, more=wire.format(line="38400 8N1") + meters))
    assert shown.code == 0


def test_a_spent_budget_is_warned_of(capsys, tmp_path):
    more = '[sink.c]\nkind = "mqtt"\nurls = ["mqtt://127.0.0.1"]\nstreams = ["raw"]\nbudget = "{}"\n'
    assert "CG-CFG-63" in said(capsys, "check", "--config", site(tmp_path, more=more.format("10 MB/day"))).out
    assert "CG-CFG-63" not in said(capsys, "check", "--config", site(tmp_path, more=more.format("3 GB/month"))).out


def test_personal_devices_cost_only_the_sinks_that_name_them(capsys, tmp_path):
    def records(devices):
        more = f'personal = true\n[sink.p]\nkind = "file"\npath = "/tmp/p"\nstreams = ["raw"]\ndevices = {devices}\n'
        text = site(tmp_path).read_text().replace('every = "1s"\n', 'every = "1s"\n' + more)
        (tmp_path / "gateway.toml").write_text(text)
        told = json.loads(said(capsys, "check", "--json", "--config", tmp_path / "gateway.toml").out)
        return told["sinks"]["p"]["records_day"]

    assert records('["*", "main-meter"]') == 86400
    assert records('["*"]') == 0


def test_config_show(capsys, tmp_path):
    path = site(tmp_path)
    shown = said(capsys, "config", "show", "--config", path)
    rows = dict(row.split("  ", 1) for row in shown.out.splitlines() if "  " in row)
    assert rows['gateway.id = "kkc-0412"'].strip() == f"{path}:4"
    assert rows['gateway.timezone = "Asia/Bangkok"'].strip() == "default"
    told = json.loads(said(capsys, "config", "show", "--json", "--config", path).out)
    assert told["values"]["device.main-meter.unit"] == {"value": 1, "origin": f"{path}:19"}


def test_config_schema_is_the_file(capsys):
    assert said(capsys, "config", "schema").out == (ROOT / "config/citygate.schema.json").read_text(encoding="utf-8")


def test_profiles(capsys, tmp_path):
    shown = said(capsys, "profiles")
    assert "eastron-sdm630" in shown.out
    for row in said(capsys, "profiles", "--json").out.splitlines():
        assert json.loads(row)["schema"] == 1
    for name in sorted(path.stem for path in (ROOT / "drivers/profiles").glob("*.toml")):
        assert said(capsys, "profiles", name).code == 0, name
        assert json.loads(said(capsys, "profiles", name, "--json").out)["profile"]["id"] == name
    missing = said(capsys, "profiles", "eastron-sdm631")
    assert missing.code == 66
    assert "you meant `eastron-sdm630`" in missing.err


def test_help_code(capsys):
    shown = said(capsys, "help", "cg-bus-02")
    assert shown.code == 0
    assert "A and B swapped" in shown.out
    assert "สลับสาย" in said(capsys, "help", "CG-BUS-02", "--lang", "th").out
    assert json.loads(said(capsys, "help", "CG-BUS-02", "--json").out)["code"] == "CG-BUS-02"
    assert len(said(capsys, "help").out.splitlines()) > 60
    assert said(capsys, "help", "check").out.startswith("Usage: citygate")


PMS = bytes.fromhex("424d001c0005000d00160005000d001602fd00fc001d000f00060006970003c5")


def test_decode_of_a_stream(capsys, tmp_path):
    path = tmp_path / "frames.bin"
    path.write_bytes(b"\x00\x17" + PMS + PMS)
    shown = said(capsys, "decode", "plantower-pms5003", path)
    assert shown.code == 0, shown
    rows = [json.loads(row) for row in shown.out.splitlines()]
    assert [(row["offset"], row["size"], row["ok"]) for row in rows] == [(2, 32, True), (34, 32, True)]
    assert rows[0]["v"]["pm2_5"] == 13.0
    assert set(rows[0]) >= {"offset", "size", "ok", "v", "q", "fields"}


def test_decode_rejects(capsys, tmp_path):
    path = tmp_path / "frames.bin"
    path.write_bytes(PMS[:-1] + b"\x00" + PMS)
    shown = said(capsys, "decode", "plantower-pms5003", path)
    assert shown.code == 65
    rows = [json.loads(row) for row in shown.out.splitlines()]
    assert [row["ok"] for row in rows] == [False, True]
    assert rows[0]["code"].startswith("CG-")
    path.write_bytes(b"")
    assert said(capsys, "decode", "plantower-pms5003", path).code == 65
    assert said(capsys, "decode", "plantower-pms5003", tmp_path / "none").code == 66
    unknown = said(capsys, "decode", "plantower-pms5033", path)
    assert unknown.code == 65
    assert "you meant `plantower-pms5003`" in unknown.err


@pytest.mark.parametrize("form", ["{}", "0x{}", "{} ", "{},\n"])
def test_decode_takes_hex_text_from_stdin(form):
    text = "".join(form.format(f"{byte:02x}") for byte in PMS)
    argv = [sys.executable, "-m", "gateway", "decode", "plantower-pms5003", "-"]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)["v"]["pm10"] == 22.0


def test_decode_of_registers(capsys, tmp_path):
    path = tmp_path / "answer.hex"
    path.write_text("01 04 04 43 66 33 34 1b 38")  # read of 230.2 V at input 0, CRC computed below
    from drivers.checksum import crc16_modbus

    body = bytes.fromhex("01040443663334")
    path.write_bytes((body + crc16_modbus(body).to_bytes(2, "little")).hex().encode())
    shown = said(capsys, "decode", "eastron-sdm630", path, "--request", "input:0:2")
    assert shown.code == 0, shown
    assert json.loads(shown.out)["v"]["voltage_l1"] == pytest.approx(230.2, abs=0.01)


def test_without_a_daemon(capsys, tmp_path):
    for verb in (["status"], ["watch"], []):
        shown = said(capsys, "--config", site(tmp_path), *verb)
        assert shown.code == 69, verb
        assert "CG-SYS-10" in shown.err
        assert shown.out == ""


def test_status(capsys, tmp_path):
    path = site(tmp_path)
    with daemon(tmp_path / "state/citygate.sock"):
        shown = said(capsys, "status", "--config", path)
        bare = said(capsys, "--config", path)
        told = json.loads(said(capsys, "status", "--json", "--config", path).out)
        thai = said(capsys, "status", "--lang", "th", "--config", path).out
    assert shown.code == 0
    assert bare.out == shown.out
    assert told == SNAPSHOT
    assert "voltage 229.8 V, current 4.21 A, power_factor 0.98" in shown.out
    assert "next: citygate watch" in shown.out
    assert "ตู้" in thai
    assert "1 s" in shown.out


def test_status_names_what_is_not_well(capsys, tmp_path):
    bad = json.loads(json.dumps(SNAPSHOT))
    bad["devices"]["main-meter"]["state"] = "failed"
    bad["devices"]["main-meter"]["last"] = None
    with daemon(tmp_path / "state/citygate.sock" if site(tmp_path) else None, snapshot=bad):
        shown = said(capsys, "status", "--config", tmp_path / "gateway.toml")
    assert shown.code == 1
    assert "next: citygate read main-meter" in shown.out


@pytest.mark.parametrize(
    ("facts", "code", "after"),
    [
        ({"state": "up", "lane": "catching-up", "dead": 3, "letters": 0}, 0, "watch"),
        ({"state": "up", "dead": 3, "letters": 2, "warning": "2 dead letters"}, 1, "journal dead list"),
        ({"state": "down", "dead": 3, "letters": 2, "code": "CG-INF-01"}, 1, "journal dead list"),
        ({"state": "up", "dead": 1000}, 1, "journal dead list"),  # a gateway before `letters`
        ({"state": "up", "dead": 0, "letters": 0, "warning": "it cannot amend"}, 1, "doctor"),
        ({"state": "down", "code": "CG-INF-01"}, 1, "doctor"),
    ],
)
def test_status_names_a_sink_that_is_not_well(capsys, tmp_path, facts, code, after):
    bad = json.loads(json.dumps(SNAPSHOT))
    bad["sinks"]["db"] = facts
    with daemon(tmp_path / "state/citygate.sock" if site(tmp_path) else None, snapshot=bad):
        shown = said(capsys, "status", "--config", tmp_path / "gateway.toml")
    assert shown.code == code
    assert f"next: citygate {after}\n" in shown.out


def test_status_names_what_stands_in_no_window(capsys, tmp_path):
    path = site(tmp_path)
    counts = {"too_late": 3, "overrun": 0, "left_out": 1, "undated": 0}
    for windows, line in ((counts, "in no window  too_late 3  left_out 1"), (dict.fromkeys(counts, 0), "")):
        with daemon(tmp_path / "state/citygate.sock", snapshot={**SNAPSHOT, "windows": windows}):
            shown = said(capsys, "status", "--config", path)
            told = json.loads(said(capsys, "status", "--json", "--config", path).out)
        assert told["windows"] == windows
        assert [row for row in shown.out.splitlines() if row.startswith("in no window")] == ([line] if line else [])


def test_status_works_while_the_config_is_broken(capsys, tmp_path):
    """The daemon keeps its last good config; its tools must still find it."""
    path = site(tmp_path, more='[sink.bad]\nkind = "fil"\n')
    with daemon(tmp_path / "state/citygate.sock"):
        assert said(capsys, "status", "--config", path).code == 0


RECORD = {
    "device": "main-meter", "stream": "raw", "t": "2026-11-21T02:13:06.000Z", "v": {"voltage": 230.1},
    "q": {"current": "b:timeout"},
}  # fmt: skip


def test_watch_in_a_pipe(capsys, tmp_path):
    path = site(tmp_path)
    with daemon(
        tmp_path / "state/citygate.sock", records=[RECORD, {**RECORD, "device": "other"}, {**RECORD, "stream": "1m"}]
    ):
        shown = said(capsys, "watch", "--count", "2", "--config", path)
        told = said(capsys, "watch", "main-meter", "--count", "1", "--json", "--config", path)
        wrong = said(capsys, "watch", "main-metre", "--config", path)
    assert shown.out.splitlines() == ["2026-11-21T02:13:06.000Z main-meter voltage=230.1V current!b:timeout"] * 2
    assert json.loads(told.out) == {"schema": 1, "record": RECORD}
    assert wrong.code == 2
    assert "you meant `main-meter`" in wrong.err


def test_read_through_the_daemon(capsys, tmp_path):
    path = site(tmp_path)
    record = SNAPSHOT["devices"]["main-meter"]["last"]
    with daemon(tmp_path / "state/citygate.sock", answer=lambda _request: {"records": [record]}):
        shown = said(capsys, "read", "main-meter", "--config", path)
    assert shown.code == 1, "energy_import was not read"
    assert "through the daemon" in shown.out
    rows = {row.split()[0]: row for row in shown.out.splitlines()[2:]}
    assert rows["voltage"].split()[1:3] == ["229.80", "V"]
    assert "b:timeout" in rows["energy_import"]


def test_read_passes_on_what_the_daemon_refuses(capsys, tmp_path):
    path = site(tmp_path)
    with daemon(
        tmp_path / "state/citygate.sock", answer=lambda _r: {"error": {"code": "CG-BUS-01", "fact": "no time"}}
    ):
        shown = said(capsys, "read", "main-meter", "--config", path)
    assert shown.code == 69
    assert "error[CG-BUS-01]: no time" in shown.err


def test_read_of_an_unknown_device(capsys, tmp_path):
    shown = said(capsys, "read", "main-metre", "--config", site(tmp_path))
    assert shown.code == 2
    assert "you meant `main-meter`" in shown.err


@contextmanager
def modbus_meter(value=230.25):
    """A Modbus TCP server whose float registers all hold `value`; yields its port and the function codes asked."""
    ready, stop, asked, ports = threading.Event(), threading.Event(), [], []

    async def one(reader, writer):
        try:
            while head := await reader.readexactly(8):
                _start, count = struct.unpack(">HH", await reader.readexactly(4))
                asked.append(head[7])
                data = struct.pack(">f", value) * (count // 2)
                writer.write(head[:4] + (3 + len(data)).to_bytes(2, "big") + head[6:8] + bytes([len(data)]) + data)
        except asyncio.IncompleteReadError:
            writer.close()

    async def serve():
        server = await asyncio.start_server(one, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()
        while not stop.is_set():
            await asyncio.sleep(0.02)
        server.close()
        await asyncio.sleep(0.05)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield ports[0], asked
    finally:
        stop.set()
        thread.join(10)


def test_read_without_a_daemon_polls_once(capsys, tmp_path):
    with modbus_meter() as (port, asked):
        shown = said(capsys, "read", "main-meter", "--json", "--config", site(tmp_path, port=port))
    told = json.loads(shown.out)
    assert told["record"]["v"]["voltage"] == 230.25
    assert told["record"]["q"]["power_factor"] == "b:range"
    assert shown.code == 1
    assert set(asked) <= {1, 2, 3, 4}


def test_read_of_a_dead_port(capsys, tmp_path):
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shown = said(capsys, "read", "main-meter", "--config", site(tmp_path, port=port))
    assert shown.code == 69
    assert "CG-BUS-01" in shown.err


def test_raw_prints_the_wire_address_and_both_frames(capsys):
    with modbus_meter(1.5) as (port, asked):
        shown = said(capsys, "raw", "127.0.0.1", "-p", port, "-a", "7", "-t", "3:float", "-r", "101", "-c", "2")
        told = json.loads(
            said(capsys, "raw", f"127.0.0.1:{port}", "-t", "4:hex", "-0", "-r", "4", "-c", "2", "--json").out
        )
    assert shown.code == 0, shown
    assert [row.split() for row in shown.out.splitlines()[1:]] == [["100", "1.5"], ["102", "1.5"]]
    assert "wire address: input 100 x 4 (function 4)" in shown.err
    assert ">  00 01 00 00 00 06 07 04 00 64 00 04" in shown.err
    assert (told["table"], told["address"], told["values"]) == ("holding", 4, ["0x3FC0", "0x0000"])
    assert asked == [4, 3]


def test_raw_on_a_serial_port(capsys):
    """A pty whose far end answers once, then spoils its answer, refuses, and falls silent."""
    import os
    import tty

    from drivers.checksum import crc16_modbus

    def framed(body):
        return body + crc16_modbus(body).to_bytes(2, "little")

    good = framed(bytes.fromhex("0103020096"))
    answers = [good, good[:-1] + b"\x00", framed(bytes.fromhex("018302")), b""]
    master, slave = os.openpty()
    tty.setraw(slave)

    def serve():
        for answer in answers:
            heard = b""
            while len(heard) < 8:
                heard += os.read(master, 8)
            os.write(master, answer)

    thread = threading.Thread(target=serve)
    thread.start()
    argv = ["raw", os.ttyname(slave), "-b", "9600", "-p", "none", "-o", "0.3"]
    seen = [said(capsys, *argv) for _answer in answers]
    thread.join(10)
    os.close(master)
    os.close(slave)
    assert [shown.code for shown in seen] == [0, 65, 65, 69]
    assert seen[0].out.split() == ["address", "value", "0", "150"]
    for shown, code in zip(seen[1:], ("CG-DEV-01", "CG-DEV-02", "CG-BUS-05"), strict=True):
        assert code in shown.err
        assert shown.out == ""
    assert "illegal data address" in seen[2].err


@pytest.mark.parametrize(
    "bad", [["-t", "5"], ["-t", "3:double"], ["-c", "126"], ["-r", "0"], ["-t", "3:float", "-c", "100"]]
)
def test_raw_refuses_what_no_request_can_ask(capsys, bad):
    assert said(capsys, "raw", "127.0.0.1", *bad).code == 2


def test_logs_without_systemd(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    shown = said(capsys, "logs")
    assert shown.code == 69
    assert "CG-SYS-12" in shown.err


def test_watch_on_a_terminal_is_a_table(tmp_path):
    import os
    import pty

    path = site(tmp_path)
    with daemon(tmp_path / "state/citygate.sock", records=[RECORD]):
        master, slave = pty.openpty()
        argv = [sys.executable, "-m", "gateway", "--config", str(path), "watch", "--count", "3"]
        process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm"})
        os.close(slave)
        heard = b""
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:
                break
            heard += data
        os.close(master)
        assert process.wait(30) == 0
    text = heard.decode()
    assert "230.1 V" in text
    assert "b:timeout" in text
    assert "Traceback" not in text


def test_log_lines_carry_their_level_under_systemd():
    import logging

    from gateway.cli.run import _Line

    record = logging.LogRecord("citygate", logging.WARNING, __file__, 1, "bus %s is down", ("rs485",), None)
    assert _Line(journal=True).format(record) == "<4>citygate: bus rs485 is down"
    assert _Line(journal=False).format(record).endswith("WARNING citygate: bus rs485 is down")
