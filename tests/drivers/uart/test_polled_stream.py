"""Devices that are asked, on virtual time: late answers, foreign answers, refusals, intervals of many frames."""

import asyncio

import pytest
import sim_bench
import virtual_time
from stream_examples import EXAMPLES, adec, ss125, ss125_interval, winsen

from drivers.profile import load
from drivers.sample import Code
from drivers.uart import sensirion_sps30
from drivers.uart.polled import PolledStream, Wire

BY_PROFILE = {example.profile: example.frame for example in EXAMPLES}


def polls(profile, answer, *, count=1, every_s=1.0, unit=1, before=None):
    """Samples of `count` polls, the device and the line."""

    async def scenario():
        line = sim_bench.VirtualLine(answer)
        device = PolledStream(Wire(line), load(profile), unit=unit)
        found = []
        for _ in range(count):
            found.append(await device.poll())
            await asyncio.sleep(every_s)
        return found, device, line

    return virtual_time.run(scenario())


def co2(ppm):
    return winsen(bytes((0x86,)) + ppm.to_bytes(2, "big") + bytes((61, 0, 0, 0)))


def test_an_answer_in_pieces():
    frame = co2(700)
    ((samples,), device, line) = polls("winsen-mhz19b", lambda _request: [(0.02, frame[:4]), (0.03, frame[4:])])
    assert [sample.values for sample in samples] == [(700.0,)]
    assert samples[0].t_mono_ns == round((line.asked[0][0] + 0.02) * 1e9)
    assert device.failure == ""


def test_silence_is_a_timeout_and_never_a_number():
    ((samples,), device, _) = polls("winsen-mhz19b", lambda _request: [])
    assert samples[0].codes == (Code.TIMEOUT,)
    assert samples[0].values[0] != samples[0].values[0]
    assert "no whole answer" in device.failure


def test_only_rejected_bytes_are_a_checksum_failure():
    ((samples,), _, _) = polls("winsen-mhz19b", lambda _request: [(0.02, co2(700)[:-1] + b"\0")])
    assert samples[0].codes == (Code.CRC,)


def test_a_late_answer_is_thrown_away():
    asked = []

    def answer(_request):
        asked.append(1)
        return [(0.7, co2(400))] if len(asked) == 1 else [(0.02, co2(800))]

    found, device, line = polls("winsen-mhz19b", answer, count=2, every_s=0.0)
    assert [sample.codes for sample in found[0]] == [(Code.TIMEOUT,)]
    assert [sample.values for sample in found[1]] == [(800.0,)]
    assert line.asked[1][0] - line.asked[0][0] >= 1.0
    assert device.figures.late_bytes == 9


def test_slow_answers_are_never_believed_for_another_question():
    """Each answer names its question; replies take up to twice the timeout."""
    number = [0]

    def answer(_request):
        number[0] += 1
        return [((number[0] * 37 % 100) / 100, co2(1000 + number[0]))]

    async def scenario():
        line = sim_bench.VirtualLine(answer)
        device = PolledStream(Wire(line), load("winsen-mhz19b"))
        wrong = believed = 0
        for _ in range(500):
            for sample in await device.poll():
                if sample.codes[0] == Code.GOOD:
                    believed += 1
                    wrong += sample.values[0] != 1000 + number[0]
        return wrong, believed

    wrong, believed = virtual_time.run(scenario())
    assert wrong == 0
    assert believed > 200


def test_two_units_on_one_wire():
    def answer(request):
        unit = int.from_bytes(request[3:5], "big")
        body = ss125_interval(0, lanes=1, approaches=0, volume=unit)
        return [(0.01, ss125(body, unit=unit, seq=request[8] + 1 & 0xFF))]

    async def scenario():
        wire = Wire(sim_bench.VirtualLine(answer))
        devices = [PolledStream(wire, load("wavetronix-ss125"), unit=unit) for unit in (5, 300)]
        return await asyncio.gather(*(device.poll() for device in devices))

    found = virtual_time.run(scenario())
    assert [samples[0].values[0] for samples in found] == [5.0, 300.0]


def ss125_answer(request, *, lanes=2, approaches=1, packets=None, minute=5, unit=1):
    seq = request[8]
    wanted = range(lanes + approaches) if packets is None else packets
    return [
        (
            0.01 * n + 0.01,
            ss125(
                ss125_interval(p, lanes=lanes, approaches=approaches, minute=minute),
                unit=unit,
                seq=(seq + 1 + p) & 0xFF,
            ),
        )
        for n, p in enumerate(wanted)
    ]


def test_an_interval_of_all_lanes():
    ((samples,), _, _) = polls("wavetronix-ss125", ss125_answer)
    assert [sample.part for sample in samples] == ["lane1", "lane2"]


def test_the_same_interval_is_delivered_once_and_an_old_one_is_stale():
    found, device, _ = polls("wavetronix-ss125", ss125_answer, count=15, every_s=10.0)
    assert [len(samples) for samples in found[:12]] == [2] + [0] * 11
    assert {code for sample in found[-1] for code in sample.codes} == {Code.STALE}
    assert {sample.part for sample in found[-1]} == {"lane1", "lane2"}
    assert device.figures.repeated > 20


def test_a_lost_packet_fails_its_lane_only():
    first = []

    def answer(request):
        first.append(request)
        return ss125_answer(request, packets=None if len(first) == 1 else (0, 2), minute=len(first))

    found, _, _ = polls("wavetronix-ss125", answer, count=2, every_s=60.0)
    by_part = {sample.part: set(sample.codes) for sample in found[1]}
    assert by_part == {"lane1": {Code.GOOD}, "lane2": {Code.TIMEOUT}}


def test_another_units_and_another_questions_answers_are_foreign():
    def answer(request):
        return ss125_answer(request, unit=2) + [(0.1 + delay, frame) for delay, frame in ss125_answer(request)]

    ((samples,), device, _) = polls("wavetronix-ss125", answer)
    assert [sample.part for sample in samples] == ["lane1", "lane2"]
    assert device.figures.foreign == 3


def test_a_refusal_is_an_exception():
    ((samples,), device, _) = polls(
        "wavetronix-ss125", lambda request: [(0.01, ss125(bytes((0x71, 0, 2, 0, 15)), seq=request[8] + 1))]
    )
    assert "interval does not exist" in device.failure
    assert samples == ()


def test_declared_lanes_fail_before_they_were_heard():
    async def scenario():
        device = PolledStream(
            Wire(sim_bench.VirtualLine(lambda _request: [])), load("wavetronix-ss125"), parts=("lane1", "lane2")
        )
        return await device.poll()

    samples = virtual_time.run(scenario())
    assert [(sample.part, set(sample.codes)) for sample in samples] == [
        ("lane1", {Code.TIMEOUT}),
        ("lane2", {Code.TIMEOUT}),
    ]


def test_events_are_fetched_until_the_queue_is_empty():
    waiting = [adec(b"\0" + bytes(4) + bytes((60 + n, 1, 0, 40, 0, 90))) for n in range(3)]

    def answer(_request):
        return [(0.01, waiting.pop(0) if waiting else b"\xe5")]

    found, _, line = polls("adec-tdc", answer, count=2)
    assert [sample.values[0] for sample in found[0]] == [60.0, 61.0, 62.0]
    assert found[1] == ()
    assert [request[1] & 0x20 for _, request in line.asked[:4]] == [0x20, 0, 0x20, 0]


class Detector:
    """A queue of vehicles behind a frame count bit: an answer is said again to a request whose bit has not changed."""

    def __init__(self, count, lost):
        self.waiting = [adec(b"\0" + bytes(4) + bytes((60 + n, 1, 0, 40, 0, 90))) for n in range(count)]
        self.lost, self.asked, self.bit, self.said = set(lost), 0, None, b""

    def __call__(self, request):
        self.asked += 1
        if request[1] & 0x20 != self.bit:
            self.bit = request[1] & 0x20
            self.said = self.waiting.pop(0) if self.waiting else b"\xe5"
        return [] if self.asked in self.lost else [(0.01, self.said)]


@pytest.mark.parametrize("lost", [(), (1,), (2,), (2, 3), (1, 3, 6), (4,)])
def test_a_vehicle_whose_answer_got_lost_is_fetched_again(lost):
    found, _, _ = polls("adec-tdc", Detector(3, lost), count=6)
    assert [sample.values[0] for samples in found for sample in samples] == [60.0, 61.0, 62.0]


def test_an_answer_that_never_comes_does_not_stop_the_queue():
    found, _, _ = polls("adec-tdc", Detector(3, (1, 2, 3)), count=8)
    assert [sample.values[0] for samples in found for sample in samples] == [61.0, 62.0]


def test_a_failed_poll_of_an_event_stream_is_no_event():
    ((samples,), device, _) = polls("adec-tdc", lambda _request: [])
    assert samples == ()
    assert device.failure != ""


def test_start_is_sent_at_first_and_after_a_failure():
    frame = BY_PROFILE["sensirion-sps30"]
    asked = []

    def answer(request):
        if request == sensirion_sps30.START:
            return [(0.01, bytes.fromhex("7E00000000FF7E"))]
        asked.append(request)
        return [] if len(asked) == 2 else [(0.01, frame)]

    found, _, line = polls("sensirion-sps30", answer, count=4)
    starts = [n for n, (_, request) in enumerate(line.asked) if request == sensirion_sps30.START]
    assert starts == [0, 3]
    assert [samples[0].codes[0] for samples in found] == [Code.GOOD, Code.TIMEOUT, Code.GOOD, Code.GOOD]


def test_own_frames_of_an_hpma_are_not_its_answer():
    auto = bytes.fromhex("424d001c00990099009900990000000000000000000000000000000000000000")
    auto = auto[:-2] + sum(auto[:-2]).to_bytes(2, "big")

    def answer(request):
        return (
            [(0.01, auto), (0.02, BY_PROFILE["honeywell-hpma115c0"])]
            if request[2:3] == b"\x04"
            else [(0.01, b"\xa5\xa5")]
        )

    ((samples,), device, _) = polls("honeywell-hpma115c0", answer)
    assert samples[0].values == (1.0, 3.0, 3.0, 4.0)
    assert device.figures.foreign == 1


def test_a_meters_session_in_mode_c():
    block = BY_PROFILE["iec62056-21"]

    def answer(request):
        if request == b"/?!\r\n":
            return [(0.3, request), (0.6, b"/LOG5LK123\r\n")]
        assert request == b"\x06000\r\n"
        chunks = [block[at : at + 3] for at in range(0, len(block), 3)]
        return [(0.2, request), *((0.5 + 0.1 * n, chunk) for n, chunk in enumerate(chunks))]

    ((samples,), _, _) = polls("iec62056-21", answer)
    assert samples[0].values[0] == 15882.692


def test_a_dead_meter_does_not_cost_a_whole_readout():
    async def scenario():
        loop = asyncio.get_running_loop()
        begun = loop.time()
        (sample,) = await PolledStream(Wire(sim_bench.VirtualLine(lambda _request: [])), load("iec62056-21")).poll()
        assert set(sample.codes) == {Code.TIMEOUT}
        return loop.time() - begun

    assert virtual_time.run(scenario()) < 5


@pytest.mark.parametrize("name", ["plantower-pms5003-duty", "nova-sds011-duty", "sensirion-sps30-duty"])
def test_a_device_sleeps_between_polls(name):
    device, said = sim_bench.made(name)
    sensor = device.device

    def asleep():
        talking = getattr(sensor, "talking", True) if not name.startswith("sensirion") else "measuring" in sensor.memory
        return getattr(sensor, "asleep", not talking)

    async def scenario():
        polled, seen = PolledStream(Wire(sim_bench.facing(device)), load(name)), []
        for _ in range(3):
            begin_s = asyncio.get_running_loop().time()
            (sample,) = await polled.poll()
            seen.append((asyncio.get_running_loop().time() - begin_s, sample, len(said)))
            await asyncio.sleep(1.0)
            assert asleep()
            await asyncio.sleep(300.0)
        return seen, polled

    seen, polled = virtual_time.run(scenario())
    assert all(30.0 <= took_s < polled.longest_s for took_s, _, _ in seen)
    assert [count for _, _, count in seen] == [1, 2, 3]
    for (_, sample, _), served in zip(seen, said, strict=True):
        assert sim_bench.agrees(sim_bench.named(polled.profile, sample), served.values)
        assert set(sample.codes) == {Code.GOOD}


def test_a_babbling_line_ends():
    def answer(_request):
        return [(0.001 * n, b"\xff\x86") for n in range(5000)]

    ((samples,), _, _) = polls("winsen-mhz19b", answer)
    assert samples[0].codes[0] in (Code.CRC, Code.TIMEOUT)
