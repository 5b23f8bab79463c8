"""Every driver has a simulator, a capture or a manual's example, and a page; a test fails when one is missing."""

import json
from functools import cache
from pathlib import Path

import pytest
from stream_examples import EXAMPLES
from test_captures import FOLDER

from drivers.offline import CAPTURE_FAMILIES
from drivers.profile import load, shipped
from drivers.uart.registry import families
from firmware_sims.device import Asked, Speaking
from firmware_sims.registers import Unit
from firmware_sims.single import DEVICES

ROOT = Path(__file__).parents[2]
PROFILES = sorted(shipped())
STREAMS = [name for name in PROFILES if load(name).speaks != "modbus"]
# Register families of the recordings -> the profiles that stand for them.
RECORDED_REGISTERS = {
    "eastron_sdm": {"eastron-sdm120", "eastron-sdm630"},
    "schneider_pm5xxx_iem3xxx": {"schneider-pm5xxx", "schneider-pm2xxx"},
    "abb_b_series": {"abb-b21", "abb-b23", "abb-b24"},
    "carlo_gavazzi": {"carlo-gavazzi-et112"},
    "orno_we_series": {"orno-we-516"},
    "pzem_004t_v3": {"peacefair-pzem-004t"},
    "pzem_017_dc": {"peacefair-pzem-017"},
    "sunspec": {"sunspec-inverter", "sunspec-meter", "sunspec-meter2"},
    "senseair_s8": {"senseair-s8"},
    "ecowitt_ws90": {"ecowitt-ws90"},
}


@cache
def recorded():
    """Profiles that have a recording in the captures folder."""
    if not FOLDER.is_dir():
        pytest.skip(f"no captures: {FOLDER} is absent (CITYGATE_CAPTURES names the folder)")
    found = set()
    for path in FOLDER.glob("*.json"):
        assert json.loads(path.read_text(encoding="utf-8"))["captures"]
        dashed = path.stem.replace("_", "-")
        found |= set(CAPTURE_FAMILIES.get(dashed, (dashed,))) | RECORDED_REGISTERS.get(path.stem, set())
    return found


@pytest.mark.parametrize("name", PROFILES)
def test_it_has_a_simulator(name):
    kind = DEVICES[name]
    device = kind.make(1, kind.unit)
    speaks = load(name).speaks
    wanted = {"modbus": Unit, "push": Speaking, "poll": Asked}[speaks]
    assert isinstance(device, wanted)
    assert kind.line in load(name).wire.lines
    assert bool(kind.parts) == bool(load(name).rows_of("lane1") or load(name).rows_of("ch1"))


@pytest.mark.parametrize("name", PROFILES)
def test_it_has_a_page(name):
    page = (ROOT / "docs" / "devices" / f"{name}.md").read_text(encoding="utf-8")
    assert load(name).model in page


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_has_a_recording_or_a_worked_example(name):
    """An example is of its layout: another profile of the same family and variant may stand for it."""
    like = load(name)
    examples = {(load(each.profile).family, load(each.profile).variant) for each in EXAMPLES}
    assert (like.family, like.variant) in examples or name in recorded()


def test_what_is_called_recorded_is_recorded():
    called = {name for name in PROFILES if load(name).proven == "recorded"}
    assert called - recorded() == set()


def test_every_family_has_a_profile():
    assert set(families()) <= {load(name).family for name in STREAMS}
