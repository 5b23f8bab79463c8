"""Reserved Modbus addresses: allowed for the devices that answer there whatever their own is (devices.md 2.2)."""

import pytest

from gateway.config.load import ConfigError, load

SITE = """
schema = 1
[gateway]
id = "g1"
city = "phuket"
state_dir = "{state}"
[bus.b]
kind = "serial"
port = "/dev/serial/by-path/a"
line = "9600 8N1"
[device.d]
bus = "b"
profile = "{profile}"
unit = {unit}
"""


@pytest.mark.parametrize(
    ("profile", "unit", "allowed"),
    [
        ("senseair-s8", 254, True),
        ("senseair-s8", 248, False),
        ("senseair-s8", 255, False),
        ("peacefair-pzem-004t", 248, True),
        ("peacefair-pzem-004t", 254, False),
        ("eastron-sdm120", 254, False),
    ],
)
def test_any_address(tmp_path, profile, unit, allowed):
    path = tmp_path / "gateway.toml"
    path.write_text(SITE.format(state=tmp_path, profile=profile, unit=unit), encoding="utf-8")
    if allowed:
        assert load(path).config.device["d"].unit == unit
    else:
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert "CG-CFG-41" in str(caught.value) or "CG-CFG-41" in {fault.code for fault in caught.value.faults}
