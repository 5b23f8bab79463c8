"""Worked and recorded frames of every stream family give their values; what is wrong with a frame is said."""

import math

import pytest
from stream_examples import (
    EXAMPLES,
    adec,
    g4,
    g4_message,
    hdlc,
    pms,
    ss105,
    ss125,
    ss125_interval,
    stream,
    telegram,
    winsen,
)

from drivers.errors import BadFrame, DeviceRefused
from drivers.offline import decode_stream
from drivers.profile import load, shipped
from drivers.sample import Code
from drivers.uart import canoga, houston_radar, iec62056_21, org_815, rtms_g4, sensirion_sps30, wavetronix_ss125
from drivers.uart.registry import families, family
from drivers.uart.rows import Rows
from drivers.uart.stream import Ear, StreamDevice


def facts(profile, data):
    """All facts in `data`, read as `profile`."""
    loaded = load(profile)
    ear = Ear(family(loaded.family), loaded.variant)
    return [fact for heard in ear.feed(data) + ear.finish() for fact in heard.facts]


def samples(profile, data):
    rows = Rows(load(profile))
    names = {}
    for fact in facts(profile, data):
        sample = rows.sample(fact, 5)
        if sample is not None:
            points = [point.name for point in load(profile).points(fact.part)]
            names[sample.part] = dict(zip(points, zip(sample.values, sample.codes, strict=True), strict=True))
    return names


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_example_gives_its_values(example):
    got = samples(example.profile, stream(example, 1))[example.part]
    assert {name: got[name] for name in example.values} == {
        name: (pytest.approx(value, rel=1e-9), Code.GOOD) for name, value in example.values.items()
    }


class TestRainGauge:
    def test_what_it_prints(self):
        for line, values in (
            (b"R+12.50 100.001", (100.001, 12.5)),
            (b"R+ 12.5 100.001", (100.001, 12.5)),
            (b"   ---- ---.---", (None, None)),
        ):
            cut = org_815.cut(line)
            if cut is None or not cut.frame:
                assert line == b"R+12.50 100.001"  # no blank in column 2: not the gauge's form
                continue
            (facts,) = org_815.decode(line, "")
            assert (facts.fields["accumulation_mm"], facts.fields["rate_mm_h"]) == values

    def test_a_shifted_line_is_no_number(self):
        for line in (b"R- .25 001.234A", b"R- 0.25 01.2345", b"- 0.25 001.234R"):
            assert not [cut for cut in [org_815.cut(line)] if cut is not None and cut.frame]

    def test_starting_up_and_faults(self):
        (facts,) = org_815.decode(b"** ---- ---.---", "")
        assert facts.warming
        (facts,) = org_815.decode(b"ER ---- ---.---", "")
        assert facts.fault


def test_every_family_has_an_example_and_a_profile():
    spoken = {load(name).family for name in shipped() if load(name).speaks != "modbus"}
    assert spoken == set(families())
    assert {load(example.profile).family for example in EXAMPLES} == spoken


@pytest.mark.parametrize("name", [name for name in shipped() if load(name).speaks != "modbus"])
def test_stream_profile_is_sound(name):
    profile = load(name)
    assert (profile.speaks == "poll") <= (family(profile.family).ask is not None)
    assert not any(row.read for row in profile.rows)
    if profile.speaks == "push":
        assert StreamDevice(profile).feed(bytes(range(256)), 1) is not None


class TestPlantower:
    def test_all_zero_is_a_warm_up(self):
        zero = bytes.fromhex("424d001c00000000000000000000000000000000000000000000000097000142")
        assert set(samples("plantower-pms5003", zero)[""].values()) == {(0.0, Code.WARMUP)}

    def test_reply_to_a_command_says_nothing(self):
        assert facts("plantower-pms5003", bytes.fromhex("424D0004E1000174")) == []

    def test_error_byte_is_a_sensor_fault(self):
        bad = pms(bytes.fromhex("001B00210029001A002100292BFB04BE006B0010000400046704"))
        assert {code for _, code in samples("plantower-pms5003", bad)[""].values()} == {Code.SENSOR}

    def test_mass_without_particles_is_a_sensor_fault(self):
        bad = pms(bytes.fromhex("001B00210029001A00210029" + 12 * "00" + "6700"))
        assert {code for _, code in samples("plantower-pms5003", bad)[""].values()} == {Code.SENSOR}

    def test_a_5003t_read_as_a_5003_is_doubted(self):
        frame = bytes.fromhex("424d001c001700270029001600230029100804a90116000c00d400e09a0004aa")
        assert {code for _, code in samples("plantower-pms5003", frame)[""].values()} == {Code.SUSPECT}

    def test_another_size_is_another_model(self):
        found = decode_stream("plantower-pms5003", bytes.fromhex("424d001400010001000100010001000100000000005100fa"))
        assert [each.ok for each in found] == [False]
        assert "another model" in found[0].reason

    def test_extra_byte_in_the_header_costs_that_frame_only(self):
        frame = EXAMPLES[0].frame
        found = decode_stream("plantower-pms5003", frame[:1] + b"\0" + frame[1:] + frame)
        assert [each.offset for each in found if each.ok] == [33]


class TestSensirion:
    def test_no_new_data_is_no_sample_and_no_error(self):
        assert facts("sensirion-sps30", bytes.fromhex("7E00030000FC7E"))
        assert samples("sensirion-sps30", bytes.fromhex("7E00030000FC7E")) == {}

    def test_echo_of_the_question_is_not_an_answer(self):
        assert facts("sensirion-sps30", sensirion_sps30.ASK) == []

    def test_stuffed_checksum(self):
        assert sensirion_sps30.unstuff(b"\x80\x01\x00\x7d\x5e") == b"\x80\x01\x00\x7e"

    def test_refusal_names_the_state(self):
        body = bytes((0x00, 0x03, 0x43, 0x00))
        frame = b"\x7e" + body + bytes((~sum(body) & 0xFF,)) + b"\x7e"
        with pytest.raises(DeviceRefused, match="43: command not allowed"):
            sensirion_sps30.decode(frame, "")

    def test_start_while_measuring_is_harmless(self):
        body = bytes((0x00, 0x00, 0x43, 0x00))
        assert sensirion_sps30.decode(b"\x7e" + body + bytes((~sum(body) & 0xFF,)) + b"\x7e", "") == ()

    def test_integers(self):
        body = bytes((0x00, 0x03, 0x00, 20)) + b"".join(
            value.to_bytes(2, "big") for value in (5, 9, 12, 13, 26, 37, 41, 42, 43, 834)
        )
        fact = sensirion_sps30.decode(b"\x7e" + body + bytes((~sum(body) & 0xFF,)) + b"\x7e", "")[0]
        assert fact.fields["pm25"] == 9
        assert fact.fields["diam"] == 0.834


class TestWinsen:
    def test_own_question_echoed_is_not_an_answer(self):
        assert facts("winsen-ze25-o3", bytes.fromhex("FF0186000000000079")) == []

    def test_fault_bit_of_the_ze15(self):
        bad = samples("winsen-ze15-co", winsen(bytes.fromhex("040301807b1388")))[""]
        assert bad["co"][1] == Code.SENSOR

    def test_mass_is_not_taken_for_a_mixing_ratio(self):
        value, code = samples("winsen-ze25-o3", winsen(bytes.fromhex("2a020001232710")))[""]["o3"]
        assert math.isnan(value)
        assert code == Code.SENTINEL


class TestRangers:
    def test_no_target_is_no_distance(self):
        assert samples("maxbotix-hrxl", b"R5000\r")[""]["distance"][1] == Code.SENTINEL
        assert samples("dfrobot-a01nyub", bytes.fromhex("FFFFFDFB"))[""]["distance"][1] == Code.SENTINEL
        assert samples("dfrobot-a01nyub", bytes.fromhex("FF011818"))[""]["distance"][1] == Code.SENTINEL

    def test_a_lost_digit_is_no_distance(self):
        assert samples("maxbotix-hrxl", b"R123\r") == {}
        assert samples("maxbotix-xl", b"R1234\r") == {}

    def test_stray_ff_and_banner(self):
        assert samples("maxbotix-hrxl", b"HRXL-MaxSonar-WRML\rPN:MB7386\rR12\xff34\r")[""]["distance"][0] == 1.234


class TestRadarText:
    def test_the_tail_of_a_line_is_not_believed(self):
        assert facts("omnipresense-ops243", b"2.3\r\n") == []
        assert [fact.fields["speed"] for fact in facts("omnipresense-ops243", b"2.3\r\n-12.3\r\n4.5\r\n")] == [
            -12.3,
            4.5,
        ]
        assert facts("icoms-tma", b"072 km/h\r\n") == []

    def test_quoted_speed_and_unit(self):
        fact = facts("omnipresense-ops243", b'{"unit":"mph","speed":"-30.0"}\r\n')[0]
        assert fact.fields["speed_mps"] == pytest.approx(13.4112)
        assert fact.fields["direction"] == -1

    def test_unknown_unit_is_no_speed(self):
        assert [each.ok for each in decode_stream("omnipresense-ops243", b'{"unit":"knots","speed":30}\n')] == [False]

    def test_object_record(self):
        line = b'{"classifier":"object_outbound","start_time":"1.0","max_speed_mps":13.39,"length_m":4.4}\n'
        values = samples("omnipresense-ops243", line)[""]
        assert values["speed"][0] == pytest.approx(48.204)
        assert values["direction"][0] == -1
        assert values["length"][0] == 4.4

    def test_banner_and_settings_are_junk(self):
        assert decode_stream("omnipresense-ops243", b"OPS243-A\r\nVersion 1.3.2\r\n\r\n") == []


class TestWavetronix:
    def test_worked_requests(self):
        assert family("wavetronix_ss125").ask(1, 1).hex() == "5a310000010000000106087100000000" + "00f0"
        assert family("wavetronix_ss125_events").ask(1, 2).hex() == "5a31000001000000" + "0203b0670000bc"

    def test_invalid_speed_and_occupancy_have_no_value(self):
        got = samples("wavetronix-ss125", ss125(ss125_interval(0, speed=0x001F80, occupancy=0x7FFF)))["lane1"]
        assert got["speed"][1] == got["occupancy"][1] == Code.SENTINEL
        assert got["vehicle_count"] == (12, Code.GOOD)

    def test_an_approach_is_no_lane(self):
        assert samples("wavetronix-ss125", ss125(ss125_interval(2))) == {}

    def test_no_event_is_no_vehicle(self):
        assert samples("wavetronix-ss125-events", ss125(bytes((0x67, 0, 0)) + bytes(20))) == {}

    def test_refusal(self):
        with pytest.raises(DeviceRefused, match="15: interval does not exist"):
            wavetronix_ss125.decode(ss125(bytes((0x71, 0, 2, 0, 15))), "")

    def test_an_answer_is_told_from_a_late_one(self):
        match = family("wavetronix_ss125").match
        assert match(ss125(ss125_interval(0), seq=8), 1, 7)
        assert match(ss125(ss125_interval(1), seq=9), 1, 7)
        assert not match(ss125(ss125_interval(1), seq=8), 1, 7)
        assert not match(ss125(ss125_interval(0), seq=8, unit=2), 1, 7)
        assert not match(family("wavetronix_ss125").ask(1, 8), 1, 7)

    def test_the_header_of_a_lost_packet_eats_no_whole_ones(self):
        whole = ss125(bytes.fromhex("670100000FC192058D0939015C0A0001198043C0021604"))
        lost = ss125(ss125_interval(0))[:11]
        assert len(facts("wavetronix-ss125-events", lost + 3 * whole)) == 3

    def test_impossible_time(self):
        assert wavetronix_ss125.stamp(bytes(8)) is None

    def test_ss105_more_classified_than_counted(self):
        bad = ss105(b"2D24BD00" + b"10000000C00250066040004000400")
        assert {code for _, code in samples("wavetronix-ss105", bad)["lane1"].values()} == {Code.SENSOR}

    def test_ss105_failure(self):
        assert [each.ok for each in decode_stream("wavetronix-ss105", b"Z00001XDFailure~\r")] == [False]


class TestNatch:
    def test_half_a_line_is_no_headway(self):
        assert facts("natch", b"\nds,01a5,3,323,46\n") == []
        assert facts("natch", b"\nds,01a5,3,323,46,\n")[0].fields["headway_ms"] == 46
        assert facts("natch", b"\nds,01a5,3,,,17:50:28\n")[0].fields["duration_ms"] is None


class TestHdlc:
    def test_shared_flags_and_time(self):
        frame = next(example.frame for example in EXAMPLES if example.profile == "kaifa-ma304")
        got = facts("kaifa-ma304", frame[:-1] + frame[:-1] + frame)
        assert len(got) == 3
        assert got[0].fields == {
            "frame_length": len(frame) - 2,
            "timestamp_local": "2016-12-04T16:45:30",
            "active_power_import_W": 1234,
        }

    def test_longer_lists_are_told_but_not_named(self):
        data = bytes.fromhex("e6e7000f40000000090c07e00c0407102d1eff800000" + "020206000004d20a024142")
        assert facts("kaifa-ma304", hdlc(data))[0].fields["values"] == (1234, "AB")
        assert samples("kaifa-ma304", hdlc(data)) == {}


class TestG4:
    def test_unit_of_speed_is_in_the_header(self):
        assert samples("iss-rtms-g4", g4_message(flags=1))["lane1"]["speed"][0] == pytest.approx(61 * 1.609344)

    def test_a_zone_without_vehicles_has_no_speed(self):
        assert samples("iss-rtms-g4", g4_message())["lane2"]["speed"][1] == Code.SENTINEL

    def test_a_lost_frame_costs_the_message(self):
        message = g4_message()
        lost = message[:-9]
        assert {each.offset for each in decode_stream("iss-rtms-g4", lost + message) if each.ok} == {len(lost)}

    def test_keep_alive_between_is_ignored(self):
        assert facts("iss-rtms-g4", g4(0x5F, b"\0")) == []

    def test_table_of_another_width(self):
        with pytest.raises(BadFrame, match="zones"):
            rtms_g4.decode(g4_message(zones=2).replace(g4(0x10, bytes.fromhex("000c0000")), g4(0x10, bytes(6))), "")


class TestCountsAndQueues:
    def test_canoga_requests(self):
        assert family("canoga").ask(0, 1).hex() == "3c3038002a31453e"
        assert family("canoga").ask(128, 1).hex() == "3c3038802a39453e"

    def test_canoga_counts_what_passed_since(self):
        rows = Rows(load("canoga-c900"))
        frame = next(example.frame for example in EXAMPLES if example.profile == "canoga-c900")
        fact = canoga.decode(frame, "")[0]

        def count(raw, t_s):
            again = type(fact)({**fact.fields, "count_mod_256": raw}, part="ch1")
            return rows.sample(again, t_s * 10**9)

        assert count(250, 0).codes[0] == Code.ABSENT
        assert count(4, 60).values[0] == 10
        assert count(4, 120).values[0] == 0
        assert count(9, 400).codes[0] == Code.ABSENT

    def test_adec_request_and_empty(self):
        assert family("adec_tdc").ask(1, 2).hex() == "1058015916"
        assert family("adec_tdc").more(facts("adec-tdc", adec(b"\0" + bytes(4) + bytes(6))))
        assert not family("adec_tdc").more(facts("adec-tdc", b"\xe5"))

    def test_houston_requests(self):
        assert family("houston_radar").ask(0, 1).hex() == "f3317226fc"
        assert houston_radar.packet(bytes.fromhex("18004D4F")).hex() == "f318004d4fdf5cfc"
        assert houston_radar.packet(bytes.fromhex("0E")).hex() == "f30ecee1fc"

    def test_houston_without_target(self):
        assert samples("houston-dr500", houston_radar.packet(b"\x32\x00"))[""]["speed"][1] == Code.SENTINEL


class TestMeters:
    def test_short_blocks(self):
        assert facts("iec62056-21", bytes.fromhex("0142300371"))[0].fields == {"command": "B0"}
        assert facts("iec62056-21", b"\x01P0\x02(1234567)\x03P")[0].fields == {"command": "P0", "data_set": "(1234567)"}
        assert facts("iec62056-21", b"\x023:171.0(0)\x03\x12")[0].fields == {"3:171.0": "0", "data_sets": 1}

    def test_seven_bits_over_eight(self):
        even = bytes(byte | 0x80 if byte.bit_count() % 2 else byte for byte in b"\x023:171.0(0)\x03\x12")
        assert facts("iec62056-21", even)[0].fields["3:171.0"] == "0"
        assert facts("iec62056-21", bytes((even[0], even[1] ^ 0x80)) + even[2:]) == []

    def test_odd_values(self):
        text = b"1-0:1.8.0( 001.67*kWh)2.8.0(-000.82*kWh)\r\n1.6.0(1.5*kW)(2101011200)\r\n1.6.0(9*kW)\r\nF.F()!\r\n"
        got = iec62056_21.data_sets(text)
        assert got["1.8.0"] == (1.67, "kWh")
        assert got["2.8.0"] == (-0.82, "kWh")
        assert got["1.6.0"] == ((1.5, "kW"), "2101011200")
        assert got["F.F"] == ""
        assert got["data_sets"] == 5

    def test_power_without_a_unit_is_not_taken(self):
        block = b"\x021.8.0(007900.58)16.7.0(28)!\r\n\x03"
        got = samples("iec62056-21", block + bytes((iec62056_21.xor8(block[1:]),)))[""]
        assert got["energy_import"] == (7900.58, Code.GOOD)
        assert got["power_active"][1] == Code.SENTINEL

    def test_session_of_mode_c_and_a(self):
        speaks = family("iec62056_21")
        assert speaks.ask(1, 1) == b"/?!\r\n"
        assert speaks.ask(31, 1) == b"/?31!\r\n"
        assert speaks.reply(b"/LOG5LK123\r\n") == b"\x06000\r\n"
        assert speaks.reply(b"/ABBA1234\r\n") == b""
        assert facts("iec62056-21", b"/?!\r\n") == []

    def test_wrong_crc_and_missing_crc_are_no_telegram(self):
        good = telegram("1-3:0.2.8(50)", "1-0:1.8.1(000004.426*kWh)")
        assert facts("dsmr-p1", good)
        assert facts("dsmr-p1", good.replace(b"4.426", b"9.426")) == []
        assert facts("dsmr-p1", good[: good.rindex(b"!") + 1] + b"\r\n") == []

    def test_crc_without_leading_zero(self):
        for n in range(1, 400):
            good = telegram(f"1-0:1.8.1({n:06d}*kWh)")
            if good[-6:-5] == b"0":
                assert facts("dsmr-p1", good[:-6] + good[-5:])
                return
        pytest.fail("no such telegram")

    def test_luxembourg_units(self):
        got = samples("dsmr-p1", telegram("1-0:1.8.0(006545766*Wh)", "1-0:1.7.0(000000286*W)", "1-0:2.7.0(0*W)"))[""]
        assert got["energy_import"][0] == pytest.approx(6545.766)
        assert got["power_active"][0] == 286

    def test_times(self):
        got = facts("dsmr-p1", telegram("0-0:1.0.0(161113205757W)", "1-0:1.6.0(632525252525W)(02.589*kW)"))[0].fields
        assert got["timestamp_utc"] == "2016-11-13T19:57:57Z"
        assert got["1-0:1.6.0"] == (2.589, "kW", None)

    def test_a_formless_line_without_checksum(self):
        frame = next(example.frame for example in EXAMPLES if example.profile == "easymeter-q3d")
        assert facts("easymeter-q3d", frame.replace(b"(002124", b"\x10002124")) == []

    def test_gill_fault_and_calm(self):
        text = b"Q,,000.02,M,00,"
        calm = samples("gill-windsonic", b"\x02" + text + b"\x03%02X" % iec62056_21.xor8(text))[""]
        assert calm["wind_speed"] == (0.02, Code.GOOD)
        assert calm["wind_direction"][1] == Code.SENTINEL
        text = b"Q,229,002.74,M,04,"
        bad = samples("gill-windsonic", b"\x02" + text + b"\x03%02X" % iec62056_21.xor8(text))[""]
        assert {code for _, code in bad.values()} == {Code.SENSOR}
