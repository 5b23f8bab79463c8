"""`decode` of recorded Modbus bytes: what a checksum, a length or an id vouches for becomes values, nothing else."""

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.checksum import crc16_modbus
from drivers.errors import ProfileError
from drivers.offline_registers import decode_registers, families, knows_registers

PZEM = bytes.fromhex("010414097b3406000075ec00001f18000001f4005d0000b903")  # arendst/Tasmota#11817
SDM_REQUEST, SDM = bytes.fromhex("01040000000271cb"), bytes.fromhex("01040443602588f4e8")  # arendst/Tasmota#13224


def rtu(body):
    return body + crc16_modbus(body).to_bytes(2, "little")


def good(found):
    return [each for each in found if each.ok]


def test_a_frame_becomes_points_and_fields():
    (found,) = decode_registers("peacefair-pzem-004t", PZEM, request="input:0:10")
    assert found.row() == {
        "offset": 0,
        "size": 25,
        "ok": True,
        "v": pytest.approx(
            {
                "voltage": 242.7,
                "current": 13.318,
                "power_active": 3018.8,
                "energy_import": 7.96,
                "frequency": 50.0,
                "power_factor": 0.93,
                "alarm": 0.0,
            }
        ),
        "q": {},
        "fields": {
            "voltage_V": 242.7,
            "current_A": 13.318,
            "power_W": 3018.8,
            "energy_Wh": 7960,
            "frequency_Hz": 50.0,
            "power_factor": 0.93,
            "alarm": 0,
        },
    }


@pytest.mark.parametrize("name", ["pzem-004t-v3", "pzem_004t_v3", "peacefair-pzem-004t"])
def test_family_and_profile_names_mean_the_same(name):
    assert knows_registers(name)
    assert decode_registers(name, PZEM)[0].fields["voltage_V"] == 242.7


def test_names_of_streams_are_not_ours():
    assert not knows_registers("plantower-pms5003")
    assert not knows_registers("no-such-thing")
    with pytest.raises(ProfileError):
        decode_registers("no-such-thing", PZEM)


def test_a_request_in_the_recording_says_what_is_answered():
    found = decode_registers("eastron-sdm", SDM_REQUEST + SDM + SDM_REQUEST + SDM)
    assert [each.offset for each in found] == [8, 25]
    assert [each.fields for each in found] == [{"V_L1": 224.1466064453125}] * 2


def test_without_a_request_nothing_is_guessed():
    (found,) = decode_registers("eastron-sdm", SDM)
    assert not found.ok
    assert "--request" in found.reason


@pytest.mark.parametrize(
    ("request_text", "reason"),
    [("input:0:4", "4 data bytes"), ("holding:0:2", "function 4 answers"), ("input:0:1", "4 data bytes")],
)
def test_an_answer_to_another_question_is_rejected(request_text, reason):
    (found,) = decode_registers("eastron-sdm", SDM, request=request_text)
    assert not found.ok
    assert reason in found.reason


@pytest.mark.parametrize("text", ["input:0", "input:x:2", "register:0:2", "input:65535:2", "input:0:0", "input:-1:2"])
def test_a_wrong_request_is_refused(text):
    with pytest.raises(ValueError, match=text):
        decode_registers("eastron-sdm", SDM, request=text)


def test_an_exception_answer_gives_no_value():
    (found,) = decode_registers("pzem-017-dc", bytes.fromhex("018402c2c1"), request="input:0:9")
    assert found.row() == {
        "offset": 0,
        "size": 5,
        "ok": True,
        "v": {},
        "q": {"*": "b:exception"},
        "fields": {"exception_function": "0x84", "exception_code": 2},
    }


def test_values_across_the_border_of_the_answer_are_left_out():
    words = struct.pack(">4H", 0x1234, 0x4360, 0x2588, 0x4360)  # registers 1 to 4: half a value, V_L2, half a value
    (found,) = decode_registers("eastron-sdm", rtu(b"\x01\x04\x08" + words), request="input:1:4")
    assert list(found.fields) == ["V_L2"]
    assert found.fields["V_L2"] == pytest.approx(224.1466064453125)


def test_texts_lose_their_padding_and_keep_their_blanks():
    text = b"PM5310 ".ljust(40, b"\0")
    (found,) = decode_registers(
        "schneider-pm5xxx-iem3xxx", rtu(b"\xff\x03\x28" + text), request="holding:49:20", framing="rtu"
    )
    assert found.fields == {"meter_model_at_register_49": "PM5310 "}


def test_both_functions_read_the_same_map_where_the_maker_says_so():
    for function, table in ((3, "holding"), (4, "input")):
        frame = rtu(bytes((1, function, 4)) + bytes.fromhex("091b0000"))
        assert decode_registers("carlo-gavazzi", frame, request=f"{table}:0:2")[0].values == pytest.approx(
            {"voltage": 233.1}
        )


def test_tcp_frames_pair_by_transaction():
    ask = bytes.fromhex("009400000006010400000002")
    other = bytes.fromhex("000100000006010400340002")
    answer = bytes.fromhex("00940000000701040443602588")
    late = bytes.fromhex("000100000007010404462e4c7d")
    found = decode_registers("eastron-sdm", other + ask + answer + late, framing="tcp")
    assert [each.fields for each in found] == [{"V_L1": 224.1466064453125}, {"P_total_W": 11155.1220703125}]


@pytest.mark.parametrize("data", [b"\x04\x04\x43\x60\x25\x88", b"\x0b\x04\x04\x43\x60\x25\x88"])
def test_bare_pdus_with_or_without_their_unit(data):
    (found,) = decode_registers("eastron-sdm", data, request="input:0:2", framing="pdu")
    assert found.fields == {"V_L1": 224.1466064453125}


def test_coils_are_bits():
    frame = rtu(b"\x01\x01\x01\x05")
    (found,) = decode_registers("eastron-sdm630", frame, request="coil:0:8")
    assert (found.ok, found.values, found.fields) == (True, {}, {})


@given(st.binary(max_size=40), st.binary(max_size=40))
@example(b"\x00", b"\xff\xff")
def test_noise_around_a_frame_costs_nothing_and_adds_nothing(before, after):
    found = good(decode_registers("pzem-004t-v3", before + PZEM + after))
    assert [each.fields["energy_Wh"] for each in found if each.size == len(PZEM)] == [7960]


@given(st.data())
def test_an_altered_frame_gives_no_value(data):
    at = data.draw(st.integers(0, len(PZEM) - 1))
    flip = data.draw(st.integers(1, 255))
    spoiled = bytearray(PZEM)
    spoiled[at] ^= flip
    found = decode_registers("pzem-004t-v3", bytes(spoiled))
    assert good(found) == []
    assert found
    assert all(each.code and each.reason for each in found)


@given(st.binary(max_size=300), st.sampled_from(["rtu", "tcp", "pdu"]), st.sampled_from(sorted(families())))
def test_any_bytes_are_judged_without_a_crash(data, framing, family):
    found = decode_registers(family, data, request="holding:0:4", framing=framing)
    assert data == b"" or found or len(data) <= 12
    for each in found:
        assert 0 <= each.offset <= each.offset + each.size <= len(data)


@given(st.integers(1, len(PZEM) - 1))
def test_a_cut_frame_is_rejected(size):
    found = decode_registers("pzem-004t-v3", PZEM[:size])
    assert good(found) == []
    assert found
