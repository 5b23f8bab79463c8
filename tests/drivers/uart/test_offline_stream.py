"""`citygate decode` for streams: one finding per frame, records as in contracts.md, JSON that can be printed."""

import json

import pytest
from stream_examples import EXAMPLES, stream

from drivers.errors import ProfileError
from drivers.offline import CAPTURE_FAMILIES, decode_stream, knows_stream, stream_profiles

BY_PROFILE = {example.profile: example for example in EXAMPLES}


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_rows_are_json_and_carry_the_points(example):
    found = decode_stream(example.profile, stream(example, 2))
    assert all(each.ok for each in found)
    for each in found:
        row = json.loads(json.dumps(each.row(), allow_nan=False))
        assert set(row) - {"part"} == {"offset", "size", "ok", "v", "q", "fields"}
    told = [each for each in found if each.part == example.part]
    assert len(told) == 2
    for name, value in example.values.items():
        assert told[0].values[name] == pytest.approx(value, abs=0.06 if "." in str(value) else 1e-9)


def test_a_rejected_frame_says_why_and_where():
    good = EXAMPLES[0].frame
    found = decode_stream("plantower-pms5003", b"\0\0" + good[:-1] + b"\0" + good)
    assert found[0].row() == {
        "offset": 2,
        "size": 32,
        "ok": False,
        "code": "CG-DEV-01",
        "reason": "checksum",
    }
    assert found[1].offset == 34


def test_quality_is_spelled_as_in_records():
    zero = bytes.fromhex("424d001c00000000000000000000000000000000000000000000000097000142")
    assert decode_stream("plantower-pmsx003", zero)[0].quality == {"*": "u:warmup"}
    assert decode_stream("maxbotix-hrxl", b"R5000\r")[0].row()["q"] == {"distance": "b:sentinel"}
    assert decode_stream("maxbotix-hrxl", b"R5000\r")[0].row()["v"] == {}


def test_names_of_profiles_and_of_capture_families():
    assert [profile.id for profile in stream_profiles("nova_sds011")] == ["nova-sds011"]
    assert decode_stream("wavetronix_ss125", BY_PROFILE["wavetronix-ss125-events"].frame)[0].values["speed"] == 109.0
    assert knows_stream("iec62056_21")
    assert not knows_stream("eastron-sdm630")
    assert not knows_stream("nothing")
    with pytest.raises(ProfileError):
        decode_stream("nothing", b"")
    with pytest.raises(ProfileError, match="Modbus"):
        decode_stream("eastron-sdm630", b"")
    for name in CAPTURE_FAMILIES:
        assert knows_stream(name)


def test_noise_alone_is_nothing_found():
    assert decode_stream("plantower-pms5003", bytes(100)) == []
    assert decode_stream("plantower-pms5003", b"") == []


def test_half_a_frame_at_the_end_is_reported():
    found = decode_stream("plantower-pms5003", EXAMPLES[0].frame + EXAMPLES[0].frame[:20])
    assert [(each.ok, each.reason) for each in found] == [(True, ""), (False, "truncated")]


def test_a_long_file():
    found = decode_stream("plantower-pms5003", EXAMPLES[0].frame * 2000)
    assert len(found) == 2000
    assert found[-1].offset == 32 * 1999
