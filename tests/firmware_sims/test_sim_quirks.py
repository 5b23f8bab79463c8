"""Sensors that say wrong things in correct frames."""

import pytest

from firmware_sims.city import build
from firmware_sims.quirks import NAMES, afflict
from firmware_sims.single import DEVICES

NOON = 1_795_237_200.0
TOTALS = bytes.fromhex("0400340002")  # total power
IMPORT = bytes.fromhex("0300340002")
ENERGY = bytes.fromhex("0400480002")


def said(device, pdu, now_s):
    notes = []
    device.note = notes.append
    device.answer(pdu, now_s)
    return next(iter(notes[0].values.values())) if notes else None


def test_a_meter_stands_still_and_heals():
    meter = build(1).main_meter
    heal = afflict(meter, "stuck", now_s=NOON)
    first = said(meter, TOTALS, NOON)
    assert said(meter, TOTALS, NOON + 600) == first
    heal()
    assert said(meter, TOTALS, NOON + 600) != first


def test_a_new_meter_begins_at_zero():
    meter = build(1).main_meter
    before = said(meter, ENERGY, NOON)
    afflict(meter, "restart", now_s=NOON)
    assert before > 10_000
    assert said(meter, ENERGY, NOON + 1) == 0.0
    assert 0 < said(meter, ENERGY, NOON + 3601) < 200


def test_absent_zero_and_jump():
    for quirk, expected in (("absent", None), ("zero", 0.0)):
        meter = build(1).main_meter
        afflict(meter, quirk, now_s=NOON)
        assert said(meter, TOTALS, NOON) == expected
    meter = build(1).main_meter
    usual = said(meter, TOTALS, NOON)
    afflict(meter, "jump", now_s=NOON)
    assert said(meter, TOTALS, NOON) == pytest.approx(20 * usual)


def test_air_and_level():
    devices = build(1)
    afflict(devices.air, "restart", now_s=NOON)
    assert devices.air.speak(NOON + 1)[0][4:28] == bytes(24)
    afflict(devices.air, "zero", now_s=NOON)
    assert devices.air.speak(NOON + 60)[0][4:28] == bytes(24)
    heal = afflict(devices.canal, "absent", now_s=NOON)
    assert devices.canal.speak(NOON)[0] == b"R5000\r"
    heal()
    usual = int(devices.canal.speak(NOON + 1)[0][1:5])
    afflict(devices.canal, "jump", now_s=NOON)
    assert int(devices.canal.speak(NOON + 2)[0][1:5]) == pytest.approx(usual / 3, abs=3)


def test_what_cannot_be_is_refused():
    devices = build(1)
    for device, quirk in ((devices.radar, "stuck"), (devices.air, "absent"), (devices.canal, "rusty")):
        with pytest.raises(ValueError, match="cannot have"):
            afflict(device, quirk, now_s=NOON)
    assert len(set(NAMES)) == len(NAMES)


def words(device, pdu):
    return device.answer(pdu, NOON)[2:]


def test_a_firmware_with_another_map():
    meter = build(1).main_meter
    usual = words(meter, TOTALS)
    heal = afflict(meter, "swapped", now_s=NOON)
    assert words(meter, TOTALS) == usual[2:] + usual[:2]
    heal()
    heal = afflict(meter, "shifted", now_s=NOON)
    assert words(meter, bytes.fromhex("0400350002")) == usual
    heal()
    assert words(meter, TOTALS) == usual
    afflict(meter, "invalid", now_s=NOON)
    assert words(meter, TOTALS) == bytes.fromhex("ffc00000")


def test_a_counter_comes_round():
    meter = DEVICES["carlo-gavazzi-em340"].make(1, 1)
    begin = next(
        now for now in range(int(NOON), int(NOON) + 40 * 86400 * 365, 86400) if said(meter, IMPORT, now) > 70_000
    )
    before = said(meter, IMPORT, begin)
    afflict(meter, "rollover", now_s=begin)
    assert said(meter, IMPORT, begin) == pytest.approx(before % 65_536, abs=0.1)


def test_any_serial_sensor_can_be_stuck():
    sensor = DEVICES["gill-windsonic"].make(1, 0)
    heal = afflict(sensor, "stuck", now_s=NOON)
    assert len({sensor.speak(NOON + n)[0] for n in range(10)}) == 1
    heal()
    assert len({sensor.speak(NOON + n)[0] for n in range(20, 30)}) > 1
