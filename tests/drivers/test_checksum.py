"""Check values of the catalogue, worked frames of the makers, and the property every checksum lives for."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.checksum import crc8_1c, crc16_arc, crc16_modbus, crc16_x25, crc16_xmodem, sum8, sum16, xor8

CHECK = b"123456789"


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (crc16_modbus, 0x4B37),
        (crc16_arc, 0xBB3D),
        (crc16_xmodem, 0x31C3),
        (crc16_x25, 0x906E),
        (crc8_1c, 0xBC),
        (sum8, 0xDD),
        (sum16, 0x1DD),
        (xor8, 0x31),
    ],
)
def test_check_values(function, value):
    assert function(CHECK) == value


@pytest.mark.parametrize(
    "frame",
    ["01 04 00 00 00 02 71 CB", "FE 04 00 00 00 04 E5 C6", "90 03 01 60 00 0F 18 AD", "01 84 02 C2 C1"],
)
def test_modbus_frames_end_with_their_crc(frame):
    data = bytes.fromhex(frame)
    assert crc16_modbus(data[:-2]) == int.from_bytes(data[-2:], "little")
    assert crc16_modbus(data) == 0


def test_makers_frames():
    assert xor8(bytes.fromhex("42 30 03")) == 0x71  # IEC 62056-21 break
    assert sum8(bytes.fromhex("01 86 00 00 00 00 00 79")) == 0  # MH-Z19 read command
    assert crc8_1c(bytes.fromhex("67 01 00 00 0F C1 92 05 8D 09 39 01 5C 0A 00 01 19 80 43 C0 02 16 04")) == 0xFC
    assert crc16_xmodem(bytes([0x31])) == 0x2672  # Houston Radar average speed query, low byte first


def test_no_flip_of_one_two_or_three_bits_passes():
    frame = bytes.fromhex("01 04 04 43 66 33 34")
    frame += crc16_modbus(frame).to_bytes(2, "little")
    number = int.from_bytes(frame, "big")
    bits = [1 << bit for bit in range(8 * len(frame))]
    passed = 0
    for size in (1, 2, 3):
        for flips in itertools.combinations(bits, size):
            broken = (number ^ sum(flips)).to_bytes(len(frame), "big")
            passed += crc16_modbus(broken) == 0
    assert passed == 0


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_a_crc_of_two_parts_needs_all_bytes(one, two):
    if one != two and len(one) == len(two):
        differs = sum(a != b for a, b in zip(one, two, strict=True))
        if differs == 1:
            assert crc16_modbus(one) != crc16_modbus(two)
            assert crc16_x25(one) != crc16_x25(two)
            assert crc8_1c(one) != crc8_1c(two)
