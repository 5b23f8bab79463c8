"""Quality: the worst code wins, nothing is improved or deleted, and each check marks what it is for."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.points import Point, point
from drivers.sample import Code
from gateway.quality import Judge, Overrides, Thresholds, option_names
from gateway.reading import Reading, Series

NAN = math.nan


def series(*points):
    return Series(id="dev", device="dev", kind="air", points=points, every_ms=1000)


def gauge(name="p", valid=None):
    return Point(name=name, unit="1", kind="gauge", digits=1, en="", th="", valid=valid)


def reading(one, values, codes=None, t_s=0.0):
    t_ns = int(t_s * 1e9)
    return Reading(one, 1_795_000_000_000 + t_ns // 10**6, t_ns, tuple(values), tuple(codes or [0] * len(values)))


numbers = st.one_of(st.floats(), st.floats(-20, 20))
codes = st.sampled_from([int(code) for code in Code])


@given(st.lists(st.tuples(numbers, codes), min_size=2, max_size=2).map(lambda rows: tuple(zip(*rows, strict=True))))
def test_never_improves_never_deletes_and_no_bad_number_passes(row):
    one = series(gauge("a", valid=(-5, 10)), gauge("b"))
    before = reading(one, *row)
    after = Judge([one]).judge(before)
    assert after == replace(before, codes=after.codes) or any(math.isnan(v) for v in before.values)
    assert all(
        math.copysign(1, a) == math.copysign(1, b) and (a == b or math.isnan(a))
        for a, b in zip(after.values, before.values, strict=True)
    )
    for was, now, value, ok in zip(
        before.codes,
        after.codes,
        before.values,
        (-5 <= before.values[0] <= 10, math.isfinite(before.values[1])),
        strict=True,
    ):
        assert now >= was
        assert now >= 200 or (ok and math.isfinite(value))
        if was >= 200 or ok:
            assert now == was


@pytest.mark.parametrize(
    ("value", "code"),
    [(10.0, 0), (10.1, Code.RANGE), (-5.1, Code.RANGE), (NAN, Code.SENTINEL), (math.inf, Code.SENTINEL)],
)
def test_range(value, code):
    one = series(gauge(valid=(-5, 10)))
    assert Judge([one]).judge(reading(one, [value])).codes == (code,)


def test_an_override_replaces_the_range():
    one = series(gauge(valid=(-5, 10)))
    judge = Judge([one], {"dev": Overrides({"p": Thresholds(valid=(0, 1))})})
    assert judge.judge(reading(one, [5.0])).codes == (Code.RANGE,)


def _codes(one, overrides, rows):
    judge = Judge([one], {"dev": overrides})
    return [judge.judge(reading(one, [v], [c], t)).codes[0] for t, v, c in rows]


def test_stuck_begins_after_its_time_and_ends_with_a_change():
    rows = [(0, 1.0, 0), (5, 1.0, 0), (10, 1.0, 0), (10.1, 1.0, 0), (11, NAN, 201), (12, 1.0, 0), (13, 1.1, 0)]
    found = _codes(series(gauge()), Overrides({"p": Thresholds(stuck_s=10)}), rows)
    assert found == [0, 0, 0, Code.STUCK, 201, Code.STUCK, 0]


def test_jump_is_a_rate():
    rows = [(0, 20.0, 0), (60, 21.0, 0), (120, 35.0, 0), (180, 36.0, 0), (240, 20.0, 0)]  # qartod_rate_of_change
    found = _codes(series(gauge()), Overrides({"p": Thresholds(jump_per_s=0.1)}), rows)
    assert found == [0, 0, Code.JUMP, 0, Code.JUMP]


def test_a_spike_is_marked_and_a_step_believed():
    values = [10, 11, 10, 30, 11, 10, 50, 50, 50, 50]
    found = _codes(
        series(gauge()), Overrides({"p": Thresholds(spike=8)}), [(k, float(v), 0) for k, v in enumerate(values)]
    )
    assert found == [0, 0, 0, Code.JUMP, 0, 0, Code.JUMP, Code.JUMP, Code.JUMP, 0]


def test_warmup_begins_again_after_a_silence():
    rows = [(0, 1.0, 0), (29, 1.0, 0), (30, 1.0, 0), (31, NAN, 201), (50, 1.0, 0), (80, 1.0, 0)]
    rows = [rows[0], *((t, 1.0, 0) for t in range(5, 30, 5)), *rows[1:]]
    found = _codes(series(gauge()), Overrides({}, warmup_s=30), rows)
    assert found == [103] * 7 + [0, 201, 103, 103]


def test_a_smaller_class_weighs_no_more_than_a_larger():
    one = series(point("pm2_5"), point("temperature"), point("pm10"))
    judge = Judge([one])
    assert judge.judge(reading(one, [12.0, 20.0, 12.0])).codes == (0, 0, 0)
    assert judge.judge(reading(one, [12.1, 20.0, 12.0])).codes == (107, 0, 107)
    assert judge.judge(reading(one, [12.1, 20.0, 12.0], [0, 0, 204])).codes == (0, 0, 204)


def test_power_is_checked_where_asked():
    one = series(*(point(name + "_l1") for name in ("voltage", "current", "power_factor", "power_active")))
    judge = Judge([one], {"dev": Overrides({}, power_share=0.2)})
    assert judge.judge(reading(one, [230.0, 10.0, 0.9, -2070.0])).codes == (0, 0, 0, 0)
    assert judge.judge(reading(one, [230.0, 10.0, 0.9, 20.7])).codes == (107,) * 4


def test_a_plain_reading_passes_as_the_same_object():
    one = series(*(gauge(f"p{i}", valid=(0, 1)) for i in range(60)))
    plain = reading(one, [0.5] * 60)
    assert Judge([one]).judge(plain) is plain


def test_options_of_a_device_become_thresholds():
    one = series(gauge("pm", valid=(0, 100)), gauge("rh"))
    options = {"pm_high": 50.0, "pm_stuck_s": 60.0, "rh_jump_per_s": 2.0, "power_share": 0.1, "sensor_height": 4.0}
    found = Overrides.of(one, warmup_s=30.0, options=options)
    assert found == Overrides(
        {"pm": Thresholds(valid=(0, 50.0), stuck_s=60.0), "rh": Thresholds(jump_per_s=2.0)},
        warmup_s=30.0,
        power_share=0.1,
    )
    assert options.keys() - option_names(one) == set()
    assert {"pm_hgih", "co2_high", "high"} & option_names(one) == set()
    assert Overrides.of(one, warmup_s=30.0, options={"warmup_s": 0.0}) == Overrides({})


@given(
    st.lists(st.tuples(st.integers(0, 3), codes, st.integers(1, 40)), min_size=1, max_size=30),
    st.sampled_from([Thresholds(stuck_s=30), Thresholds(jump_per_s=0.05), Thresholds(spike=1.5)]),
)
def test_no_check_ever_improves_a_code(rows, rule):
    one = series(gauge())
    judge, t_s = Judge([one], {"dev": Overrides({"p": rule}, warmup_s=20)}), 0
    for value, code, step_s in rows:
        t_s += step_s
        (now,) = judge.judge(reading(one, [float(value)], [code], t_s)).codes
        assert now >= code
        assert (now >= 200) == (code >= 200)


def test_of_two_reasons_the_worse_stands():
    rows = [(0, 1.0, 0), (20, 1.0, 107), (40, 1.0, 103), (60, 1.0, 0)]
    assert _codes(series(gauge()), Overrides({"p": Thresholds(stuck_s=10)}), rows) == [0, 107, 103, 101]
