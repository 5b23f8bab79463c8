"""Records survive the journal: encode, then decode by a reader that knows only the marks."""

from dataclasses import asdict
from math import isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_records import EPOCH, event, raw, series, window

from drivers.sample import Code
from gateway.codec import EVENT, RAW, WINDOW, Codec, UnknownSchema

POINTS = ("voltage_l1", "power_active", "energy_import")
codes = st.sampled_from([int(code) for code in Code])
values = st.floats(allow_nan=True, allow_infinity=True)


def same(one, other):
    left, right = asdict(one), asdict(other)
    left["body"].pop("t_mono_ns", None), right["body"].pop("t_mono_ns", None)
    return repr(left) == repr(right)


@given(
    st.lists(values, min_size=3, max_size=3),
    st.lists(codes, min_size=3, max_size=3),
    st.integers(0, 2**40),
    st.integers(1, 2**32 - 1),
    st.none() | st.tuples(st.just("0000002a-9f3c"), st.integers(1, 2**32 - 1)),
    st.booleans(),
)
def test_raw_round_trip(numbers, marks, t_ms, seq, prev, estimated):
    one = series(points=POINTS)
    writer = Codec({})
    name, blob = writer.schema_marks(one)
    record = raw(one, t_ms, seq, tuple(numbers), tuple(marks), prev=prev, estimated=estimated)
    kind, payload = writer.encode(record)
    assert kind == RAW
    assert same(Codec({name: blob}).decode(kind, payload), record)


@pytest.mark.parametrize("rev", [0, 1, 7])
def test_window_and_event_round_trip(rev):
    one = series(points=POINTS)
    writer = Codec({})
    reader = Codec(dict([writer.schema_marks(one)]))
    for record, expected in ((window(one, 60_000, 3, rev=rev), WINDOW), (event(5), EVENT)):
        kind, payload = writer.encode(record)
        assert kind == expected
        assert same(reader.decode(kind, payload), record)


def test_a_number_that_is_none_stays_none():
    one = series()
    writer = Codec(dict([Codec({}).schema_marks(one)]))
    writer.schema_marks(one)
    back = writer.decode(*writer.encode(raw(one, 1, 1, (nan, 1.5), (int(Code.TIMEOUT), 0))))
    assert isnan(back.body.values[0])
    assert back.body.codes == (int(Code.TIMEOUT), 0)


def test_unknown_schema_is_said():
    one = series()
    writer = Codec({})
    writer.schema_marks(one)
    with pytest.raises(UnknownSchema):
        Codec({}).decode(*writer.encode(raw(one, 1)))


def test_epoch_keeps_its_digits():
    one = series()
    codec = Codec({})
    codec.schema_marks(one)
    assert codec.decode(*codec.encode(raw(one, 1, epoch="0000002a-009f"))).epoch == "0000002a-009f"
    assert codec.decode(*codec.encode(raw(one, 1))).epoch == EPOCH
