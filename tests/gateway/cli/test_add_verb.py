"""`citygate add`: one drop-in, checked with the whole config; nothing else is touched."""

import json

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
