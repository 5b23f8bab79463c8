"""The demo's meters, simulated from their sheets without our code, are read through the profiles: the numbers agree."""

import pytest
import virtual_time

from drivers.checksum import crc16_modbus
from drivers.line import line
from drivers.link import CallLink
from drivers.modbus.master import Master
from drivers.modbus.polled import polled
from drivers.profile import load
from drivers.sample import Code
from firmware_sims import eastron, schneider
from firmware_sims.city_day import Load
from firmware_sims.day import Course

NOW_S = 1_800_000_000.0


def fifty(_now_s):
    return 50.0


def wire(meter):
    """An RTU line with one simulated unit on it, its clock standing still."""

    def answer(request):
        assert crc16_modbus(request) == 0
        pdu = meter.answer(request[1:-2], NOW_S)
        body = request[:1] + pdu
        return body + crc16_modbus(body).to_bytes(2, "little")

    return CallLink(answer)


async def read(meter, profile):
    master = Master(wire(meter), line=line(profile.wire.lines[0]))
    await master.open()
    try:
        device = polled(master, profile, unit=1)
        return await device.poll(), await device.identify()
    finally:
        await master.close()


def make(name):
    load_ = Load(Course((30.0,) * 168), 7, (0.4, 0.35, 0.25), 123_456.0)
    if name == "schneider-pm5xxx":
        return schneider.pm5xxx("pm", load_, frequency_hz=fifty), eastron.readings(load_, fifty, now_s=NOW_S)
    if name == "eastron-sdm120":
        return eastron.sdm120("m", load_, frequency_hz=fifty), eastron.single_phase(load_, fifty, now_s=NOW_S)
    return eastron.sdm630("m", load_, frequency_hz=fifty), eastron.readings(load_, fifty, now_s=NOW_S)


@pytest.mark.parametrize("name", ["eastron-sdm630", "eastron-sdm120", "schneider-pm5xxx"])
def test_the_simulated_meter_reads_as_it_is(name):
    meter, truth = make(name)
    profile = load(name)
    (sample,), findings = virtual_time.run(read(meter, profile))
    got = dict(
        zip([point.name for point in profile.points()], zip(sample.values, sample.codes, strict=True), strict=True)
    )
    missing = {point for point, (_, code) in got.items() if code}
    assert {got[point][1] for point in missing} <= {Code.SENTINEL}
    assert missing == ({f"energy_import_l{n}" for n in (1, 2, 3)} if name == "schneider-pm5xxx" else set())
    for point, (value, _) in got.items():
        if point not in missing:
            assert value == pytest.approx(truth[point], rel=1e-6, abs=1e-3), point
    assert [finding.seen for finding in findings if not finding.holds] == []
