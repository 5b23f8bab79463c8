"""`citygate capture`, and `decode` of what it recorded."""

import json

from cli_desk import said, site


def test_a_talking_sensor_recorded_and_decoded(capsys, tmp_path, cg_bench):
    placed = cg_bench.device("plantower-pms5003")
    out = tmp_path / "air.json"
    shown = said(capsys, "--config", tmp_path, "capture", placed.port, "--seconds", "3", "--out", out)
    assert shown.code == 0, shown
    assert json.loads(out.read_text())["format"] == "captures-1"
    told = said(capsys, "decode", "plantower-pms5003", out)
    rows = [json.loads(row) for row in told.out.splitlines()]
    assert [row for row in rows if row["ok"] and "pm2_5" in row["v"]]


def test_a_meter_is_asked_for_its_registers(capsys, tmp_path, cg_bus):
    port = cg_bus({4: "eastron-sdm630"})[4].port
    more = f'[bus.rs485]\nkind = "serial"\nport = "{port}"\nline = "9600 8N1"\n'
    more += '[device.main]\nbus = "rs485"\nprofile = "eastron-sdm630"\nunit = 4\n'
    out = tmp_path / "meter.json"
    shown = said(capsys, "--config", site(tmp_path, more=more), "capture", "main", "--out", out)
    assert shown.code == 0, shown
    rows = [json.loads(row) for row in said(capsys, "decode", "eastron-sdm630", out).out.splitlines()]
    assert all(row["ok"] for row in rows)
    assert 200 < rows[0]["v"]["voltage_l1"] < 260


def test_silence(capsys, tmp_path, cg_bus):
    port = cg_bus({4: "eastron-sdm630"})[4].port
    shown = said(capsys, "--config", tmp_path, "capture", port, "--seconds", "0.3")
    assert (shown.code, "CG-BUS-15" in shown.err) == (1, True)
    assert json.loads(shown.out)["captures"] == []
