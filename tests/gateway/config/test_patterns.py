"""Lists of patterns: the last one that fits decides, whatever stands before it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.patterns import chosen

PATTERNS = st.lists(st.sampled_from(["*", "pm*", "pm10", "!pm10", "!*", "co2", "!co2"]))


@pytest.mark.parametrize(
    ("name", "patterns", "expected"),
    [
        ("pm10", ("*",), True),
        ("pm10", ("*", "!pm10"), False),
        ("pm10", ("!pm*", "pm10"), True),
        ("pm10", (), False),
    ],
)
def test_the_last_pattern_that_fits_decides(name, patterns, expected):
    assert chosen(name, patterns) is expected


@given(PATTERNS)
def test_what_is_said_last_of_a_name_holds(patterns):
    assert chosen("pm10", [*patterns, "pm10"])
    assert not chosen("pm10", [*patterns, "!pm10"])
    assert chosen("pm10", [*patterns, "!co2", "co2"]) is chosen("pm10", patterns)
