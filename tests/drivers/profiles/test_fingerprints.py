"""Fingerprints name the device that is there: of all profiles the right one holds the most checks."""

import struct

import pytest

from drivers.profile import load, shipped, where

REGISTERS = [load(name) for name in shipped() if load(name).by_registers]
MARKED = [profile for profile in REGISTERS if profile.fingerprint]
FORMATS = {"u16": "H", "s16": "h", "u32": "I", "s32": "i", "u64": "Q", "s64": "q", "f32": "f", "f64": "d"}
USUAL = {"V": 231.4, "A": 7.31, "W": 1530.0, "var": 210.0, "VA": 1690.0, "1": 0.93, "Hz": 50.02, "kWh": 12345.6}
USUAL |= {"kvarh": 345.6, "deg": 12.0, "%": 3.1, "ug/m3": 23.0, "ppm": 512.0, "Cel": 31.2, "hPa": 1007.0, "m/s": 2.1}
USUAL |= {"lx": 12000.0, "mm": 12.4, "dB": 61.2, "m": 1.83, "h": 1000.0}
KIN = (  # the same registers: nothing on the wire tells them apart
    {"eastron-sdm120", "eastron-sdm230"},
    {"abb-b23", "abb-b24"},
    {"renke-rs-fsxcs", "renke-rs-fsxcs-w100"},
    {"carlo-gavazzi-em111", "carlo-gavazzi-et112"},
    {"carlo-gavazzi-em340", "carlo-gavazzi-et340"},
)
CODES = 0x000B  # Carlo Gavazzi: a model code where it is read alone, a word of a voltage inside a block


def words_of(place, number):
    data = struct.pack(">" + FORMATS[place.type], number)
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    return words[::-1] if place.order == "CDAB" else words


def usual_raw(row, point):
    if row.via == "level_unit":
        return (2 << 48) + (1 << 32) + (1234 << 16)
    value = USUAL[point.unit]
    if row.point.endswith(("l1_l2", "l2_l3", "l3_l1", "_ll")):
        value = 400.3
    if row.point.startswith(("status", "alarm")):
        value = 0
    raw = (value - row.offset) / row.scale
    return raw if where(row.read).type.startswith("f") else round(raw)


def image(profile):
    """Registers of a running device of this profile: usual values, and what its fingerprint says."""
    registers = {}

    def put(place, words):
        for at, word in enumerate(words):
            registers.setdefault((place.table, place.address + at), word)

    alone = [mark for mark in profile.fingerprint if where(mark.read).address == CODES]
    for part in ("", "lane1"):
        for row, point in zip(profile.rows_of(part), profile.points(part), strict=True):
            put(where(row.read), words_of(where(row.read), usual_raw(row, point)))
    for mark in profile.fingerprint:
        place = where(mark.read)
        if mark.text is not None:
            text = mark.text.encode().ljust(2 * mark.registers, b"\0")
            put(place, [text[at : at + 2] for at in range(0, len(text), 2)])
        else:
            raw = sum(mark.between) / 2 if mark.equals is None else mark.equals
            put(place, words_of(place, raw if place.type.startswith("f") else int(raw)))
    for mark in alone:
        registers[("alone", CODES)] = struct.pack(">H", int(mark.between[0]))
    return registers


def holds(mark, registers, fill):
    place = where(mark.read)
    count = max(place.count, mark.registers)
    words = [registers.get((place.table, place.address + at), fill) for at in range(count)]
    if count == 1 and place.address == CODES:
        words = [registers.get(("alone", CODES), words[0])]
    if None in words:
        return False
    if mark.text is not None:
        return b"".join(words).startswith(mark.text.encode())
    data = b"".join(words[::-1] if place.order == "CDAB" else words)
    (value,) = struct.unpack(">" + FORMATS[place.type], data)
    return value == mark.equals if mark.between is None else mark.between[0] <= value <= mark.between[1]


def best(registers, fill):
    """Profiles of which all checks hold, those with the most of them."""
    fitting = [p for p in MARKED if all(holds(mark, registers, fill) for mark in p.fingerprint)]
    most = max((len(p.fingerprint) for p in fitting), default=0)
    return {p.id for p in fitting if len(p.fingerprint) == most}


@pytest.mark.parametrize("fill", [None, b"\0\0"], ids=["refuses", "zeros"])
@pytest.mark.parametrize("profile", MARKED, ids=lambda profile: profile.id)
def test_the_right_profile_holds_the_most_checks(profile, fill):
    kin = next((family for family in KIN if profile.id in family), {profile.id})
    found = best(image(profile), fill)
    assert profile.id in found
    assert found <= kin


@pytest.mark.parametrize("fill", [b"\0\0", b"\xff\xff", b"\x80\0", b"\x7f\xff"])
def test_a_device_that_answers_anything_with_the_same_word_is_nothing(fill):
    assert best({}, fill) == set()
