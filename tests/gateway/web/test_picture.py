"""What the page shows: bad values never stand as values, gaps stay gaps, changes are told once."""

import math

from hypothesis import given
from hypothesis import strategies as st

from gateway.web.bins import COUNT, STEP_MS, Bins
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
    picture.quiet("g", ["509"])
    assert list(picture.alarms) == ["g/509"]


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
