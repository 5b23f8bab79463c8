"""What the gateway tells about itself: the alarms that stand, the worst of them always."""

from dataclasses import replace

import pytest
from made_records import event

from gateway.health import RAISED_MAX, Health


@pytest.fixture
def health(tmp_path):
    return Health(
        gateway={}, series=(), state_dir=tmp_path, now_ms=lambda: 0, mono_s=lambda: 0.0, trusted=lambda: True, seen={}
    )


def alarm(ident, *, level, state="raised"):
    record = event(1000)
    return replace(record, body=replace(record.body, id=ident, level=level, state=state))


def test_of_too_many_alarms_the_lowest_levels_go_first(health):
    health.note(0, alarm("worst", level=3))
    for number in range(RAISED_MAX + 20):
        health.note(number, alarm(f"n{number}", level=1))
    health.note(0, alarm("middle", level=2))
    told = [line["id"] for line in health.snapshot()["alarms"]]
    assert len(told) == RAISED_MAX
    assert {"worst", "middle", f"n{RAISED_MAX + 19}"} <= set(told)
    assert "n0" not in told  # of one level the oldest
    health.note(0, alarm("worst", level=3, state="cleared"))
    assert "worst" not in health.raised
