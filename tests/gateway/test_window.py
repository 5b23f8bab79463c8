"""Windows equal an independent slow reference on random data with gaps, late and bad values."""

import math
import random
from zoneinfo import ZoneInfo

import pytest
import window_reference as ref
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.reading import LENGTHS_S, Reading
from gateway.window import Windows

BANGKOK = ZoneInfo("Asia/Bangkok")
T0 = 1_795_000_000_000 // 86_400_000 * 86_400_000 - 7 * 3_600_000  # a midnight in Bangkok


def run(one, lengths, rows, *, every_close_ms=1000, until=None, grace_ms=2000):
    """Feeds readings in the order given on a clock that follows them; closes as time passes."""
    windows = Windows([one], lengths, zone=BANGKOK, grace_ms=grace_ms)
    found, now = [], None
    for r in rows:
        if now is None or r.t_ms >= now + every_close_ms:
            now = r.t_ms
            found += windows.close(now)
        windows.add(r)
    found += windows.close(until or max(r.t_ms for r in rows) + 2 * 86_400_000)
    return found, windows


def check(one, lengths, rows, found):
    for length in lengths:
        wanted = ref.aggregates(one, length, rows, lengths)
        got = {}
        for a in found:
            if a.stream == length:
                assert a.start_ms not in got or a.rev == got[a.start_ms].rev + 1
                got[a.start_ms] = a
        assert set(wanted) <= set(got)
        for start, a in got.items():
            if start in wanted:
                assert ref.same(a, wanted[start]) is None, (length, start)
            else:
                assert a.n == 0
                assert set(a.stats) == {()}


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), bad=st.sampled_from([0.0, 0.3]), shape=st.sampled_from([
    (("5s", "1m"), 1000, 300), (("1m", "15m", "1h"), 20_000, 600), (("1m",), 7000, 100), (("10m", "15m"), 60_000, 120),
    (("1m", "1h", "1d"), 300_000, 400), (("15m",), 1000, 1000),
]))  # fmt: skip
def test_equals_the_slow_reference(seed, bad, shape):
    lengths, every_ms, count = shape
    one = ref.series(every_ms=every_ms)
    rows = ref.readings(one, start_ms=T0 + 7 * 3_600_000, count=count, seed=seed, bad=bad, step_ms=every_ms)
    if rows:
        found, windows = run(one, lengths, rows)
        assert windows.too_late == windows.overrun == 0
        check(one, lengths, rows, found)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_order_of_arrival_does_not_matter(seed):
    """Readings shuffled within two minutes: late ones give amendments, and the last revision is the whole truth."""
    one = ref.series()
    rows = ref.readings(one, start_ms=T0, count=400, seed=seed)
    dice = random.Random(seed)
    rows.sort(key=lambda r: r.t_ms + dice.randrange(120_000))
    found, windows = run(one, ("1m", "15m"), rows)
    assert windows.too_late == 0
    check(one, ("1m", "15m"), rows, found)


@pytest.mark.parametrize("kinds", [("gauge",) * 7, ("counter",), ("count", "count"), ("state",), ref.KINDS])
def test_every_mixture_of_kinds(kinds):
    one = ref.series(kinds)
    rows = ref.readings(one, start_ms=T0, count=200, seed=len(kinds))
    found, _ = run(one, ("1m",), rows)
    check(one, ("1m",), rows, found)


def test_an_hour_merged_from_minutes_equals_the_hour_direct():
    one = ref.series()
    rows = ref.readings(one, start_ms=T0, count=3600, seed=4, bad=0.1, gap=0.02)
    merged = next(a for a in run(one, ("1m", "1h"), rows)[0] if a.stream == "1h" and a.n)
    assert ref.same(merged, ref.aggregates(one, "1h", rows)[T0]) is None
    alone = next(a for a in run(one, ("1h",), rows)[0] if a.n)
    assert alone == merged


def test_order_is_by_end_length_and_series():
    many = [ref.series(name=name) for name in ("b", "a")]
    windows = Windows(many, ("1m", "15m"), zone=BANGKOK)
    for one in many:
        for k in range(900):
            windows.add(Reading(one, T0 + k * 1000, k * 10**9, (1.0,) * 5, (0,) * 5))
    found = windows.close(T0 + 902_000)
    assert [(a.end_ms, LENGTHS_S[a.stream], a.series.id) for a in found] == sorted(
        (a.end_ms, LENGTHS_S[a.stream], a.series.id) for a in found
    )
    assert len(found) == 2 * 16


def test_a_border_belongs_to_the_new_window_and_grace_is_waited():
    one = ref.series(("gauge",))
    windows = Windows([one], ("1m",), zone=BANGKOK)
    windows.add(Reading(one, T0 + 59_999, 1, (1.0,), (0,)))
    windows.add(Reading(one, T0 + 60_000, 2, (5.0,), (0,)))
    assert windows.next_close_ms() == T0 + 62_000
    assert windows.close(T0 + 61_999) == []
    (first,) = windows.close(T0 + 62_000)
    assert (first.start_ms, first.end_ms, first.n, first.stats) == (
        T0,
        T0 + 60_000,
        1,
        ((1.0, 1.0, 1.0, first.stats[0][3], 1.0, 1.0),),
    )
    assert math.isnan(first.stats[0][3])
    assert windows.close(T0 + 62_000) == []


def test_silence_is_issued_for_polled_series_only():
    polled, events = ref.series(("gauge",), name="p"), ref.series(("gauge",), name="e", every_ms=None)
    windows = Windows([polled, events], ("1m",), zone=BANGKOK)
    assert windows.close(T0) == []
    assert windows.next_close_ms() is None
    for one in (polled, events):
        windows.add(Reading(one, T0, 1, (1.0,), (0,)))
    found = windows.close(T0 + 5 * 60_000 + 2000)
    assert [(a.series.id, a.start_ms - T0, a.n) for a in found] == [
        ("e", 0, 1), ("p", 0, 1), ("p", 60_000, 0), ("p", 120_000, 0), ("p", 180_000, 0), ("p", 240_000, 0),
    ]  # fmt: skip
    assert found[0].coverage is None
    assert found[2].coverage == 0.0
    assert windows.close(T0 + 5 * 60_000 + 2000) == []


def test_a_reset_counter_has_no_delta():
    one = ref.series(("counter",))
    windows = Windows([one], ("1m", "15m"), zone=BANGKOK)
    for k, value in enumerate((100.0, 101.5, 3.0, 4.0)):
        windows.add(Reading(one, T0 + k * 30_000, k, (value,), (0,)))
    found = windows.close(T0 + 902_000)
    assert [a.stats[0] for a in found[:1]] == [(101.5, 1.5)]
    for a in (found[1], found[-1]):
        assert a.stats[0][0] == 4.0
        assert math.isnan(a.stats[0][1])


@pytest.mark.parametrize("every_ms", [1000, 5000])
def test_polls_on_the_border_of_the_slots_are_all_counted(every_ms):
    """Jitter of some ms round the border puts two polls in one slot and none in the next: none of them was lost."""
    one, dice = ref.series(("gauge",), every_ms=every_ms), random.Random(1)
    count = 3_600_000 // every_ms
    times = [T0 + 7 * 3_600_000 + k * every_ms + dice.randint(-10, 10) for k in range(1, count)]
    rows = [Reading(one, t_ms, t_ms * 10**6, (1.0,), (0,)) for t_ms in times]
    found, _ = run(one, ("1h",), rows)
    assert found[0].coverage > 0.96
    found, _ = run(one, ("1h",), rows[::2])
    assert found[0].coverage <= 0.5  # a poll that was not made is missing
