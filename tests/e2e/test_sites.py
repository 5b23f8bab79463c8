"""The worked sites of config/sites run as they stand, devices simulated; ports, periods and sinks are exchanged."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from cli_desk import said as said_by

from drivers.profile import load
from firmware_sims.gateway_process import Gateway, until
from firmware_sims.single import DEVICES
from gateway.config.load import load as load_config
from gateway.inventory import inventory

SITES = sorted((Path(__file__).parents[2] / "config/sites").glob("*/gateway.toml"))
pytestmark = [pytest.mark.e2e, pytest.mark.parts]
SINK = """
[sink.lines]
kind = "file"
format = "jsonl"
path = "{folder}/records.jsonl"
streams = ["raw", "event"]
devices = ["*", {personal}]
"""


def wired(text, site, cg_device, cg_bus):
    """The site's config on simulated wires, and its simulated devices by id."""
    placed = {}
    for bus, wire in site["bus"].items():
        here = {name: row for name, row in site["device"].items() if row["bus"] == bus}
        modbus = all(load(row["profile"]).speaks == "modbus" for row in here.values())
        tcp = wire["kind"] == "tcp"
        if modbus and not any(DEVICES[row["profile"]].tcp for row in here.values()):
            units = cg_bus({row["unit"]: row["profile"] for row in here.values()}, tcp=tcp)
            found = {name: units[row["unit"]] for name, row in here.items()}
        else:
            found = {name: cg_device(row["profile"], unit=row.get("unit"), tcp=tcp) for name, row in here.items()}
        placed |= found
        any_of_them = next(iter(found.values()))
        table = text[text.index(f"[bus.{bus}]") :]
        table = table[: table.index("\n\n") + 1]
        if tcp:
            new = re.sub(r'host = "[^"]*"\n', f'host = "127.0.0.1"\nport = {any_of_them.tcp}\n', table)
            if not any_of_them.kind.tcp:
                new += 'framing = "rtu"\n'
        else:
            new = re.sub(r'port = "[^"]*"', f'port = "{any_of_them.port}"', table)
        text = text.replace(table, new)
    return text, placed


def running(path, folder, cg_device, cg_bus, *, extra=""):
    """The site's daemon, started, and its devices."""
    text = path.read_text(encoding="utf-8")
    site = tomllib.loads(text)
    text, placed = wired(text[: text.index("[sink.")], site, cg_device, cg_bus)
    text = text.replace("[clock]\n", "[clock]\n#").replace("trust = ", "#trust = ")
    text = re.sub(r"\[clock\]\n(#.*\n|max_wait.*\n)*", "", text)
    text = text.replace("[gateway]\n", f'[clock]\ntrust = "system"\n\n[gateway]\nstate_dir = "{folder}/state"\n')
    text = re.sub(r'(profile = ".*\n(?:unit.*\n)?)every = ".*"', r'\1every = "1s"', text)
    personal = ", ".join(f'"{name}"' for name, row in site["device"].items() if row.get("personal"))
    text += extra + SINK.format(folder=folder, personal=personal)
    (folder / "state").mkdir()
    gateway = Gateway(folder, text)
    gateway.start()
    return gateway, placed


@pytest.mark.parametrize("path", SITES, ids=lambda path: path.parent.name)
def test_a_site_runs_in_the_simulators(path, tmp_path, cg_device, cg_bus):
    gateway, placed = running(path, tmp_path, cg_device, cg_bus)
    wanted = {one.id for item in inventory(load_config(path).config) for one in item.series.values() if one.every_ms}

    def all_spoke():
        return {record["device"] for record in gateway.records() if record.get("v")} >= wanted

    try:
        until(all_spoke, deadline_s=40.0, what="every device")
    finally:
        assert gateway.stop() == 0
    doubts = {
        (record["device"], point, mark)
        for record in gateway.records()
        for point, mark in record.get("q", {}).items()
        if mark != "u:warmup" and not mark.startswith("b:")
    }
    assert doubts == set(), "thresholds that a healthy device trips are worse than none"
    assert len(placed) == len(tomllib.loads(path.read_text(encoding="utf-8"))["device"])


def test_alarms_of_a_site_reach_its_sink_and_end(tmp_path, capsys, cg_device, cg_bus):
    path = next(path for path in SITES if path.parent.name == "air-quality-pole")
    extra = '[alarm.absent]\nabsent = "2s"\n\n[alarm.any]\ndevices = ["pm"]\npoint = "pm2_5"\nabove = [-100.0]\n\n'
    gateway, placed = running(path, tmp_path, cg_device, cg_bus, extra=extra)

    def said(ident, state):
        return lambda: [
            row for row in gateway.records(stream="event") if row.get("id") == ident and row.get("state") == state
        ]

    try:
        (limit,) = until(said("alarm-any-pm", "raised"), deadline_s=20.0, what="the limit's alarm")
        assert (limit["device"], limit["level"], limit["limit"], limit["point"]) == ("pm", 2, -100.0, "pm2_5")
        raised = said("alarm-absent-pm", "raised")
        before = len(raised())  # its first word may have come late
        placed["pm"].strike("silence", rate=1.0)
        (silent,) = until(lambda: raised()[before:], deadline_s=20.0, what="the silence's alarm")
        assert (silent["code"], silent["type"]) == ("CG-ALM-03", "alarm")
        assert "folded_into" not in silent
        shown = said_by(capsys, "status", "--config", tmp_path / "gateway.toml")
        assert shown.code == 1
        assert "CG-ALM-01" in shown.out
        assert "CG-ALM-03" in shown.out
        told = json.loads(said_by(capsys, "status", "--json", "--config", tmp_path / "gateway.toml").out)
        assert {alarm["id"] for alarm in told["alarms"]} == {"alarm-any-pm", "alarm-absent-pm"}
        placed["pm"].heal()
        until(said("alarm-absent-pm", "cleared"), deadline_s=20.0, what="its end")
    finally:
        assert gateway.stop() == 0
    assert said("alarm-any-pm", "cleared")() == [], "silence clears nothing"
