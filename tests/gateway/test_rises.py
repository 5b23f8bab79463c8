"""Registers that leap: the difference over a replaced meter is unknown in every window, and a late register is not."""

import math
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from drivers.points import point
from drivers.sample import Code
from gateway.quality import Judge
from gateway.reading import Reading, Series
from gateway.rises import LAG_S, PER_S, SLACK, ceiling, fastest
from gateway.window import Windows
from gateway.window.registers import RATED

T0 = 1_795_000_500_000 // 3_600_000 * 3_600_000
METER = Series("m", "m", "energy", (point("energy_import"),), 1000)


def deltas(steps, *, rated_kw=None, stream="1m"):
    """The deltas of the windows over readings (s, kWh)."""
    known = {} if rated_kw is None else {"m": {RATED: rated_kw}}
    windows = Windows([METER], ["1m", "15m"], zone=ZoneInfo("Asia/Bangkok"), moduli=known)
    for t_s, kwh in steps:
        windows.add(Reading(METER, T0 + round(t_s * 1000), round(t_s * 1e9), (float(kwh),), (0,)))
    found = windows.close(T0 + 3_600_000)
    return [one.stats[0][1] if one.stats[0] else None for one in found if one.stream == stream]


def test_a_replaced_meter_leaves_no_delta_in_its_window_and_the_next_ones_are_right():
    steps = [(t, 100 + t / 100 + (50_000 if t >= 90 else 0)) for t in range(0, 180, 10)]
    first, second, third = deltas(steps)[:3]
    assert first == 0.5
    assert math.isnan(second)
    assert third == 0.6
    assert math.isnan(deltas(steps, stream="15m")[0]), "merged from minutes it is unknown too"


def test_a_leap_on_the_border_of_two_windows_is_unknown_too():
    steps = [(t, 100 + (50_000 if t >= 60 else 0)) for t in range(0, 120, 10)]
    first, second = deltas(steps)[:2]
    assert first == 0.0
    assert math.isnan(second)


def test_the_rated_power_decides_what_a_leap_is():
    steps = [(t, 100 + (300 if t >= 90 else 0)) for t in range(0, 180, 10)]
    assert deltas(steps)[1] == 300.0
    assert math.isnan(deltas(steps, rated_kw=250.0)[1])


@given(st.sampled_from(sorted(PER_S)), st.floats(0, 1e5), st.floats(0, 1e5), st.floats(0.1, 1e4))
def test_the_ceiling_grows_with_time_and_never_forbids_the_rated_rise(unit, a_s, b_s, rated_kw):
    per_s = PER_S[unit]
    assert ceiling(per_s, a_s) <= ceiling(per_s, a_s + b_s)
    assert ceiling(per_s, a_s) >= per_s * (a_s + LAG_S)
    assert ceiling(per_s, -5.0) == ceiling(per_s, 0.0) == SLACK * per_s * LAG_S
    one = point("energy_import")
    assert fastest(one, rated_kw=rated_kw) == rated_kw / 3600
    assert fastest(point("vehicle_total"), rated_kw=rated_kw) == PER_S["1"]


def test_a_meter_that_reads_0_over_a_border_gives_no_demand():
    one = Series("m", "m", "energy", (point("energy_import"), point("power_active")), 1000)
    windows, judge = Windows([one], ["1m", "15m"], zone=ZoneInfo("Asia/Bangkok")), Judge([one])
    for s in range(2800):
        kwh = 0.0 if 895 <= s < 902 else 2500 + s / 1000
        windows.add(judge.judge(Reading(one, T0 + s * 1000, s * 10**9, (kwh, 3600.0), (0, 0))))
    found = [one for one in windows.close(T0 + 2_750_000) if one.stream == "15m"]
    assert [math.isnan(one.stats[0][1]) for one in found] == [True, True, False]
    assert [[figure.value for figure in one.indicators] for one in found] == [[], [], [3.6]]
    assert found[1].codes[0] == (Code.JUMP,)
