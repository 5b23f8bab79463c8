"""Properties of the indicators, beyond the worked cases of test_refcases."""

import math
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.indicators import air, energy, moments, plausible, tariff, traffic, water, wind

numbers = st.floats(-1e6, 1e6)


@pytest.mark.parametrize("scale", [air.TH2023, air.TH2018, air.US2024])
@given(data=st.data())
def test_an_index_never_falls_as_the_concentration_rises(scale, data):
    pollutant = data.draw(st.sampled_from(sorted(scale.steps)))
    top = float(scale.steps[pollutant][1][-1][1]) * 1.2
    low, high = sorted(data.draw(st.tuples(st.floats(0, top), st.floats(0, top))))
    one, other = (air.index(scale, pollutant, value=x) for x in (low, high))
    assert 0 <= one.value <= other.value
    assert one.level <= other.level


@pytest.mark.parametrize("scale", [air.TH2023, air.TH2018, air.US2024])
def test_every_level_begins_and_ends_as_printed(scale):
    for pollutant, (_, rows) in scale.steps.items():
        for level, ((low, high), bound) in enumerate(zip(rows, scale.bounds, strict=False), start=1):
            assert air.index(scale, pollutant, value=low) == air.Index(bound[0], level)
            assert air.index(scale, pollutant, value=high) == air.Index(bound[1], level)
        assert air.index(scale, pollutant, value="99999").above


@pytest.mark.parametrize("value", [37.55, "37.55", Decimal("37.55"), 0.1 + 37.45])
def test_a_float_means_the_decimal_that_it_shows(value):
    assert air.index(air.TH2023, "pm2_5", value=value).value == 101


def test_what_is_missing_is_no_index():
    assert air.index(air.TH2023, "pm2_5", value=-1.0) is None
    assert air.overall(air.TH2023, {"pm2_5": None, "pm10": -999.0}) is None
    assert air.nowcast([]) is None
    assert air.nowcast([None, None, 5.0, 5.0]) is None
    assert air.nowcast([0.0] * 12) == 0


@given(st.lists(st.one_of(st.none(), st.floats(0, 900)), min_size=1, max_size=12))
def test_nowcast_stays_within_its_hours(hours):
    found = air.nowcast(hours)
    given_hours = [hour for hour in hours if hour is not None]
    assert (found is None) == (sum(hour is not None for hour in hours[:3]) < 2)
    if found is not None:
        assert min(given_hours) - 0.1 <= float(found) <= max(given_hours) + 1e-9


def test_growth_has_no_value_at_saturation():
    assert air.growth(0, kappa=0.4) == 1.0
    with pytest.raises(ValueError, match="no finite"):
        air.growth(100.0, kappa=0.4)


@given(st.lists(numbers, min_size=1, max_size=60), st.integers(0, 60))
def test_moments_merge_at_any_cut(values, cut):
    whole, merged = moments.moments(values), moments.moments(values[:cut]).merged(moments.moments(values[cut:]))
    assert (merged.n, merged.low, merged.high) == (whole.n, whole.low, whole.high)
    assert merged.mean == pytest.approx(whole.mean, rel=1e-9, abs=1e-9)
    assert merged.m2 == pytest.approx(whole.m2, rel=1e-7, abs=1e-3)
    assert (whole.sample_variance is None) == (len(values) == 1)


@given(st.lists(numbers, min_size=1, max_size=40), st.floats(0, 100))
def test_percentile_is_numpys(values, percent):
    assert moments.percentile(values, percent) == pytest.approx(np.percentile(values, percent), rel=1e-9, abs=1e-6)


@given(st.lists(numbers, max_size=60), st.sampled_from([0.1, 0.5, 0.95]))
def test_p2_is_exact_up_to_five_and_bounded_after(values, share):
    estimate = moments.P2(share)
    for value in values:
        estimate.add(value)
    if not values:
        assert estimate.estimate is None
    elif len(values) <= 5:
        assert estimate.estimate == pytest.approx(np.percentile(values, share * 100), rel=1e-9, abs=1e-6)
    else:
        assert min(values) <= estimate.estimate <= max(values)
        assert estimate.markers == sorted(estimate.markers)


@given(st.lists(st.tuples(st.floats(0, 359.99), st.floats(0.1, 40)), min_size=1, max_size=20), st.floats(0, 360))
def test_wind_turns_with_its_inputs(rows, turn):
    directions, speeds = [d for d, _ in rows], [s for _, s in rows]
    one = wind.vector_mean(directions, speeds)
    other = wind.vector_mean([d + turn for d in directions], speeds)
    assert other.speed_vector == pytest.approx(one.speed_vector, abs=1e-9)
    assert one.speed_vector <= one.speed_scalar + 1e-9
    if one.speed_vector > 1e-3:
        away = (other.direction - one.direction - turn) % 360
        assert min(away, 360 - away) < 1e-3
        assert 0 <= one.direction < 360


@given(st.lists(st.floats(1, 200), min_size=1, max_size=40))
def test_space_mean_is_never_above_time_mean(speeds):
    assert traffic.space_mean_speed(speeds) <= traffic.time_mean_speed(speeds) + 1e-9


def test_nothing_that_moves_has_no_speed():
    assert traffic.space_mean_speed([0.0, -5.0]) is None
    assert traffic.time_mean_speed([]) is None
    assert traffic.mean_headway([]) is None
    assert traffic.peak_hour_factor([0, 0, 0, 0]) is None


@given(st.integers(0, 10**6 - 1), st.integers(0, 10**6 - 1), st.integers(1, 10**5))
def test_a_register_delta_is_never_negative_nor_implausible(before, now, limit):
    register = energy.Register(Decimal(10**6), Decimal(limit))
    delta, event = energy.register_delta(Decimal(before), Decimal(now), register=register)
    assert delta is None or delta >= 0
    if event == "rollover":
        assert delta <= Decimal("1.2") * limit
        assert (before + delta) % 10**6 == now
    assert (delta is None) == (event == "reset")


@given(st.floats(100, 500), st.floats(0.9, 1.1), st.floats(0.9, 1.1))
def test_unbalance_is_the_ratio_of_sequences(u, a, b):
    """Against Fortescue's sequences of the three line voltages, laid out as a triangle."""
    u12, u23, u31 = u, u * a, u * b
    x = (u12**2 + u31**2 - u23**2) / (2 * u12)
    corner = complex(x, math.sqrt(max(0.0, u31**2 - x * x)))
    lines = (complex(u12), corner - u12, -corner)
    turn = complex(-0.5, math.sqrt(3) / 2)
    one = abs(lines[0] + turn * lines[1] + turn**2 * lines[2])
    two = abs(lines[0] + turn**2 * lines[1] + turn * lines[2])
    assert energy.unbalance_iec_pct(u12, u23, u31=u31) == pytest.approx(100 * min(one, two) / max(one, two), abs=1e-4)


@given(
    st.integers(0, 7 * 365 * 86_400).map(lambda s: datetime(2020, 1, 1, tzinfo=tariff.THAI_TIME) + timedelta(seconds=s))
)
def test_a_period_does_not_depend_on_the_zone_it_is_written_in(here):
    assert tariff.tou_period(here) == tariff.tou_period(here.astimezone())
    if here.weekday() >= 5 or not 9 <= here.hour < 22:
        assert tariff.tou_period(here) == "off_peak"


def test_an_unknown_year_is_not_guessed():
    monday = datetime(2031, 3, 3, 10, tzinfo=tariff.THAI_TIME)
    assert tariff.tou_period(monday) is None
    assert tariff.tou_period(monday, {2031: frozenset({"03-03"})}) == "off_peak"
    assert tariff.tou_period(monday + timedelta(hours=12)) == "off_peak"
    with pytest.raises(ValueError, match="offset"):
        tariff.tou_period(monday.replace(tzinfo=None))


def test_a_slope_needs_two_moments():
    assert water.rise_slope([], []) is None
    assert water.rise_slope([5.0, 5.0], [1.0, 2.0]) is None
    assert water.rise_ends([5.0], [1.0]) is None


def test_series_of_flags_have_the_length_of_the_series():
    for n in range(4):
        values = [1.0] * n
        times = [float(k) for k in range(n)]
        assert len(plausible.spikes(values, suspect=1, fail=2)) == n
        assert len(plausible.rate_of_change(values, times, per_s=1)) == n
        assert len(plausible.flat_line(values, times, suspect_s=1, fail_s=2, tolerance=0.1)) == n
    assert plausible.spikes([1, None, 3, 9, 3], suspect=1, fail=3) == [2, 9, 2, 4, 2]
    assert plausible.opcua_status(good=0, bad=0, uncertain=0) == "Bad"


def test_a_block_is_forecast_from_what_it_used_and_the_present_power():
    assert energy.forecast_demand_kw(1.0, kw=12.0, into_s=600.0) == pytest.approx((1.0 + 12.0 / 12) * 4)
    assert energy.forecast_demand_kw(2.5, kw=99.0, into_s=900.0) == pytest.approx(10.0)


def test_occupancy_that_jumps_again_and_again_is_a_fault():
    assert traffic.occupancy_spikes([0.0, 30.0, 0.0, 30.0])
    assert not traffic.occupancy_spikes([0.0, 30.0, 30.0, 60.0, 60.0, 10.0, 10.0])
    assert not traffic.occupancy_spikes([5.0])


def test_entropy_is_that_of_the_distribution():
    assert traffic.entropy([1.0, 2.0, 3.0, 4.0]) == pytest.approx(1.3862943611)
    assert traffic.entropy([7.0] * 9) == 0.0
    assert traffic.entropy([]) == 0.0


def test_each_pems_test_finds_its_fault():
    sound = [5.0 + k % 997 / 100 for k in range(2040)]
    flows = [3.0] * 2040
    assert traffic.pems_faults(sound, flows) == ()
    assert traffic.pems_faults([0.0] * 1201 + sound[1201:], flows)[0] == 1  # its entropy falls too
    assert traffic.pems_faults(sound, [0.0] * 51 + flows[51:]) == (2,)
    assert traffic.pems_faults([60.0 + one for one in sound[:201]] + sound[201:], flows) == (3,)
    assert traffic.pems_faults([9.0] * 2040, flows) == (4,)


@pytest.mark.parametrize(("metres", "name"), [(1.9, "motorcycle"), (2.0, "short"), (6.6, "medium"), (14.9, "long")])
def test_length_classes_include_their_lower_limit(metres, name):
    assert traffic.length_bin(metres) == name


def test_a_class_without_a_unit_is_not_guessed():
    with pytest.raises(KeyError):
        traffic.passenger_cars({"c1": 3.0}, {})


def test_ppb_and_mass_are_each_others_reverse():
    assert air.ppb("no2", ug_m3=air.mass("no2", ppb=106.0)) == pytest.approx(106.0)


@pytest.mark.parametrize(("pct", "level"), [(-10.0, 1), (10.0, 1), (-10.1, 2), (-15.0, 2), (10.1, 3), (-15.1, 3)])
def test_bands_of_the_supply(pct, level):
    assert energy.VOLTAGE_BAND.level(pct) == level
