"""Records as JSON: the forms of contracts.md, and what must never stand in them."""

import json
from math import inf, isfinite, nan

from hypothesis import given
from hypothesis import strategies as st
from sink_cases import AIR, EPOCH, METER, SITE, T0_MS, TRAFFIC, event, raw, window

from drivers.sample import Code
from gateway.clock import rfc3339
from gateway.reading import Aggregate
from gateway.record import Record
from gateway.sinks import announce
from gateway.sinks.payload import Payload


def form(record, **more):
    return json.loads(Payload(**more).encode(record))


def test_a_good_poll_is_time_identity_and_values():
    assert form(raw(1)) == {
        "t": "2026-11-21T02:00:01.000Z",
        "epoch": EPOCH,
        "seq": 1,
        "v": {"pm2_5": 12.0, "pm10": 18.0},
    }


def test_an_uncertain_value_stands_and_says_why():
    found = form(raw(1, codes=(0, Code.STUCK)))
    assert found["v"] == {"pm2_5": 12.0, "pm10": 18.0}
    assert found["q"] == {"pm10": "u:stuck"}


def test_a_rejected_number_stands_in_bad_only():
    found = form(raw(1, values=(12.0, 6553.5), codes=(0, Code.SENTINEL)))
    assert (found["v"], found["q"], found["bad"]) == ({"pm2_5": 12.0}, {"pm10": "b:sentinel"}, {"pm10": 6553.5})


def test_a_failed_poll_has_no_value_and_one_reason():
    found = form(raw(1, values=(nan, nan), codes=(Code.TIMEOUT, Code.TIMEOUT)))
    assert (found["v"], found["q"]) == ({}, {"*": "b:timeout"})
    assert "bad" not in found


def test_a_number_that_is_none_is_absent_whatever_its_code_says():
    found = form(raw(1, values=(nan, 18.0)))
    assert (found["v"], found["q"]) == ({"pm10": 18.0}, {"pm2_5": "b:absent"})


def test_rev_prev_and_late_stand_only_where_they_apply():
    assert {"rev", "prev", "late"}.isdisjoint(form(raw(1)))
    found = form(raw(1, rev=2, prev=("00000029-0001", 77), late=True))
    assert (found["rev"], found["prev"], found["late"]) == (2, ["00000029-0001", 77], True)


def test_a_window_has_the_statistics_of_its_kinds_and_its_own_shares():
    found = form(window(1))
    assert (found["t"], found["end"]) == ("2026-11-21T03:00:00.000Z", "2026-11-21T04:00:00.000Z")
    assert (found["n"], found["coverage"]) == (3600, 1.0)
    assert found["v"]["pm2_5"] == {"mean": 12.1, "min": 11.0, "max": 14.0, "std": 0.6, "p50": 12.0, "p95": 13.8}
    assert found["v"]["pm10"] == {
        "mean": 18.0, "min": 17.0, "max": 19.0, "p50": 18.0, "p95": 18.9, "n": 1800, "coverage": 0.5,
    }  # fmt: skip
    assert found["q"] == {"pm10": "b:range+u:stuck"}
    assert found["i"] == {
        "aqi_th": {"value": 20.0, "level": 1, "rule": "TH2023", "span": "24h", "coverage": 0.88}
    }  # fmt: skip


def test_counters_and_counts_have_their_own_statistics():
    body = Aggregate(METER, "1m", T0_MS, T0_MS + 60000, 60, 1.0, ((70.5, 0.25), ()), (60, 0), ((), (207,)))
    found = form(Record("meter", "1m", T0_MS, EPOCH, 1, body))
    assert found["v"] == {"energy_import": {"last": 70.5, "delta": 0.25}}
    assert found["q"] == {"voltage_l1": "b:absent"}
    body = Aggregate(TRAFFIC, "1m", T0_MS, T0_MS + 60000, 3, None, ((3.0,), (50.0,) * 6), (3, 3), ((), ()))
    found = form(Record("road-lane1", "1m", T0_MS, EPOCH, 1, body))
    assert found["v"]["vehicle_count"] == {"sum": 3.0}
    assert "coverage" not in found


def test_a_gap_names_its_hole():
    found = form(
        event(9, type="gap", stream="raw", reason="full", n=3, epoch="00000001-aaaa", seq=[4, 6], limit=nan)
    )  # fmt: skip
    assert (found["type"], found["seq"], found["epoch"], found["n"]) == ("gap", [4, 6], "00000001-aaaa", 3)
    assert found["text"] == {"en": "Full", "th": "เต็ม"}
    assert "limit" not in found


def test_a_sink_that_chooses_points_sends_no_other():
    assert form(raw(1), points=("*", "!pm10"))["v"] == {"pm2_5": 12.0}
    failed = raw(1, values=(1.0, nan), codes=(Code.SUSPECT, Code.CRC))
    assert form(failed, points=("pm2_5",))["q"] == {"*": "u:suspect"}
    assert form(window(1), points=("pm10",))["v"].keys() == {"pm10"}


numbers = st.floats() | st.sampled_from([0.0, -1.0, 65535.0, nan, inf])
codes = st.sampled_from([int(code) for code in Code])


@given(st.lists(st.tuples(numbers, codes), min_size=2, max_size=2))
def test_no_bad_number_ever_stands_in_v(pairs):
    found = form(raw(1, values=[x for x, _ in pairs], codes=[code for _, code in pairs]))
    q = found.get("q", {})
    for point, (value, code) in zip(AIR.points, pairs, strict=True):
        good = code < 200 and isfinite(value)
        assert (point.name in found["v"]) is good
        if good:
            assert found["v"][point.name] == value
        reason = q.get(point.name, q.get("*", ""))
        assert reason.startswith("u:" if good and code else "b:" if not good else "")
        assert bool(reason) is not (good and code == 0)
        assert found.get("bad", {}).get(point.name, value) == value or not isfinite(value)


@given(st.integers(min_value=0, max_value=4_000_000_000_000))
def test_times_have_three_decimals_and_z(t_ms):
    text = rfc3339(t_ms)
    assert len(text) == 24
    assert text.endswith("Z")
    assert text[19] == "."
    assert int(text[20:23]) == t_ms % 1000


def test_meta_says_who_and_what():
    found = json.loads(announce.meta(SITE))
    assert (found["schema"], found["id"], found["city"]) == (1, "kkc-0412", "khon-kaen")
    assert found["devices"] == ["air-north", "road-lane1", "meter"]
    about = json.loads(announce.device_meta(SITE, AIR))
    assert about["points"]["pm2_5"] == {
        "unit": "ug/m3",
        "kind": "gauge",
        "resolution": AIR.points[0].resolution,
        "limits": {},
    }
    assert (about["every_s"], about["serial"], about["name"]["th"]) == (1.0, "A1", "เหนือ")
    lane = json.loads(announce.device_meta(SITE, TRAFFIC))
    assert lane["lane"]["n"] == 1
    assert "every_s" not in lane


def test_the_will_has_no_time():
    assert json.loads(announce.status(SITE, state="offline")) == {
        "state": "offline", "epoch": EPOCH, "version": "0.1.0", "boot": "5f0c",
    }  # fmt: skip
    assert json.loads(announce.status(SITE, state="online", t_ms=T0_MS))["t"] == "2026-11-21T02:00:00.000Z"
