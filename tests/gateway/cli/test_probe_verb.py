"""`citygate probe`: from the number on the display to register, type, word order and scale."""

import json
import random
import struct

import pytest
from cli_desk import said, site

from drivers.modbus.decode import BlockDecoder
from drivers.modbus.plan import Block
from drivers.profile import load, where
from firmware_sims.single import DEVICES
from gateway.cli.probe import _number, known
from gateway.technician.search_value import places

NOON_S = 1_795_240_800.0
PROFILES = (
    "eastron-sdm630", "eastron-sdm120", "abb-b23", "schneider-pm5xxx", "peacefair-pzem-004t", "orno-we-504",
    "chint-ddsu666", "carlo-gavazzi-em340", "siemens-pac2200", "janitza-umg",
)  # fmt: skip


def registers(name):
    """What a simulated device holds in the registers of its profile: (table, address) -> two bytes."""
    unit, held = DEVICES[name].make(7, 1), {}
    for row in load(name).rows:
        place = where(row.read)
        question = struct.pack(">BHH", 4 if place.table == "input" else 3, place.address, place.count)
        pdu = unit.answer(question, NOON_S)
        if pdu is not None and pdu[0] < 0x80:
            held |= {(place.table, place.address + n): pdu[2 + 2 * n : 4 + 2 * n] for n in range(place.count)}
    return held


def joined(held):
    """The same as blocks of neighbours."""
    out = []
    for (table, at), data in sorted(held.items()):
        if out and out[-1][0] == table and out[-1][1] + len(out[-1][2]) // 2 == at:
            out[-1] = (table, out[-1][1], out[-1][2] + data)
        else:
            out.append((table, at, data))
    return out


def shown_values(name, held):
    """Points of a profile with the value that the simulated device would show, and the row that reads it."""
    for row in load(name).rows:
        place = where(row.read)
        data = b"".join(held.get((place.table, place.address + n), b"") for n in range(place.count))
        if row.via is None and not row.offset and len(data) == 2 * place.count:
            (value,), (code,) = BlockDecoder(Block(place.table, place.address, place.count, (0,)), [row]).decode(data)
            if not code and abs(value) > 1:
                yield row, place, value


def is_it(best, row, place):
    """Register, type, word order and scale, all of them."""
    same_order = place.count == 1 or best.order == place.order
    return (best.table, best.address, best.type, same_order, best.scale) == (
        place.table, place.address, place.type, True, pytest.approx(row.scale),
    )  # fmt: skip


@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=pytest.mark.soak)])
def test_the_first_answer_is_right_for_50_values_of_10_profiles(rounds):
    dice, right, tried = random.Random(11), 0, 0
    for name in PROFILES * rounds:
        held = registers(name)
        blocks, found = joined(held), list(shown_values(name, held))
        for row, place, value in dice.sample(found, 5):
            tried += 1
            number, tolerance = _number(f"{value:.2f}")
            answers = places(blocks, number, tolerance=tolerance, known=known(load(name)))
            right += bool(answers) and is_it(answers[0], row, place)
    print(f"probe: {right} of {tried} right at the first answer: register, type, word order and scale")
    assert tried == 50 * rounds
    assert right >= 0.95 * tried


@pytest.mark.parametrize("kind", ["f32", "u32", "u16"])
@pytest.mark.parametrize("order", ["ABCD", "CDAB"])
def test_without_a_profile_the_reading_is_found_too(kind, order):
    code, raw = {"f32": ("f", 230.1), "u32": ("I", 2301), "u16": ("H", 2301)}[kind]
    data = struct.pack(f">{code}", raw)
    data = data[2:] + data[:2] if order == "CDAB" and kind != "u16" else data
    noise = random.Random(5).randbytes(80)
    found = places([("holding", 0x100, noise + data + noise)], 230.1, tolerance=0.05, known={})
    reads = [place.read for place in found[:3]]
    suffix = " CDAB" if order == "CDAB" and kind != "u16" else ""
    # A 32-bit number below 65 536 is also a 16-bit one at its low word: either reading shows the value.
    low = {"u32": f"holding 0x{0x128 + (order == 'ABCD'):04X} u16"}.get(kind)
    assert f"holding 0x0128 {kind}{suffix}" in reads or low in reads


def test_on_a_wire(capsys, tmp_path, cg_bench):
    placed = cg_bench.device("schneider-pm5xxx", unit=1, tcp=True)
    more = '[device.chiller]\nbus = "plc2"\nprofile = "schneider-pm5xxx"\nunit = 1\n'
    more += f'[bus.plc2]\nkind = "tcp"\nhost = "127.0.0.1"\nport = {placed.tcp}\n'
    path = site(tmp_path, more=more)
    record = json.loads(said(capsys, "--json", "--config", path, "read", "chiller").out)["record"]
    shown = said(capsys, "--json", "--config", path, "probe", "chiller", "--value", f"{record['v']['frequency']:.0f}")
    assert shown.code == 0, shown
    answers = [json.loads(row) for row in shown.out.splitlines()]
    assert "frequency" in [row["point"] for row in answers]
    none = said(capsys, "--config", path, "probe", "chiller", "--value", "98765.4321")
    assert (none.code, "CG-DEV-04" in none.err) == (1, True)
    assert said(capsys, "--config", path, "probe", "chiller", "--value", "x").code == 2


def test_a_unit_that_nobody_knows(capsys, tmp_path, cg_device):
    """No profile, no config entry: both tables are searched, what the device refuses is left out."""
    placed = cg_device("schneider-pm5xxx", unit=5, tcp=True)
    at = next(where(row.read) for row in load("schneider-pm5xxx").rows if row.point == "frequency")
    host, path = f"127.0.0.1:{placed.tcp}", site(tmp_path)
    asked = ["raw", host, "-a", "5", "-t", "4:float", "-0", "-r", at.address]
    (value,) = json.loads(said(capsys, "--json", "--config", path, *asked).out)["values"]
    argv = ["--json", "--config", path, "probe", f"{host}/5", "--value", f"{value:.1f}", "--count", "20"]
    shown = said(capsys, *argv, "--span", f"{at.address - 9}-{at.address + 9}")
    assert shown.code == 0, shown
    assert f"holding 0x{at.address:04X} f32" in [json.loads(row)["read"] for row in shown.out.splitlines()]
    assert said(capsys, *argv, "--span", "79-60").code == 2
