"""Directions, sketches, packed rows, figures of rows, and the corners of the statistics."""

import math
import random
from statistics import stdev
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import window_reference as ref
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from drivers.points import point
from drivers.profile import Profile, Row
from gateway.reading import Reading, Series
from gateway.window import Windows
from gateway.window.buffer import Taken
from gateway.window.grid import Grid, levels
from gateway.window.quantile import SKETCH, joined, percentile, sketch, thinned, weighted
from gateway.window.registers import moduli
from gateway.window.spans import LIMIT, Spans

BANGKOK = ZoneInfo("Asia/Bangkok")
T0 = 1_795_000_000_000 // 3_600_000 * 3_600_000


def issue(one, rows, length="1m", *, step_ms=1000):
    windows = Windows([one], (length,), zone=BANGKOK)
    for k, (values, codes) in enumerate(rows):
        windows.add(Reading(one, T0 + k * step_ms, k * step_ms * 10**6, tuple(values), tuple(codes)))
    return windows.close(T0 + 3_602_000)[0]


def site(kind, *names, every_ms=1000):
    return Series(id="d", device="d", kind=kind, points=tuple(map(point, names)), every_ms=every_ms)


def named(aggregate):
    return {one.name: one for one in aggregate.indicators}


def test_directions_are_means_of_vectors():
    one = site("weather", "wind_speed", "wind_direction")
    a = issue(one, [((5.0, 350.0), (0, 0)), ((1.0, 10.0), (0, 0)), ((9.0, 90.0), (0, 204))])
    mean, low, high, spread, p50, p95 = a.stats[1]
    assert min(mean, 360 - mean) < 1e-9
    assert spread == pytest.approx(10.0, abs=0.1)
    assert all(map(math.isnan, (low, high, p50, p95)))
    assert a.counts == (3, 2)
    told = named(a)
    assert told["wind_speed_vector"].value == pytest.approx(2.974766, abs=1e-6)  # refcases stats/vector_wind
    assert told["wind_direction_vector"].value == pytest.approx(353.2956, abs=1e-4)


def test_opposite_winds_have_no_direction():
    one = site("weather", "wind_speed", "wind_direction")
    a = issue(one, [((2.0, 0.0), (0, 0)), ((2.0, 180.0), (0, 0))])
    assert math.isnan(a.stats[1][0])
    assert "wind_direction_vector" not in named(a)
    assert named(a)["wind_speed_vector"].value == pytest.approx(0, abs=1e-9)


def test_space_mean_speed_is_harmonic_and_weighted():
    lane = site("traffic", "vehicle_count", "speed")
    a = issue(lane, [((1.0, 40.0), (0, 0)), ((3.0, 80.0), (0, 0)), ((0.0, 0.0), (0, 0)), ((9.0, 1.0), (0, 204))])
    assert named(a)["speed_space_mean"].value == pytest.approx(4 / (1 / 40 + 3 / 80))
    events = site("traffic", "speed", every_ms=None)
    a = issue(events, [((v,), (0,)) for v in (40.0, 55.0, 60.0, 65.0, 80.0)])
    assert named(a)["speed_space_mean"].value == pytest.approx(56.991, abs=1e-3)  # refcases traffic/mean_speed
    assert named(a)["speed_p85"].value == pytest.approx(71.0)
    assert a.coverage is None


def test_sound_levels_average_as_energy():
    a = issue(site("noise", "noise_leq"), [((60.0,), (0,)), ((70.0,), (0,))])
    assert named(a)["noise_leq_mean"].value == pytest.approx(10 * math.log10((1e6 + 1e7) / 2))
    assert a.stats[0][0] == pytest.approx(65.0)


def test_figures_of_rows_merge_exactly():
    one = site("weather", "wind_speed", "wind_direction")
    dice = random.Random(1)
    rows = [
        ((round(dice.uniform(0, 9), 1), float(dice.randrange(360))), (0, dice.choice((0, 0, 204)))) for _ in range(900)
    ]
    a = issue(one, rows, "15m")
    used = [v for v, c in rows if c[1] == 0]
    u = -sum(s * math.sin(math.radians(d)) for s, d in used) / len(used)
    v = -sum(s * math.cos(math.radians(d)) for s, d in used) / len(used)
    assert named(a)["wind_speed_vector"].value == pytest.approx(math.hypot(u, v))


@pytest.mark.parametrize("start_s", [0, 3])
def test_demand_is_a_register_difference_over_its_time(start_s):
    one = site("energy", "power_active", "energy_import")
    windows = Windows([one], ("15m",), zone=BANGKOK)
    for k in range(1800):
        t = k + start_s * 0.1
        windows.add(Reading(one, T0 + int(t * 1000), k * 10**9, (7200.0, round(500 + t * 7.2 / 3600, 3)), (0, 0)))
    first, second = windows.close(T0 + 1_802_000)
    assert "demand_kw" not in named(first)  # where it began is not known
    assert named(second)["demand_kw"].value == pytest.approx(7.2, abs=0.005)


def test_no_demand_over_a_gap_or_a_reset():
    one = site("energy", "energy_import")
    for lost, reset in ((range(880, 900), None), (range(1700, 1800), None), (range(0), 1000)):
        windows = Windows([one], ("15m",), zone=BANGKOK)
        for k in range(1800):
            value = 500 + k / 100 if reset is None or k < reset else (k - reset) / 100
            code = 201 if k in lost else 0
            windows.add(Reading(one, T0 + k * 1000, k * 10**9, (value,), (code,)))
        assert all("demand_kw" not in named(a) for a in windows.close(T0 + 1_802_000))


def test_nothing_good_gives_no_numbers_but_the_reasons():
    one = ref.series(("gauge", "count"))
    a = issue(one, [((math.nan, 3.0), (201, 204)), ((5000.0, math.nan), (204, 201))])
    assert (a.n, a.coverage, a.counts, a.stats) == (0, 0.0, (0, 0), ((), ()))
    assert a.codes == ((204, 201), (204, 201))


def test_uncertain_values_count_and_infinite_ones_do_not():
    one = ref.series(("gauge",))
    a = issue(one, [((1.0,), (101,)), ((3.0,), (0,)), ((math.inf,), (0,)), ((math.nan,), (0,))])
    assert (a.n, a.counts, a.codes) == (2, (2,), ((101,),))
    assert a.stats[0] == (2.0, 1.0, 3.0, stdev([1, 3]), 2.0, pytest.approx(2.9))


def test_a_far_mean_keeps_its_deviation():
    """NIST StRD NumAcc3 through the window, merged from minutes."""
    values = [1000000.2, *[1000000.1, 1000000.3] * 500]
    a = issue(ref.series(("gauge",)), [((v,), (0,)) for v in values], "1h")
    assert a.stats[0][0] == pytest.approx(1000000.2, rel=1e-14)
    assert a.stats[0][3] == pytest.approx(0.1, rel=1e-8)


def test_a_day_of_seconds_has_percentiles_within_the_stated_rank():
    one = ref.series(("gauge", "gauge"))
    windows, dice = Windows([one], ("1d",), zone=BANGKOK), random.Random(7)
    start = T0 // 86_400_000 * 86_400_000 - 7 * 3_600_000
    kept = []
    for k in range(0, 86_400, 3):
        x = dice.gauss(k / 5000, 1.0)
        kept.append(x)
        windows.add(Reading(one, start + k * 1000, k * 10**9, (x, -x), (0, 0)))
        if k % 900 == 0:
            windows.close(start + k * 1000)
    (a,) = windows.close(start + 86_402_000)
    kept.sort()
    assert a.counts[0] == len(kept)
    for at, share in ((4, 0.5), (5, 0.95)):
        rank = sum(x <= a.stats[0][at] for x in kept) / len(kept)
        assert abs(rank - share) <= 1 / (2 * SKETCH)
    assert a.stats[1][4] == pytest.approx(-a.stats[0][4], abs=0.05)
    assert a.stats[0][1:3] == (kept[0], kept[-1])


columns = hnp.arrays(np.float64, st.tuples(st.integers(1, 300), st.integers(1, 3)), elements=st.one_of(
    st.integers(-50, 50).map(float), st.just(math.nan)))  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(rows=columns, share=st.sampled_from([0.0, 0.5, 0.85, 0.95, 1.0]), cuts=st.integers(1, 5))
def test_sketches_keep_their_error(rows, share, cuts):
    parts = [part for part in np.array_split(rows, cuts) if len(part)]
    whole = joined([sketch(np.sort(part, axis=0), (~np.isnan(part)).sum(axis=0)) for part in parts])
    for values, weights, steps in ((*whole, 1), (*thinned(*whole), 2)):
        found = weighted(values, weights, share=share)
        for column in range(rows.shape[1]):
            good = np.sort(rows[:, column][~np.isnan(rows[:, column])])
            if not len(good):
                assert math.isnan(found[column])
                continue
            if len(rows) <= SKETCH:
                assert found[column] == pytest.approx(np.percentile(good, share * 100))
            slack = steps * (len(good) / (2 * SKETCH) + 1)
            place = share * (len(good) - 1)
            low = good[max(0, math.floor(place - slack))]
            high = good[min(len(good) - 1, math.ceil(place + slack))]
            assert low - 1e-9 <= found[column] <= high + 1e-9


@settings(max_examples=25, deadline=None)
@given(rows=columns, share=st.floats(0, 1))
def test_percentiles_are_numpys(rows, share):
    n = (~np.isnan(rows)).sum(axis=0)
    found = percentile(np.sort(rows, axis=0), n, shares=(share,))[0]
    for column in range(rows.shape[1]):
        good = rows[:, column][~np.isnan(rows[:, column])]
        assert (
            found[column] == pytest.approx(np.percentile(good, share * 100), abs=1e-9)
            if len(good)
            else math.isnan(found[column])
        )


@settings(max_examples=25, deadline=None)
@given(values=st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 2)), min_size=1, max_size=20))
def test_packing_gives_back_every_rounded_value(values):
    rows = np.array([values])
    rows[0, 0] = math.nan
    taken = Taken(rows.copy(), np.zeros(len(values), dtype=np.uint32), np.zeros((1, 2), dtype=np.int64))
    taken.packed(np.full(len(values), 100.0))
    assert taken._values.dtype == np.int32
    assert np.array_equal(taken.values, rows, equal_nan=True)


def test_what_does_not_fit_stays_as_it_is():
    rows = np.array([[0.123456, 1e12]])
    taken = Taken(rows, np.zeros(2, dtype=np.uint32), np.zeros((1, 2), dtype=np.int64))
    taken.packed(np.array([10.0, 10.0]))
    assert np.array_equal(taken.values, rows)


@pytest.mark.parametrize(
    ("lengths", "every_ms", "steps"),
    [
        (("1m", "15m", "1h"), 1000, (60, 900, 3600)), (("1h",), 1000, (60, 3600)), (("5s", "15m"), 1000, (5, 60, 900)),
        (("10m", "15m"), 1000, (60, 300, 600, 900)), (("1d",), None, (60, 3600, 86400)), (("5s",), 1000, (5,)),
        (("10m", "15m"), 60_000, (300, 600, 900)), (("15m", "1h", "1d"), 60_000, (900, 3600, 86400)), ((), 1000, ()),
    ],
)  # fmt: skip
def test_levels_between(lengths, every_ms, steps):
    assert levels(lengths, every_ms) == steps


@pytest.mark.parametrize(
    ("zone", "t", "length", "start", "end"),
    [
        (
            "Asia/Kolkata",
            "2026-03-01T00:29:59.999+00:00",
            3600,
            "2026-02-28T23:30:00+00:00",
            "2026-03-01T00:30:00+00:00",
        ),
        ("Europe/Berlin", "2026-03-29T12:00:00+02:00", 86400, "2026-03-28T23:00:00+00:00", "2026-03-29T22:00:00+00:00"),
        ("Europe/Berlin", "2026-10-25T12:00:00+01:00", 86400, "2026-10-24T22:00:00+00:00", "2026-10-25T23:00:00+00:00"),
        ("Europe/Berlin", "2026-10-25T02:30:00+01:00", 3600, "2026-10-25T01:00:00+00:00", "2026-10-25T02:00:00+00:00"),
        (
            "Australia/Lord_Howe",  # the clock goes back by half an hour: the day's last window is a short one
            "2026-04-05T13:10:00+00:00",
            3600,
            "2026-04-05T13:00:00+00:00",
            "2026-04-05T13:30:00+00:00",
        ),
        ("Asia/Bangkok", "2026-11-21T00:00:00+07:00", 86400, "2026-11-20T17:00:00+00:00", "2026-11-21T17:00:00+00:00"),
    ],
)
def test_local_days_and_hours(zone, t, length, start, end):
    from datetime import datetime

    ms = [round(datetime.fromisoformat(text).timestamp() * 1000) for text in (t, start, end)]
    assert Grid(ZoneInfo(zone)).window(ms[0], length) == (ms[1], ms[2])


@given(st.lists(st.integers(0, 400), max_size=200))
def test_spans_know_what_was_added(starts):
    spans, known = Spans(), set()
    for start in starts:
        spans.add(start * 10, start * 10 + 10)
        known.add(start)
        if len(spans._lows) == LIMIT:
            return
    assert [k for k in range(401) if spans.covers(k * 10 + 9)] == sorted(known)
    assert not spans.covers(-1)
    assert len(spans._lows) <= LIMIT


def turning(rows, modulus, lengths=("1m", "15m"), *, step_ms=10_000):
    """Aggregates of a vehicle counter with this modulus; None in `rows` is a failed poll."""
    one = site("traffic", "vehicle_total", every_ms=step_ms)
    windows = Windows([one], lengths, zone=BANGKOK, moduli={"d": {"vehicle_total": modulus}} if modulus else {})
    for k, value in enumerate(rows):
        t_ms = T0 + k * step_ms
        told = (math.nan, 201) if value is None else (value, 0)
        windows.add(Reading(one, t_ms, t_ms * 10**6, told[:1], told[1:]))
    return [a for a in windows.close(T0 + 3_602_000) if a.n]


@given(
    start=st.integers(0, 65_535),
    rises=st.lists(st.one_of(st.none(), st.integers(0, 12)), min_size=1, max_size=200),
    lengths=st.sampled_from([("1m",), ("1m", "15m"), ("15m", "1h")]),
)
@settings(max_examples=40, deadline=None)
def test_a_register_that_rolls_over_counts_on(start, rises, lengths):
    rows, total = [float(start)], start
    for rise in rises:
        total += rise or 0
        rows.append(None if rise is None else float(total % 65_536))
    deltas = {}
    for a in turning(rows, 65_536.0, lengths):
        deltas.setdefault(a.stream, []).append(a.stats[0][1])
    for found in deltas.values():
        assert all(delta >= 0 for delta in found)
        assert None in rises or sum(found) == total - start


def test_a_fall_that_cannot_be_a_rollover_is_a_reset():
    near_top = 65_500.0
    for rows, modulus in (
        ((near_top, 100.0), None),  # the modulus is not known
        ((40_000.0, 100.0), 65_536.0),  # far from the top
        ((near_top, 30_000.0), 65_536.0),  # faster than traffic can be
    ):
        for a in turning(rows, modulus):
            assert math.isnan(a.stats[0][1]), (rows, modulus)


def test_a_rollover_across_windows():
    rows = [65_500.0 + 2 * k for k in range(6)] + [4.0 + 2 * k for k in range(12)]
    minute = [a.stats[0][1] for a in turning(rows, 65_536.0, ("1m",))]
    assert minute == [10.0, 40.0, 12.0]
    assert [a.stats[0][1] for a in turning(rows, 65_536.0, ("15m",))] == [62.0]


def test_moduli_are_read_off_the_register_types():
    rows = (
        Row(point="vehicle_total", read="input 0 u16"),
        Row(point="energy_import", read="input 2 u32", scale=0.01),
        Row(point="energy_export", read="input 4 f32"),
        Row(point="power_active", read="input 6 u16"),
    )
    profile = Profile(schema=1, id="x", maker="", model="", kind="energy", version=1, speaks="modbus", every_s=1.0,
                      source="", proven="untested", rows=rows)  # fmt: skip
    assert moduli(profile) == {"vehicle_total": 65_536.0, "energy_import": 42_949_672.96}


@settings(max_examples=20, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(-3, 3), st.sampled_from([0, 0, 0, 101, 204])), min_size=1, max_size=150))
def test_an_hour_says_when_its_extremes_were_first_measured(rows):
    one = site("air", "pm2_5", "wind_direction", "vehicle_count")
    told = [((float(value), 90.0, 1.0), (code, 0, 0)) for value, code in rows]
    a = issue(one, told, "1h", step_ms=20_000)
    good = [(value, T0 + k * 20_000) for k, (value, code) in enumerate(rows) if code < 200]
    first = () if not good else (min(good)[1], min((-value, t_ms) for value, t_ms in good)[1])
    assert a.times == (first, (), ())
