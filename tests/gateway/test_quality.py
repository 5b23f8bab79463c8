"""Quality: the worst code wins, nothing is improved or deleted, and each check marks what it is for."""

import math
from dataclasses import replace
from datetime import datetime
from itertools import accumulate
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.points import Point, point
from drivers.profile import load, shipped
from drivers.sample import Code
from gateway.calibration import Curve
from gateway.config import Calibration, Config
from gateway.config.options import names
from gateway.fitting import judged
from gateway.inventory import described, inventory
from gateway.quality import Judge, Overrides, Thresholds, option_names
from gateway.reading import Reading, Series
from gateway.sinks import Site
from gateway.sinks.announce import device_meta

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


def test_the_thresholds_of_every_profile_are_known_options():
    for name in shipped():
        profile = load(name)
        points = {p.name for part in ("", "lane1", "ch1") for p in profile.points(part)}
        assert profile.quality.keys() <= names(points), name


def test_totals_are_checked_where_asked():
    one = series(*(point("power_active" + phase) for phase in ("", "_l1", "_l2", "_l3")))
    judge = Judge([one], {"dev": Overrides({}, total_share=0.05)})
    assert judge.judge(reading(one, [300.0, 100.0, 100.0, 98.0])).codes == (0, 0, 0, 0)
    assert judge.judge(reading(one, [300.0, 100.0, 100.0, -100.0])).codes == (107,) * 4, "a reversed transformer"
    assert judge.judge(reading(one, [300.0, 100.0, 100.0, NAN], [0, 0, 0, 205])).codes == (0, 0, 0, 205)


def test_classes_may_be_fewer_than_all_vehicles_but_not_more():
    one = series(*(point(name) for name in ("vehicle_count", "vehicle_count_c1", "vehicle_count_c2")))
    judge = Judge([one], {"dev": Overrides({}, total_share=0.0)})
    assert judge.judge(reading(one, [10.0, 4.0, 3.0])).codes == (0, 0, 0)
    assert judge.judge(reading(one, [10.0, 8.0, 3.0])).codes == (107,) * 3


# --- registers that leap


def _meter(rows, **given):
    one = series(point("energy_import"))
    judge = Judge([one], {"dev": Overrides({}, **given)})
    return [judge.judge(reading(one, [kwh], [code], t_s)).codes[0] for t_s, kwh, code in rows]


def test_a_replaced_meter_is_marked_once():
    rows = [(0, 100.0, 0), (1, 100.1, 0), (2, NAN, 201), (60, 54_321.0, 0), (61, 54_321.1, 0), (62, 3.0, 0)]
    assert _meter(rows) == [0, 0, 201, Code.JUMP, 0, 0]


def test_the_rated_power_makes_the_ceiling_tight_and_late_registers_are_no_leap():
    assert _meter([(0, 100.0, 0), (1, 400.0, 0)]) == [0, 0], "10 MW for 15 minutes could do that"
    assert _meter([(0, 100.0, 0), (1, 400.0, 0)], rated_kw=200.0) == [0, Code.JUMP]
    assert _meter([(0, 100.0, 0), (900, 150.0, 0), (901, 200.0, 0)], rated_kw=200.0) == [0, 0, 0]
    assert _meter([(0, 100.0, 0), (7200, 500.0, 0)], rated_kw=200.0) == [0, 0], "a gap of two hours"


def test_a_register_that_comes_back_from_a_fall_has_leapt():
    rows = [(0, 2500.0, 0), (1, 2500.1, 0), (2, 0.0, 0), (3, NAN, 201), (7, 0.0, 0), (8, 2500.1, 0), (9, 2500.2, 0)]
    assert _meter(rows) == [0, 0, 0, 201, 0, Code.JUMP, 0], "10 MW for 15 minutes could do that, a boot did"
    assert _meter([(0, 2500.0, 0), (1, 0.0, 0), (2, 3.0, 0), (3, 0.0, 0), (4, 2500.0, 0)])[-1] == Code.JUMP
    assert _meter([(0, 5.0, 0), (1, 0.0, 0), *((2 + k, k / 10, 0) for k in range(100))])[2:] == [0] * 100, "a reset"


# --- calibration

ZONE = ZoneInfo("Asia/Bangkok")
CERTIFICATE = {"date": "2026-05-01", "expires": "2027-04-30"}


def _curve(**more):
    return Curve.of(msgspec.convert({**CERTIFICATE, **more}, Calibration), zone=ZONE)


steps = st.lists(st.tuples(st.floats(0.5, 100), st.floats(0.5, 100)), min_size=2, max_size=6)
rising = steps.map(lambda rows: [list(row) for row in zip(*map(accumulate, zip(*rows, strict=True)), strict=True)])


@given(
    st.one_of(
        st.tuples(st.one_of(st.floats(-5, -0.2), st.floats(0.2, 5)), st.floats(-50, 50)).map(
            lambda row: {"gain": row[0], "offset": row[1]}
        ),
        rising.map(lambda table: {"table": table}),
    ),
    st.floats(-200, 800),
)
def test_the_raw_value_can_be_had_back(certificate, raw):
    curve = _curve(**certificate)
    assert curve.raw(curve.true(raw)) == pytest.approx(raw, abs=1e-6, rel=1e-9)


def test_a_table_runs_through_its_points_and_on():
    curve = _curve(table=[[0, 1], [10, 11], [20, 31]])
    assert [curve.true(x) for x in (0, 5, 10, 15, 20, 25, -5)] == [1, 6, 11, 21, 31, 41, -4]
    assert curve.doubted(21.0, 0)
    assert not curve.doubted(20.0, 0)
    assert math.isnan(curve.true(NAN))


def _calibrated(curve, rows, valid=(0, 100)):
    one = series(gauge("pm", valid=valid))
    judge = Judge([one], {"dev": Overrides({}, curves={"pm": curve})})
    found = [judge.judge(reading(one, [value], [code])) for value, code in rows]
    return [(one.values[0], one.codes[0]) for one in found]


def test_the_device_is_judged_by_its_range_and_then_calibrated():
    rows = [(10.0, 0), (101.0, 0), (7.0, 201), (99.0, 0), (0.0, 0), (50.0, 107)]
    assert _calibrated(_curve(gain=1.1, offset=-0.5), rows) == [
        (10.5, 0), (101.0, Code.RANGE), (7.0, 201), (108.4, Code.CALIBRATION), (-0.5, Code.CALIBRATION), (54.5, 107),
    ]  # fmt: skip


def test_a_direction_goes_around():
    one = series(point("wind_direction"))
    judge = Judge([one], {"dev": Overrides({}, curves={"wind_direction": _curve(offset=10.0)})})
    found = [judge.judge(reading(one, [degrees])) for degrees in (10.0, 349.0, 350.0, 355.0)]
    assert [(one.values, one.codes) for one in found] == [((d,), (0,)) for d in (20.0, 359.0, 0.0, 5.0)]
    judge = Judge([one], {"dev": Overrides({}, curves={"wind_direction": _curve(offset=-10.0)})})
    assert judge.judge(reading(one, [3.0])).values == (353.0,)


def test_a_curve_that_leads_beyond_all_numbers_is_not_believed():
    for curve in (_curve(gain=NAN), _curve(table=[[0.0, 0.0], [250.0, math.inf]])):
        assert _calibrated(curve, [(10.0, 0)]) == [(10.0, Code.RANGE)]


def test_a_certificate_ends_with_its_last_local_day():
    curve = _curve(gain=2.0)
    assert curve.ends_ms == datetime(2027, 5, 1, tzinfo=ZONE).timestamp() * 1000
    assert curve.doubted(1.0, int(curve.ends_ms))
    assert not curve.doubted(1.0, int(curve.ends_ms) - 1)


def test_from_the_config_to_the_meta():
    site = {
        "schema": 1, "gateway": {"id": "g", "city": "khon-kaen"}, "bus": {"b": {"kind": "serial", "port": "/dev/x"}},
        "device": {"pm": {"bus": "b", "profile": "plantower-pms5003",
                          "calibration": {"pm2_5": {**CERTIFICATE, "gain": 1.04, "offset": -0.8, "by": "C-17"}}}},
    }  # fmt: skip
    (item,) = inventory(msgspec.convert(site, Config))
    one = item.series[""]
    digits = {p.name: p.digits for p in one.points}
    plain = {p.name: p.digits for p in load("plantower-pms5003").points()}
    assert digits == {**plain, "pm2_5": plain["pm2_5"] + 1}, "one more decimal, so that rounding keeps the raw value"
    about = described((item,))["pm"]
    assert about["calibration"] == {"pm2_5": {"gain": 1.04, "offset": -0.8, **CERTIFICATE, "by": "C-17"}}
    site_ = Site(
        city="c", gateway="g", version="0", boot="b", epoch="0-0", config_hash="h", name={}, location=None,
        series=(one,), devices={"pm": about}, streams=("raw",),
    )  # fmt: skip
    points = msgspec.json.decode(device_meta(site_, one))["points"]
    assert points["pm2_5"]["calibration"]["gain"] == 1.04
    assert "calibration" not in points["pm10"]
    curve = _curve(gain=1.04, offset=-0.8)
    for raw in range(500):
        true = round(curve.true(float(raw)), digits["pm2_5"])
        assert round(curve.raw(true), plain["pm2_5"]) == raw


def test_the_profiles_thresholds_hold_until_the_device_overrules_them():
    def stuck_after(hours, **options):
        device = {"bus": "b", "profile": "plantower-pms5003", "options": options}
        site = {"schema": 1, "gateway": {"id": "g", "city": "khon-kaen"}, "device": {"pm": device}}
        (item,) = inventory(msgspec.convert(site, Config))
        one, judge = item.series[""], judged([item], zone=ZONE, warmup=False)
        found = [judge.judge(reading(one, [5.0] * len(one.points), None, t_s)) for t_s in (0.0, hours * 3600.0)]
        return dict(zip((p.name for p in one.points), found[-1].codes, strict=True))["pm2_5"]

    assert [stuck_after(5.9), stuck_after(6.1)] == [0, Code.STUCK]
    assert [stuck_after(6.1, pm2_5_stuck_s=36_000.0), stuck_after(0.1, pm2_5_stuck_s=60.0)] == [0, Code.STUCK]
