"""What the page shows: bad values never stand as values, gaps stay gaps, changes are told once."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import rfc3339
from gateway.reading import LENGTHS_S
from gateway.web.bins import COUNT, STEP_MS, Bins
from gateway.web.export import latest_csv, rows
from gateway.web.headline import lead
from gateway.web.labels import times_ms
from gateway.web.metrics import text
from gateway.web.page import front, stale
from gateway.web.picture import ALARMS_MAX, Picture

AIR = {"kind": "air", "every_s": 1.0, "points": {"pm2_5": {"unit": "ug/m3", "digits": 0}, "pm10": {"unit": "ug/m3"}}}
T = "2026-11-21T02:13:0{}.000Z"


def raw(second, v, q=None):
    return {"device": "a", "stream": "raw", "t": T.format(second), "v": v, "q": q or {}}


def fresh():
    picture = Picture()
    picture.gateway("g", {"up": True})
    picture.device("g", "a", facts=AIR)
    picture.take()
    return picture


def test_a_change_is_told_once_and_only_it():
    picture = fresh()
    picture.reading("g", raw(1, {"pm2_5": 12.0, "pm10": 15.0}))
    told = picture.take()
    assert set(told) == {"devices"}
    assert told["devices"]["g/a"]["v"] == {"pm2_5": 12.0, "pm10": 15.0}
    assert "points" not in told["devices"]["g/a"]
    assert picture.take() == {}


def test_a_failed_poll_takes_the_values_away():
    picture = fresh()
    picture.reading("g", raw(1, {"pm2_5": 12.0, "pm10": 15.0}))
    picture.reading("g", raw(2, {}, {"*": "b:timeout"}))
    shown = picture.snapshot()["devices"]["g/a"]
    assert shown["v"] == {}
    assert shown["state"] == "failed"
    assert shown["q"] == {"*": "b:timeout"}


def test_an_older_record_and_a_longer_window_do_not_replace_the_newest():
    picture = fresh()
    picture.reading("g", raw(5, {"pm2_5": 12.0}))
    picture.reading("g", raw(4, {"pm2_5": 99.0}))
    minute = {"device": "a", "stream": "1m", "t": T.format(0), "end": "2026-11-21T02:14:00.000Z"}
    picture.reading("g", minute | {"v": {"pm2_5": {"mean": 88.0}}})
    assert picture.snapshot()["devices"]["g/a"]["v"] == {"pm2_5": 12.0}


NOW_MS = times_ms(T.format(9))
NUMBERED = {"epoch": "0000002a-9f3c"}


def stepped():
    """An hour ahead, then the clock was set right."""
    picture = Picture(lambda: NOW_MS)
    picture.device("g", "a", facts=AIR)
    ahead = raw(0, {"pm2_5": 230.0}) | {"t": "2026-11-21T03:13:00.000Z"}
    return picture, ahead


def test_after_a_backward_step_of_the_clock_the_newer_record_is_shown():
    for more in (NUMBERED, {}):  # by its number; and where nothing numbers it, as the one shown is from the future
        picture, ahead = stepped()
        picture.reading("g", ahead | more | {"seq": 7})
        picture.reading("g", raw(8, {"pm2_5": 0.0}) | more | {"seq": 8})
        assert picture.snapshot()["devices"]["g/a"]["v"] == {"pm2_5": 0.0}
        picture.reading("g", ahead | more | {"seq": 6} if more else raw(7, {"pm2_5": 5.0}))  # late, not new
        assert picture.snapshot()["devices"]["g/a"]["v"] == {"pm2_5": 0.0}
        assert picture.snapshot()["devices"]["g/a"]["spark"]["y"][-1] == 0.0


def test_a_new_epoch_is_newer_and_a_card_set_up_again_is_not_locked_out():
    picture, _ = stepped()
    picture.reading("g", raw(5, {"pm2_5": 1.0}) | NUMBERED | {"seq": 900})
    picture.reading("g", raw(4, {"pm2_5": 2.0}) | {"epoch": "0000002b-0000", "seq": 1})
    assert picture.snapshot()["devices"]["g/a"]["v"] == {"pm2_5": 2.0}
    picture.reading("g", raw(3, {"pm2_5": 3.0}) | NUMBERED | {"seq": 901})
    assert picture.snapshot()["devices"]["g/a"]["v"] == {"pm2_5": 2.0}
    picture.reading("g", raw(6, {"pm2_5": 4.0}) | {"epoch": "00000001-1111", "seq": 1})
    assert picture.snapshot()["devices"]["g/a"]["v"] == {"pm2_5": 4.0}


def test_a_record_from_the_future_is_no_value_of_now():
    picture, ahead = stepped()
    picture.reading("g", ahead | NUMBERED | {"seq": 7})
    assert stale(picture.devices["g/a"], NOW_MS)
    body = front(picture, lang="en", now_ms=NOW_MS, chart=False)
    assert "its time lies ahead of now (" in body
    assert "too old" in body
    told = text(picture, now_ms=NOW_MS, streams=0, refused={})
    assert 'citygate_device_stale{gateway="g",device="a",kind="air"} 1' in told
    assert picture.snapshot()["devices"]["g/a"]["spark"] is None


def test_the_sparkline_goes_back_with_the_clock():
    bins = Bins()
    for number in (100, 101, 102):
        bins.add(number * STEP_MS, float(number))
    bins.add(101 * STEP_MS, 7.0)
    assert bins.shown()["y"][-3:] == [None, 100.0, 7.0]
    bins.add(10_000 * STEP_MS, 1.0)
    bins.add(102 * STEP_MS, 8.0)
    assert [value for value in bins.shown()["y"] if value is not None] == [8.0]


def test_a_figure_of_a_shorter_window_wins_and_an_old_one_gives_way():
    picture = fresh()
    line = {"device": "a", "v": {}, "stream": "15m", "t": "2026-11-21T02:00:00.000Z", "end": "2026-11-21T02:15:00.000Z"}
    picture.window("g", line | {"i": {"flow": {"value": 1.0}}})
    picture.window("g", line | {"stream": "1m", "end": "2026-11-21T02:16:00.000Z", "i": {"flow": {"value": 2.0}}})
    picture.window("g", line | {"i": {"flow": {"value": 3.0}}})
    assert picture.snapshot()["devices"]["g/a"]["figures"]["flow"]["value"] == 2.0
    picture.window("g", line | {"end": "2026-11-21T03:00:00.000Z", "i": {"flow": {"value": 4.0}}})
    assert picture.snapshot()["devices"]["g/a"]["figures"]["flow"]["value"] == 4.0


def test_a_window_of_seconds_tells_no_figure():
    picture = fresh()
    line = {"device": "a", "v": {}, "stream": "1m", "t": "2026-11-21T02:00:00.000Z", "end": "2026-11-21T02:01:00.000Z"}
    picture.window("g", line | {"i": {"flow": {"value": 240.0}}})
    picture.window("g", line | {"stream": "5s", "end": "2026-11-21T02:01:05.000Z", "i": {"flow": {"value": 720.0}}})
    assert picture.snapshot()["devices"]["g/a"]["figures"]["flow"]["value"] == 240.0


def test_alarms_come_go_and_are_bounded():
    picture = fresh()
    line = {"id": "x", "state": "raised", "code": "CG-BUS-01", "t": T.format(1), "level": 2, "text": {"en": "silent"}}
    picture.event("g", line)
    assert picture.take()["alarms"][0]["code"] == "CG-BUS-01"
    picture.event("g", line | {"state": "cleared"})
    assert picture.take()["alarms"] == []
    for number in range(ALARMS_MAX + 10):
        picture.event("g", line | {"id": str(number)})
    assert len(picture.alarms) == ALARMS_MAX
    assert picture.left == {"alarms": 10}
    picture.quiet("g", ["509"])
    assert list(picture.alarms) == ["g/509"]


def test_of_too_many_alarms_the_lowest_levels_go_first():
    picture = fresh()
    line = {"state": "raised", "code": "CG-BUS-01", "t": T.format(1)}
    picture.event("g", line | {"id": "first", "level": 3})
    for number in range(ALARMS_MAX + 5):
        picture.event("g", line | {"id": str(number), "level": 1})
    picture.event("g", line | {"id": "last", "level": 2})
    assert {"g/first", "g/last"} <= set(picture.alarms)
    assert len(picture.alarms) == ALARMS_MAX
    picture.event("g", line | {"id": "0", "level": 1})  # the newest of the lowest goes too, not one above it
    assert {"g/first", "g/last"} <= set(picture.alarms)


HOUR_MS = 3_600_000
LENGTH_S = st.sampled_from(["1m", "15m", "1h"])
WINDOWS = st.lists(
    st.tuples(LENGTH_S, st.integers(0, 40), st.sets(st.sampled_from(["aqi_th", "flow", "los"]))), max_size=40
)


@given(WINDOWS)
def test_figures_are_those_of_the_newest_window_of_their_length(windows):
    picture = fresh()
    newest = {}
    for number, (stream, at, names) in enumerate(windows):
        step_s = LENGTHS_S[stream]
        end = rfc3339(NOW_MS + at * step_s * 1000)
        line = {"device": "a", "stream": stream, "t": rfc3339(NOW_MS + (at - 1) * step_s * 1000), "end": end, "v": {}}
        picture.window("g", line | {"i": {name: {"value": float(number)} for name in names}})
        if end >= newest.get(step_s, ("",))[0]:
            newest[step_s] = end, names
    for name, figure in picture.devices["g/a"].figures.items():
        end, names = newest[figure["step"]]
        assert (figure["end"], name in names) == (end, True)


@given(WINDOWS, st.integers(-HOUR_MS, 50 * HOUR_MS))
def test_a_figure_ends_by_itself_after_two_windows(windows, later_ms):
    picture = fresh()
    for stream, at, names in sorted(windows):
        end = rfc3339(NOW_MS + at * LENGTHS_S[stream] * 1000)
        line = {"device": "a", "stream": stream, "t": T.format(0), "end": end, "v": {}}
        picture.window("g", line | {"i": {name: {"value": 1.0} for name in names}})
    told = text(picture, now_ms=NOW_MS + later_ms, streams=0, refused={})
    for name, figure in picture.devices["g/a"].figures.items():
        old = abs(NOW_MS + later_ms - times_ms(figure["end"])) > 2000 * figure["step"]
        assert (f'figure="{name}"' in told) != old


def test_a_figure_of_this_morning_is_not_told_in_the_evening():
    """Seen: the AQI of 01:00 stood 19 hours without one later."""
    picture = fresh()
    hour = {"device": "a", "stream": "1h", "v": {"pm10": {"mean": 30.0}}}
    at = "2026-11-21T{:02}:00:00.000Z"
    figure = {"value": 35, "level": 2, "rule": "TH2023", "span": "24h", "coverage": 0.9}
    picture.window("g", hour | {"t": at.format(0), "end": at.format(1), "i": {"aqi_th": figure}})
    assert picture.devices["g/a"].figures
    picture.take()
    picture.window("g", hour | {"t": at.format(1), "end": at.format(2)})
    assert picture.devices["g/a"].figures == {}
    assert picture.take()["devices"]["g/a"]["figures"] == {}
    picture.window("g", hour | {"t": at.format(0), "end": at.format(1), "rev": 1, "i": {"aqi_th": figure}})  # late
    assert picture.devices["g/a"].figures == {}


def test_metrics_and_open_data_do_not_give_the_last_value_again():
    picture = fresh()
    picture.reading("g", raw(1, {"pm2_5": 12.0, "pm10": 15.0}))
    picture.window("g", {"device": "a", "stream": "1h", "t": T.format(0), "end": T.format(0), "v": {}, "i": FLOW})
    for later_ms, there in ((0, True), (60_000, False)):
        told = text(picture, now_ms=NOW_MS - 7000 + later_ms, streams=0, refused={})
        assert ("citygate_value{" in told) is there
        assert ("citygate_figure{" in told) is there
        row = next(iter(rows(picture, NOW_MS - 7000 + later_ms)))
        assert (row["value"], row["quality"]) == ((12.0, "") if there else (None, "b:stale"))
    assert 'citygate_device_stale{gateway="g",device="a",kind="air"} 1' in told


FLOW = {"flow": {"value": 444.0}}


def test_a_personal_device_is_not_in_the_open_data():
    picture = fresh()
    picture.device("g", "flat-12", facts=AIR | {"personal": True})
    for ident in ("a", "flat-12"):
        picture.reading("g", raw(9, {"pm2_5": 12.0}) | {"device": ident})
    assert {row["device"] for row in rows(picture, NOW_MS)} == {"a"}
    assert "flat-12" not in latest_csv(picture, now_ms=NOW_MS)
    assert set(picture.snapshot()["devices"]) == {"g/a", "g/flat-12"}  # the operator's page shows it


def test_a_failed_device_keeps_its_last_values_apart_with_their_time():
    picture = fresh()
    picture.reading("g", raw(1, {"pm2_5": 12.0, "pm10": 15.0}))
    assert "last" not in picture.snapshot()["devices"]["g/a"]
    for second in (2, 3):
        picture.reading("g", raw(second, {}, {"*": "b:timeout"}))
        shown = picture.snapshot()["devices"]["g/a"]
        assert (shown["v"], shown["t"]) == ({}, T.format(second))
        assert shown["last"] == {"t": T.format(1), "v": {"pm2_5": 12.0, "pm10": 15.0}}
    body = front(picture, lang="en", now_ms=NOW_MS - 6000, chart=False)
    assert "no data for 2 s (last: PM2.5 12 ug/m3; PM10 15 ug/m3)" in body
    assert "<td>2 s</td>" in body  # the age of the value, not that of the failure


@pytest.mark.parametrize(
    ("streams", "window"),
    [(["raw", "1m", "15m", "1h"], "15m"), (["10s"], "10s"), (["1m", "1h"], "1m"), (["1h", "event"], ""), (None, "15m")],
)
def test_24_hours_are_of_the_longest_windows_up_to_15_minutes(streams, window):
    picture = Picture(lambda: NOW_MS)
    picture.device("g", "a", facts=AIR | {"streams": streams})
    assert picture.snapshot()["devices"]["g/a"]["window"] == window
    for stream, step_s in LENGTHS_S.items():
        for number in range(5, 0, -1):
            begin = rfc3339(NOW_MS // STEP_MS * STEP_MS - number * step_s * 1000)
            v = {"pm2_5": {"mean": float(step_s)}}
            picture.window("g", {"device": "a", "stream": stream, "t": begin, "end": begin, "v": v})
    spark = picture.snapshot()["devices"]["g/a"]["spark"]
    assert {one for one in (spark or {"y": []})["y"] if one is not None} == ({LENGTHS_S[window]} if window else set())


@given(st.lists(st.tuples(st.integers(0, 400), st.floats(-1e3, 1e3)), min_size=1, max_size=60))
def test_parts_of_a_quarter_make_its_mean_in_any_order(parts):
    bins = Bins()
    for quarter, value in parts:
        bins.mix(quarter * STEP_MS + 60_000, value)
    last = max(quarter for quarter, _ in parts)
    seen_last = -1
    kept = []
    for quarter, value in parts:  # what is older than 24 h before the newest of its time was not taken
        if quarter > seen_last - COUNT:
            kept.append((quarter, value))
        seen_last = max(seen_last, quarter)
    for at, shown in zip(range(last - COUNT + 1, last + 1), bins.shown()["y"], strict=True):
        held = [value for quarter, value in kept if quarter == at]
        assert (shown is None) == (not held)
        if held:
            assert math.isclose(shown, sum(held) / len(held), rel_tol=1e-3, abs_tol=1e-3)


def test_a_broker_of_short_windows_alone_fills_the_page():
    picture = Picture(lambda: NOW_MS)
    picture.device("g", "a", facts=AIR | {"streams": ["10s"]})
    line = {"device": "a", "stream": "10s", "t": T.format(0), "end": T.format(9), "v": {"pm2_5": {"mean": 4.0}}}
    picture.reading("g", line)
    assert picture.snapshot()["devices"]["g/a"]["v"] == {"pm2_5": 4.0}


def test_without_javascript_too_an_alarm_stands_with_its_cause():
    picture = fresh()
    line = {"state": "raised", "code": "CG-BUS-01", "t": T.format(1), "level": 2}
    picture.event("g", line | {"id": "wire", "text": {"en": "the wire is dead"}})
    for number in range(3):
        picture.event("g", line | {"id": str(number), "text": {"en": "silent"}, "folded_into": "wire"})
    picture.event("g", line | {"id": "x", "text": {"en": "alone"}, "folded_into": "gone"})
    body = front(picture, lang="en", now_ms=NOW_MS, chart=False)
    assert "the wire is dead, and 3 more from the same cause" in body
    assert "silent" not in body
    assert "alone" in body


def test_unknown_devices_are_not_made_up():
    picture = fresh()
    picture.reading("g", {"device": "b", "stream": "raw", "t": T.format(1), "v": {"x": 1.0}})
    assert set(picture.devices) == {"g/a"}


@given(st.lists(st.tuples(st.integers(0, 300), st.floats(-1e6, 1e6)), max_size=60))
def test_the_sparkline_holds_means_of_its_quarters_and_nothing_else(readings):
    readings.sort(key=lambda pair: pair[0])
    bins = Bins()
    for quarter, value in readings:
        bins.add(quarter * STEP_MS + 5, value)
    if not readings:
        assert bins.shown() is None
        return
    last = readings[-1][0]
    y = bins.shown()["y"]
    assert len(y) == COUNT
    for at, shown in zip(range(last - COUNT + 1, last + 1), y, strict=True):
        held = [value for quarter, value in readings if quarter == at]
        assert (shown is None) == (not held)
        if held:
            assert math.isclose(shown, sum(held) / len(held), rel_tol=1e-4, abs_tol=1e-4)


def test_history_behind_live_fills_the_past():
    bins = Bins()
    bins.add(100 * STEP_MS, 5.0)
    bins.put(98 * STEP_MS, 3.0)
    bins.put(2 * STEP_MS, 1.0)  # older than 24 h
    assert bins.shown()["y"][-3:] == [3.0, None, 5.0]
    assert sum(value is not None for value in bins.shown()["y"]) == 2


def test_the_leading_points():
    assert lead("energy", ["frequency", "power_active", "voltage_l1", "x"]) == [
        "power_active",
        "voltage_l1",
        "frequency",
    ]
    assert lead("new-kind", ["a", "b", "c", "d", "e"]) == ["a", "b", "c", "d"]
    assert times_ms("1970-01-01T00:00:01.000Z") == 1000


@pytest.mark.parametrize(
    ("facts", "up"),
    [
        ({"state": "up", "lane": "both"}, 1), ({"state": "up", "lane": "catching-up"}, 1), ({"state": "up"}, 1),
        ({"state": "both"}, 1), ({"state": "catching-up"}, 1), ({"state": "live"}, 1),  # gateways before the lane
        ({"state": "down"}, 0), ({"state": "connecting"}, 0), ({"state": "stopped"}, 0), ({}, 0),
    ],
)  # fmt: skip
def test_a_sink_that_catches_up_is_up(facts, up):
    picture = fresh()
    picture.gateway("g", {"sinks": {"broker": facts}})
    told = text(picture, now_ms=NOW_MS, streams=0, refused={})
    assert f'citygate_sink_up{{gateway="g",sink="broker"}} {up}\n' in told
