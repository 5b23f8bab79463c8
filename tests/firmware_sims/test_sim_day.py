"""The city's day: deterministic, believable, and counters that agree with their rates."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sims.city import build, city_devices
from firmware_sims.city_day import CityDay
from firmware_sims.day import Course, Ripple, burning_season, passing_times, rain

MIDNIGHT = 1_795_194_000.0  # 2026-11-21 00:00 local, a Saturday
MONDAY = MIDNIGHT + 2 * 86400
TIMES = st.floats(MIDNIGHT - 3e7, MIDNIGHT + 3e7)


def at(hour, day=MONDAY):
    return day + hour * 3600


@given(TIMES, st.floats(0.0, 86400 * 8))
def test_counters_never_fall_and_integrate_the_power(start, span):
    load = CityDay(1).building
    used = load.energy_kwh(start + span) - load.energy_kwh(start)
    assert used >= -1e-6
    lowest = 0.8 * 13
    assert used * 3600 >= lowest * span - 1


@settings(max_examples=20)
@given(TIMES)
def test_energy_is_the_integral_of_power(start):
    load = CityDay(2).chiller
    steps = 2000
    total = sum(load.power_w(start + (k + 0.5) * 3.6) for k in range(steps)) * 3.6 / 3.6e6
    assert load.energy_kwh(start + steps * 3.6) - load.energy_kwh(start) == pytest.approx(total, rel=1e-3)


def test_a_course_of_one_value_is_easy_to_check():
    course = Course((60.0,) * 168)
    assert course.at(MIDNIGHT + 12345) == 60
    assert course.since(MIDNIGHT, MIDNIGHT + 9 * 86400 + 7) == pytest.approx(60 * (9 * 86400 + 7))
    wave = Course((60.0,) * 168, (Ripple(10, 100, 0.3),))
    assert wave.since(0, 100) == pytest.approx(6000)


def test_same_seed_same_city():
    assert CityDay(4).pm2_5(MIDNIGHT) == CityDay(4).pm2_5(MIDNIGHT)
    assert CityDay(4).pm2_5(MIDNIGHT) != CityDay(5).pm2_5(MIDNIGHT)
    assert city_devices(1).keys() == {"air-north", "main-meter", "feeder-2", "chiller", "radar", "speed-sign", "canal"}


def test_a_working_day_looks_like_one():
    day = CityDay(1)
    flow = day.lanes[0].per_hour
    assert flow(at(8)) > 700 < flow(at(17))
    assert flow(at(3)) < 60
    assert day.lanes[0].speed_kmh(at(8)) < day.lanes[0].speed_kmh(at(3))
    assert day.building.power_w(at(14)) > 4 * day.building.power_w(at(3))
    assert day.building.power_w(at(14)) > 2 * day.building.power_w(at(14, MIDNIGHT))  # a Saturday
    assert all(215 < volt < 240 for hour in range(24) for volt in day.building.voltages_v(at(hour)))
    assert all(49.9 < day.frequency_hz(at(hour)) < 50.1 for hour in range(24))


def test_air_and_water_over_the_year():
    day = CityDay(1)
    march = MIDNIGHT + 115 * 86400  # mid-March
    assert burning_season(march) > 0.95
    assert burning_season(MIDNIGHT + 300 * 86400) == 0  # September

    def mean(start):
        return sum(day.pm2_5(start + hour * 3600) for hour in range(24 * 7)) / 168

    assert mean(march) > 45
    assert 5 < mean(MIDNIGHT + 300 * 86400) < 20
    assert day.pm2_5(at(8)) > day.pm2_5(at(14))
    levels = [day.canal_level_m(MIDNIGHT + hour * 3600) for hour in range(24 * 60)]
    assert 0.9 < min(levels) < max(levels) < 3.6
    assert any(rain(1, MIDNIGHT + hour * 3600) > 0.2 for hour in range(24 * 14))
    steps = [abs(day.canal_level_m(MIDNIGHT + 10 * k + 10) - day.canal_level_m(MIDNIGHT + 10 * k)) for k in range(5000)]
    assert max(steps) < 0.01


def test_passing_times_are_the_whole_numbers():
    times = passing_times(lambda s: s * 0.37, start_s=0.0, end_s=30.0)
    assert times == pytest.approx([n / 0.37 for n in range(1, 12)], abs=2e-3)
    assert passing_times(lambda _s: 5.5, start_s=0.0, end_s=10.0) == []


@settings(max_examples=10)
@given(TIMES)
def test_vehicles_of_neighbouring_windows_add_up(start):
    lane = CityDay(1).lanes[1]
    whole = passing_times(lane.passed, start_s=start, end_s=start + 60)
    parts = [
        t for k in range(6) for t in passing_times(lane.passed, start_s=start + 10 * k, end_s=start + 10 * (k + 1))
    ]
    assert len(parts) == len(whole)
    assert all(math.isclose(a, b, abs_tol=2e-3) for a, b in zip(parts, whole, strict=True))


def test_a_day_of_history_replays_fast():
    devices = build(1)
    frames, now = 0, MIDNIGHT
    while now < MIDNIGHT + 3600:
        data, now = devices.air.speak(now)
        frames += bool(data)
    assert frames == 3600
