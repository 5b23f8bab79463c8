"""The sweep on a simulated wire, in virtual time: settings found, devices named, nothing written, causes told."""

import asyncio
import os
import termios

import pytest
import virtual_time
from scan_bench import SimTap, unit

from drivers.line import line
from firmware_sims.framing import rtu
from gateway.technician.sweep import SETTINGS, Search, sweep
from gateway.technician.symptoms import findings
from gateway.technician.tap import SerialTap

READS = {1, 2, 3, 4, 43}


def scanned(tap, search=None, *, configured=None):
    told = []

    async def go():
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        found, evidence = await sweep(tap, search or Search(), tell=lambda what, thing: told.append((what, thing)))
        return found, evidence, loop.time() - began_s

    found, evidence, took_s = virtual_time.run(go())
    assert {data[1] for _t, _line, data in tap.sent} <= {3, 4, 43}
    return found, findings(evidence, configured=configured), took_s, told


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("number", [1, *(pytest.param(n, marks=pytest.mark.soak) for n in range(2, 10)), 10])
def test_a_meter_at_any_setting_is_found_and_named_within_40_s(settings, number):
    tap = SimTap({number: unit("eastron-sdm630", number)}, line=str(settings))
    found, faults, took_s, _told = scanned(tap)
    assert [(one.unit, one.line) for one in found] == [(number, settings)]
    assert found[0].names[0].profile == "eastron-sdm630"
    assert took_s <= 40.0
    assert faults == []
    print(f"scan: id {number} at {settings}: found and named after {took_s:.1f} s (virtual time)")


def test_the_eta_holds_on_a_silent_line():
    search = Search()
    _found, _faults, took_s, told = scanned(SimTap({}), search)
    assert took_s == pytest.approx(search.eta_s(), rel=0.2)
    print(f"scan: said {search.eta_s():.1f} s, took {took_s:.1f} s")
    at_half = [thing[2] for what, thing in told if what == "try"][60]
    assert at_half == pytest.approx(took_s / 2, rel=0.2)


def codes(faults):
    return [fault.code for fault in faults]


QUICK = Search(settings=(line("9600 8N1"), line("9600 8E1"), line("9600 8O1")), ids=(1, 2, 3))


def test_silence_picks_no_cause():
    found, faults, _took, _told = scanned(SimTap({}), QUICK)
    assert (found, codes(faults)) == ([], ["CG-BUS-15"])
    assert "ids 1-3, 3 line settings" in faults[0].seen


def test_swapped_wires_look_inverted_at_rest():
    tap = SimTap({1: unit("eastron-sdm630", 1)}, inverted=True)
    found, faults, _took, _told = scanned(tap, QUICK)
    assert (found, codes(faults)) == ([], ["CG-BUS-02"])


def test_parity_alone_is_named():
    """The device does not mind our parity, we hear that its own is another."""
    tap = SimTap({2: unit("eastron-sdm630", 2)}, line="9600 8E1")
    found, faults, _took, _told = scanned(tap, Search(settings=(line("9600 8O1"),), ids=(1, 2, 3)))
    assert (found, codes(faults)) == ([], ["CG-BUS-11"])
    assert faults[0].args["unit"] == "2"


@pytest.mark.parametrize("true", ["9600 8E1", "19200 8N1", "4800 8N1"])
def test_other_settings_than_configured_are_told(true):
    """A wrong parity, a wrong speed: the sweep finds the right one and says so."""
    tap = SimTap({2: unit("eastron-sdm630", 2)}, line=true)
    tried = Search(settings=(line("9600 8N1"), line(true)), ids=(1, 2, 3))
    _found, faults, _took, _told = scanned(tap, tried, configured=line("9600 8N1"))
    assert codes(faults) == ["CG-BUS-12"]
    assert faults[0].args["found"] == true


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_port_is_set_as_the_sweep_asks(settings):
    """The pty keeps the speed, and nothing else: parity and counters are the simulated link's."""
    master, slave = os.openpty()
    try:
        link = SerialTap(os.ttyname(slave)).link(settings)

        async def go():
            await link.open()
            speeds = termios.tcgetattr(master)[4:6]
            await link.close()
            return speeds

        assert asyncio.run(go()) == [getattr(termios, f"B{settings.baud}")] * 2
    finally:
        os.close(master)
        os.close(slave)


def test_an_echo_is_harmless_and_a_spoilt_one_is_not():
    found, faults, _took, _told = scanned(SimTap({2: unit("eastron-sdm630", 2)}, echo="whole"), QUICK)
    assert ([one.unit for one in found], codes(faults)) == ([2], ["CG-BUS-08"])
    assert faults[0].warning
    found, faults, _took, _told = scanned(SimTap({}, echo="spoilt"), QUICK)
    assert (found, codes(faults)) == ([], ["CG-BUS-09"])


def test_another_master_is_named_with_its_units():
    chatter = []
    for step in range(40):
        question = rtu(5 + step % 2, bytes.fromhex("0400000002"))
        answer = rtu(5 + step % 2, bytes.fromhex("040443663333"))
        chatter += [(0.2 * step, question), (0.2 * step + 0.05, answer)]
    _found, faults, _took, _told = scanned(SimTap({}, chatter=chatter), QUICK)
    assert codes(faults) == ["CG-BUS-07"]
    assert faults[0].args["units"] == "5, 6"


def test_two_devices_with_one_address():
    """Their answers overlap: bytes of both, no whole frame, while the third unit is fine."""

    def both(answer):
        return answer if answer[0] != 2 else bytes(byte & (byte >> 1 | 0x81) for byte in answer)

    slaves = {1: unit("eastron-sdm630", 1), 2: unit("eastron-sdm630", 2)}
    found, faults, _took, _told = scanned(SimTap(slaves, mix=both), QUICK)
    assert [one.unit for one in found] == [1]
    assert codes(faults) == ["CG-BUS-10"]
    assert faults[0].args["unit"] == "2"


def test_a_sensor_that_talks_by_itself():
    frame = bytes.fromhex("424d001c0005000d00160005000d001602fd00fc001d000f00060006970003c5")
    found, faults, _took, _told = scanned(SimTap({}, chatter=[(0.1 + n, frame) for n in range(9)]), QUICK)
    assert (found, codes(faults)) == ([], ["CG-BUS-13"])


def test_without_counters_a_port_says_so():
    _found, faults, _took, _told = scanned(SimTap({}, counts=False), QUICK)
    assert "counts no errors" in faults[0].seen


@pytest.mark.parametrize("profile", ["abb-b23", "schneider-pm5xxx", "eastron-sdm120", "peacefair-pzem-004t"])
def test_other_makers_are_named(profile):
    found, _faults, _took, _told = scanned(SimTap({3: unit(profile, 3)}), QUICK)
    assert profile in [name.profile for name in found[0].names]
