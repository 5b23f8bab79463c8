"""Windows under a clock that steps, and samples that come late: nothing negative, nothing twice, no loss unseen."""

import random
from collections import defaultdict
from zoneinfo import ZoneInfo

import window_reference as ref
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.health import left_aside
from gateway.reading import LENGTHS_S, Reading
from gateway.window import Windows

BANGKOK = ZoneInfo("Asia/Bangkok")
T0 = 1_795_000_000_000 // 3_600_000 * 3_600_000
LENGTHS = ("5s", "1m", "15m", "1h", "1d")
DAY = 86_400_000


def windows_of(one, lengths=LENGTHS):
    return Windows([one], lengths, zone=BANGKOK)


def reading(one, t_ms, mono_s, value=1.0, code=0):
    return Reading(one, t_ms, int(mono_s * 1e9), (value,) * len(one.points), (code,) * len(one.points))


def last_revisions(found):
    """The newest revision of each window; asserts that no window stands twice with one revision or runs backwards."""
    newest = {}
    for a in found:
        assert a.end_ms > a.start_ms
        assert a.end_ms - a.start_ms <= LENGTHS_S[a.stream] * 1000
        key = a.stream, a.start_ms
        assert a.rev == (newest[key].rev + 1 if key in newest else 0), key
        assert a.coverage is None or 0.0 <= a.coverage <= 1.0
        newest[key] = a
    return newest


steps = st.lists(
    st.tuples(
        st.integers(1, 400),
        st.one_of(
            st.sampled_from([0, 1000, -1000, 60_000, -60_000, 3_600_000, -3_600_000, -7_200_000, DAY, -DAY, 30 * DAY]),
            st.sampled_from([3650 * DAY, -3650 * DAY]),
        ),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=20, deadline=None)
@given(plan=steps, seed=st.integers(0, 1000))
@example(plan=[(1, 0), (4, 86_400_000), (5, -7_200_000), (1, -315_360_000_000)], seed=0)  # pieces that are gone
def test_no_window_is_negative_or_doubled_and_every_sample_is_counted(plan, seed):
    """A clock stepped at random, back and forth by seconds and by years; polls every second, a close every 5 s."""
    one = ref.series(("gauge", "counter", "count"))
    windows, dice = windows_of(one), random.Random(seed)
    found, wall, mono, added = [], T0, 0, 0
    for polls, step in plan:
        for _ in range(polls):
            wall, mono = wall + 1000, mono + 1
            if dice.random() < 0.95:
                windows.add(reading(one, wall + dice.randrange(50), mono))
                added += 1
            if mono % 5 == 0:
                found += windows.close(wall)
        wall = max(wall + step, T0 - 3700 * DAY)
    for end in (wall + 2 * DAY, wall + 8000 * DAY, wall + 8002 * DAY):
        found += windows.close(end)
    newest = last_revisions(found)
    assert windows.overrun == 0
    assert sum(a.n for a in newest.values() if a.stream == "5s") + windows.too_late == added
    assert sum(a.stats[2][0] for a in newest.values() if a.stream == "5s" and a.n) + windows.too_late == added
    sizes = defaultdict(int)
    for a in newest.values():
        sizes[a.stream] += 1
    assert sizes["5s"] < 60_000  # a step of years is not filled with empty windows


def test_a_small_step_back_amends_when_the_end_has_passed_again():
    one = ref.series(("gauge",))
    windows, found = windows_of(one, ("1m",)), []
    for k in range(200):
        windows.add(reading(one, T0 + k * 1000, k))
        found += windows.close(T0 + k * 1000)
    wall = T0 + 200_000 - 90_000  # second 110 again: the window of minute 1 was issued, that of minute 3 is open
    for k in range(200):
        windows.add(reading(one, wall + k * 1000, 200 + k))
        found += windows.close(wall + k * 1000)
    assert [((a.start_ms - T0) // 60_000, a.rev, a.n) for a in found] == [
        (0, 0, 60), (1, 0, 60), (2, 0, 60), (1, 1, 70), (2, 1, 120), (3, 0, 80), (4, 0, 60),
    ]  # fmt: skip
    last_revisions(found)


def test_a_late_sample_amends_every_window_that_holds_it():
    one = ref.series(("gauge", "counter"))
    windows = windows_of(one, ("1m", "15m", "1h"))
    for k in range(0, 3600, 10):
        if k != 3590:
            windows.add(Reading(one, T0 + k * 1000, k * 10**9, (float(k), float(k)), (0, 0)))
    first = windows.close(T0 + 3_602_000)
    windows.add(Reading(one, T0 + 3_600_000, 3600 * 10**9, (3600.0, 3600.0), (0, 0)))
    windows.add(Reading(one, T0 + 3_590_000, 3590 * 10**9, (3590.0, 3590.0), (0, 0)))
    again = windows.close(T0 + 3_603_000)
    assert [(a.stream, a.rev, a.start_ms - T0) for a in again] == [
        ("1m", 1, 3_540_000), ("15m", 1, 2_700_000), ("1h", 1, 0),
    ]  # fmt: skip
    assert again[-1].stats[0][2] == 3590.0
    assert again[-1].n == first[-1].n + 1
    assert windows.too_late == 0


def test_a_late_last_value_amends_the_next_windows_counter_too():
    """What the next window counted from has changed: both together still count every unit once."""
    one = ref.series(("counter", "gauge"))
    windows = windows_of(one, ("1m",))
    for t, value in ((0, 10.0), (60, 14.0), (90, 15.0)):
        windows.add(reading(one, T0 + t * 1000, t, value))
    first = windows.close(T0 + 122_000)
    windows.add(reading(one, T0 + 50_000, 50, 13.0))
    newest = last_revisions([*first, *windows.close(T0 + 123_000)])
    assert {start - T0: (a.rev, a.stats[0], a.stats[1][4]) for (_, start), a in newest.items()} == {
        0: (1, (13.0, 3.0), 11.5),
        60_000: (1, (15.0, 2.0), 14.5),
    }


def test_what_comes_after_the_samples_are_gone_is_counted():
    one = ref.series(("gauge",))
    windows = windows_of(one, ("1m",))
    windows.add(reading(one, T0, 0))
    found = windows.close(T0 + 3_600_000)
    windows.add(reading(one, T0 + 1000, 1))
    assert windows.too_late == 1
    assert left_aside(windows, undated=2) == {"too_late": 1, "overrun": 0, "left_out": 0, "undated": 2}
    assert last_revisions([*found, *windows.close(T0 + 3_602_000)])


def test_readings_of_before_the_first_known_time_make_windows_of_their_own():
    """Back-dated ones: their windows were never issued, so they come as first issues."""
    one = ref.series(("gauge",))
    windows = windows_of(one, ("1m",))
    windows.add(reading(one, T0, 0))
    found = windows.close(T0 + 62_000)
    windows.add(reading(one, T0 - DAY, -1))
    found += windows.close(T0 + 63_000)
    assert [(a.start_ms - T0, a.rev, a.n) for a in found] == [(0, 0, 1), (-DAY, 0, 1)]
    assert windows.too_late == 0


def test_a_window_far_ahead_is_closed_at_once():
    one = ref.series(("gauge",))
    windows = windows_of(one, ("1m", "1h"))
    windows.add(reading(one, T0 + 3650 * DAY, 0))
    windows.add(reading(one, T0, 1))
    assert [a.stream for a in windows.close(T0)] == ["1m", "1h"]
    assert [a.start_ms for a in windows.close(T0 + 62_000)] == [T0]


def test_memory_is_bounded_over_days():
    one = ref.series(("gauge", "counter"), every_ms=300_000)
    windows = windows_of(one, ("1m", "15m", "1h", "1d"))
    track = windows._tracks["dev"]
    sizes = []
    for k in range(3 * 288):
        t = T0 + k * 300_000
        windows.add(Reading(one, t, k, (float(k % 7), float(k)), (0, 0)))
        if k % 3 == 0:
            windows.close(t)
        if k % 288 == 287:
            sizes.append((len(track._rows), *(len(level.held) for level in track._levels)))
    assert sizes[1] == sizes[2]
    assert max(sizes[2]) <= 72
