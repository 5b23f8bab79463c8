"""Every broken config is refused before anything starts: the right code, the right line, the nearest valid name."""

import os
import random

import pytest
from broken_forms import ROWS as FORMS
from broken_senses import ROWS as SENSES
from good_config import GOOD

from gateway.catalogue.table import spoken
from gateway.config.load import ConfigError, load

ROWS = FORMS + SENSES
WARNINGS = {"CG-CFG-29", "CG-CFG-31", "CG-CFG-38", "CG-CFG-39", "CG-CFG-40", "CG-CFG-51", "CG-CFG-52", "CG-CFG-58"}
WARNINGS |= {"CG-CFG-55", "CG-CFG-57", "CG-CFG-64"}


@pytest.fixture
def home(tmp_path):
    for name, mode, text in (
        ("mqtt.password", 0o600, "secret\n"),
        ("influx.token", 0o400, "token"),
        ("ca.pem", 0o644, "pem"),
        ("empty", 0o600, ""),
        ("open-to-group", 0o640, "x"),
        ("open-to-all", 0o604, "x"),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    (tmp_path / "state").mkdir()
    return tmp_path


def judged(home, text):
    """All faults of a config text, warnings included."""
    path = home / "gateway.toml"
    path.write_text(text.replace("{state}", str(home / "state")), encoding="utf-8")
    try:
        return load(path).warnings
    except ConfigError as error:
        return error.faults


def test_the_good_config_has_no_fault(home):
    assert judged(home, GOOD) == ()


def test_the_corpus_is_large_and_without_doubles():
    assert len(ROWS) >= 400
    assert len({row.text for row in ROWS}) >= len(ROWS) - 3


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name[:60])
def test_broken(home, row):
    faults = judged(home, row.text)
    hits = [fault for fault in faults if fault.code == row.code and fault.at.endswith(f":{row.line}")]
    told = [(fault.code, fault.at.rpartition("/")[2], fault.args, fault.nearest) for fault in faults]
    assert hits, f"wanted {row.code} at line {row.line}, got {told}"
    assert row.hint in hits[0].nearest or not row.hint, told
    assert hits[0].warning == (row.code in WARNINGS)
    assert "canary-secret" not in str([spoken(fault, "en") for fault in faults])
    assert len(faults) <= 3 or row.code == "CG-CFG-02", f"one mistake told many times leads astray: {told}"


@pytest.mark.parametrize("seed", range(40))
def test_all_faults_at_once(home, seed):
    """Several mistakes in different tables are all told in one go."""
    rng = random.Random(seed)
    rows = [row for row in ROWS if row.code not in {"CG-CFG-02", "CG-CFG-06", "CG-CFG-15", "CG-CFG-16", "CG-CFG-17"}]
    rng.shuffle(rows)
    text, taken = GOOD, []
    for row in rows:
        places = [GOOD.index(row.old), GOOD.index(row.old) + len(row.old)]
        apart = all(end <= places[0] or begin >= places[1] for begin, end in (other[0] for other in taken))
        table = row.old.split("\n")[0]
        if apart and len(taken) < 5 and not _entangled(table, [other[2] for other in taken]):
            text = text.replace(row.old, row.new)
            taken.append((places, row.code, table))
    got = [fault.code for fault in judged(home, text)]
    missing = [code for _places, code, _table in taken if code not in got]
    assert not missing, f"{[code for _places, code, _table in taken]} gave {got}"


def _entangled(table, others):
    """Mistakes about the same thing may hide each other: devices and their lanes, windows and streams."""
    groups = ({"[device", "[bus", "[windows]", "1 = {"}, {"[windows]", "[sink"}, {"[device", "[sink"})
    mine = [group for group in groups if any(table.startswith(word) for word in group)]
    return any(any(other.startswith(word) for word in group) for other in others for group in mine)


def test_syntax_faults_of_several_lines_are_all_told(home):
    text = GOOD.replace("unit = 255", "unit = ").replace('org = "khon-kaen"', "org = khon").replace("[clock]", "[clock")
    faults = judged(home, text)
    assert [fault.code for fault in faults].count("CG-CFG-02") == 3


def test_a_table_in_two_files_names_both(home):
    folder = home / "etc"
    (folder / "conf.d").mkdir(parents=True)
    text = (
        GOOD.replace("{state}", str(home / "state"))
        .replace('password_file = "mqtt.password"', "")
        .replace("username", "#")
    )
    text = text.replace('ca_file = "ca.pem"', "").replace(
        'token_file = "influx.token"', f'token_file = "{home}/influx.token"'
    )
    (folder / "gateway.toml").write_text(text, encoding="utf-8")
    (folder / "conf.d/50.toml").write_text('[device.chiller]\nbus = "plc"\nprofile = "schneider-pm5xxx"\nunit = 3\n')
    with pytest.raises(ConfigError) as caught:
        load(folder)
    (fault,) = caught.value.faults
    line = text[: text.index("[device.chiller]")].count("\n") + 1
    assert (fault.code, fault.at) == ("CG-CFG-06", f"{folder}/conf.d/50.toml:1")
    assert fault.args == {"table": "[device.chiller]", "first": f"{folder}/gateway.toml:{line}"}


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("huge", b"# " + b"x" * (1 << 20), "CG-CFG-32"),
        ("latin-1", 'schema = 1\nx = "é"'.encode("latin-1"), "CG-CFG-02"),
        ("binary", bytes(range(256)), "CG-CFG-02"),
        ("utf-16", "schema = 1".encode("utf-16"), "CG-CFG-02"),
        ("deep", b"a = " + b"[" * 5000 + b"]" * 5000, "CG-CFG-02"),
        ("deep tables", b"a = " + b"{b=" * 2000 + b"1" + b"}" * 2000, "CG-CFG-02"),
        ("empty", b"", "CG-CFG-05"),
        ("nul", b"schema = 1\0", "CG-CFG-02"),
    ],
)
def test_hostile_files(tmp_path, name, content, code):
    path = tmp_path / "gateway.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert code in [fault.code for fault in caught.value.faults]


def test_not_a_file(tmp_path):
    os.mkfifo(tmp_path / "gateway.toml")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert caught.value.faults[0].code == "CG-CFG-32"


def test_no_config_at_all(tmp_path):
    for path in (tmp_path, tmp_path / "absent.toml"):
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert [fault.code for fault in caught.value.faults] == ["CG-CFG-33"]
        assert caught.value.exit_code == 78
