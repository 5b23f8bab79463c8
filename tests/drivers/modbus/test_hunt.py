"""Fuzz of the answer hunt: mutated, noisy, cut, foreign, echoed bytes; nothing a checksum or length betrays passes."""

import random
import struct
from itertools import pairwise

import pytest
from bus_sim import crc
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import DriverError
from drivers.modbus.envelope import build, tcp_data
from drivers.modbus.hunt import RtuHunt, RtuIdle, frame_at


def answer_to(request, body):
    frame = bytes([request.unit, request.function, len(body)]) + body
    return frame + crc(frame)


def hunt(request, portions, **options):
    found = RtuHunt(request, **options)
    for n, portion in enumerate(portions):
        if found.feed(portion, float(n)):
            break
    else:
        found.last_look()
    return found


def cut(data, places):
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


requests = st.builds(
    lambda unit, table, address, count: build(unit, table, address=address, count=count),
    st.integers(1, 254),
    st.sampled_from(["holding", "input", "coil", "discrete"]),
    st.integers(0, 65000),
    st.integers(1, 125),
)


@given(requests, st.randoms(use_true_random=False), st.lists(st.integers(0, 600), max_size=12), st.binary(max_size=40))
def test_the_answer_is_found_in_any_pieces_behind_any_junk(request, chance, places, junk):
    body = chance.randbytes(request.byte_count)
    frame = answer_to(request, body)
    found = hunt(request, cut(junk + frame, places))
    assert found.frame is not None
    assert frame_at(junk, 0) is not None or found.frame.data == body or found.frame.code


@given(requests, st.randoms(use_true_random=False), st.lists(st.integers(0, 600), max_size=12))
def test_an_echo_stands_in_no_one_s_way(request, chance, places):
    body = chance.randbytes(request.byte_count)
    found = hunt(request, cut(request.rtu + answer_to(request, body), places), echo=True)
    assert found.echoed
    assert found.frame.data == body


@given(requests, st.integers(1, 11), st.lists(st.integers(0, 30), max_size=3))
def test_a_refusal_is_found(request, code, places):
    frame = bytes([request.unit, request.function | 0x80, code])
    found = hunt(request, cut(frame + crc(frame), places))
    assert found.frame.code == code


@given(requests, st.integers(0, 600))
def test_a_cut_answer_is_no_answer(request, size):
    frame = answer_to(request, bytes(request.byte_count))
    found = hunt(request, [frame[: size % len(frame)]])
    assert found.frame is None


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=20))
def test_what_is_heard_while_idle_is_bounded(portions):
    idle = RtuIdle()
    heard = junk = 0
    for n, portion in enumerate(portions):
        heard += len(portion)
        frames, more = idle.feed(portion, float(n))
        junk += more
        assert all(frame.unit == frame.unit for frame, _ in frames)
    assert junk + idle.forget() <= heard


def mutations(chance, request, frame):
    """One bad thing done to an answer."""
    kind = chance.randrange(9)
    data = bytearray(frame)
    if kind == 0:
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif kind == 1:
        at = chance.randrange(len(data))
        data[at : at + chance.randint(1, 3)] = b""
    elif kind == 2:
        at = chance.randrange(len(data))
        data[at:at] = chance.randbytes(chance.randint(1, 3))
    elif kind == 3:
        data = bytearray(chance.randbytes(len(frame)))
    elif kind == 4:
        begin = chance.randrange(8 * len(data))
        for bit in range(begin, min(begin + chance.randint(1, 16), 8 * len(data))):
            data[bit >> 3] ^= 1 << (bit & 7)
    elif kind == 5:  # another unit's or function's answer, rightly signed
        data = data[:-2]
        data[chance.randrange(2)] ^= 1 << chance.randrange(7)
        data += crc(data)
    elif kind == 6:  # another length, rightly signed
        extra = chance.choice([-2, 2, 4])
        body = bytes(frame[3:-2])[: len(frame) - 5 + extra].ljust(max(0, len(frame) - 5 + extra), b"\1")
        data = bytearray(bytes([frame[0], frame[1], len(body)]) + body)
        data += crc(data)
    elif kind == 7:
        data = bytearray(request.rtu)
    else:
        data[0:1] = b""
    return kind, bytes(data)


def fuzz(rounds, seed):
    chance = random.Random(seed)
    pool = [build(chance.randint(1, 247), "input", address=chance.randrange(9999), count=n) for n in (1, 2, 5, 10)]
    frames = [(request, answer_to(request, chance.randbytes(request.byte_count))) for request in pool for _ in range(4)]
    wrong = guessed = crc_passed = 0
    for _ in range(rounds):
        request, frame = chance.choice(frames)
        _, bad = mutations(chance, request, frame)
        found = RtuHunt(request)
        at = chance.randrange(len(bad) + 1)
        if not found.feed(bad[:at], 0.0) and not found.feed(bad[at:], 0.1):
            found.last_look()
        if found.frame is None or found.frame.code:
            continue
        guessed += 1
        whole = bytes([request.unit, request.function, request.byte_count]) + found.frame.data
        if whole + crc(whole) not in bad:
            wrong += 1  # accepted without a frame that unit, function, length and checksum vouch for
        elif whole + crc(whole) != frame:
            crc_passed += 1  # the checksum itself was passed by chance: 1/65536 of random bodies
    return wrong, guessed, crc_passed


@pytest.mark.parametrize(
    "rounds", [20_000, pytest.param(1_000_000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
def test_no_mutated_frame_is_believed(rounds):
    wrong, _, crc_passed = fuzz(rounds, seed=rounds)
    assert wrong == 0
    assert crc_passed <= 5 + rounds // 20_000


def test_the_second_whole_frame_wins_over_a_false_head():
    request = build(1, "input", address=0, count=2)
    frame = answer_to(request, b"\1\2\3\4")
    found = hunt(request, [b"\x01\x04\x04" + frame])
    assert found.frame.data == b"\1\2\3\4"


def test_the_time_is_that_of_the_first_byte_of_the_frame():
    request = build(1, "input", address=0, count=2)
    frame = answer_to(request, b"\1\2\3\4")
    found = RtuHunt(request)
    found.feed(b"\xff\xff", 1.0)
    found.feed(frame[:1], 2.0)
    found.feed(frame[1:], 3.0)
    assert found.time_at(found.start) == 2.0


@pytest.mark.parametrize(
    ("name", "request_hex"),
    [
        ((1, "input", 0, 2), "01 04 00 00 00 02 71 CB"),
        ((1, "input", 0x156, 2), "01 04 01 56 00 02 90 27"),
        ((1, "holding", 40000, 2), "01 03 9C 40 00 02 EB 8F"),
        ((0x90, "holding", 0x160, 15), "90 03 01 60 00 0F 18 AD"),
        ((0xFE, "input", 0, 4), "FE 04 00 00 00 04 E5 C6"),
    ],
)
def test_requests_are_those_of_the_manuals(name, request_hex):
    unit, table, address, count = name
    request = build(unit, table, address=address, count=count)
    assert request.rtu == bytes.fromhex(request_hex)
    assert request.mbap == bytes([0, 0, 0, 6]) + request.rtu[:-2]


@pytest.mark.parametrize(
    "ask", [(1, "input", 0, 126), (1, "coil", 0, 2001), (1, "input", 65535, 2), (256, "input", 0, 1), (1, "x", 0, 1)]
)
def test_impossible_requests_are_refused(ask):
    unit, table, address, count = ask
    with pytest.raises(DriverError):
        build(unit, table, address=address, count=count)


@given(requests, st.randoms(use_true_random=False), st.integers(0, 8), st.integers(0, 7))
def test_a_tcp_answer_must_hold_in_every_field(request, chance, at, bit):
    body = chance.randbytes(request.byte_count)
    adu = struct.pack(">HHHBBB", 7, 0, 3 + len(body), request.unit, request.function, len(body)) + body
    assert tcp_data(request, adu) == body
    assert tcp_data(request, adu + b"\0") is None
    assert tcp_data(request, adu[:-1]) is None
    if at >= 2:
        broken = bytearray(adu)
        broken[at] ^= 1 << bit
        assert not isinstance(tcp_data(request, bytes(broken)), bytes)
