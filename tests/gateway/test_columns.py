"""Sealing keeps every bit: entries of all kinds, and bytes of no kind at all, come back as they were."""

import math
import random
import struct

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from made_records import event, raw, series, window

from gateway.codec import DEAD, EVENT, RAW, UNDATED, WINDOW, Codec
from gateway.columns import Columns

METER = series("meter", ("voltage_l1", "power_active"))
AIR = series("air-north", ("pm2_5", "pm10", "temperature"))
CODEC = Codec({})
for one in (METER, AIR):
    CODEC.schema_marks(one)

odd = st.sampled_from((0.0, -0.0, math.nan, math.inf, -math.inf, 1e300, 5e-324, 0.1 + 0.2, 2.0**53, -12.5))
values = st.one_of(odd, st.floats(-1e4, 1e4).map(lambda x: round(x, 2)), st.floats())
times = st.one_of(st.integers(1_795_000_000_000, 1_795_000_100_000), st.integers(-(2**63), 2**63 - 1))


@st.composite
def records(draw):
    one = draw(st.sampled_from((METER, AIR)))
    t_ms, seq = draw(times), draw(st.integers(0, 2**32 - 1))
    what = draw(st.integers(0, 2))
    if what == 2:
        return event(t_ms, seq)
    if what == 1:
        return window(one, draw(st.integers(0, 2**62)), seq, rev=draw(st.integers(0, 9)))
    numbers = tuple(draw(values) for _ in one.points)
    codes = tuple(draw(st.sampled_from((0, 0, 101, 201))) for _ in one.points)
    return raw(one, t_ms, seq, values=numbers, codes=codes, prev=draw(st.sampled_from((None, ("00000001-abcd", 7)))))


strange = st.tuples(st.sampled_from((RAW, WINDOW, EVENT, DEAD, UNDATED, 77)), st.binary(max_size=60))
items = st.lists(st.one_of(records().map(CODEC.encode), strange), max_size=40)


@given(items)
@settings(max_examples=150)
def test_what_is_unsealed_is_what_was_sealed(entries):
    sealer = Columns()
    assert sealer.unseal(sealer.seal(entries)) == entries


@given(st.binary(max_size=200))
def test_a_foreign_blob_is_refused(blob):
    with pytest.raises(ValueError):
        Columns().unseal(blob)


def test_the_span_is_that_of_the_times():
    entries = [CODEC.encode(raw(METER, t_ms)) for t_ms in (5000, 1000, 9000)]
    assert Columns().span([*entries, (DEAD, b"x"), (77, struct.pack("<q", 1))]) == (1000, 9000)
    low, high = Columns().span([(DEAD, b"x")])
    assert low > high


def test_steady_readings_take_less_than_a_byte_per_value():
    rng, entries = random.Random(1), []
    for number in range(600):
        numbers = tuple(round(20 + 3 * math.sin(number / 50) + rng.gauss(0, 0.3), 1) for _ in AIR.points)
        entries.append(CODEC.encode(raw(AIR, 1_795_000_000_000 + 10_000 * number + rng.randrange(40), number, numbers)))
    assert len(Columns().seal(entries)) < 600 * len(AIR.points) * 1.3
