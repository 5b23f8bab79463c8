"""What docs/add-a-device.md tells people to do works as written."""

import re
import struct
import sys
from pathlib import Path

import pytest

from drivers.checksum import crc16_modbus
from drivers.errors import ProfileError
from drivers.offline_registers import decode_registers
from drivers.profile import load, shipped
from drivers.uart import registry
from drivers.uart.stream import StreamDevice

PAGE = (Path(__file__).parents[3] / "docs" / "add-a-device.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(toml|python)\n(.*?)```", PAGE, re.DOTALL)
FILES = {match[1]: text for _, text in BLOCKS if (match := re.match(r"# (\S+)\n", text))}


@pytest.fixture
def site(tmp_path):
    """A config folder's `profiles`, and a package of somebody else's on the path, as pip would install it."""
    folder = tmp_path / "profiles"
    folder.mkdir()
    for name in ("acme-m1.toml", "acme-thermo.toml"):
        (folder / name).write_text(FILES[name], encoding="utf-8")
    package = tmp_path / "site-packages"
    info = package / "acme_thermo-1.0.dist-info"
    info.mkdir(parents=True)
    (package / "acme_thermo.py").write_text(FILES["acme_thermo.py"], encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-thermo\nVersion: 1.0\n")
    entry = next(text for kind, text in BLOCKS if kind == "toml" and "entry-points" in text)
    assert entry.splitlines()[0] == '[project.entry-points."citygate.families"]'
    (info / "entry_points.txt").write_text("[citygate.families]\n" + entry.splitlines()[1].replace('"', "") + "\n")
    sys.path.insert(0, str(package))
    forget()
    yield folder
    sys.path.remove(str(package))
    sys.modules.pop("acme_thermo", None)
    forget()


def forget():
    for each in (registry.families, registry.family, load):
        each.cache_clear()


def test_an_own_profile_beside_the_config_is_found(site):
    profile = load("acme-m1", site)
    assert [point.name for point in profile.points()] == ["voltage", "power_active", "energy_import"]
    body = bytes((1, 3, 8)) + struct.pack(">4H", 2301, 0, 0xFF38, 0xFFFF)
    frame = body + crc16_modbus(body).to_bytes(2, "little")
    (found,) = decode_registers("acme-m1", frame, request="holding:0:4", folder=site)
    assert found.values == pytest.approx({"voltage": 230.1, "power_active": -200.0})
    with pytest.raises(ProfileError):
        load("acme-m1")


def test_an_own_profile_stands_before_a_shipped_one(site):
    name = "eastron-sdm120"
    text = shipped()[name].read_text(encoding="utf-8").replace("every_s = 1.0", "every_s = 7.0")
    (site / f"{name}.toml").write_text(text, encoding="utf-8")
    assert load(name, site).every_s == 7.0
    assert load(name).every_s == 1.0


def test_an_own_profile_that_is_wrong_says_where(site):
    (site / "acme-m1.toml").write_text(FILES["acme-m1.toml"].replace("CDAB", "XYZW"), encoding="utf-8")
    with pytest.raises(ProfileError, match="profile acme-m1"):
        load("acme-m1", site)


def line(text):
    return f"{text};{sum(text.encode()) & 0xFF:02X}\r\n".encode()


def test_an_own_family_of_another_package_is_found_and_reads(site):
    device = StreamDevice(load("acme-thermo", site))
    samples = device.feed(b"noise" + line("T+21.5") + line("T-03.0").replace(b"3", b"4", 1) + line("T-03.0"), 5)
    assert [sample.values for sample in samples] == [(21.5,), (-3.0,)]
    assert [sample.codes for sample in samples] == [(0,), (0,)]


def test_the_page_names_the_rules_that_the_code_has():
    from drivers.profile import ORDERS, TABLES, WORDS

    for word in (*TABLES, *ORDERS, *WORDS):
        assert f"`{word}`" in PAGE
    assert registry.GROUP in PAGE
