"""`citygate add`: one drop-in, checked with the whole config; nothing else is touched."""

import json
import os
import pwd

import pytest
from cli_desk import said, site


def test_a_device_on_a_known_bus(capsys, tmp_path):
    path = site(tmp_path)
    before = path.read_bytes()
    shown = said(capsys, "--config", path, "add", "plc/7", "--profile", "eastron-sdm630", "--every", "2s")
    assert shown.code == 0, shown
    drop_in = tmp_path / "state/conf.d/50-eastron-sdm630-7.toml"
    assert 'bus = "plc"\nprofile = "eastron-sdm630"\nunit = 7\nevery = "2s"\n' in drop_in.read_text()
    assert path.read_bytes() == before
    values = json.loads(said(capsys, "config", "show", "--json", "--config", path).out)["values"]
    assert values["device.eastron-sdm630-7.unit"]["value"] == 7
    assert "citygate read eastron-sdm630-7" in shown.out
    again = said(capsys, "--config", path, "add", "plc/8", "--profile", "eastron-sdm630", "--id", "eastron-sdm630-7")
    assert again.code == 2


def test_a_device_on_a_new_port(capsys, tmp_path):
    path = site(tmp_path)
    argv = ["--json", "--config", path, "add", "/dev/ttyUSB7/3", "--profile", "abb-b23", "--line", "19200 8E1"]
    told = json.loads(said(capsys, *argv).out)
    assert 'kind = "serial"\nport = "/dev/ttyUSB7"\nline = "19200 8E1"\n' in told["text"]
    assert "[bus.ttyusb7]" in told["text"]
    values = json.loads(said(capsys, "config", "show", "--json", "--config", path).out)["values"]
    assert values["bus.ttyusb7.line"]["value"] == "19200 8E1"
    stream = said(capsys, "--config", path, "add", "/dev/ttyUSB8", "--profile", "plantower-pms5003")
    assert stream.code == 0, stream
    assert "unit" not in (tmp_path / "state/conf.d/50-plantower-pms5003.toml").read_text()


def test_a_faulty_result_leaves_nothing_behind(capsys, tmp_path):
    path = site(tmp_path)
    shown = said(capsys, "--config", path, "add", "plc/8", "--profile", "plantower-pms5003", "--every", "nonsense")
    assert shown.code == 78, shown
    assert list((tmp_path / "state/conf.d").iterdir()) == []
    assert said(capsys, "check", "--config", path).code == 0


def test_it_is_judged_before_it_is_in_place(capsys, monkeypatch, tmp_path):
    """A power cut while it is judged leaves no drop-in: the gateway starts as before."""
    from gateway.config import load

    path, judged = site(tmp_path), []
    real = load.load

    def look(*argv, **options):
        judged.append([file.name for file in tmp_path.glob("state/conf.d/*.toml")])
        return real(*argv, **options)

    monkeypatch.setattr(load, "load", look)
    assert said(capsys, "--config", path, "add", "plc/1", "--profile", "eastron-sdm630").code == 78, "unit 1 is taken"
    assert said(capsys, "--config", path, "add", "plc/7", "--profile", "eastron-sdm630").code == 0
    assert judged
    assert all(names == [] for names in judged), "nothing was in place while the config was judged"
    assert [file.name for file in (tmp_path / "state/conf.d").iterdir()] == ["50-eastron-sdm630-7.toml"]


@pytest.fixture
def tight_umask():
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("tight_umask")
def test_the_service_can_read_what_an_administrator_added(capsys, tmp_path):
    path = site(tmp_path)
    assert said(capsys, "--config", path, "add", "plc/7", "--profile", "eastron-sdm630").code == 0
    folder = tmp_path / "state/conf.d"
    drop_in = folder / "50-eastron-sdm630-7.toml"
    assert (folder.stat().st_mode & 0o777, drop_in.stat().st_mode & 0o777) == (0o755, 0o644)
    assert drop_in.stat().st_uid == (tmp_path / "state").stat().st_uid


def test_what_it_asks_for(capsys, tmp_path):
    path = site(tmp_path)
    assert said(capsys, "--config", path, "add", "plc", "--profile", "eastron-sdm630").code == 2
    assert said(capsys, "--config", path, "add", "plc/7").code == 2
    wrong = said(capsys, "--config", path, "add", "plc/7", "--profile", "eastron-sdm631")
    assert (wrong.code, "you meant `eastron-sdm630`" in wrong.err) == (2, True)


def test_a_device_that_names_itself(capsys, cg_bus, tmp_path):
    port = cg_bus({4: "eastron-sdm630"})[4].port
    more = f'[bus.rs485]\nkind = "serial"\nport = "{port}"\nline = "9600 8N1"\n'
    path = site(tmp_path, more=more)
    shown = said(capsys, "--config", path, "add", "rs485/4")
    assert shown.code == 0, shown
    assert 'profile = "eastron-sdm630"' in shown.out
    silent = said(capsys, "--config", path, "add", "rs485/5")
    assert "CG-DEV-03" in silent.err


@pytest.mark.parametrize("argv", [["plc/7", "--line", "9600 8E1"], ["plc/٣"]])
def test_nothing_is_ignored_or_guessed(capsys, tmp_path, argv):
    shown = said(capsys, "--config", site(tmp_path), "add", *argv, "--profile", "eastron-sdm630")
    assert shown.code == 2, shown
    assert not (tmp_path / "state/conf.d").exists()


def test_the_second_device_of_a_port_is_added_as_scan_says_it(capsys, tmp_path):
    path = site(tmp_path)
    for unit in (3, 4):
        argv = ["--config", path, "add", f"/dev/ttyUSB7/{unit}", "--profile", "abb-b23", "--line", "19200 8E1"]
        assert said(capsys, *argv).code == 0
    other = ["--config", path, "add", "/dev/ttyUSB7/5", "--profile", "abb-b23", "--line", "9600 8N1"]
    assert said(capsys, *other).code == 2


def test_a_converter_that_scan_found_is_added_with_its_framing(capsys, cg_bench, tmp_path):
    path = site(tmp_path)
    placed = cg_bench.device("eastron-sdm630", unit=1, tcp=True)
    shown = said(capsys, "--config", path, "scan", f"127.0.0.1:{placed.tcp}", "--ids", "1")
    command = next(line for line in shown.out.splitlines() if "citygate add" in line).partition("citygate ")[2].split()
    assert command[-4:] == ["--framing", "rtu", "--config", str(path)]
    assert said(capsys, *command).code == 0
    assert 'framing = "rtu"' in next((tmp_path / "state/conf.d").glob("*.toml")).read_text()


def as_if(monkeypatch, user, ran):
    monkeypatch.setenv("SUDO_COMMAND", ran)
    monkeypatch.setattr("gateway.cli.again.pwd.getpwuid", lambda _uid: pwd.struct_passwd([user, "x", 1, 1, "", "", ""]))


@pytest.mark.parametrize(
    ("user", "ran", "prefix", "restart"),
    [
        ("citygate", "/usr/bin/citygate add plc/7", "sudo -u citygate citygate", "sudo systemctl"),
        ("root", "/usr/bin/citygate add plc/7", "sudo citygate", "sudo systemctl"),
        ("citygate", "/bin/bash", "citygate", "systemctl"),
        ("root", "/usr/bin/su", "citygate", "systemctl"),
    ],
)
def test_the_next_command_is_called_as_this_one(capsys, monkeypatch, tmp_path, user, ran, prefix, restart):
    path = site(tmp_path)
    as_if(monkeypatch, user, ran)
    shown = said(capsys, "--config", path, "add", "plc/7", "--profile", "eastron-sdm630")
    wanted = f"next: {restart} restart citygate && {prefix} read eastron-sdm630-7 --config {path}"
    assert shown.out.splitlines()[-1] == wanted
