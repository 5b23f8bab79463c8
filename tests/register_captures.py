"""Checks of the recorded register families (rules: README.md of the captures): through the product's own decoder.

`REGISTER_FAMILIES`: family -> check(file, capture), for tests/test_captures.py.
"""

import asyncio
import math
import struct

from drivers.checksum import crc16_modbus
from drivers.errors import NoReply
from drivers.modbus import sunspec
from drivers.offline_registers import decode_registers

TABLES = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
FUNCTIONS = {table: function for function, table in TABLES.items()}
TABLE_OF_FAMILY = {"eastron_sdm": "input", "pzem_004t_v3": "input", "pzem_017_dc": "input", "senseair_s8": "input"}
FLOATS = {"eastron_sdm", "orno_we_series", "schneider_pm5xxx_iem3xxx", "sunspec"}
REMARKS = ("frame", "meaning", "comment", "undefined_registers_read_as")


def same(expected, got, *, floats):
    if isinstance(expected, dict):
        return isinstance(got, dict) and all(same(v, got.get(k, "missing"), floats=floats) for k, v in expected.items())
    if isinstance(expected, list):
        return list(got) == expected
    if expected is None or isinstance(expected, str):
        return type(expected) is type(got) and expected == got
    if isinstance(got, bool) or not isinstance(got, int | float):
        return False
    return math.isclose(expected, got, rel_tol=1e-6 if floats else 0, abs_tol=1e-9)


def differences(decoded, fields, *, family):
    """Stated values that `fields` does not have."""
    wanted = {
        key: value
        for key, value in decoded.items()
        if key not in REMARKS
        and key not in {"start_register", "valid_frames"}
        and not key.startswith("check_")
        and not key.endswith("_as_printed_by_source")
    }
    return {
        key: (value, fields.get(key, "missing"))
        for key, value in wanted.items()
        if not same(value, fields.get(key, "missing"), floats=family in FLOATS)
    }


def is_tcp(file, capture):
    kind = capture.get("integrity", {}).get("type", "")
    transport = capture.get("transport", file.get("transport", ""))
    return "raw_hex" in capture and ("MBAP" in kind or ("Modbus TCP" in transport and "RTU" not in transport))


def pdu_of(family, capture):
    """Function, byte count and data where no whole frame was recorded."""
    if "raw_hex_without_crc" in capture:
        return bytes.fromhex(capture["raw_hex_without_crc"])[1:]
    if "registers_hex" in capture:
        words = [int(word, 16) for word in capture["registers_hex"]]
    else:
        words = capture["registers_dec"]
    return bytes((FUNCTIONS[TABLE_OF_FAMILY.get(family, "holding")], 2 * len(words))) + struct.pack(
        f">{len(words)}H", *words
    )


def request_of(family, file, capture, answer):
    """What was asked, as `--request` takes it, from the recorded request or the start register."""
    asked = capture.get("request_hex") or file.get("request_hex")
    if asked:
        raw = bytes.fromhex(asked)
        raw = raw[6:] if len(raw) == 12 and raw[2:4] == b"\0\0" else raw
        return f"{TABLES[raw[1]]}:{int.from_bytes(raw[2:4], 'big')}:{int.from_bytes(raw[4:6], 'big')}"
    start = capture.get("start_register", capture["decoded"].get("start_register"))
    return f"{TABLES[answer[0] & 0x7F]}:{start}:{answer[1] // 2}"


def check(family):
    def run(file, capture):
        framing = "tcp" if is_tcp(file, capture) else "rtu" if "raw_hex" in capture else "pdu"
        data = bytes.fromhex(capture["raw_hex"]) if framing != "pdu" else pdu_of(family, capture)
        answer = {"tcp": data[7:], "rtu": data[1:], "pdu": data}[framing]
        request = request_of(family, file, capture, answer)
        found = decode_registers(family, data, request=request, framing=framing)
        decoded, integrity = capture["decoded"], capture.get("integrity", {})
        if decoded.get("valid_frames") == 0 or (
            integrity.get("verified") is False and not integrity.get("type", "none").startswith("none")
        ):
            assert [each for each in found if each.ok] == []
            assert [each.reason for each in found] != []
            return
        good = [each for each in found if each.ok]
        assert good, [each.reason for each in found]
        assert {} in [differences(decoded, each.fields, family=family) for each in good], differences(
            decoded, good[0].fields, family=family
        )
        assert all(math.isfinite(value) for each in good for value in each.values.values())
        every_byte_counts(family, data, request=request, framing=framing)

    return run


def every_byte_counts(family, data, *, request, framing):
    """A recorded RTU frame with one byte altered gives no reading."""
    if framing != "rtu" or crc16_modbus(data) != 0:
        return
    for at in range(len(data)):
        spoiled = data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1 :]
        assert [each for each in decode_registers(family, spoiled, request=request) if each.ok] == []


def check_sunspec(file, capture):
    if "pairs" in capture:
        check_walk(capture)
    else:
        check("sunspec")(file, capture)


def check_walk(capture):
    """The recorded exchange replayed: the walk asks what was asked and finds what was found."""
    replies = {bytes.fromhex(ask)[6:]: bytes.fromhex(answer)[9:] for ask, answer in capture["pairs"]}

    async def read(table, address, count):
        request = struct.pack(">BBHH", 1, FUNCTIONS[table], address, count)
        if request not in replies:
            raise NoReply("not in the recording")
        return replies[request]

    async def walked():
        marker_at = await sunspec.find(read)
        models = []
        try:
            async for model in sunspec.walk(read, marker_at):
                models.append(model)
        except NoReply:
            pass
        return marker_at, models

    marker_at, models = asyncio.run(walked())
    found = {
        "marker_at": marker_at,
        "first_model": [models[0].id, models[0].length],
        "second_model_header_at": models[1].address,
        "second_model": [models[1].id, models[1].length],
    }
    assert differences(capture["decoded"], found, family="sunspec") == {}


REGISTER_FAMILIES = {
    family: check(family)
    for family in (
        "abb_b_series",
        "carlo_gavazzi",
        "eastron_sdm",
        "ecowitt_ws90",
        "orno_we_series",
        "pzem_004t_v3",
        "pzem_017_dc",
        "schneider_pm5xxx_iem3xxx",
        "senseair_s8",
    )
} | {"sunspec": check_sunspec}
