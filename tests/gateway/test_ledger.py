"""The ledger against a plain set, and marks of older versions."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger import Ledger


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 8)), max_size=40), st.integers(0, 20))
def test_finish_equals_a_set(steps, low):
    ledger, model = Ledger(low=low), set(range(low))
    for first, size in steps:
        ledger.finish(first, first + size)
        model |= set(range(first, first + size))
        assert all(ledger.settled(position) == (position in model) for position in range(90))
        assert ledger.low == next(position for position in range(100) if position not in model)
        assert ledger.done == sorted(ledger.done)
        assert all(stop < start for (_, stop), (start, _) in zip(ledger.done, ledger.done[1:], strict=False))
    again = Ledger.from_bytes(ledger.to_bytes())
    assert again == ledger


@pytest.mark.parametrize("length", [8, 11, 14])
def test_marks_of_older_versions_are_read(length):
    ledger = Ledger(low=7, since=3, period_bytes=9, told=5, passed=[(8, 9)])
    facts = msgspec.msgpack.decode(ledger.to_bytes())
    older = Ledger.from_bytes(msgspec.msgpack.encode(facts[:length]))
    assert (older.low, older.since) == (7, 3 if length > 8 else 0)
    assert (older.period_bytes, older.told) == ((9 if length == 14 else 0), 0)
    assert Ledger.from_bytes(ledger.to_bytes()) == ledger
    assert Ledger.from_bytes(msgspec.msgpack.encode([2, *facts[1:], "a fact of a later version", [7]])) == ledger


def test_letters_of_a_mark_from_before_they_were_counted_stand_until_the_journal_lets_go():
    ledger = Ledger(low=7, selected=9, upto=50)
    ledger.counts["dead"] = 3
    older = Ledger.from_bytes(msgspec.msgpack.encode(msgspec.msgpack.decode(ledger.to_bytes())[:15]))
    assert older.letters == 3
    assert not older.let_go(49)
    assert older.let_go(50)
    assert older.letters == 0
