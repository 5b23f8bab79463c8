"""A device that talks by itself: arrival times, warm-up, repeats, acknowledgements, what is counted."""

from dataclasses import replace

import pytest
from stream_examples import EXAMPLES, ss125

from drivers.profile import load
from drivers.sample import Code
from drivers.uart import stream as stream_module
from drivers.uart.family import Cut, Facts, Family, Framer
from drivers.uart.stream import KEPT, StreamDevice

PMS = EXAMPLES[0].frame
BY_PROFILE = {example.profile: example for example in EXAMPLES}


def test_the_time_is_that_of_the_frames_first_byte():
    device = StreamDevice(load("plantower-pms5003"))
    assert device.feed(b"junk" + PMS[:10], 100) == ()
    assert device.feed(PMS[10:20], 200) == ()
    first, second = device.feed(PMS[20:] + PMS + PMS[:5], 300)
    assert (first.t_mono_ns, second.t_mono_ns) == (100, 300)
    (third,) = device.feed(PMS[5:], 400)
    assert third.t_mono_ns == 300
    (fourth,) = device.feed(PMS, 500)
    assert fourth.t_mono_ns == 500
    assert device.figures.junk_bytes == 4
    assert device.figures.frames == device.figures.samples == 4


def test_rejects_are_counted_and_the_last_ones_kept():
    device = StreamDevice(load("plantower-pms5003"))
    bad = PMS[:-1] + b"\0"
    for n in range(KEPT + 5):
        device.feed(bad, n)
    assert device.figures.rejected == {"checksum": KEPT + 5}
    assert len(device.rejected) == KEPT
    assert device.rejected[-1].data == bad
    assert device.figures.samples == 0


def test_a_pause_ends_an_unfinished_frame():
    device = StreamDevice(load("wavetronix-ss125-events"))
    frame = BY_PROFILE["wavetronix-ss125-events"].frame
    long = ss125(bytes((0x71, 0, 0)) + bytes(200))
    assert device.feed(long[:30], 0) == ()
    assert device.feed(frame, 10**9) != ()
    assert device.figures.rejected == {"truncated": 1}


def test_without_a_pause_the_frame_goes_on():
    device = StreamDevice(load("plantower-pms5003"))
    device.feed(PMS[:30], 0)
    assert len(device.feed(PMS[30:], 4 * 10**8)) == 1


def test_start_forgets_half_a_frame_and_gives_the_commands():
    device = StreamDevice(load("omnipresense-ops243"))
    line = BY_PROFILE["omnipresense-ops243"].frame
    device.feed(line[:9], 0)
    assert device.start() == (b"OJ", b"OM", b"OU")
    assert device.feed(line[9:], 1) == ()
    assert len(device.feed(line, 2)) == 1


def test_a_repeated_event_is_delivered_once_and_acknowledged_twice():
    device = StreamDevice(load("natch"))
    line = b"\nds,01a5,3,323,4638,17:50:28\r\n"
    assert len(device.feed(line, 1)) == 1
    assert device.feed(line, 2) == ()
    assert len(device.feed(b"ds,01a6,3,300,900,17:50:31\r\n", 3)) == 1
    assert list(device.replies) == [b"DS,01a5\n", b"DS,01a5\n", b"DS,01a6\n"]
    assert device.figures.repeated == 1


def test_equal_readings_are_not_repeats():
    device = StreamDevice(load("maxbotix-hrxl"))
    assert len(device.feed(b"R1234\rR1234\rR1234\r", 1)) == 3


def test_absent_fields_have_no_number():
    (sample,) = StreamDevice(load("omnipresense-ops243")).feed(b'{"speed":3.5}', 1)
    assert sample.codes == (0, 0, Code.ABSENT, Code.ABSENT)
    assert sample.values[2] != sample.values[2]  # NaN


def test_a_foreign_decoders_bug_is_that_frames_failure(monkeypatch):
    def decode(frame, _variant):
        if frame == b"!":
            raise KeyError("bug")
        return (Facts({"distance_mm": 1500}),)

    broken = Family("broken", cut=lambda _buffer: Cut(1, frame=True), decode=decode)
    monkeypatch.setattr(stream_module, "family", lambda _name: broken)
    device = StreamDevice(load("maxbotix-hrxl"))
    assert [sample.values for sample in device.feed(b"a!b", 1)] == [(1.5,), (1.5,)]
    assert device.figures.rejected == {"decoder": 1}


def test_arrival_times_do_not_pile_up():
    device = StreamDevice(load("plantower-pms5003"))
    for n in range(5000):
        device.feed(PMS[n % 32 : n % 32 + 1], n)
    assert len(device._marks) <= 32
    assert device.figures.samples == 156


def test_the_framer_holds_no_more_than_its_limit():
    endless = Family("endless", cut=lambda _buffer: None, decode=lambda _frame, _variant: ())
    framer = Framer(endless, limit=100)
    pieces = framer.feed(bytes(150))
    assert len(framer.buffer) == 100
    assert {piece.reason for piece in pieces} == {"endless"}


@pytest.mark.parametrize("code", [Code.SENTINEL])
def test_a_rows_sentinel_is_compared_before_scaling(code):
    profile = load("maxbotix-hrxl")
    profile = replace_rows(profile, sentinel=(1234.0,))
    (sample,) = StreamDevice(profile).feed(b"R1234\r", 1)
    assert sample.codes == (code,)


def replace_rows(profile, **changes):
    import msgspec

    return msgspec.structs.replace(profile, rows=tuple(msgspec.structs.replace(row, **changes) for row in profile.rows))


def test_facts_are_frozen():
    with pytest.raises(AttributeError):
        replace(Facts({}), part="lane1").part = "x"
