"""Every row of the quirk catalogue and of the fault model has its switch, and each switch does something."""

import asyncio
import math
import re
from functools import cache, partial
from pathlib import Path

import pytest
import sim_bench
import virtual_time
from test_captures import FOLDER

from drivers.checksum import crc16_modbus
from drivers.line import line
from drivers.link import CallLink
from drivers.modbus.master import Master
from drivers.modbus.polled import polled
from drivers.profile import load, shipped
from firmware_sims import catalogue, control, faults, plugs, quirks
from firmware_sims.quirks import afflict
from firmware_sims.single import DEVICES

SHEETS = FOLDER.parent
SENTINELS = ("abb", "carlo", "chint", "eastron", "ecowitt", "janitza", "schneider", "sunspec", "generic-vehicle")
_CODED = ("carlo-gavazzi-em1", "carlo-gavazzi-em24-e1", "carlo-gavazzi-et", "generic-level", "schneider")
BLIND = {  # their identity reads the same with the registers of the values moved: citygate believes them
    "shifted": _CODED,
    "swapped": (
        *_CODED,
        "carlo-gavazzi-em340",
        "ecowitt",
        "orno-we-50",
        "orno-we-514",
        "peacefair",
        "renke",
        "senseair",
    ),
}
KNOWN = {*faults.NAMES, *quirks.NAMES, *plugs.ACTS, *control._ORDERS, *DEVICES}


def sheet(name):
    path = SHEETS / name
    if not path.is_file():
        pytest.skip(f"{path} is absent (it stands beside the captures)")
    return path.read_text(encoding="utf-8")


def test_every_quirk_of_the_catalogue_has_a_switch():
    section = sheet("devices.md").split("## 9. Quirk catalogue")[1]
    assert {int(number) for number in re.findall(r"^(\d+)\. ", section, re.MULTILINE)} == set(catalogue.QUIRKS)


def test_every_row_of_the_fault_model_has_a_switch():
    text = sheet("faults.md")
    section = text[text.index("### 2.1") : text.index("### 2.3")]
    assert set(re.findall(r"^\| ([WD]\d+) \|", section, re.MULTILINE)) == set(catalogue.FAULTS)


def test_every_switch_exists_and_belongs_to_a_row():
    used = {name for names in (*catalogue.QUIRKS.values(), *catalogue.FAULTS.values()) for name in names}
    assert used - KNOWN == set()
    assert all(catalogue.QUIRKS.values())
    assert all(catalogue.FAULTS.values())
    told = {"heal", "values", "leap", "broker", "database", "quirk", "unmute", "vacate", "mode_a"}  # part of no row
    assert {*faults.NAMES, *quirks.NAMES, *plugs.ACTS, *control._ORDERS} - used - told == set()


def test_the_documentation_names_every_switch():
    page = (Path(__file__).parents[2] / "docs" / "test-kit.md").read_text(encoding="utf-8")
    missing = [name for name in (*faults.NAMES, *quirks.NAMES, *plugs.ACTS) if f"`{name}`" not in page]
    assert missing == []


def able():
    """(quirk, device): every quirk with every device that can have it, the twins of a model left out."""
    pairs = []
    for name in sorted({*shipped()} & {*DEVICES}):
        kind = DEVICES[name]
        for quirk in quirks.NAMES:
            device = kind.make(7, kind.unit)
            try:
                afflict(device, quirk, now_s=sim_bench.NOON_S)
            except ValueError:
                continue
            pairs.append((quirk, name))
    return pairs


PAIRS = able()


def test_every_quirk_can_be_had_by_a_device():
    assert {quirk for quirk, _ in PAIRS} == set(quirks.NAMES)


@pytest.mark.parametrize("quirk", sorted(quirks.NAMES))
def test_a_quirk_shows_and_makes_no_reader_believe_what_was_not_said(quirk):
    """Of `swapped` and `shifted` registers the identity has to tell; see `BLIND` for the devices where it cannot."""
    shown = []
    for name in [name for each, name in PAIRS if each == quirk]:
        run = registers if load(name).speaks == "modbus" else stream
        shown.append(run(name, [quirk]) != usual(name))
    assert any(shown)


@cache
def usual(name):
    """What the healthy device sends to the same reader."""
    return (registers if load(name).speaks == "modbus" else stream)(name, [])


def test_a_meter_of_mode_a_is_read_without_an_acknowledgement():
    samples, said, reader = sim_bench.ask("iec62056-21", polls=3, every_s=5.0, quirks=["mode_a"])
    assert len(samples) == len(said) == len(reader.tape) == 3


def stream(name, with_quirks):
    """Read a device with a protocol of its own, hold what is believed against what was said; the bytes it sent."""
    push = load(name).speaks == "push"
    seconds = 25.0 if "tenfold" not in with_quirks else 4.0
    run = partial(sim_bench.listen, seconds=seconds) if push else partial(sim_bench.ask, polls=5, every_s=5.0)
    samples, said, reader = run(name, quirks=with_quirks)
    for sample in samples:
        values = sim_bench.named(reader.profile, sample)
        if name == "canoga-c900":
            values.pop("vehicle_count", None)  # the difference to the last answer
        told = [served.values for served in said if served.part == sample.part]
        assert not values or any(sim_bench.agrees(values, one) for one in told), (with_quirks, name, values, told[-2:])
    return reader.tape


def registers(name, with_quirks):
    """The same for a Modbus unit; one sample is of several answers."""
    profile, said, tape = load(name), [], []
    samples, findings = virtual_time.run(polls(profile, said, with_quirks, tape=tape))
    # Where its sheet does not say how that looks, or the numbers are plausible, nothing can be asserted of the values.
    unknown = {"absent", "invalid"} & {*with_quirks} and not name.startswith(SENTINELS)
    moved = {"swapped", "shifted"} & {*with_quirks}
    if moved and findings and not name.startswith(BLIND[moved.pop()]):
        assert not all(finding.holds for finding in findings), (with_quirks, name, findings)
    if not unknown and not {"swapped", "shifted"} & {*with_quirks}:
        told = {(served.part, point): set() for served in said for point in served.values}
        for served in said:
            for point, value in served.values.items():
                told[served.part, point].add(value)
        for sample in samples:
            for point, value in plausible(profile, sample).items():
                near = [one for one in told.get((sample.part, point), ()) if math.isclose(one, value, rel_tol=2e-6)]
                assert near, (with_quirks, name, sample.part, point, value)
    return tape


def plausible(profile, sample):
    """What is left after the gateway has looked at the profile's ranges."""
    bounds = {point.name: point.valid or (-math.inf, math.inf) for point in profile.points(sample.part)}
    values = sim_bench.named(profile, sample)
    return {point: value for point, value in values.items() if bounds[point][0] <= value <= bounds[point][1]}


async def polls(profile, said, with_quirks, *, tape):
    kind = DEVICES[profile.id]
    unit = kind.make(7, kind.unit)
    for quirk in with_quirks:
        afflict(unit, quirk, now_s=sim_bench.NOON_S)
    unit.note = said.append

    def answer(request):
        body = request[:1] + unit.answer(request[1:-2], sim_bench.NOON_S + asyncio.get_running_loop().time() - 1000.0)
        tape.append(body)
        return body + crc16_modbus(body).to_bytes(2, "little")

    master = Master(CallLink(answer), line=line(profile.wire.lines[0]))
    await master.open()
    device = polled(master, profile, unit=kind.unit, parts=[p for p in ("", "lane1", "lane2") if profile.rows_of(p)])
    samples = []
    for _ in range(2):
        samples += await device.poll()
        await asyncio.sleep(2.0)
    findings = await device.identify() if hasattr(device, "identify") else ()
    await master.close()
    return samples, findings
