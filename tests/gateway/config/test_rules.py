"""Options, calibrations and alarms that could never take effect are refused, with the line and the nearest name."""

import json

import pytest
from cli_desk import said

from gateway.config.load import ConfigError, load

SITE = """schema = 1
[gateway]
id = "g"
city = "khon-kaen"
[bus.rs485]
kind = "serial"
port = "/dev/serial/by-path/one"
[bus.radar]
kind = "serial"
port = "/dev/serial/by-path/two"
[windows]
lengths = ["1m", "15m"]
[device.radar]
bus = "radar"
profile = "wavetronix-ss125"
unit = 1
[device.radar.lanes]
1 = { en = "inbound" }
[device.meter]
bus = "rs485"
profile = "eastron-sdm120"
unit = 1
"""
ALARM = '[alarm.a]\ndevices = ["meter"]\n'
POINT = ALARM + 'point = "voltage"\n'
CALIBRATION = '[device.meter.calibration.voltage]\ndate = "2026-05-01"\n'
GOOD = [
    "options = { voltage_high = 260.0, power_active_jump_per_s = 5e3, rated_kw = 20, warmup_s = 5 }",
    CALIBRATION + 'gain = 1.01\noffset = -0.2\nexpires = "2027-05-01"',
    CALIBRATION + "table = [[0, 0.5], [230, 231.0], [400, 402.0]]",
    POINT + 'above = [240.0, 250.0, 260.0]\nbelow = [210.0]\ndelay_on = "10s"\ndelay_off = "1m"\nmargin = 2.0',
    '[alarm.a]\npoint = "speed"\nabove = [120]',
    '[alarm.a]\nfigure = "aqi_th"\nstream = "15m"\nabove = [100]\nlevel = 1',
    ALARM + 'demand = [18.0, 20.0]\nname = { en = "Peak", th = "พีก" }',
    '[alarm.a]\ndevices = ["*", "!meter"]\nabsent = "5m"\nlevel = 3',
    '[alarm.a]\ndevices = ["radar-lane1"]\npoint = "vehicle_count"\nabsent = "4h"',
    POINT + 'rise = [10.0]\nfall = [20.0]\nwithin = "10m"',
    '[alarm.absent]\ndevices = ["!*"]\nabsent = "1m"',
]
BAD = [
    ("options = { voltage_hgih = 260.0 }", "CG-CFG-70", "options", "voltage_high"),
    ("options = { speed_stuck_s = 60.0 }", "CG-CFG-70", "options", ""),
    ("options = { sensor_hieght = 4.0 }", "CG-CFG-70", "options", "sensor_height"),
    (CALIBRATION.replace("2026-05-01", "1 May 2026"), "CG-CFG-71", "date", ""),
    (CALIBRATION.replace("2026", "2569").replace("05-01", "13-01"), "CG-CFG-71", "date", ""),
    (CALIBRATION + 'expires = "2026-05-01"', "CG-CFG-71", "expires", ""),
    (CALIBRATION + "gain = 0.0", "CG-CFG-71", "gain", ""),
    (CALIBRATION + "table = [[0, 1]]", "CG-CFG-71", "table", ""),
    (CALIBRATION + "table = [[0, 1], [5, 1]]", "CG-CFG-71", "table", ""),
    (CALIBRATION + "table = [[0, 1], [5, 6, 7]]", "CG-CFG-71", "table", ""),
    (CALIBRATION + "table = [[0, 1], [5, 6]]\ngain = 2.0", "CG-CFG-71", "table", ""),
    (CALIBRATION.replace("voltage", "voltag"), "CG-CFG-72", "[device.meter.calibration", "voltage"),
    (CALIBRATION.replace("voltage", "energy_import"), "CG-CFG-72", "[device.meter.calibration", ""),
    ("[device.meter.calibration.voltage]\ngain = 1.0", "CG-CFG-05", "[device.meter.calibration", ""),
    (CALIBRATION + "gian = 1.0", "CG-CFG-01", "gian", "gain"),
    ("options = { voltage_high = inf }", "CG-CFG-03", "options", ""),
    (CALIBRATION + "gain = nan", "CG-CFG-03", "gain", ""),
    (CALIBRATION + "offset = -inf", "CG-CFG-03", "offset", ""),
    (CALIBRATION + "gain = 1e999", "CG-CFG-03", "gain", ""),
    (CALIBRATION + "table = [[0, 1], [5, inf]]", "CG-CFG-03", "table", ""),
    (POINT + "above = [nan]", "CG-CFG-03", "above", ""),
    (POINT + "above = [1.0, inf]", "CG-CFG-03", "above", ""),
    (POINT + "above = [1.0]\nmargin = nan", "CG-CFG-03", "margin", ""),
    (POINT, "CG-CFG-73", "[alarm.a]", ""),
    (POINT + 'above = [1.0]\nabsent = "5m"', "CG-CFG-73", "[alarm.a]", ""),
    (POINT + "above = 250.0", "CG-CFG-03", "above", ""),
    (POINT + "above = [1, 2, 3, 4]", "CG-CFG-74", "above", ""),
    (POINT + "above = [250.0, 240.0]", "CG-CFG-74", "above", ""),
    (POINT + "below = [210.0, 215.0]", "CG-CFG-74", "below", ""),
    (POINT + "rise = [-1.0]", "CG-CFG-74", "rise", ""),
    (POINT + 'above = [1.0]\ndelay_on = "ten"', "CG-CFG-18", "delay_on", ""),
    (POINT + 'above = [1.0]\ndelay_off = "9d"', "CG-CFG-41", "delay_off", ""),
    (POINT + "above = [1.0]\nmargin = -1.0", "CG-CFG-41", "margin", ""),
    (POINT + "above = [1.0]\nlevel = 4", "CG-CFG-04", "level", ""),
    (ALARM + "above = [1.0]", "CG-CFG-75", "[alarm.a]", ""),
    (POINT + 'figure = "x"\nabove = [1.0]', "CG-CFG-75", "[alarm.a]", ""),
    (POINT.replace("voltage", "voltgae") + "above = [1.0]", "CG-CFG-72", "point", "voltage"),
    ('[alarm.a]\ndevices = ["metre"]\npoint = "voltage"\nabove = [1.0]', "CG-CFG-34", "devices", "meter"),
    ('[alarm.a]\ndevices = ["radar*"]\ndemand = [10.0]', "CG-CFG-72", "demand", ""),
    ('[alarm.a]\nfigure = "aqi_thx"\nabove = [1.0]', "CG-CFG-72", "figure", "aqi_th"),
    ('[alarm.a]\nfigure = "stage"\nstream = "1h"\nabove = [1.0]', "CG-CFG-24", "stream", ""),
    (POINT.replace("alarm.a", 'alarm."A b"') + "above = [1.0]", "CG-CFG-07", "[alarm", "a-b"),
    (POINT + "abvoe = [1.0]\nabove = [1.0]", "CG-CFG-01", "abvoe", "above"),
]


def _faults(tmp_path, more):
    path = tmp_path / "gateway.toml"
    path.write_text(SITE + more + "\n", encoding="utf-8")
    try:
        return load(path).warnings, path
    except ConfigError as error:
        return error.faults, path


@pytest.mark.parametrize("more", GOOD)
def test_good(tmp_path, more):
    assert [fault.code for fault in _faults(tmp_path, more)[0] if not fault.warning] == []


@pytest.mark.parametrize(("more", "code", "at", "hint"), BAD)
def test_bad(tmp_path, more, code, at, hint):
    faults, path = _faults(tmp_path, more)
    faults = [fault for fault in faults if not fault.warning]
    assert [fault.code for fault in faults] == [code]
    line = int(faults[0].at.rpartition(":")[2])
    assert path.read_text(encoding="utf-8").splitlines()[line - 1].startswith(at)
    assert faults[0].nearest == hint or not hint


def test_alarms_may_stand_in_a_drop_in_but_not_twice(tmp_path):
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "gateway.toml").write_text(SITE + POINT + "above = [250.0]\n", encoding="utf-8")
    drop = tmp_path / "conf.d/10-more.toml"
    drop.write_text(POINT.replace("alarm.a", "alarm.b") + "above = [250.0]\n", encoding="utf-8")
    assert set(load(tmp_path).config.alarm) == {"a", "b"}
    drop.write_text(POINT + "above = [250.0]\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert [fault.code for fault in caught.value.faults] == ["CG-CFG-06"]


def test_check_warns_of_an_expired_certificate(tmp_path, capsys):
    path = tmp_path / "gateway.toml"
    path.write_text(SITE + CALIBRATION.replace("2026-05", "2024-05") + 'expires = "2025-05-01"\n', encoding="utf-8")
    told = json.loads(said(capsys, "check", "--json", "--config", path).out)
    (fault,) = [fault for fault in told["faults"] if fault["code"] == "CG-ALM-06"]
    assert fault["level"] == "warning"
    assert fault["fact"] == "the calibration of voltage of `meter` has expired"
    assert fault["at"].endswith(f":{SITE.count(chr(10)) + 3}")
