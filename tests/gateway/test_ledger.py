"""The ledger against a plain set; the filter's selections."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_records import event, raw, series, window

from gateway.config import Sink
from gateway.ledger import Filter, Ledger


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


def chosen(**keys):
    return Filter(Sink(kind="memory", **keys), personal=frozenset({"flat-12"}))


def test_streams_devices_kinds_and_personal_data():
    meter, flat = series("meter"), series("flat-12")
    every = chosen(streams=("raw", "1m", "event"))
    assert every.selects(raw(meter, 1))
    assert every.selects(window(meter, 60_000))
    assert every.selects(event(1))
    assert not every.selects(raw(flat, 1))
    assert chosen(streams=("raw",), devices=("*", "flat-12")).selects(raw(flat, 1))
    assert not chosen(streams=("raw",), devices=("*", "!meter")).selects(raw(meter, 1))
    assert not chosen(streams=("raw",), kinds=("air",)).selects(raw(meter, 1))
    assert not chosen(streams=("1h",)).selects(raw(meter, 1))
    assert not every.selects(raw(meter, 1, estimated=True))


def test_raw_every_keeps_one_poll_a_slot():
    thin = chosen(streams=("raw",), raw_every="10s")
    meter = series()
    kept = [t_ms for t_ms in range(250, 60_250, 1000) if not thin.thinned(raw(meter, t_ms))]
    assert kept == [250, 10_250, 20_250, 30_250, 40_250, 50_250]


@pytest.mark.parametrize("length", [8, 11, 14])
def test_marks_of_older_versions_are_read(length):
    ledger = Ledger(low=7, since=3, period_bytes=9, told=5, passed=[(8, 9)])
    facts = msgspec.msgpack.decode(ledger.to_bytes())
    older = Ledger.from_bytes(msgspec.msgpack.encode(facts[:length]))
    assert (older.low, older.since) == (7, 3 if length > 8 else 0)
    assert (older.period_bytes, older.told) == ((9 if length == 14 else 0), 0)
    assert Ledger.from_bytes(ledger.to_bytes()) == ledger


def test_a_device_without_a_chosen_point_is_not_selected():
    chosen = Filter(Sink(kind="memory", streams=("raw",), points=("*", "!voltage_*")), personal=frozenset())
    assert chosen.selects(raw(series("meter"), 1))
    assert not chosen.selects(raw(series("plain", points=("voltage_l1",)), 1))
