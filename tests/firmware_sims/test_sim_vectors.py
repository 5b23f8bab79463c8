"""The worked examples of the device sheets, byte for byte, and what recorded frames say."""

import json
import os
from pathlib import Path

import pytest

from firmware_sims import plantower, ultrasonic, wavetronix
from firmware_sims.city import build
from firmware_sims.city_day import CityDay
from firmware_sims.framing import crc16, mbap, rtu, rtu_request_size, rtu_whole
from firmware_sims.omnipresense import OPS243
from firmware_sims.registers import Cell
from firmware_sims.vehicles import vehicle

NOON = 1_795_237_200.0  # 2026-11-21 12:00 local time
CAPTURES = Path(os.environ.get("CITYGATE_CAPTURES", Path(__file__).parents[3] / "shared" / "captures"))


def captures(family):
    path = CAPTURES / f"{family}.json"
    if not path.is_file():
        pytest.skip(f"recorded frames are absent: {path}")
    return json.loads(path.read_text())["captures"]


@pytest.mark.parametrize(
    "text",
    [
        "01 04 00 00 00 02 71 CB",
        "01 04 00 00 00 0C F0 0F",
        "01 04 00 00 00 0A 70 0D",
        "01 04 00 34 00 02 30 05",
        "01 04 01 56 00 02 90 27",
        "01 03 0B ED 00 02 56 1A",
        "01 03 5B 00 00 02 D7 2F",
        "01 03 20 06 00 02 2F CA",
        "01 03 00 0B 00 01 F5 C8",
        "01 03 9C 40 00 02 EB 8F",
        "90 03 01 60 00 0F 18 AD",
        "01 03 01 F4 00 10 04 08",
        "FE 04 00 00 00 04 E5 C6",
    ],
)
def test_modbus_request_vectors(text):
    frame = bytes.fromhex(text)
    assert rtu(frame[0], frame[1:-2]) == frame
    assert rtu_whole(frame)
    assert rtu_request_size(frame) == len(frame)


@pytest.mark.parametrize("text", ["01 83 02 C0 F1", "01 84 02 C2 C1", "01 04 04 43 60 25 88 F4 E8"])
def test_modbus_answer_vectors(text):
    frame = bytes.fromhex(text)
    assert rtu(frame[0], frame[1:-2]) == frame


def test_crc_check_value():
    assert crc16(b"123456789") == 0x4B37


def test_mbap_vector():
    assert mbap(0x94, 1, pdu=bytes.fromhex("039C400002")).hex() == "0094000000060103" + "9c400002"
    assert mbap(0x94, 1, pdu=bytes.fromhex("030453756E53")).hex() == "00940000000701030453756e53"


def test_word_orders():
    low_first = Cell(0, "s32", "voltage", 0.1, low_first=True)
    assert low_first.encode(233.1).hex() == "091b0000"
    assert low_first.decode(bytes.fromhex("091b0000")) == pytest.approx(233.1)
    assert Cell(0, "f32", "voltage").decode(bytes.fromhex("43602588")) == pytest.approx(224.14661, abs=1e-5)


def test_sdm630_answers_the_recorded_request():
    meter = build(1).main_meter
    meter.meter.source = lambda _now: {"voltage_l1": 224.1466064453125}
    pdu = meter.answer(bytes.fromhex("0400000002"), NOON)
    assert rtu(1, pdu).hex() == "01040443602588f4e8"


def test_plantower_frame_vector():
    words = [27, 33, 41, 26, 33, 41, 11259, 1214, 107, 16, 4, 4]
    assert plantower.frame(words, version=0x67).hex(" ") == (
        "42 4d 00 1c 00 1b 00 21 00 29 00 1a 00 21 00 29 2b fb 04 be 00 6b 00 10 00 04 00 04 67 00 04 46"
    )
    assert plantower.frame([0] * 12).hex() == "424d001c" + "00" * 24 + "97000142"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("42 4D E1 00 00 01 70", "42 4D 00 04 E1 00 01 74"),
        ("42 4D E1 00 01 01 71", "42 4D 00 04 E1 01 01 75"),
        ("42 4D E4 00 00 01 73", "42 4D 00 04 E4 00 01 77"),
        ("42 4D E4 00 00 01 70", None),  # the wrong checksum of tutorials: ignored without a word
    ],
)
def test_plantower_commands(command, answer):
    sensor = build(1).air
    heard = [data for _, data in sensor.hear(bytes.fromhex(command), NOON)]
    assert heard == ([bytes.fromhex(answer)] if answer else [])


def test_plantower_atmospheric_and_factory_blocks():
    sensor = plantower.PMS5003("air", lambda _now: 100.0)
    notes = []
    sensor.note = notes.append
    data, _ = sensor.speak(NOON)
    words = [int.from_bytes(data[at : at + 2], "big") for at in range(4, 28, 2)]
    assert words[3:6] == [62, 100, 122]  # atmospheric: what is published outdoors
    assert words[:3] == [78, 135, 168]  # CF=1 reads higher at high load
    assert words[6:] == sorted(words[6:], reverse=True)  # counts include the larger sizes
    assert (notes[0].values["pm2_5"], notes[0].values["particles_0_3"]) == (100.0, words[6] / 100)


def test_plantower_modes():
    sensor = build(1).air
    frame, due = sensor.speak(NOON)
    assert len(frame) == 32
    assert due == pytest.approx(NOON + 1)
    sensor.hear(bytes.fromhex("424DE100000170"), NOON)
    assert sensor.speak(NOON + 10)[0] == b""
    assert [len(data) for _, data in sensor.hear(bytes.fromhex("424DE200000171"), NOON)] == [32]
    sensor.hear(bytes.fromhex("424DE400000173"), NOON)
    assert sensor.hear(bytes.fromhex("424DE200000171"), NOON) == []  # asleep
    notes = []
    sensor.note = notes.append
    sensor.hear(bytes.fromhex("424DE400010174"), NOON + 20)
    sensor.passive = False
    frame, _ = sensor.speak(NOON + 22)
    assert frame == plantower.frame([0] * 12)
    assert notes[-1].fault == "warmup"
    frame, _ = sensor.speak(NOON + 26)
    assert frame != plantower.frame([0] * 12)


def test_plantower_recorded_frames_have_our_checksum():
    count = 0
    for capture in captures("plantower_pmsx003"):
        raw = bytes.fromhex(capture.get("raw_hex", ""))
        if len(raw) == 32 and capture["integrity"]["verified"]:
            assert plantower.seal(raw[:-2]) == raw
            count += 1
    assert count >= 3


def test_ss125_number_formats():
    assert wavetronix.crc8(b"123456789") == 0xBC
    assert wavetronix.fixed24(-19.25).hex() == "ffed40"
    assert wavetronix.fixed24(55.3671875).hex() == "80375e"
    assert wavetronix.fixed24(None)[0] & 0x80 == 0


def test_ss125_request_vectors():
    interval = wavetronix.packet(bytes.fromhex("710000000000"), destination=1, source=0, sequence=1)
    assert interval.hex(" ") == "5a 31 00 00 01 00 00 00 01 06 08 71 00 00 00 00 00 f0"
    event = wavetronix.packet(bytes.fromhex("670000"), destination=1, source=0, sequence=2)
    assert event.hex(" ") == "5a 31 00 00 01 00 00 00 02 03 b0 67 00 00 bc"


def test_ss125_recorded_event():
    body = bytes.fromhex("670100000fc192058d0939015c0a0001198043c0021604fc")
    assert wavetronix.crc8(body[:-1]) == body[-1]
    at_s = wavetronix.unstamp(body[3:11])
    assert at_s == pytest.approx(1482099182.313)  # 2016-12-18T22:13:02.313Z
    assert wavetronix.stamp(at_s) == body[3:11]
    assert wavetronix.fixed24(67.75) == body[17:20]
    assert wavetronix.fixed16(92.0390625) == body[12:14]
    assert wavetronix.fixed16(22.015625) == body[21:23]


def ask(radar, body, now_s=NOON, sequence=1, destination=1):
    request = wavetronix.packet(body, destination=destination, source=0, sequence=sequence)
    return [data for _, data in radar.hear(request, now_s)]


def test_ss125_interval_packets():
    radar = build(3).radar
    radar.approaches = 2
    notes = []
    radar.note = notes.append
    answers = ask(radar, bytes.fromhex("710000000000"), sequence=254)
    assert len(answers) == 6
    for number, answer in enumerate(answers):
        assert len(answer) == 57
        assert answer[3:8] == bytes([0, 0, 0, 0, 1])  # ids swapped: to host 0, from sensor 1
        assert answer[8] == (254 + 1 + number) & 0xFF
        assert wavetronix.crc8(answer[:10]) == answer[10]
        body = answer[11:]
        assert wavetronix.crc8(body[:-1]) == body[-1]
        assert (body[0], body[1], body[2], body[43], body[44]) == (0x71, number, 0, 4, 2)
        end_s = wavetronix.unstamp(body[6:14])
        assert end_s == NOON // 5 * 5
        volume = int.from_bytes(body[17:20], "big")
        classes = [int.from_bytes(body[22 + 3 * k : 25 + 3 * k], "big") for k in range(4)]
        assert sum(classes) == volume == notes[number].values["vehicle_count"]
        assert ("speed" in notes[number].values) == bool(body[14] & 0x80) == bool(volume)
        assert int.from_bytes(body[20:22], "big") <= 100 * 256
    assert [served.part for served in notes[:4]] == ["lane1", "lane2", "lane3", "lane4"]
    lanes, approaches = notes[:4], notes[4:]
    assert sum(n.values["vehicle_count"] for n in lanes) == sum(n.values["vehicle_count"] for n in approaches)


def test_ss125_counts_every_vehicle_once():
    day = CityDay(5)
    radar = build(5).radar
    notes = []
    radar.note = notes.append
    start = NOON // 5 * 5
    for step in range(1, 61):
        ask(radar, bytes.fromhex("710000000000"), now_s=start + 5 * step + 0.5)
    for number, lane in enumerate(day.lanes, start=1):
        counted = sum(n.values["vehicle_count"] for n in notes if n.part == f"lane{number}")
        assert counted == int(lane.passed(start + 300)) - int(lane.passed(start))


def test_ss125_refusals_and_settings():
    radar = build(1).radar
    assert ask(radar, bytes.fromhex("710000000000"), destination=2) == []
    damaged = bytearray(wavetronix.packet(bytes.fromhex("670000"), destination=1, source=0, sequence=1))
    damaged[-1] ^= 1
    assert radar.hear(bytes(damaged), NOON)[0][1][13:16].hex() == "020002"  # result: body CRC
    damaged[-1] ^= 1
    damaged[10] ^= 1
    assert radar.hear(bytes(damaged), NOON) == []
    assert ask(radar, bytes.fromhex("71000000ffff"))[0][13:16].hex() == "02000f"  # no such interval
    (data,) = ask(radar, bytes([3, 0, 0]))
    assert (data[9], int.from_bytes(data[14:16], "big")) == (28, 5)
    assert ask(radar, bytes([0, 0, 0]))[0][9] == 86
    assert ask(radar, bytes([4, 0, 0]))[0][9] == 19
    clock = bytes([0x0E, 0, 1]) + wavetronix.stamp(NOON + 90)
    assert ask(radar, clock)[0][13:16].hex() == "020000"
    (shown,) = ask(radar, bytes([0x0E, 0, 0]), now_s=NOON + 10)
    assert wavetronix.unstamp(shown[14:22]) == pytest.approx(NOON + 100)


def test_ss125_events_come_once_and_in_order():
    radar = build(2).radar
    ask(radar, bytes([0x67, 0, 0]))
    while ask(radar, bytes([0x67, 0, 0]))[0][12]:
        pass
    times, lanes = [], []
    while (body := ask(radar, bytes([0x67, 0, 0]), now_s=NOON + 40)[0][11:])[1]:
        times.append(wavetronix.unstamp(body[3:11]))
        lanes.append(body[11])
    day = CityDay(2)
    expected = sum(int(lane.passed(NOON + 40)) - int(lane.passed(NOON)) for lane in day.lanes)
    assert len(times) == expected > 5
    assert times == sorted(times)
    assert set(lanes) <= {1, 2, 3, 4}


def test_ultrasonic_vectors():
    assert ultrasonic.a01_frame(1953).hex(" ") == "ff 07 a1 a7"
    level = ultrasonic.MaxBotixHRXL("canal", lambda _now: 1.2344)
    assert level.speak(0.0) == (b"R1234\r", pytest.approx(1 / 6))
    assert level.speak(0.1)[0] == b""
    level.distance_m = lambda _now: 0.1
    assert level.speak(1.0)[0] == b"R0500\r"
    notes = []
    level.note = notes.append
    level.distance_m = lambda _now: 9.0
    assert level.speak(2.0)[0] == b"R5000\r"  # no target: no truth
    assert notes == []
    fresh = ultrasonic.MaxBotixHRXL("canal", lambda _now: 1.0, booted=False)
    assert fresh.speak(0.0)[0].endswith(b"TempI\rR1000\r")


def run(device, start_s, end_s):
    out, at_s = b"", start_s
    while at_s < end_s:
        data, due_s = device.speak(at_s)
        out += data
        at_s = max(due_s, at_s + 1e-4)
    return out


def test_ops243_lines():
    radar = OPS243("speed", CityDay(1).lanes[0], flags={"J", "M"}, direction="+")
    notes = []
    radar.note = notes.append
    lines = run(radar, NOON, NOON + 60).split(b"\r\n")[:-1]
    objects = [json.loads(line) for line in lines]
    assert len(objects) == len(notes) > 20
    assert all(set(o) == {"magnitude", "speed"} and o["speed"] > 0 for o in objects)
    assert [o["speed"] * 3.6 for o in objects] == pytest.approx([n.values["speed"] for n in notes])


def test_ops243_settings():
    radar = OPS243("speed", CityDay(1).lanes[0])
    for command in (b"OJ", b"OU", b"UK", b"F2", b"R|"):
        assert radar.hear(command, NOON)[0][1].endswith(b"\r\n")
    assert radar.hear(b"R>5\r", NOON) == []
    notes = []
    radar.note = notes.append
    (line, *_) = run(radar, NOON, NOON + 60).splitlines()
    assert json.loads(line)["unit"] == "kmph"
    assert notes[0].values["speed"] == pytest.approx(abs(json.loads(line)["speed"]))
    assert notes[0].values["direction"] == (1 if json.loads(line)["speed"] > 0 else -1)
    radar.hear(b"OjOu", NOON)
    line = run(radar, NOON + 60, NOON + 120).splitlines()[0]
    assert float(line)


def test_a_vehicle_is_the_same_for_everybody():
    lane = CityDay(1).lanes[0]
    assert vehicle(lane, NOON, lane=1) == vehicle(lane, NOON, lane=1)
