"""What a verb prints with --json holds to its shipped schema; `cli_desk.said` checks it in every test."""

import json
import subprocess
import sys

import click
import pytest
from cli_desk import SNAPSHOT, daemon, in_form, said, site
from jsonschema import Draft202012Validator

from gateway.catalogue import codes
from gateway.catalogue.fault import Fault
from gateway.catalogue.table import LANGUAGES, spoken
from gateway.cli.forms import form, verbs
from gateway.cli.verbs import VERBS, citygate

PMS = "424d001c0005000d00160005000d001602fd00fc001d000f00060006970003c5"


def leaves():
    context = click.Context(citygate)
    for verb in citygate.list_commands(context):
        command = citygate.get_command(context, verb)
        yield from (f"{verb} {inner}" for inner in getattr(command, "commands", ()) or ())
        yield verb


def test_every_verb_has_a_schema_and_every_schema_a_verb():
    known = set(leaves())
    assert {verb for verb in known if form(verb) is None} <= {"config"}, "config alone prints its help"
    assert {verb.partition(" ")[0] for verb in verbs()} <= set(VERBS)
    for verb in verbs():
        Draft202012Validator.check_schema(form(verb))


def test_schemas_are_printed_and_reject_what_they_should(capsys):
    told = json.loads(said(capsys, "config", "schema", "scan").out)
    assert told["title"] == "citygate scan --json"
    judge = Draft202012Validator(told)
    good = {"schema": 1, "type": "summary", "wire": "w", "found": 0, "faults": 1}
    assert judge.is_valid(good)
    assert not judge.is_valid({**good, "found": -1})
    assert not judge.is_valid({key: value for key, value in good.items() if key != "wire"})
    assert said(capsys, "config", "schema", "nonsense").code == 2


def test_schemas_of_the_audit_reject_what_they_should():
    finding = {"sink": "db", "finding": "missing", "device": "m", "stream": "raw", "t": "2026-11-21T02:00:00.000Z"}
    again = {"schema": 1, "number": 1, "sink": "db", "state": "live", "fact": "", "found": 2, "reasons": {}}
    again |= {"done": True}
    good = {
        "journal verify": finding | {"rev": 0},
        "journal replay": again | {"fates": {"delivered": 2}},
        "journal dead": {"number": 7, "sink": "db", "reason": "HTTP 400"},
    }
    bad = {
        "journal verify": [finding, finding | {"rev": 0, "finding": "lost"}, {"sink": "db", "series": {}}, {}],
        "journal replay": [again, again | {"fates": {"gone": 2}}, {"schema": 1}],
        "journal dead": [{"number": -1, "sink": "db", "reason": ""}, {"number": 7}],
    }
    for verb, line in good.items():
        judge = Draft202012Validator(form(verb))
        assert judge.is_valid(line), verb
        assert [one for one in bad[verb] if judge.is_valid(one)] == []


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_fault_as_json_is_in_form(lang):
    judge = Draft202012Validator(form("run"))
    for code in codes():
        told = spoken(Fault(code, at="x:1", seen="y", nearest="z"), lang)
        assert judge.is_valid({"schema": 1, "fault": told}), told


@pytest.mark.parametrize(
    "argv",
    [
        ["check"], ["doctor"], ["config", "show"], ["config", "schema"], ["config", "migrate"], ["profiles"],
        ["profiles", "abb-b23"], ["help"], ["help", "CG-BUS-02"], ["label"], ["report", "--out", "{folder}/r.html"],
        ["report", "--verify", "{folder}/r.html"], ["add", "plc/7", "--profile", "abb-b23"], ["status"], [],
        ["watch", "--count", "1"], ["read", "main-meter"], ["journal", "status"], ["scan", "127.0.0.1:9"],
        ["raw", "/dev/none", "-a", "1"], ["probe", "main-meter", "--value", "230.1"], ["capture", "/dev/none"],
        ["decode", "plantower-pms5003", "{folder}/frames"], ["decode", "plantower-pms5003", "{folder}/none"],
        ["status", "--config", "{folder}/none"], ["run", "--config", "{folder}/none"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_comes_out_is_in_form(capsys, tmp_path, argv):
    """Well and unwell: each line is checked by `said`; stdout is pure, whatever was said to stderr."""
    record = SNAPSHOT["devices"]["main-meter"]["last"]
    (tmp_path / "frames").write_text(PMS)
    path = site(tmp_path)
    if "--verify" in argv:
        said(capsys, "--config", path, "report", "--out", tmp_path / "r.html")

    def answer(request):
        return {"bus": request["bus"], "lent_s": 1} if request["ask"] == "lend" else {"records": [record]}

    with daemon(tmp_path / "state/citygate.sock", answer=answer, records=[record]):
        shown = said(capsys, "--json", "--config", path, *(word.format(folder=tmp_path) for word in argv))
    assert shown.out, shown


def test_sim_says_in_form_that_it_is_ready(tmp_path):
    argv = [sys.executable, "-m", "gateway", "sim", "eastron-sdm120", "--port-link", tmp_path / "m", "--seconds", "0.2"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    in_form(done.stdout.splitlines()[0], ["sim"])


def test_logs_in_form(capfd, monkeypatch, tmp_path):
    import os

    import gateway.cli

    tool = tmp_path / "journalctl"
    tool.write_text('#!/bin/sh\necho \'{"MESSAGE":"citygate 0.1.0 is gw-1","PRIORITY":"6"}\'\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert gateway.cli.call(["--json", "logs"]) == 0
    in_form(capfd.readouterr().out, ["logs"])
