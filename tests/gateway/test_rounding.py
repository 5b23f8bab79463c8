"""Rounding many values at once gives what `round` gives, to the bit."""

import random
import struct
from math import inf, nan

from hypothesis import given
from hypothesis import strategies as st

from gateway.rounding import MANY, Rounding


def same(digits, values):
    found, wanted = Rounding(digits)(values), tuple(map(round, values, digits))
    assert struct.pack(f"{len(values)}d", *found) == struct.pack(f"{len(values)}d", *wanted), (digits, values)


near = (
    st.floats(-1e10, 1e10) | st.integers(-10000, 10000).map(lambda n: n / 2000) | st.sampled_from([2.675, -0.0, -0.04])
)
numbers = near | st.floats() | st.sampled_from([nan, inf, -inf, 1e300])


@given(st.lists(st.tuples(st.integers(-2, 11), numbers), max_size=3 * MANY))
def test_as_round_does(rows):
    same([digits for digits, _ in rows], [value for _, value in rows])


def test_many_plain_values():
    chance = random.Random(7)
    for _ in range(300):
        digits = [chance.randrange(5) for _ in range(60)]
        same(digits, [struct.unpack("f", struct.pack("f", chance.uniform(-500, 500)))[0] for _ in digits])
