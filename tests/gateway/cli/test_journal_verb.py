"""`citygate journal` and `doctor` on real files and sockets."""

import asyncio
import csv
import io
import json
import os
import socket

import pytest
from cli_desk import daemon, said, site

from drivers.points import point
from gateway.codec import Codec
from gateway.journal.log import open_journal
from gateway.ledger import Ledger
from gateway.reading import Reading, Series
from gateway.record import Record

T_MS = 1_795_227_180_000  # 2026-11-21T02:13:00Z
SERIES = Series("main-meter", "main-meter", "energy", (point("voltage"), point("current")), 1000)


def _fill(folder, count=30):
    """A journal with `count` raw records a second apart, one of them with a failed point, and a sink's ledger."""

    async def work():
        journal = open_journal(folder)
        codec = Codec(journal.marks)
        journal.mark(*codec.schema_marks(SERIES))
        for n in range(count):
            codes = (0, 201 if n == 3 else 0)
            reading = Reading(SERIES, T_MS + 1000 * n, 0, (230.0 + n, 1.5), codes)
            journal.append(*codec.encode(Record("main-meter", "raw", T_MS + 1000 * n, "00000001-abcd", n + 1, reading)))
        ledger = Ledger(0, selected=count)
        ledger.counts["delivered"] = count - 4
        journal.mark("sink:archive", ledger.to_bytes())
        await journal.commit()
        await journal.close()

    asyncio.run(work())


@pytest.fixture
def gateway(tmp_path):
    path = site(tmp_path)
    _fill(tmp_path / "state/journal")
    return path


def test_status_from_the_files(capsys, gateway):
    told = json.loads(said(capsys, "journal", "status", "--json", "--config", gateway).out)
    assert told["journal"]["committed"] == 30
    assert told["sinks"]["archive"]["waiting"] == 4
    assert told["sinks"]["archive"]["delivered"] == 26
    shown = said(capsys, "journal", "status", "--config", gateway)
    assert shown.code == 0
    assert "waiting 4" in shown.out


def test_status_through_the_daemon(capsys, gateway, tmp_path):
    with daemon(tmp_path / "state/citygate.sock"):
        told = json.loads(said(capsys, "journal", "status", "--json", "--config", gateway).out)
    assert told["journal"] == {"first": 0, "next": 40, "committed": 40}


def test_export_as_json_lines(capsys, gateway):
    shown = said(capsys, "journal", "export", "--config", gateway)
    rows = [json.loads(row) for row in shown.out.splitlines()]
    assert [row["seq"] for row in rows] == list(range(1, 31))
    assert rows[0]["v"] == {"voltage": 230.0, "current": 1.5}
    assert (rows[0]["city"], rows[0]["device"], rows[0]["stream"]) == ("khon-kaen", "main-meter", "raw")
    assert rows[3]["q"] == {"current": "b:timeout"}
    assert "30 records" in shown.err


def test_export_as_csv_never_shows_a_bad_value_as_a_value(capsys, gateway):
    rows = list(
        csv.DictReader(io.StringIO(said(capsys, "journal", "export", "--format", "csv", "--config", gateway).out))
    )
    assert len(rows) == 60
    (bad,) = [row for row in rows if row["quality"] != "good"]
    assert (bad["point"], bad["value"], bad["quality"], bad["seq"]) == ("current", "", "b:timeout", "4")


def test_export_as_line_protocol_and_selection(capsys, gateway):
    shown = said(
        capsys, "journal", "export", "--format", "lp", "--from", "2026-11-21T02:13:05Z", "--to", "2026-11-21T02:13:08",
        "--device", "main-meter", "--stream", "raw", "--config", gateway,
    )  # fmt: skip
    rows = shown.out.splitlines()
    assert [int(row.rsplit(" ", 1)[1]) for row in rows] == [T_MS + 1000 * n for n in (5, 6, 7)]
    assert rows[0].startswith("energy,city=khon-kaen,device=main-meter,gateway=kkc-0412 ")
    assert said(capsys, "journal", "export", "--device", "other", "--config", gateway).out == ""


def test_export_of_a_wrong_time(capsys, gateway):
    shown = said(capsys, "journal", "export", "--from", "yesterday", "--config", gateway)
    assert shown.code == 2
    assert "CG-SYS-11" in shown.err


def test_a_journal_in_use_is_read_and_not_touched(capsys, gateway, tmp_path):
    folder = tmp_path / "state/journal"
    journal = open_journal(folder)
    try:
        before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        shown = said(capsys, "journal", "export", "--config", gateway)
        assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    finally:
        asyncio.run(journal.close())
    assert (shown.code, len(shown.out.splitlines())) == (0, 30)


def test_no_journal_yet(capsys, tmp_path):
    shown = said(capsys, "journal", "status", "--config", site(tmp_path))
    assert shown.code == 66
    assert not (tmp_path / "state/journal").exists()


def test_doctor_finds_what_is_well_and_what_is_not(capsys, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as plc, socket.create_server(("127.0.0.1", 0)) as broker:
        master, slave = os.openpty()
        more = (
            f'[sink.c]\nkind = "mqtt"\nurls = ["mqtt://127.0.0.1:{broker.getsockname()[1]}"]\n'
            f'[bus.good]\nkind = "serial"\nport = "{os.ttyname(slave)}"\n'
            '[bus.gone]\nkind = "serial"\nport = "/dev/serial/by-path/none"\n'
            f'[bus.file]\nkind = "serial"\nport = "{tmp_path}/gateway.toml"\n'
        )
        path = site(tmp_path, port=plc.getsockname()[1], more=more)
        shown = said(capsys, "doctor", "--config", path)
        rows = [json.loads(row) for row in said(capsys, "doctor", "--json", "--config", path).out.splitlines()]
        os.close(master)
        os.close(slave)
    marks = {row["what"]: row["mark"] for row in rows}
    assert marks == {
        "config": "ok", "daemon": "WARN", "bus plc": "ok", "bus good": "ok", "bus gone": "FAIL", "bus file": "FAIL",
        "clock": "ok", "sink c": "ok", "disk": "ok",
    }  # fmt: skip
    assert shown.code == 1
    assert shown.out.count("FAIL") == 2
    assert "CG-BUS-01" in shown.out
    assert "2 failed, 1 warnings, 6 ok" in shown.out


def test_doctor_tells_dead_addresses_and_a_broken_config(capsys, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    more = f'[sink.i]\nkind = "influxdb"\napi = "v1"\ndatabase = "d"\nurls = ["http://127.0.0.1:{port}"]\n'
    path = site(tmp_path, port=port, more=more)
    rows = [json.loads(row) for row in said(capsys, "doctor", "--json", "--config", path).out.splitlines()]
    codes = {row["what"]: row["fault"]["code"] for row in rows if row["mark"] == "FAIL"}
    assert codes == {"bus plc": "CG-BUS-01", "sink i": "CG-INF-01"}
    path.write_text("nonsense")
    shown = said(capsys, "doctor", "--config", path)
    assert shown.code == 1
    assert "CG-CFG-02" in shown.out


def test_doctor_asks_the_daemon_about_its_buses(capsys, tmp_path):
    path = site(tmp_path)
    with daemon(tmp_path / "state/citygate.sock"):
        rows = [json.loads(row) for row in said(capsys, "doctor", "--json", "--config", path).out.splitlines()]
    assert {row["what"]: row["mark"] for row in rows}["bus plc"] == "ok"


def test_series_of_a_record_survive_a_change_of_config(capsys, gateway):
    """An export reads what was written then, whatever the config says now."""
    text = gateway.read_text().replace("main-meter", "renamed")
    gateway.write_text(text)
    rows = said(capsys, "journal", "export", "--config", gateway).out.splitlines()
    assert json.loads(rows[0])["device"] == "main-meter"
