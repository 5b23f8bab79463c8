"""Figures stand in the records of their own step, with span and coverage, and never from too little."""

import math
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from drivers.points import point
from gateway.figures import Figures
from gateway.reading import STATISTICS, Aggregate, Indicator, Reading, Series
from gateway.window import Windows

BANGKOK = ZoneInfo("Asia/Bangkok")
HOUR = 3_600_000
DAY0 = int(datetime(2026, 11, 16, tzinfo=BANGKOK).timestamp() * 1000)  # a Monday, no holiday
SIZES = {"1m": 60_000, "10m": 600_000, "15m": 900_000, "1h": HOUR, "1d": 24 * HOUR}


def site(kind, *names, every_ms=1000):
    return Series(id="d", device="d", kind=kind, points=tuple(map(point, names)), every_ms=every_ms)


def record(one, stream, start_ms, *, coverage=1.0, indicators=(), **stats):
    """An aggregate as windows give it; a statistic is named `point__statistic`; points without any have no value."""
    n = 100 if coverage is None else round(100 * coverage)
    rows, counts = [], []
    for p in one.points:
        names = STATISTICS[p.kind]
        given = {name: stats[f"{p.name}__{name}"] for name in names if f"{p.name}__{name}" in stats}
        rows.append(tuple(given.get(name, math.nan) for name in names) if given else ())
        counts.append(n if given else 0)
    return Aggregate(one, stream, start_ms, start_ms + SIZES[stream], n, coverage, tuple(rows), tuple(counts),
                     ((),) * len(rows), indicators)  # fmt: skip


def named(aggregate):
    return {one.name: one for one in aggregate.indicators}


def hours(figures, one, means, *, start=0, **more):
    found = {}
    for k, mean in enumerate(means):
        if mean is not None:
            found = named(figures.attach(record(one, "1h", DAY0 + (start + k) * HOUR, pm2_5__mean=mean, **more)))
    return found


AIR = site("air", "pm2_5", "pm10", "o3")


def test_aqi_needs_18_hours_and_says_so():
    figures = Figures([AIR])
    assert "aqi_th" not in hours(figures, AIR, [34.1] * 17)
    found = hours(figures, AIR, [34.1], start=17)
    assert found["aqi_th"] == Indicator("aqi_th", 87, "TH2023", 3, "24h", 0.75)
    assert found["aqi_us"] == Indicator("aqi_us", 98, "US2024", 2, "24h", 0.75)
    assert found["who_pm2_5"] == Indicator("who_pm2_5", round(34.1 / 15, 6), "WHO2021", 3, "24h", 0.75)
    assert found["mean_24h_pm2_5"].value == 34.1
    found = hours(figures, AIR, [34.1] * 3, start=18)
    assert found["aqi_th"].coverage == 0.875


def test_the_average_is_the_running_day_not_the_hour():
    figures = Figures([AIR])
    hours(figures, AIR, [10.0] * 24)
    found = hours(figures, AIR, [1000.0], start=24)
    assert found["mean_24h_pm2_5"].value == pytest.approx((23 * 10 + 1000) / 24)
    assert found["aqi_th"].value == 137  # of 51.25, rounded to 51.3


def test_an_hour_with_too_few_polls_does_not_count():
    figures = Figures([AIR])
    hours(figures, AIR, [10.0] * 17)
    assert "aqi_th" not in hours(figures, AIR, [10.0], start=17, coverage=0.74)
    assert "aqi_th" in hours(figures, AIR, [10.0], start=18, coverage=0.75)


def test_a_value_missing_in_good_polls_does_not_count():
    figures = Figures([AIR])
    hours(figures, AIR, [10.0] * 17)
    thin = record(AIR, "1h", DAY0 + 17 * HOUR, pm2_5__mean=10.0)
    assert "aqi_th" not in named(figures.attach(replace(thin, counts=(50, 0, 0))))


def test_the_highest_sub_index_is_the_index_and_all_are_named():
    figures = Figures([AIR])
    found = hours(figures, AIR, [12.5] * 24, pm10__mean=139.0, o3__mean=22.0)
    assert found["aqi_th"].value == found["aqi_th_pm10"].value == 131
    assert (found["aqi_th_pm2_5"].value, found["aqi_th_o3"].value) == (21, 16)
    assert found["aqi_th_o3"].span == "8h"
    assert found["aqi_us_o3"].value == 20  # 22 ppb are 0.022 ppm


def test_nowcast_begins_with_two_hours():
    figures = Figures([AIR])
    assert "nowcast_pm2_5" not in hours(figures, AIR, [20.0])
    found = hours(figures, AIR, [30.0], start=1)
    assert found["nowcast_pm2_5"] == Indicator("nowcast_pm2_5", 26.0, "EPA-NowCast", None, "12h", round(2 / 12, 4))


def test_an_amended_hour_replaces_the_first():
    figures = Figures([AIR])
    hours(figures, AIR, [10.0] * 23)
    first = record(AIR, "1h", DAY0 + 23 * HOUR, pm2_5__mean=250.0)
    figures.attach(first)
    found = named(figures.attach(replace(record(AIR, "1h", DAY0 + 23 * HOUR, pm2_5__mean=10.0), rev=1)))
    assert found["mean_24h_pm2_5"].value == 10.0


def test_recall_brings_the_day_back():
    figures = Figures([AIR])
    for k in range(23):
        figures.recall(record(AIR, "1h", DAY0 + k * HOUR, pm2_5__mean=10.0))
    assert hours(figures, AIR, [10.0], start=23)["aqi_th"].coverage == 1.0


@pytest.mark.parametrize("stream", ["1m", "15m", "1d"])
def test_air_figures_stand_in_hours_only(stream):
    figures = Figures([AIR])
    hours(figures, AIR, [10.0] * 24)
    assert not figures.attach(record(AIR, stream, DAY0, pm2_5__mean=10.0)).indicators


METER = site("energy", "power_active", "power_apparent", "energy_import", "voltage_l1", "voltage_l1_l2",
             "voltage_l2_l3", "voltage_l3_l1")  # fmt: skip


def test_a_day_of_a_meter():
    """96 quarters through windows and figures: 10 kW from 09:00 to 22:00, else 2 kW."""
    one = site("energy", "power_active", "energy_import", every_ms=30_000)
    windows, figures = Windows([one], ("15m", "1d"), zone=BANGKOK), Figures([one])
    kwh, quarters, day = 0.0, [], None
    for k in range(-30, 2 * 1440):
        t = DAY0 + k * 30_000
        kw = 10.0 if 18 <= (k // 60) % 48 < 44 else 2.0
        windows.add(Reading(one, t, k * 30 * 10**9, (kw * 1000, round(kwh + 1000, 3)), (0, 0)))
        kwh += kw / 120
    for a in map(figures.attach, windows.close(DAY0 + 24 * HOUR + 2000)):
        if a.stream == "15m" and "demand_kw" in named(a):
            quarters.append(named(a)["demand_kw"].value)
        if a.stream == "1d" and a.start_ms == DAY0:
            day = named(a)
    assert len(quarters) == 96
    assert max(quarters) == pytest.approx(10, abs=0.02)
    assert min(quarters) == pytest.approx(2, abs=0.02)
    assert day["energy_day_kwh"].value == pytest.approx(13 * 10 + 11 * 2, abs=0.2)
    assert day["energy_on_peak_kwh"].value == pytest.approx(130, abs=0.2)
    assert day["energy_off_peak_kwh"].value == pytest.approx(22, abs=0.2)
    assert day["demand_max_kw"].value == pytest.approx(10, abs=0.02)
    assert day["load_factor"].value == pytest.approx(152 / 240, abs=0.005)
    assert day["load_factor"].coverage == 1.0


def test_power_quality():
    lines = {"voltage_l1_l2": 400.0, "voltage_l2_l3": 380.0, "voltage_l3_l1": 395.0}
    stats = {f"{name}__{k}": v for name, volts in lines.items() for k, v in (("mean", volts), ("std", 0.0))}
    a = record(METER, "10m", DAY0, voltage_l1__mean=230.0, voltage_l1__std=10.0, power_active__mean=800.0,
               power_apparent__mean=1000.0, **stats)  # fmt: skip
    found = named(Figures([METER]).attach(a))
    assert found["voltage_unbalance"].value == pytest.approx(3.0524, abs=0.002)  # refcases energy/voltage_unbalance
    assert found["voltage_unbalance_nema"].value == pytest.approx(2.9787, abs=0.002)
    assert found["power_factor_total"].value == 0.8
    assert found["voltage_rms_l1"].value == pytest.approx(math.sqrt(230**2 + 100 * 99 / 100), abs=1e-6)
    assert named(Figures([METER]).attach(replace(a, stream="1h"))) == {}


def test_a_meter_without_a_register_says_that_its_demand_is_a_mean():
    one = site("energy", "power_active")
    found = named(Figures([one]).attach(record(one, "15m", DAY0, power_active__mean=7200.0)))
    assert found["demand_kw"] == Indicator("demand_kw", 7.2, "mean-power", None, "15m", 1.0)


LANE = site("traffic", "vehicle_count", "speed", "occupancy")


def test_traffic_in_every_record():
    space = (Indicator("speed_space_mean", 60.0, "harmonic-mean"),)
    a = record(LANE, "1m", DAY0, indicators=space, vehicle_count__sum=20.0, speed__mean=62.0, occupancy__mean=8.0)
    found = named(Figures([LANE]).attach(a))
    assert found["flow"].value == 1200.0
    assert found["occupancy"].value == 8.0
    assert (found["density"].value, found["density"].level) == (20.0, 4)
    assert found["speed_space_mean"].value == 60.0


def test_no_flow_from_a_window_with_holes():
    a = record(LANE, "1m", DAY0, coverage=0.5, vehicle_count__sum=20.0)
    assert named(Figures([LANE]).attach(a)) == {}


def test_peak_hour_factor_needs_four_quarters():
    figures = Figures([LANE])
    for k, count in enumerate((250.0, 260.0, 240.0, 230.0)):
        figures.attach(record(LANE, "15m", DAY0 + k * 900_000, vehicle_count__sum=count))
    found = named(figures.attach(record(LANE, "1h", DAY0, vehicle_count__sum=980.0)))
    assert found["peak_hour_factor"].value == pytest.approx(0.942308, abs=1e-6)  # refcases traffic/phf
    assert "peak_hour_factor" not in named(figures.attach(record(LANE, "1h", DAY0 + HOUR, vehicle_count__sum=980.0)))


def test_each_event_is_a_vehicle():
    one = site("traffic", "speed", every_ms=None)
    found = named(Figures([one]).attach(record(one, "1m", DAY0, coverage=None, speed__mean=50.0)))
    assert found["flow"].value == 6000.0


CANAL = site("water", "distance")


def test_stage_bank_and_rise():
    figures = Figures([CANAL], {"d": {"sensor_height": 4.2, "gauge_zero": 8.28, "ground": 8.0, "bank": 14.0}})
    found = named(figures.attach(record(CANAL, "1m", DAY0, distance__p50=1.98)))
    assert found["stage"].value == pytest.approx(2.22)
    assert found["bank_percent"].value == pytest.approx(100 * 2.5 / 6)
    assert found["bank_percent"].level == 3
    for k in range(4):
        found = named(figures.attach(record(CANAL, "15m", DAY0 + k * 900_000, distance__p50=3.2 - 0.15 * k)))
        assert ("rate_of_rise" in found) == (k >= 2)
    assert found["rate_of_rise"].value == pytest.approx(0.6)


def test_without_its_height_a_distance_is_no_stage():
    assert named(Figures([CANAL]).attach(record(CANAL, "1m", DAY0, distance__p50=1.98))) == {}


def test_rain_per_hour():
    one = site("weather", "rain_total")
    found = named(Figures([one]).attach(record(one, "15m", DAY0, rain_total__last=12.0, rain_total__delta=3.0)))
    assert found["rain_rate"].value == 12.0


@pytest.mark.parametrize("one", [AIR, METER, LANE, CANAL, site("noise", "noise_leq")])
def test_an_empty_window_has_no_figures(one):
    for stream in SIZES:
        assert not Figures([one]).attach(record(one, stream, DAY0, coverage=0.0)).indicators


def test_each_pollutant_has_its_own_span():
    one = site("air", "o3", "no2")
    figures = Figures([one])
    for k in range(24):
        rows = {"o3__mean": 10.0 if k < 16 else 71.0, "no2__mean": 171.0 if k == 23 else 1.0}
        found = named(figures.attach(record(one, "1h", DAY0 + k * HOUR, **rows)))
    assert (found["aqi_th_o3"].value, found["aqi_th_o3"].span) == (101, "8h")
    assert (found["aqi_th_no2"].value, found["aqi_th_no2"].span) == (101, "1h")
