"""Every shipped register profile holds what the others rely on: it can be read, and it says what it means."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.checksum import crc16_modbus
from drivers.errors import ProfileError
from drivers.line import line
from drivers.modbus.decode import VIA, BlockDecoder
from drivers.modbus.plan import cost, plan
from drivers.offline_registers import decode_registers, families
from drivers.points import points
from drivers.profile import TABLES, load, parse, shipped, where

MODBUS = [load(name) for name in shipped() if load(name).speaks == "modbus"]
REGISTERS = [profile for profile in MODBUS if profile.by_registers]
FORMATS = {"u16": "H", "s16": "h", "u32": "I", "s32": "i", "u64": "Q", "s64": "q", "f32": "f", "f64": "d"}
RANGES = {"u16": (0, 2**16 - 1), "s16": (-(2**15), 2**15 - 1), "u32": (0, 2**32 - 1), "s32": (-(2**31), 2**31 - 1)}
RANGES |= {"u64": (0, 2**64), "s64": (-(2**63), 2**63), "f32": (-3.5e38, 3.5e38), "f64": (-1.8e308, 1.8e308)}

each = pytest.mark.parametrize("profile", REGISTERS, ids=lambda profile: profile.id)


def rows_of(profile):
    return profile.rows_of() + profile.rows_of("lane1")


def raw_bytes(row, number):
    """The registers that carry `number`, written from the grammar's definition of the word orders."""
    place = where(row.read)
    data = struct.pack(">" + FORMATS[place.type], number)
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    if place.order in {"CDAB", "DCBA"}:
        words.reverse()
    if place.order in {"BADC", "DCBA"}:
        words = [word[::-1] for word in words]
    return b"".join(words)


def rtu(function, data, unit=1):
    body = bytes((unit, function, len(data))) + data
    return body + crc16_modbus(body).to_bytes(2, "little")


def test_the_city_has_its_register_devices():
    wanted = """eastron-sdm630 eastron-sdm120 eastron-sdm230 eastron-sdm72 eastron-sdm72-v2 schneider-pm5xxx
    schneider-iem3000
    schneider-pm2xxx carlo-gavazzi-em24 carlo-gavazzi-em340 carlo-gavazzi-et340 carlo-gavazzi-em111 carlo-gavazzi-et112
    peacefair-pzem-004t peacefair-pzem-017 chint-dtsu666 chint-ddsu666 abb-b21 abb-b23 abb-b24 orno-we-516 orno-we-514
    orno-we-504 janitza-umg siemens-pac2200 senseair-s8 ecowitt-ws90 renke-rs-fsxcs siemens-qsa2700d geolux-lx-80
    generic-level-transmitter generic-sound-level generic-vehicle-counter sunspec-inverter sunspec-meter"""
    assert set(wanted.split()) - {profile.id for profile in MODBUS} == set()


@each
def test_it_is_read_within_its_limits(profile):
    wheres = [where(row.read) for row in rows_of(profile)]
    for settings in (*map(line, profile.wire.lines), None):
        blocks = plan(wheres, profile.limits, price=cost(settings, profile.limits))
        assert sorted(n for block in blocks for n in block.values) == list(range(len(wheres)))
        for block in blocks:
            assert block.count <= profile.limits.max_registers <= 125
            assert not (profile.limits.even_start and (block.address % 2 or block.count % 2))
            assert not any(
                table == block.table and first < block.address + block.count and block.address <= last
                for table, first, last in profile.limits.no_go
            )
            for n in block.values:
                assert block.address <= wheres[n].address
                assert wheres[n].address + wheres[n].count <= block.address + block.count


@each
def test_a_poll_of_one_second_fits_its_line(profile):
    settings = line(profile.wire.lines[0])
    price = cost(settings, profile.limits)
    blocks = plan([where(row.read) for row in rows_of(profile)], profile.limits, price=price)
    assert sum(price.of(block.data_bytes) for block in blocks) < profile.every_s


@each
def test_its_values_do_not_overlap(profile):
    taken = {}
    for row in rows_of(profile):
        place = where(row.read)
        for register in range(place.address, place.address + place.count):
            assert taken.setdefault((place.table, register), row.point) == row.point


@each
def test_units_are_those_of_the_point_table(profile):
    for row, point in zip(rows_of(profile), profile.points() or profile.points("lane1"), strict=True):
        assert point.unit == points()[row.point].unit
        assert point.kind == points()[row.point].kind
        assert row.scale
        assert row.via is None or row.via in VIA


@each
def test_its_ranges_are_wide_and_reachable(profile):
    for row in rows_of(profile):
        assert row.valid is not None, f"{row.point} needs a valid range"
        low, high = row.valid
        if row.expect is not None:
            assert low <= row.expect[0] < row.expect[1] <= high, row.point
        smallest, largest = sorted(edge * row.scale + row.offset for edge in RANGES[where(row.read).type])
        assert row.via or (low < largest and smallest < high), f"{row.point}: no raw value is ever valid"
        if points()[row.point].kind == "counter":
            assert low == 0


@each
def test_sentinels_are_raw_values_that_the_type_can_carry(profile):
    for row in rows_of(profile):
        low, high = RANGES[where(row.read).type]
        assert all(low <= raw <= high for raw in row.sentinel), row.point


@each
def test_a_sentinel_never_becomes_a_number(profile):
    for row in rows_of(profile):
        place = where(row.read)
        for raw in row.sentinel:
            number = 2**64 - 1 if place.type == "u64" else int(raw)
            found = decode_registers(
                profile.id,
                rtu(4 if place.table == "input" else 3, raw_bytes(row, number)),
                request=f"{place.table}:{place.address}:{place.count}",
            )
            assert [each.values.get(row.point) for each in found] == [None]
            assert row.point in str(found[0].quality)
            assert found[0].quality.get(row.point) == "b:sentinel"


@each
def test_fingerprints_only_read(profile):
    for mark in profile.fingerprint:
        place = where(mark.read)
        assert place.table in TABLES
        assert sum(check is not None for check in (mark.between, mark.equals, mark.text)) == 1
        assert max(place.count, mark.registers) <= profile.limits.max_registers
        assert not (profile.limits.even_start and place.address % 2)
        assert mark.between is None or mark.between[0] < mark.between[1]


@each
def test_recorded_means_recorded(profile):
    of_captures = {name for keys in families().values() for name in keys.profiles}
    assert profile.proven != "recorded" or profile.id in of_captures


@pytest.mark.parametrize("profile", MODBUS, ids=lambda profile: profile.id)
def test_it_tells_people_what_they_need(profile):
    assert profile.source
    assert profile.quirks
    assert profile.wire.note
    for text in profile.wire.lines:
        line(text)


LOW_WORD_FIRST = [p for p in REGISTERS if p.maker in {"Carlo Gavazzi", "Peacefair"}]


@pytest.mark.parametrize("profile", LOW_WORD_FIRST, ids=lambda profile: profile.id)
def test_low_word_first_is_said_for_every_wide_value(profile):
    assert {where(row.read).order for row in profile.rows if where(row.read).count > 1} == {"CDAB"}


@each
@given(data=st.data())
def test_every_row_decodes_as_its_grammar_says(profile, data):
    row = data.draw(
        st.sampled_from([row for row in rows_of(profile) if row.via is None])
        if any(row.via is None for row in rows_of(profile))
        else st.none()
    )
    if row is None:
        return
    place = where(row.read)
    if place.type in {"f32", "f64"}:
        number = data.draw(st.floats(width=32, allow_nan=False, allow_infinity=False))
    else:
        low, high = RANGES[place.type]
        number = data.draw(st.integers(low, min(high, 2**63 - 1)))
    block = plan([place], profile.limits, price=cost(None, profile.limits))[0]
    before = 2 * (place.address - block.address)
    payload = bytes(before) + raw_bytes(row, number)
    payload += bytes(2 * block.count - len(payload))
    (value,), (code,) = BlockDecoder(block, [row]).decode(payload)
    if float(number) in row.sentinel:
        assert math.isnan(value)
        assert code == 205
    else:
        assert value == number * row.scale + row.offset or math.isclose(value, number * row.scale + row.offset)
        assert code == 0


def test_no_float_is_not_a_number():
    row = load("schneider-pm5xxx").rows[0]
    place = where(row.read)
    found = decode_registers(
        "schneider-pm5xxx", rtu(3, bytes.fromhex("ffc00000")), request=f"holding:{place.address}:2"
    )
    assert found[0].values == {}
    assert found[0].quality == {"current_l1": "b:sentinel"}


def value_of(profile, request, data):
    table = request.split(":")[0]
    (found,) = decode_registers(profile, rtu(4 if table == "input" else 3, bytes.fromhex(data)), request=request)
    assert found.ok, found.reason
    return found.values


@pytest.mark.parametrize(
    ("profile", "request_text", "data", "expected"),
    [
        # devices.md 5.1, 5.2 (recorded), 5.3 (recorded), 5.5, 5.6 (recorded), 4.4
        ("eastron-sdm630", "input:0:2", "43602588", {"voltage_l1": 224.1466064453125}),
        ("eastron-sdm120", "input:0:2", "43602588", {"voltage": 224.1466064453125}),
        ("schneider-pm5xxx", "holding:3109:2", "426ffc67", {"frequency": 59.99648666381836}),
        ("schneider-pm5xxx", "holding:3059:2", struct.pack(">f", 1.5).hex(), {"power_active": 1500.0}),
        ("schneider-pm5xxx", "holding:3203:4", f"{1234567:016x}", {"energy_import": 1234.567}),
        ("schneider-pm5xxx", "holding:3083:2", struct.pack(">f", 1.25).hex(), {"power_factor": 0.75}),
        ("schneider-pm5xxx", "holding:3083:2", struct.pack(">f", -1.25).hex(), {"power_factor": -0.75}),
        ("carlo-gavazzi-et112", "holding:0:2", "091b0000", {"voltage": 233.1}),
        ("carlo-gavazzi-em24", "holding:40:2", "fff6ffff", {"power_active": -1.0}),
        ("chint-dtsu666", "holding:8198:2", struct.pack(">f", 2301.0).hex(), {"voltage_l1": 230.1}),
        ("abb-b23", "holding:23354:1", "01b3", {"power_factor": 0.435}),
        ("abb-b23", "holding:23316:2", "00000036", {"power_active": 0.54}),
        ("orno-we-516", "holding:28:2", struct.pack(">f", 0.25).hex(), {"power_active": 250.0}),
        ("renke-rs-fsxcs", "holding:505:1", "ffec", {"temperature": -2.0}),
        ("renke-rs-fsxcs", "holding:509:1", "03f5", {"pressure": 1013.0}),
        ("generic-level-transmitter", "holding:2:4", "0001000204d20000", {"level": 0.1234}),
        ("generic-level-transmitter", "holding:2:4", "00020000fff60000", {"level": -0.01}),
        ("generic-level-transmitter", "holding:2:4", "0005000204d20000", {}),
        ("geolux-lx-80", "holding:0:1", "04d2", {"level": 1.234}),
        ("generic-sound-level", "holding:0:1", "028a", {"noise_level": 65.0}),
    ],
)
def test_worked_examples(profile, request_text, data, expected):
    assert value_of(profile, request_text, data) == pytest.approx(expected)


def test_a_co2_out_of_range_is_flagged_and_kept():
    (found,) = decode_registers("senseair-s8", bytes.fromhex("fe040222c3f5d5"), request="input:3:1")
    assert (found.values, found.quality) == ({"co2": 8899.0}, {"co2": "u:suspect"})


def test_lanes_move_by_their_stride():
    counter = load("generic-vehicle-counter")
    assert [where(counter.rows_of(f"lane{n}")[0].read).address for n in (1, 2, 3, 12)] == [0, 2, 4, 22]
    assert counter.points() == ()
    assert [point.name for point in counter.points("lane2")] == ["vehicle_total"]


def test_counts_that_a_read_clears_are_read_once():
    assert not load("generic-vehicle-counter-reset").limits.retry
    assert load("generic-vehicle-counter").limits.retry


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("holding 0x0000 u16", "holding 65536 u16"), "no such value"),
        (('point = "noise_level"', 'point = "loudness"'), "no point is called 'loudness'"),
        (("holding 0x0000 u16", "register 0 u16"), "TABLE ADDRESS TYPE"),
        (('speaks = "modbus"', 'speaks = "modbus"\nfamily = "plantower"'), "Modbus knows sunspec alone"),
        (("[limits]", "[limits]\nmax_register = 3"), "max_register"),
    ],
)
def test_a_wrong_profile_says_what_is_wrong(change, fault):
    text = shipped()["generic-sound-level"].read_text()
    assert change[0] in text
    with pytest.raises(ProfileError, match=fault):
        parse(text.replace(*change), name="generic-sound-level")
