"""Whatever stands around a frame, and however its bytes arrive: the same facts, or none; never a wrong one."""

import os
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_examples import EXAMPLES, HOLDS, stream

from drivers.profile import load
from drivers.uart.family import LOOKS, SAVED_LOOKS
from drivers.uart.registry import families, family
from drivers.uart.stream import Ear

SEARCHABLE = [example for example in EXAMPLES if example.profile != "canoga-c900"]  # its answer has no head
NOISE = st.one_of(
    st.binary(max_size=80),
    st.lists(
        st.sampled_from([bytes(example.frame[:n]) for example in EXAMPLES for n in (1, 2, 4, 11, 20)]), max_size=4
    ).map(b"".join),
)
MUTATIONS = int(os.environ.get("CITYGATE_MUTATIONS", "1000000"))


def ear_of(example):
    profile = load(example.profile)
    return Ear(family(profile.family), profile.variant)


def heard(ear, *portions):
    found = [item for portion in portions for item in ear.feed(portion)]
    return [(item.piece, item.facts) for item in found + ear.finish()]


def split(data, cuts):
    places = sorted({0, *(cut % (len(data) + 1) for cut in cuts), len(data)})
    return [data[a:b] for a, b in pairwise(places)]


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 10_000), max_size=12))
def test_any_split_of_the_bytes_gives_the_same(example, cuts):
    data = stream(example, 3)
    assert heard(ear_of(example), *split(data, cuts)) == heard(ear_of(example), data)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_one_byte_at_a_time_gives_every_frame(example):
    data = stream(example, 3)
    found = heard(ear_of(example), *(data[n : n + 1] for n in range(len(data))))
    wanted = heard(ear_of(example), example.frame + stream(example, 0))[0][1]
    assert [facts for piece, facts in found if not piece.reason] == [wanted] * 3


@pytest.mark.parametrize("example", SEARCHABLE, ids=str)
@settings(max_examples=60, deadline=None)
@given(noise=NOISE)
def test_noise_costs_at_most_the_frame_behind_it(example, noise):
    wanted = heard(ear_of(example), stream(example, 1))[0][1]
    found = [facts for piece, facts in heard(ear_of(example), noise + stream(example, 3)) if not piece.reason]
    assert found[-2:] == [wanted, wanted]


@pytest.mark.parametrize("example", SEARCHABLE, ids=str)
@settings(max_examples=40, deadline=None)
@given(noise=st.binary(max_size=40), cuts=st.lists(st.integers(0, 10_000), max_size=8))
def test_noise_and_splits_together(example, noise, cuts):
    data = noise + stream(example, 2) + noise + stream(example, 1)
    whole, parts = heard(ear_of(example), data), heard(ear_of(example), *split(data, cuts))
    assert [item for item in parts if not item[0].reason] == [item for item in whole if not item[0].reason]


def mutate(rng, frame):
    data = bytearray(frame)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 1 and data:
            data[at % len(data)] = rng.choice((0, 0xFF, rng.randrange(256)))
        elif kind == 2:
            data[at:at] = rng.randbytes(rng.randint(1, 4))
        elif kind == 3:
            del data[at : at + rng.randint(1, 4)]
        else:
            data[at:] = frame[rng.randrange(len(frame)) :]
    return bytes(data)


def check_mutations(seed, count):
    """`count` mutated frames: no crash, no facts from a frame whose check value is wrong. Returns frames believed."""
    rng = random.Random(seed)
    bench = [(example, ear_of(example), HOLDS.get(load(example.profile).family)) for example in EXAMPLES]
    believed = 0
    for _ in range(count):
        example, ear, holds = rng.choice(bench)
        for item in ear.feed(mutate(rng, example.frame)) + ear.finish():
            assert not str(item.error or "").startswith("decoder:"), (example.profile, item)
            if item.facts and not item.piece.reason:
                believed += 1
                assert holds is None or holds(item.piece.data), (example.profile, item)
    return believed


def test_mutations_are_seen():
    assert check_mutations(random.randrange(2**32), 4000) < 4000


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_million_mutations():
    assert check_mutations(20261121, MUTATIONS) < MUTATIONS


@pytest.mark.parametrize("name", sorted(families()))
@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=300))
def test_noise_alone_never_breaks_a_decoder(name, data):
    for variant in {load(e.profile).variant for e in EXAMPLES if load(e.profile).family == name}:
        ear = Ear(family(name), variant)
        for item in ear.feed(data) + ear.finish():
            assert not str(item.error or "").startswith("decoder:"), item
        assert not ear.framer.buffer
        assert ear.framer.offset == len(data)


FLOODS = {
    "iec62056_21": [b"\x02", b"\x01/", b"\x02\x82\x83"],
    "dsmr_p1": [b"/", b"/\n!", b"/////////////\n!0000"],
    "omnipresense_ops243": [b"{", b'{"":', b"{}}", b"{\n"],
    "rtms_g4": [b"\xff\xaa\x80\x18"],
    "dlms_hdlc": [b"~\xa7\xff", b"~"],
}


@pytest.mark.parametrize(("name", "pattern"), [(name, one) for name, many in FLOODS.items() for one in many])
def test_a_flood_of_heads_makes_no_more_work_than_bytes(name, pattern):
    """What is rejected is kept as evidence and looked at again: both must not grow with the square of the flood."""
    size, chunk = 48_000, 1_000
    flood = (pattern * size)[:size]
    ear = Ear(family(name), "")
    looked = sum(len(item.piece.data) for at in range(0, size, chunk) for item in ear.feed(flood[at : at + chunk]))
    looked += sum(len(item.piece.data) for item in ear.finish())
    assert looked <= SAVED_LOOKS + (LOOKS + 2) * size
    assert not ear.framer.buffer
    assert ear.framer.offset == size


@pytest.mark.parametrize("profile", ["iec62056-21", "dsmr-p1", "omnipresense-ops243"])
def test_behind_a_flood_and_a_pause_a_frame_is_a_frame(profile):
    example = next(one for one in EXAMPLES if one.profile == profile)
    ear = ear_of(example)
    for pattern in FLOODS[load(profile).family]:
        ear.feed((pattern * 12_000)[:12_000])
        ear.finish()
    assert [item for item in ear.feed(stream(example, 2)) if item.facts]


def test_an_object_with_many_closing_braces_is_parsed_once(monkeypatch):
    from drivers.uart import omnipresense_ops243

    asked = []
    monkeypatch.setattr(omnipresense_ops243, "_parse", asked.append)
    assert omnipresense_ops243.cut(b'{"a":' * 100 + b"}" * 500 + b"\n").reason == "no JSON object"
    assert len(asked) <= 1
