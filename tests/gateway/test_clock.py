"""The one door to wall time: what is believed, what is not known."""

import pytest

from gateway.clock import BUILD_MS, HORIZON_MS, FakeClock, SystemClock, rtc_agrees, set_by_battery, stamp_ms


@pytest.mark.parametrize(("answers", "believed"), [(("1",), True), (("0", "1"), True), (("0",), False), ((), False)])
def test_a_hardware_clock_counts_where_the_kernel_took_its_time_from_it(tmp_path, answers, believed):
    for number, answer in enumerate(answers):
        (tmp_path / f"rtc{number}").mkdir()
        (tmp_path / f"rtc{number}" / "hctosys").write_text(f"{answer}\n")
    assert set_by_battery(tmp_path) is believed


def test_a_time_that_is_not_trusted_is_stamped_as_unknown():
    clock = FakeClock(wall_ms=5000, trust=False)
    assert stamp_ms(clock) == 0
    clock.trust = True
    assert stamp_ms(clock) == 5000


@pytest.mark.parametrize(
    ("wall_ms", "sane"), [(0, False), (BUILD_MS, True), (HORIZON_MS, True), (HORIZON_MS + 1, False)]
)
def test_outside_the_sanity_window_no_clock_is_trusted(monkeypatch, wall_ms, sane):
    clock = SystemClock("system")
    monkeypatch.setattr(clock, "wall_ms", lambda: wall_ms)
    assert clock.trusted() is sane


def test_sleep_is_never_negative_and_does_not_move_while_awake():
    clock = SystemClock("kernel")
    before = clock.asleep_ns()
    assert 0 <= before <= clock.asleep_ns() + 10**9


@pytest.mark.parametrize(
    ("shown", "agrees"), [("1800000000", True), ("1800000001", True), ("1800000003", False), ("0", False), ("?", False)]
)
def test_a_hardware_clock_that_shows_the_same_time(tmp_path, shown, agrees):
    (tmp_path / "rtc0").mkdir()
    (tmp_path / "rtc0" / "since_epoch").write_text(shown + "\n")
    assert rtc_agrees(1_800_000_000_400, tmp_path) is agrees
