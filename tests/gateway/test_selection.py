"""What a sink takes: by stream, device, kind, points and personal data; raw thinned to one poll a slot."""

import random
from dataclasses import replace

import pytest
from made_records import event, raw, series, window

from gateway.config import Sink
from gateway.selection import Selection


def selection(**keys):
    return Selection(Sink(kind="memory", **keys), personal=frozenset({"flat-12"}))


def test_streams_devices_kinds_and_personal_data():
    meter, flat = series("meter"), series("flat-12")
    every = selection(streams=("raw", "1m", "event"))
    assert every.selects(raw(meter, 1))
    assert every.selects(window(meter, 60_000))
    assert every.selects(event(1))
    assert not every.selects(raw(flat, 1))
    assert selection(streams=("raw",), devices=("*", "flat-12")).selects(raw(flat, 1))
    assert not selection(streams=("raw",), devices=("*", "!meter")).selects(raw(meter, 1))
    assert not selection(streams=("raw",), kinds=("air",)).selects(raw(meter, 1))
    assert not selection(streams=("1h",)).selects(raw(meter, 1))
    assert not every.selects(raw(meter, 1, estimated=True))


def test_a_personal_device_goes_out_only_by_its_own_name_or_its_whole_devices():
    for devices, taken in (
        (("*", "flat"), False), (("flat-*",), False), (("*", "flat-12"), True), (("flat-12",), True),
    ):  # fmt: skip
        assert selection(streams=("raw",), devices=devices).selects(raw(series("flat-12"), 1)) is taken, devices
    lanes = frozenset({"door", "door-lane1", "door-ch2"})
    for name in sorted(lanes):
        for devices, taken in (
            (("*",), False),
            (("*", "door"), True),
            (("*", "door-lane"), False),
            (("*", name), True),
        ):
            one = Selection(Sink(kind="memory", streams=("raw",), devices=devices), personal=lanes)
            assert one.selects(raw(series(name), 1)) is taken, (name, devices)


def test_raw_every_keeps_one_poll_a_slot():
    thin = selection(streams=("raw",), raw_every="10s")
    meter = series()
    kept = [t_ms for t_ms in range(250, 60_250, 1000) if not thin.thinned(raw(meter, t_ms))]
    assert kept == [250, 10_250, 20_250, 30_250, 40_250, 50_250]


@pytest.mark.parametrize("phase_ms", [250, 500, 700, 950, 980])
@pytest.mark.parametrize("every_ms", [1000, 2000, 10_000])
def test_late_and_early_answers_make_no_slot_empty_or_double(phase_ms, every_ms):
    """Polls of a wire begin a quarter behind the second at the earliest; answers take some time, and it varies."""
    dice = random.Random(phase_ms)
    thin = selection(streams=("raw",), raw_every="1m")
    meter = replace(series(), every_ms=every_ms)
    times = [at + phase_ms + round(max(0.0, dice.gauss(25, 12))) for at in range(0, 3_600_000, every_ms)]
    kept = [t_ms for t_ms in times if not thin.thinned(raw(meter, t_ms))]
    assert [t_ms // 60_000 for t_ms in kept] == list(range(60))


def test_a_device_without_a_chosen_point_is_not_selected():
    some = selection(streams=("raw",), points=("*", "!voltage_*"))
    assert some.selects(raw(series("meter"), 1))
    assert not some.selects(raw(series("plain", points=("voltage_l1",)), 1))
