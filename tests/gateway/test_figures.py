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


def _day_with_a_gap(hours):
    """10 kW all day, no polls in `hours`."""
    one = site("energy", "power_active", "energy_import", every_ms=30_000)
    windows, figures = Windows([one], ("15m", "1d"), zone=BANGKOK), Figures([one])
    for k in range(-30, 2 * 1440 + 60):
        if not any(low * 120 <= k < high * 120 for low, high in hours):
            windows.add(Reading(one, DAY0 + k * 30_000, k * 30 * 10**9, (1e4, round(1000 + k / 12, 3)), (0, 0)))
    found = map(figures.attach, windows.close(DAY0 + 25 * HOUR))
    return named(next(a for a in found if a.stream == "1d" and a.start_ms == DAY0))


def test_the_energy_of_a_day_holds_the_gap():
    day = _day_with_a_gap([(10, 15.5)])
    assert day["energy_day_kwh"].value == pytest.approx(240, abs=0.2)
    assert day["energy_day_kwh"].rule == "register"
    assert day["energy_day_kwh"].coverage < 1
    assert day["energy_on_peak_kwh"].value == pytest.approx(130, abs=0.2), "the gap lies in one period"
    day = _day_with_a_gap([(7, 11)])
    assert day["energy_day_kwh"].value == pytest.approx(240, abs=0.2)
    assert "energy_on_peak_kwh" not in day
    assert "energy_off_peak_kwh" not in day
    day = _day_with_a_gap([(-1, 3)])
    assert {"demand_max_kw", "load_factor"} <= day.keys()
    assert not {"energy_day_kwh", "energy_off_peak_kwh"} & day.keys(), "nobody read the register at the day's start"


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


def test_what_was_counted_is_divided_by_the_time_in_which_it_was():
    space = (Indicator("speed_space_mean", 50.0, "harmonic-mean"),)
    a = record(LANE, "1m", DAY0, coverage=0.75, indicators=space, vehicle_count__sum=45.0)
    found = named(Figures([LANE]).attach(replace(a, n=45, counts=(45, 0, 0))))
    assert (found["flow"].value, found["headway_mean"].value, found["density"].value) == (3600.0, 1.0, 72.0)
    figures = Figures([LANE])
    for k, seen in enumerate((1.0, 0.8, 1.0, 1.0)):
        figures.attach(record(LANE, "15m", DAY0 + k * 900_000, coverage=seen, vehicle_count__sum=250.0 * seen))
    assert named(figures.attach(record(LANE, "1h", DAY0)))["peak_hour_factor"].value == 1.0
    one = site("traffic", "vehicle_total")
    a = record(one, "1m", DAY0, coverage=0.8, vehicle_total__delta=60.0)
    assert named(Figures([one]).attach(a))["flow"].value == 3600.0, "a running total counts through gaps"
    one = site("traffic", "vehicle_count_c1")
    a = record(one, "15m", DAY0, coverage=0.8, vehicle_count_c1__sum=80.0)
    assert named(Figures([one], {"d": {"pcu_c1": 1.0}}).attach(a))["pcu_flow"].value == 400.0


def test_polls_on_the_border_of_slots_do_not_add_vehicles():
    a = replace(record(LANE, "1m", DAY0, coverage=0.76, vehicle_count__sum=60.0), n=60, counts=(60, 0, 0))
    assert named(Figures([LANE]).attach(a))["flow"].value == 3600.0


def test_an_empty_lane_has_no_density_but_a_standing_queue_is_not_empty():
    a = record(LANE, "1m", DAY0, vehicle_count__sum=0.0, occupancy__mean=0.0)
    assert named(Figures([LANE]).attach(a))["density"] == Indicator("density", 0.0, "HCM2000-freeway", 1, "", 1.0)
    a = record(LANE, "1m", DAY0, vehicle_count__sum=0.0, occupancy__mean=100.0)
    assert "density" not in named(Figures([LANE]).attach(a))
    one = site("traffic", "vehicle_count", "speed")
    figures, found = Figures([one]), []
    for k in range(20):
        a = record(one, "1m", DAY0 + k * 60_000, vehicle_count__sum=float(k == 2))
        found.append("density" in named(figures.attach(a)))
    assert found == [False] * 17 + [True] * 3, "a quarter of an hour after the last vehicle"


def test_peak_hour_factor_needs_four_quarters():
    figures = Figures([LANE])
    for k, count in enumerate((250.0, 260.0, 240.0, 230.0)):
        figures.attach(record(LANE, "15m", DAY0 + k * 900_000, vehicle_count__sum=count))
    found = named(figures.attach(record(LANE, "1h", DAY0, vehicle_count__sum=980.0)))
    assert found["peak_hour_factor"].value == pytest.approx(0.942308, abs=1e-6)  # refcases traffic/phf
    assert "peak_hour_factor" not in named(figures.attach(record(LANE, "1h", DAY0 + HOUR, vehicle_count__sum=980.0)))


def test_each_event_is_a_vehicle():
    one = site("traffic", "speed", "vehicle_class", every_ms=None)
    found = named(Figures([one]).attach(record(one, "1m", DAY0, coverage=None, speed__mean=50.0)))
    assert found["flow"].value == 6000.0


def test_a_radars_report_of_a_speed_is_no_vehicle():
    one = site("traffic", "speed", "direction", "magnitude", every_ms=None)
    assert "flow" not in named(Figures([one]).attach(record(one, "1m", DAY0, coverage=None, speed__mean=50.0)))


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


def minutes(figures, one, values, *, start_ms=DAY0, point="energy_import__delta"):
    for k, value in enumerate(values):
        figures.attach(record(one, "1m", start_ms + k * 60_000, **({} if value is None else {point: value})))


def test_sliding_demand_is_at_least_the_block_and_needs_every_minute():
    one, figures = site("energy", "energy_import"), Figures([site("energy", "energy_import")])
    kwh = [0.1] * 20 + [1.0] * 15 + [0.1] * 10
    minutes(figures, one, kwh)
    quarter = record(one, "15m", DAY0 + 2 * 900_000, energy_import__delta=sum(kwh[30:45]))
    found = named(figures.attach(quarter))
    assert found["demand_sliding_kw"].value == pytest.approx(4 * (14 * 1.0 + 0.1) + 0 * 4, abs=4)  # 31..45 at its best
    best = max(4 * sum(kwh[k - 15 : k]) for k in range(31, 46))
    assert found["demand_sliding_kw"].value == pytest.approx(best)
    assert best >= 4 * sum(kwh[30:45])
    holed = Figures([one])
    minutes(holed, one, [0.1] * 25 + [None] + [0.1] * 19)
    assert "demand_sliding_kw" not in named(holed.attach(quarter))


def test_bands_of_voltage_and_frequency():
    one = site("energy", "voltage_l1", "voltage_l2", "frequency")
    figures = Figures([one])

    def quarter(k, volts, hertz):
        stats = {"voltage_l1__mean": 230.0, "voltage_l2__mean": volts, "frequency__mean": 50.0}
        a = record(one, "15m", DAY0 + k * 900_000, frequency__min=hertz, frequency__max=50.02, **stats)
        return named(figures.attach(a))

    found = quarter(0, 200.0, 49.9)
    assert (found["voltage_deviation_pct"].value, found["voltage_deviation_pct"].level) == (-13.043478, 2)
    assert (found["frequency_deviation_pct"].value, found["frequency_deviation_pct"].level) == (-0.2, 1)
    assert found["voltage_deviation_pct"].rule == "EN50160"
    for k in range(1, 96):
        found = quarter(k, 230.0 if k < 90 else 190.0, 50.0)
    assert found["voltage_deviation_pct"].level == 3
    day = named(figures.attach(record(one, "1d", DAY0)))
    assert day["voltage_in_band"] == Indicator("voltage_in_band", round(89 / 96, 6), "EN50160", 3, "1d", 1.0)
    assert day["frequency_in_band"].value == 1.0


def test_a_medium_voltage_meter_has_no_band_unless_its_nominal_is_told():
    one = site("energy", "voltage_l1")
    a = record(one, "10m", DAY0, voltage_l1__mean=12_700.0)
    assert "voltage_deviation_pct" not in named(Figures([one]).attach(a))
    told = named(Figures([one], {"d": {"voltage_nominal": 12_700.0}}).attach(a))
    assert told["voltage_deviation_pct"].value == 0.0


def test_reactive_power_and_time_of_day_of_a_day():
    one = site("energy", "power_active", "power_reactive")
    figures = Figures([one], {"d": {"tariff_tod": 1.0}})
    for k in range(96):
        watts = 100_000.0 if k == 50 else 40_000.0
        figures.attach(record(one, "15m", DAY0 + k * 900_000, power_active__mean=watts, power_reactive__mean=80_000.0))
    day = named(figures.attach(record(one, "1d", DAY0)))
    assert (day["demand_max_kw"].value, day["demand_max_kvar"].value) == (100.0, 80.0)
    assert (day["excess_kvar"].value, day["excess_kvar"].rule) == (18.0, "TH-PF-61.97%")
    assert day["energy_tod_on_peak_kwh"].value == pytest.approx(3 * 40)  # 18:30 to 21:30
    assert day["energy_tod_partial_kwh"].value == pytest.approx(10.5 * 40 + 15)
    assert day["energy_tod_off_peak_kwh"].value == pytest.approx(10.5 * 40)


PASSING = site("traffic", "speed", "length", "vehicle_class", "duration", every_ms=None)


def test_single_vehicles_give_classes_gap_occupancy_and_passenger_cars():
    windows, figures = Windows([PASSING], ("1m",), zone=BANGKOK), Figures([PASSING])
    for k, (metres, kind) in enumerate([(1.8, 1), (2.0, 2), (4.5, 2), (6.6, 3), (15.0, 5), (math.nan, 2)]):
        codes = (0, 207 if math.isnan(metres) else 0, 0, 0)
        windows.add(Reading(PASSING, DAY0 + k * 9000, k, (54.0, metres, float(kind), 0.5), codes))
    (a,) = map(figures.attach, windows.close(DAY0 + 62_000))
    found = named(a)
    bins = [found[f"length_{name}"].value for name in ("motorcycle", "short", "medium", "long", "unclassified")]
    assert bins == [1, 2, 1, 1, 1]
    assert [found[f"class_{k}"].value for k in (1, 2, 3, 5)] == [1, 3, 1, 1]
    assert "class_4" not in found
    assert found["flow"].value == 360.0
    assert found["headway_mean"].value == 10.0
    assert found["gap_mean"].value == pytest.approx(10 - (1.8 + 2 + 4.5 + 6.6 + 15) / 5 / 15)
    assert found["occupancy"] == Indicator("occupancy", 5.0, "sum-of-on-times")
    assert found["pcu_flow"].value == pytest.approx(60 * (0.3 + 2 * 1.0 + 1.75 + 2.5))
    assert found["pcu_flow"].rule == "PCU-example"
    own = {"pcu_motorcycle": 0.25, "pcu_short": 1.0, "pcu_medium": 2.0, "pcu_long": 3.0}
    again = named(Figures([PASSING], {"d": own}).attach(replace(a, indicators=a.indicators[:12])))
    assert (again["pcu_flow"].value, again["pcu_flow"].rule) == (60 * (0.25 + 2 + 2 + 3), "PCU-site")


def test_class_counts_of_a_detector_need_a_unit_for_each():
    one = site("traffic", "vehicle_count", "vehicle_count_c1", "vehicle_count_c2")
    a = record(one, "15m", DAY0, vehicle_count__sum=30.0, vehicle_count_c1__sum=20.0, vehicle_count_c2__sum=10.0)
    assert "pcu_flow" not in named(Figures([one], {"d": {"pcu_c1": 0.5}}).attach(a))
    found = named(Figures([one], {"d": {"pcu_c1": 0.5, "pcu_c2": 2.0}}).attach(a))
    assert found["pcu_flow"].value == 4 * 30.0


def test_density_from_occupancy_where_no_speed_is_known():
    one = site("traffic", "vehicle_count", "occupancy")
    a = record(one, "1m", DAY0, vehicle_count__sum=10.0, occupancy__mean=10.0)
    assert "density" not in named(Figures([one]).attach(a))
    found = named(Figures([one], {"d": {"vehicle_length": 4.5, "detector_length": 2.0}}).attach(a))
    assert found["density"].value == pytest.approx(100 / 6.5, abs=1e-6)


@pytest.mark.parametrize(
    ("counts", "covered", "fault"),
    [([5] * 15, [9.0, 8.0] * 8, 0), ([0] * 15, [0.0] * 16, 1), ([5] * 14 + [80], [9.0, 8.0] * 8, 2),
     ([5] * 15, [9.0] * 5 + [100.0] * 3 + [9.0] * 8, 3), ([5] * 15, [9.0] * 16, 4)],
)  # fmt: skip
def test_a_detectors_fault_in_the_quarter(counts, covered, fault):
    one, hours_before = site("traffic", "vehicle_count", "occupancy"), 25
    figures = Figures([one])
    for k in range(hours_before):
        at = DAY0 - (hours_before - k) * HOUR
        figures.attach(
            record(
                one, "1m", at, vehicle_count__sum=float(k < 20), occupancy__mean=covered[0] if fault == 4 else 3.0 + k
            )
        )
    for k in range(15):
        a = record(one, "1m", DAY0 + k * 60_000, vehicle_count__sum=float(counts[k]), occupancy__mean=covered[k])
        figures.attach(a)
    found = named(figures.attach(record(one, "15m", DAY0, vehicle_count__sum=float(sum(counts)))))
    assert (found["detector_fault"].value, found["detector_fault"].rule) == (float(fault), "IRIS")


@pytest.mark.parametrize(("stuck", "health"), [(False, (1.0, 0)), (True, (0.0, 1))])
def test_a_detectors_day(stuck, health):
    one = site("traffic", "vehicle_count", "occupancy")
    figures = Figures([one])
    for k in range(1440):
        occupancy = 7.0 if stuck else 5.0 + (k * 37 % 997) / 100
        figures.attach(record(one, "1m", DAY0 + k * 60_000, vehicle_count__sum=8.0, occupancy__mean=occupancy))
    found = named(figures.attach(record(one, "1d", DAY0, vehicle_count__sum=8.0 * 1440)))["detector_health"]
    assert (found.value, found.level) == health
    assert (found.rule, found.coverage) == ("PeMS-2003", 1.0)


def test_gases_in_mass_and_corrected_particles_stand_beside_the_raw_value():
    one = site("air", "pm2_5", "humidity", "o3", "co")
    a = record(one, "1h", DAY0, pm2_5__mean=50.0, humidity__mean=80.0, o3__mean=50.0, co__mean=1.0)
    plain = named(Figures([one]).attach(a))
    assert plain["o3_mass"].value == pytest.approx(98.1, abs=0.1)
    assert plain["co_mass"].value == pytest.approx(1145, abs=1)
    assert plain["o3_mass"].rule == "25C-1013.25hPa"
    assert not {"pm2_5_corrected", "pm2_5_dry"} & plain.keys()
    found = named(Figures([one], {"d": {"barkjohn": 2021.0, "kappa": 0.4}}).attach(a))
    assert found["pm2_5_corrected"].value == pytest.approx(0.524 * 50 - 0.0862 * 80 + 5.75)
    assert found["pm2_5_dry"].value == pytest.approx(50 / (1 + 0.4 / 1.65 / (100 / 80 - 1)), abs=1e-6)


def test_the_old_thai_table_on_request_and_a_gas_measured_in_mass():
    one = site("air", "pm2_5", "no2_mass")
    figures, found = Figures([one], {"d": {"aqi_th_2018": 1.0}}), {}
    for k in range(24):
        found = named(figures.attach(record(one, "1h", DAY0 + k * HOUR, pm2_5__mean=37.0, no2_mass__mean=200.0)))
    assert (found["aqi_th_2018_pm2_5"].value, found["aqi_th_2018_pm2_5"].rule) == (50, "TH2018")
    assert found["aqi_th_no2"].value == 50  # 106 ppb: the head of its second level


@pytest.mark.parametrize("gas", ["o3", "no2", "so2"])
def test_a_sensor_of_one_gas_in_mass_has_the_index_of_the_gas(gas):
    """Such a device has no other point of air: its mass alone brings the figures."""
    one = site("air", f"{gas}_mass")
    assert point(f"{gas}_mass").unit == "ug/m3"
    figures, found = Figures([one]), {}
    for k in range(8):
        found = named(figures.attach(record(one, "1h", DAY0 + k * HOUR, **{f"{gas}_mass__mean": 100.0})))
    assert {"aqi_th", "aqi_us"} <= set(found)
