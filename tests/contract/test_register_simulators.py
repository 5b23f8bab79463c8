"""Every Modbus profile reads its simulated device: what was served is what is read, and nothing is missing.

The simulators' register maps (firmware_sims/models.toml) were written from the data sheets, not from the profiles.
"""

import math

import pytest
import virtual_time

from drivers.checksum import crc16_modbus
from drivers.line import line
from drivers.link import CallLink
from drivers.modbus.master import Master
from drivers.modbus.polled import polled
from drivers.profile import load, shipped
from drivers.sample import Code
from firmware_sims.quirks import afflict
from firmware_sims.single import DEVICES

NOON_S = 1_795_240_800.0  # 2026-11-21 13:00 in Khon Kaen
MODBUS = sorted(name for name in shipped() if load(name).speaks == "modbus")
LANES = ("", "lane1", "lane2", "lane3", "lane4")
# What these models have no registers for, or read as "not available", and say so by a sentinel.
NOT_SENSED = {
    "schneider-pm5xxx": {"energy_import_l1", "energy_import_l2", "energy_import_l3"},
}


def wire(unit, told):
    """An RTU line with the unit, whatever its address; each request a minute after the one before."""
    unit.note = told.append
    clock = [NOON_S]

    def answer(request):
        assert crc16_modbus(request) == 0
        clock[0] += 60.0
        body = request[:1] + unit.answer(request[1:-2], clock[0])
        return body + crc16_modbus(body).to_bytes(2, "little")

    return CallLink(answer)


async def read(profile, told, *, quirk=None):
    kind = DEVICES[profile.id]
    unit = kind.make(7, kind.unit)
    if quirk is not None:
        afflict(unit, quirk, now_s=NOON_S)
    master = Master(wire(unit, told), line=line(profile.wire.lines[0]))
    await master.open()
    try:
        parts = tuple(part for part in LANES if profile.rows_of(part))
        device = polled(master, profile, unit=kind.unit, parts=parts)
        await device.poll()
        findings = await device.identify() if hasattr(device, "identify") else []
        told.clear()
        return await device.poll(), findings
    finally:
        await master.close()


@pytest.mark.parametrize("name", MODBUS)
def test_what_is_served_is_what_is_read(name):
    profile, told = load(name), []
    samples, findings = virtual_time.run(read(profile, told))
    served = {}
    for entry in told:
        served.setdefault(entry.part, {}).update(entry.values)
    missing = set()
    for sample in samples:
        for point, value, code in zip(profile.points(sample.part), sample.values, sample.codes, strict=True):
            if code >= 200:
                assert code == Code.SENTINEL, (point.name, code)
                missing.add(point.name)
                continue
            assert math.isclose(value, served[sample.part][point.name], rel_tol=1e-6, abs_tol=1e-9), point.name
    assert missing == NOT_SENSED.get(name, set())
    assert any(any(value for value in sample.values) for sample in samples)
    assert [finding.seen for finding in findings if not finding.holds] == []


# Devices whose sheet says how "not available" looks (devices.md 4.4, 5.1 to 5.3, 5.5, 5.6, 5.9), and who counts 0 so.
WITH_SENTINEL = sorted(
    name for name in MODBUS if name.startswith(("abb", "carlo", "chint", "eastron", "ecowitt", "janitza", "schneider"))
)


@pytest.mark.parametrize("name", WITH_SENTINEL)
def test_not_available_is_never_a_number(name):
    profile = load(name)
    samples, _ = virtual_time.run(read(profile, [], quirk="absent"))
    believed = {
        point.name
        for sample in samples
        for point, code in zip(profile.points(sample.part), sample.codes, strict=True)
        if code < 200
    }
    assert believed == set()
