"""Every recorded frame of CITYGATE_CAPTURES decodes to its stated values (rules: README.md of that folder).

Register families plug in through tests/register_captures.py: `REGISTER_FAMILIES: dict[family, check(file, capture)]`.
"""

import json
import math
import os
from importlib import import_module
from pathlib import Path

import pytest

from drivers.checksum import crc8_1c
from drivers.offline import decode_stream, knows_stream, stream_profiles

FOLDER = Path(os.environ.get("CITYGATE_CAPTURES") or Path(__file__).parents[1] / "../shared/captures").resolve()
FAMILIES = [
    "abb_b_series",
    "bosch_bme680_mcu680",
    "carlo_gavazzi",
    "dlms_hdlc",
    "dsmr_p1",
    "eastron_sdm",
    "ecowitt_ws90",
    "gill_windsonic",
    "honeywell_hpma115c0",
    "iec62056_21",
    "nova_sds011",
    "nova_sds198",
    "omnipresense_ops243",
    "orno_we_series",
    "plantower_pms3003",
    "plantower_pms5003t",
    "plantower_pmsx003",
    "pzem_004t_v3",
    "pzem_017_dc",
    "schneider_pm5xxx_iem3xxx",
    "senseair_s8",
    "sensirion_sps30",
    "sunspec",
    "wavetronix_ss125",
    "winsen_mhz19b",
]
OPTIONAL = {"dlms_hdlc"}
REMARKS = ("frame", "meaning", "comment", "undefined_registers_read_as")
DIGITS = {  # decimals to which the source rounded
    "sensirion_sps30": {"pm01": 1, "pm25": 1, "pm04": 1, "pm10": 1, "diam": 1}
    | dict.fromkeys(("n0_5", "n1_0", "n2_5", "n4_0", "n10_0"), 2),
    "bosch_bme680_mcu680": {"temp": 1, "rhum": 1, "gas": 1, "pres": 2},
}
FLOAT32 = {"sensirion_sps30"}


def _register_families():
    try:
        return import_module("register_captures").REGISTER_FAMILIES
    except ModuleNotFoundError as error:
        if error.name != "register_captures":
            raise
        return {}


def _files():
    return sorted(FOLDER.glob("*.json")) if FOLDER.is_dir() else []


def _all():
    return [(path, capture) for path in _files() for capture in _file(path)["captures"]]


def _file(path):
    return json.loads(path.read_text(encoding="utf-8"))


def same(key, expected, got, *, family):
    """Whether `got` is the number, text or list `expected`, by the tolerance of its family."""
    if isinstance(expected, list):
        pairs = isinstance(got, list | tuple) and len(expected) == len(got)
        return pairs and all(same(key, want, have, family=family) for want, have in zip(expected, got, strict=True))
    if isinstance(expected, dict):
        return isinstance(got, dict) and all(same(k, v, got.get(k), family=family) for k, v in expected.items())
    if isinstance(expected, bool) or not isinstance(expected, int | float):
        return type(expected) is type(got) and expected == got
    if isinstance(got, bool) or not isinstance(got, int | float):
        return False
    if (digits := DIGITS.get(family, {}).get(key)) is not None:
        return abs(expected - got) <= 0.51 * 10**-digits
    return math.isclose(expected, got, rel_tol=1e-6 if family in FLOAT32 else 0, abs_tol=1e-9)


def compared(decoded):
    """The keys of `decoded` that are no remarks."""
    return {
        key: value
        for key, value in decoded.items()
        if key not in REMARKS and not key.startswith("check_") and not key.endswith("_as_printed_by_source")
    }


def differences(decoded, fields, *, family):
    """Stated values that `fields` does not have."""
    return {
        key: (value, fields.get(key, "missing"))
        for key, value in compared(decoded).items()
        if key not in fields or not same(key, value, fields[key], family=family)
    }


def bytes_of(capture):
    """The bytes of a stream capture as on the wire; the meter's identification line stands before its data block."""
    if "body_hex" in capture:  # SS125: in a packet from sensor 1 to the host
        body = bytes.fromhex(capture["body_hex"])
        head = b"Z1" + bytes((0, 0, 0, 0, 0, 1, 2, len(body) - 1))
        return head + bytes((crc8_1c(head),)) + body
    text = capture.get("raw_text", "").encode("latin-1")
    data = bytes.fromhex(capture["raw_hex"]) if "raw_hex" in capture else text
    assert not text or text == data, "raw_text and raw_hex differ"
    return bytes.fromhex(capture.get("identification_hex", "")) + data


def check_stream(family, capture):
    """One stream capture, by the rules of the folder's README.md."""
    if "examples" in capture:
        return check_examples(family, capture)
    integrity, decoded = capture.get("integrity", {}), capture["decoded"]
    found = decode_stream(family, bytes_of(capture))
    good = [each for each in found if each.ok]
    if decoded.get("valid_frames") == 0:
        assert [each for each in good if each.fields] == []
        return None
    if not integrity.get("verified") and not integrity.get("type", "none").startswith("none"):
        assert good == [], "a frame with a wrong check value gave a reading"
        assert [each.reason for each in found] != [], "the wrong check value was not reported"
        return check_lines(family, capture)
    assert good, f"no frame found: {[each.reason for each in found]}"
    merged = {key: value for each in reversed(good) for key, value in each.fields.items()}
    candidates = [each.fields for each in good] + ([merged] if family == "iec62056_21" else [])
    assert {} in [differences(decoded, fields, family=family) for fields in candidates], differences(
        decoded, merged, family=family
    )
    for each in good:
        assert all(math.isfinite(value) for value in each.values.values())
    check_exact(family, capture, good)
    return None


def check_exact(family, capture, good):
    """The extra evidence of some captures."""
    if exact := capture.get("floats_full_precision"):
        keys = ("pm01", "pm25", "pm04", "pm10", "n0_5", "n1_0", "n2_5", "n4_0", "n10_0", "diam")
        assert [good[0].fields[key] for key in keys] == pytest.approx(exact, rel=1e-6)


def check_examples(family, capture):
    assert family == "wavetronix_ss125"
    fixed24 = import_module("drivers.uart.wavetronix_ss125").fixed24
    assert [fixed24(bytes.fromhex(each["hex"])) for each in capture["examples"]] == [
        each["value"] for each in capture["examples"]
    ]


def check_lines(family, capture):
    """Values of a block whose check value is wrong: they are for the line parser alone."""
    wanted = compared(capture["decoded"])
    if not wanted:
        return
    profile = stream_profiles(family)[0]
    module = import_module(f"drivers.uart.{profile.family}")
    if lines := getattr(module, "data_sets", None):
        fields = lines(bytes_of(capture))
    else:
        (facts,) = module.FAMILY.decode(bytes_of(capture), profile.variant)
        fields = facts.fields
    assert differences(wanted, fields, family=family) == {}


@pytest.mark.captures
def test_the_folder_holds_only_known_families():
    if not FOLDER.is_dir():
        pytest.skip(f"no captures: {FOLDER} is absent (CITYGATE_CAPTURES names the folder)")
    assert _files(), f"{FOLDER} holds no captures"
    assert {path.stem for path in _files()} - set(FAMILIES) == set()
    for path in _files():
        assert _file(path)["format"] == "captures-1"
        assert _file(path)["captures"]


@pytest.mark.captures
@pytest.mark.parametrize(
    ("path", "capture"), _all(), ids=lambda value: value.stem if isinstance(value, Path) else value["id"]
)
def test_capture(path, capture):
    family = path.stem
    assert family in FAMILIES, f"{family} is no family of the README"
    if check := _register_families().get(family):
        check(_file(path), capture)
    elif knows_stream(family):
        check_stream(family, capture)
    elif family in OPTIONAL:
        pytest.skip(f"no driver: {family}")
    else:
        pytest.fail(f"no driver: {family}")


def test_the_comparison_tells_values_apart():
    assert differences({"a": None}, {"a": 0.0}, family="x")
    assert differences({"a": 0}, {"a": None}, family="x")
    assert differences({"a": 1}, {}, family="x")
    assert differences({"a": 1.0}, {"a": 1.00001}, family="x")
    assert differences({"pm01": 5.2}, {"pm01": 5.252}, family="sensirion_sps30")
    assert not differences({"pm01": 5.2}, {"pm01": 5.2505}, family="sensirion_sps30")
    assert not differences({"frame": "remark", "a": [1, "kWh"]}, {"a": (1.0, "kWh")}, family="x")
    assert differences({"a": [1, "kWh"]}, {"a": (1.0, "Wh")}, family="x")
