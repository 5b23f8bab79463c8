"""SunSpec by discovery: the chain is walked, models are decoded with their scale factors, nothing missing becomes 0."""

import asyncio
import struct
from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import BadFrame, DeviceRefused, NoReply
from drivers.modbus import sunspec
from drivers.modbus.sunspec_device import SunspecDevice, choose
from drivers.modbus.wire import Answer
from drivers.offline_registers import decode_registers
from drivers.profile import Limits, load
from drivers.sample import Code

METER = bytes.fromhex(  # evcc-io/evcc#15445: model 203 of a SolarEdge meter, header at 40188
    "006700300008002effff5bfd5bfd5c4f5a690000000000000000fffe1385fffeffc6043fff85fc02000001e804560094040d0000fe1bff1effa"
    "fff4f0000080fdae519462403fffe01448402015e60540000000000000000011408200028f5e80053b62200b13867"
).ljust(210, b"\0")
METER = METER[:138] + b"\x80\x00" + METER[140:204] + b"\x80\x00" + METER[206:]


class Registers:
    """A device's registers as `read` sees them: {address: word}; what is missing is refused."""

    def __init__(self, words):
        self.words = dict(words)
        self.asked = []
        self.silent = False

    def put(self, address, data):
        self.words |= {address + n: word for n, word in enumerate(struct.unpack(f">{len(data) // 2}H", data))}

    async def read(self, table, address, count):
        self.asked.append((table, address, count))
        if self.silent:
            raise NoReply("silence")
        try:
            return struct.pack(f">{count}H", *[self.words[address + n] for n in range(count)])
        except KeyError:
            raise DeviceRefused("illegal data address", code=2) from None


class Wire:
    """Stands where the master stands."""

    def __init__(self, registers):
        self.registers = registers

    async def read(self, unit, table, *, address, count, limits=None, **_):
        assert isinstance(limits, Limits)
        return Answer(await self.registers.read(table, address, count), 12.5, 0.01)


def header(number, length):
    return struct.pack(">HH", number, length)


def solaredge(base=40000):
    """Inverter, then a second block (common model without a marker) with a meter."""
    device = Registers({})
    common = b"SolarEdge ".ljust(32, b"\0") + b"SE3000".ljust(32, b"\0") + bytes(66)
    data = b"SunS" + header(1, 65) + common + header(101, 50) + bytes(100)
    data += header(1, 65) + common + header(203, 105) + METER + header(0xFFFF, 0)
    device.put(base, data)
    return device


def models_of(device):
    return asyncio.run(sunspec.discover(device.read))


@pytest.mark.parametrize("base", [40000, 50000, 0])
def test_the_chain_is_walked_from_wherever_the_marker_stands(base):
    models = models_of(solaredge(base))
    assert [(m.id, m.address - base, m.length, m.block) for m in models] == [
        (1, 2, 65, 0),
        (101, 69, 50, 0),
        (1, 121, 65, 1),
        (203, 188, 105, 1),
    ]


def test_no_marker_is_no_sunspec():
    assert models_of(Registers({40000: 0, 40001: 0})) == ()


def test_a_silent_device_is_not_a_device_without_sunspec():
    device = Registers({})
    device.silent = True
    with pytest.raises(NoReply):
        models_of(device)


@pytest.mark.parametrize("head", [header(0, 5), header(0x8000, 0x8000), header(203, 0), header(203, 60000)])
def test_a_chain_that_breaks_counts_up_to_the_break(head):
    device = solaredge()
    device.put(40188, head)
    assert [m.id for m in models_of(device)] == [1, 101, 1]


def test_a_chain_broken_at_once_is_reported():
    device = Registers({})
    device.put(40000, b"SunS" + header(0x8000, 0x8000))
    with pytest.raises(BadFrame, match="breaks at 40002"):
        models_of(device)


def test_a_chain_without_an_end_ends():
    device = Registers({})
    device.put(0, b"SunS" + b"\0\x0b\0\x01\0\0" * 200)
    device.words |= {40000: 0, 40001: 0, 50000: 0, 50001: 0}
    assert len(models_of(device)) == sunspec.MAX_MODELS


def test_the_recorded_meter():
    said = sunspec.fields(METER)
    assert said["Hz"] == 49.97
    assert said["A"] == 10.3
    assert said["PhV"] == 235.49
    assert said["PF"] == 20.63
    assert said["TotWhExp"] == 21267458
    assert said["TotVAhExp"] is None  # its scale factor is 0x8000, though it reads 0
    assert said["scale_factors"]["TotVAh"] is None
    assert said["scale_factors"]["TotWh"] == 0


@pytest.mark.parametrize("number", sorted(sunspec.layouts()))
def test_a_model_fits_into_one_read_with_its_scale_factors(number):
    layout = sunspec.layouts()[number]
    address, count, first = sunspec.span(sunspec.Model(number, 40069, layout.length))
    assert count <= sunspec.MAX_REGISTERS
    ends = [spot.offset + spot.count for spot in layout.spots] + [offset + 1 for offset in layout.scales.values()]
    assert max(ends) <= 2 + layout.length
    assert address - 40069 == first
    assert min(spot.offset for spot in layout.spots) == 2
    taken = [offset + n for spot in layout.spots for offset in [spot.offset] for n in range(spot.count)]
    taken += layout.scales.values()
    assert len(taken) == len(set(taken))
    assert {spot.scale for spot in layout.spots if isinstance(spot.scale, str)} <= set(layout.scales)


@pytest.mark.parametrize(
    ("kind", "absent"),
    [("u16", "ffff"), ("s16", "8000"), ("u32", "ffffffff"), ("s32", "80000000"), ("f32", "7fc00000")],
)
def test_not_implemented_is_no_number(kind, absent):
    layout = sunspec.Layout("meter", 2, (sunspec.Spot("X", 2, kind),), {})
    assert sunspec.decode(layout, bytes.fromhex(absent)) == {"X": None}


@given(st.integers(-0x7FFF, 0x7FFF), st.integers(-12, 12) | st.just(-0x8000))
def test_scale_factors_are_powers_of_ten_or_nothing(raw, exponent):
    layout = sunspec.Layout("meter", 2, (sunspec.Spot("X", 2, "s16", "X_SF"),), {"X_SF": 3})
    (value,) = sunspec.decode(layout, struct.pack(">hh", raw, exponent)).values()
    if abs(exponent) > 10:
        assert value is None
    else:
        assert value == pytest.approx(raw * 10.0**exponent)


def device_of(profile, registers):
    return SunspecDevice(Wire(registers), load(profile), unit=1)


def poll(device):
    return asyncio.run(device.poll())


def values(device, sample):
    names = [point.name for point in device.profile.points()]
    return dict(zip(names, zip(sample.values, sample.codes, strict=True), strict=True))


def test_a_meter_is_found_and_read_in_one_request_per_poll():
    registers = solaredge()
    device = device_of("sunspec-meter", registers)
    (sample,) = poll(device)
    got = values(device, sample)
    assert got["frequency"] == (49.97, 0)
    assert got["power_active"] == (-58.0, 0)
    assert got["power_factor"][0] == pytest.approx(0.2063)
    assert got["energy_export"] == (pytest.approx(21267.458), 0)
    assert sample.t_mono_ns == 12_500_000_000
    registers.asked.clear()
    poll(device)
    assert registers.asked == [("holding", 40188, 107)]


def test_a_changed_scale_factor_is_seen_in_the_same_answer():
    registers = solaredge()
    device = device_of("sunspec-meter", registers)
    poll(device)
    registers.words |= {40188 + 16: 499, 40188 + 17: 0xFFFF}
    assert values(device, poll(device)[0])["frequency"] == (49.9, 0)


def test_a_moved_chain_gives_no_value_and_is_walked_again():
    registers = solaredge()
    device = device_of("sunspec-meter", registers)
    poll(device)
    moved = solaredge(50000)
    registers.words = moved.words | {40188 + n: 0 for n in range(107)} | {40000: 0, 40001: 0}
    assert {code for _, code in values(device, poll(device)[0]).values()} == {Code.ABSENT}
    assert values(device, poll(device)[0])["frequency"] == (49.97, 0)


def test_failures_are_marked_and_never_the_last_value():
    registers = solaredge()
    device = device_of("sunspec-meter", registers)
    poll(device)
    registers.silent = True
    (sample,) = poll(device)
    assert set(sample.codes) == {Code.TIMEOUT}
    assert all(isnan(value) for value in sample.values)
    registers.silent = False
    registers.words = {}
    assert set(poll(device)[0].codes) == {Code.EXCEPTION}
    assert set(poll(device)[0].codes) == {Code.ABSENT}


def test_an_inverter_without_its_phases():
    registers = solaredge()
    body = bytearray(b"\x80\x00" * 50)
    for offset, word in ((14, 2500), (15, 0), (16, 5001), (17, 0xFFFE), (24, 1), (25, 0), (26, 0)):
        struct.pack_into(">H", body, 2 * (offset - 2), word)
    registers.put(40071, bytes(body))
    device = device_of("sunspec-inverter", registers)
    got = values(device, poll(device)[0])
    assert got["power_active"] == (2500.0, 0)
    assert got["frequency"] == (50.01, 0)
    assert got["energy_total"] == (65.536, 0)
    assert got["voltage_l1"][1] == got["current_l2"][1] == Code.SENTINEL


def test_the_second_meter_is_the_second():
    models = tuple(sunspec.Model(number, 40000, 105) for number in (1, 101, 203, 201))
    assert choose(models, "meter").id == 203
    assert choose(models, "meter2").id == 201
    assert choose(models, "meter3") is None
    assert choose((), "inverter") is None


def test_a_model_that_is_too_short_is_not_believed():
    assert sunspec.Model(203, 40188, 60).layout is None
    assert sunspec.Model(9999, 40188, 60).layout is None


def test_decode_takes_a_block_without_its_marker():
    body = b"SolarEdge".ljust(32, b"\0") + bytes(98)
    data = header(1, 65) + body + header(203, 105)
    frame = bytes((3, len(data))) + data
    (found,) = decode_registers("sunspec", frame, request=f"holding:40121:{len(data) // 2}", framing="pdu")
    assert (found.fields["model_id"], found.fields["model_length"]) == (1, 65)
    assert found.fields["manufacturer"] == "SolarEdge"
    assert found.fields["serial"] is None
    (found,) = decode_registers("sunspec", b"\x03\xd2" + METER, request="holding:40190:105", framing="pdu")
    assert found.values["energy_import"] == pytest.approx(18090.016)
    assert "energy_apparent" not in found.values


def test_the_end_marker_ends_the_chain_in_peace():
    async def whole(device):
        return [model.id async for model in sunspec.walk(device.read, 40000)]

    assert asyncio.run(whole(solaredge())) == [1, 101, 1, 203]
    empty = Registers({})
    empty.put(40000, b"SunS" + header(0xFFFF, 0))
    assert models_of(empty) == ()


def test_the_serial_number_stands_in_the_common_model_of_its_own_block():
    device = solaredge()
    device.put(40002 + 50, b"7E12A34B".ljust(32, b"\0"))
    meter_at = next(m.address for m in models_of(device) if m.id == 1 and m.block == 1)
    device.put(meter_at + 50, b"60611234".ljust(32, b"\0"))

    async def serial(profile):
        one = SunspecDevice(Wire(device), load(profile), unit=1)
        before = await one.identify()
        await one.poll()
        return before, await one.identify()

    before, (found,) = asyncio.run(serial("sunspec-inverter"))
    assert before == ()
    assert (found.seen, found.holds, found.same) == ("7E12A34B", True, True)
    assert asyncio.run(serial("sunspec-meter"))[1][0].seen == "60611234"
