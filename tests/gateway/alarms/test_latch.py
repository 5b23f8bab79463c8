"""The latch against a slow reference: on and off after unbroken evidence, and never without a value."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.alarms.feed import Change
from gateway.alarms.latch import Latch, Steps

rows = st.lists(st.tuples(st.floats(0.1, 30), st.sampled_from(["over", "between", "inside"])), max_size=40)


def _slow(history, on_s, off_s):
    """Where a latch stands after `history` [(t, word)], looked at from scratch: quadratic and plain."""
    on, begun = False, 0
    for k, (t_s, _word) in enumerate(history):
        wanted = "inside" if on else "over"
        first = k
        while first > begun and history[first - 1][1] == wanted:
            first -= 1
        if history[k][1] == wanted and t_s - history[first][0] >= (off_s if on else on_s):
            on, begun = not on, k + 1
    return on


@given(rows, st.sampled_from([0.0, 5.0, 20.0]), st.sampled_from([0.0, 5.0, 20.0]))
def test_latch(steps, on_s, off_s):
    latch, history, t_s = Latch(on_s, off_s), [], 100.0
    for step_s, word in steps:
        t_s += step_s
        history.append((t_s, word))
        latch.step(over=word == "over", inside=word == "inside", t_s=t_s, t_ms=int(t_s * 1000))
        assert latch.on == _slow(history, on_s, off_s)
        assert not latch.on or 100_000 < latch.since_ms <= t_s * 1000


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30), st.sampled_from([1, -1]), st.floats(0, 20))
def test_levels_are_nested(values, sign, margin):
    limits = [sign * limit for limit in (10.0, 20.0, 30.0)]
    steps = Steps(sign, limits, (1, 2, 3), margin, 0.0, 0.0)
    for k, value in enumerate(values):
        steps.step(value, t_s=float(k), t_ms=k)
        on = [latch.on for latch in steps.latches]
        assert on == sorted(on, reverse=True), "level 3 never stands without 1 and 2"
        assert steps.standing().level == sum(on)
        for latch, limit in zip(steps.latches, limits, strict=True):
            assert latch.on or sign * (value - limit) <= 0


@given(st.lists(st.tuples(st.floats(1, 400), st.floats(-50, 50)), min_size=1, max_size=60))
def test_a_change_never_exceeds_what_was_seen(rows):
    change, t_s, seen = Change(1, 3600.0), 1e6, []
    for step_s, value in rows:
        t_s += step_s
        seen.append(value)
        found = change.change(value, t_s)
        if found is not None:
            assert -1e-9 <= found <= max(seen) - min(seen) + 1e-9
            assert t_s - 1e6 >= 1800 - 60


def test_a_clock_that_went_back_keeps_the_latch_honest():
    latch = Latch(30.0, 30.0)
    latch.step(over=True, inside=False, t_s=1000.0, t_ms=0)
    latch.step(over=True, inside=False, t_s=10.0, t_ms=0)
    latch.step(over=True, inside=False, t_s=30.0, t_ms=0)
    assert not latch.on
    latch.step(over=True, inside=False, t_s=41.0, t_ms=0)
    assert latch.on
