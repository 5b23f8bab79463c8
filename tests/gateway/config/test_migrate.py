"""Older configs: brought up line by line, comments and order kept, a copy left behind, nothing half written."""

import json

import pytest
from cli_desk import said, site

from gateway.config.migrate import STEPS, Step, migrated, schema_of

OLD = """# cabinet 12
[gateway]
id = "kkc-0412"   # do not change
city = "khon-kaen"

[clock]
trust = "system"
"""
LATER = (
    *STEPS,
    Step(1, ((r"bus\..+", "port", "path"), ("", "note", "remark"), (r"sink\..+|device\..+", "every", "period"))),
)


def test_the_schema_is_that_of_the_top_level():
    assert schema_of(OLD) == 0
    assert schema_of("# schema = 9\nschema = 3 # x\n[a]\nschema = 7\n") == 3
    assert schema_of("[a]\nschema = 7\n") == 0


def test_a_later_step_renames_keys_and_nothing_else():
    text = 'schema = 1\nnote = "port = 1"\n[bus.a]\nport = "/dev/x" # port = y\n[other]\nport = 2\n'
    text += '[device.b]\n  every = "1s"\n'
    after = migrated(text, main=True, since=1, steps=LATER, current=2)
    assert after == (
        'schema = 2\nremark = "port = 1"\n[bus.a]\npath = "/dev/x" # port = y\n[other]\nport = 2\n'
        '[device.b]\n  period = "1s"\n'
    )
    assert migrated(text, main=False, since=1, steps=LATER, current=2).startswith("schema = 1\n")


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_file_of_before_gets_its_schema_and_keeps_every_byte(capsys, tmp_path, form):
    path = tmp_path / "gateway.toml"
    path.write_text(OLD)
    path.chmod(0o640)
    flags = ["--json"] if form == "json" else []
    shown = said(capsys, *flags, "--config", path, "config", "migrate", "--dry-run")
    assert shown.code == 0
    assert "+schema = 1" in shown.out
    assert path.read_text() == OLD
    done = said(capsys, *flags, "--config", path, "config", "migrate")
    assert done.code == 0
    assert path.read_text() == "schema = 1\n" + OLD
    assert path.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "gateway.toml.schema-0").read_text() == OLD
    again = said(capsys, "--json", "--config", path, "config", "migrate")
    assert json.loads(again.out) == {"schema": 1, "from": 1, "to": 1, "written": False, "files": []}


@pytest.mark.parametrize("head", ['"schema" = 0\n', "schema = 0x0\n", "schema = 0_0\n", "\ufeff", "x y\n"])
def test_a_file_that_would_be_no_config_stays_as_it_is(capsys, tmp_path, head):
    path = tmp_path / "gateway.toml"
    path.write_bytes((head + OLD).encode())
    shown = said(capsys, "--config", path, "config", "migrate")
    assert (shown.code, "CG-CFG-02" in shown.err) == (78, True), shown
    assert [file.name for file in tmp_path.iterdir()] == ["gateway.toml"]
    assert path.read_bytes() == (head + OLD).encode()


def test_line_ends_stay(capsys, tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_bytes(OLD.replace("\n", "\r\n").encode())
    assert said(capsys, "--config", path, "config", "migrate").code == 0
    assert path.read_bytes() == ("schema = 1\n" + OLD).replace("\n", "\r\n").encode()


def test_nothing_to_do(capsys, tmp_path):
    assert "nothing to do" in said(capsys, "--config", site(tmp_path), "config", "migrate").out
