"""The city as a process: the ready line, control lines, the truth, a clean end, little CPU."""

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from contextlib import contextmanager

import pytest
from raw_port import port

from firmware_sims.city import City
from firmware_sims.control import scenario
from firmware_sims.framing import rtu
from firmware_sims.truth import Truth

NOON = 1_795_237_200.0
VOLTAGE = rtu(1, b"\x04\0\0\0\2")


def wait_for(condition, timeout_s=10.0):
    end = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
    return found


@contextmanager
def program(*arguments):
    command = [sys.executable, "-m", "firmware_sims", *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        try:
            yield process, json.loads(process.stdout.readline())
            process.terminate()
            process.wait(10)
        finally:
            process.kill()


def tell(process, order):
    process.stdin.write(json.dumps(order) + "\n")
    return json.loads(process.stdout.readline())


def read(fd, size, timeout_s=10.0):
    data, end = b"", time.monotonic() + timeout_s
    while len(data) < size and time.monotonic() < end:
        if select.select([fd], [], [], 0.05)[0]:
            try:
                part = os.read(fd, 4096)
            except OSError:
                break
            if not part:
                break
            data += part
    return data


def truth(path, device):
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line for line in lines if line["device"] == device]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_city_runs_and_ends(tmp_path, number):
    with program("city", "--dir", tmp_path / "c", "--truth", tmp_path / "truth.jsonl") as (process, ready):
        assert ready["ready"] is True
        assert set(ready["ports"]) == {"pm-head", "rs485", "radar", "speed", "level"}
        assert ready["tcp"]["plc"] > 0
        with port(tmp_path / "c" / "rs485") as fd:
            os.write(fd, VOLTAGE)
            answer = read(fd, 9)
        assert len(answer) == 9
        (said,) = wait_for(lambda: truth(tmp_path / "truth.jsonl", "main-meter"))
        assert "fault" not in said
        assert 200 < said["values"]["voltage_l1"] < 250
        process.send_signal(number)
        assert process.wait(10) == 0
    assert list((tmp_path / "c").iterdir()) == []


def test_the_city_ends_with_its_stdin_or_its_time(tmp_path):
    with program("city", "--dir", tmp_path / "c") as (process, _):
        process.stdin.close()
        assert process.wait(10) == 0
    with program("city", "--dir", tmp_path / "c", "--seconds", 0.2) as (process, _):
        assert process.wait(10) == 0


def test_control_lines(tmp_path):
    with program("city", "--dir", tmp_path / "c", "--truth", tmp_path / "truth.jsonl") as (process, _):
        assert tell(process, {"fault": "exception", "device": "main-meter", "code": 2})["done"]
        with port(tmp_path / "c" / "rs485") as fd:
            os.write(fd, VOLTAGE)
            assert read(fd, 5).hex() == "018402c2c1"
            assert tell(process, {"heal": "main-meter"})["done"]
            os.write(fd, VOLTAGE)
            assert len(read(fd, 9)) == 9
            assert tell(process, {"unplug": "rs485"})["done"]
            assert read(fd, 1) == b""
        assert not (tmp_path / "c" / "rs485").is_symlink()
        assert tell(process, {"replug": "rs485"})["done"]
        with port(tmp_path / "c" / "rs485") as fd:
            os.write(fd, VOLTAGE)
            assert len(read(fd, 9)) == 9
        assert tell(process, {"babble": "level", "noise": "chatter"})["done"]
        assert tell(process, {"babble": "level", "noise": "off"})["done"]
        assert tell(process, {"unplug": "plc"})["done"]
        assert tell(process, {"replug": "plc"})["done"]
        assert "quiet" in tell(process, {"fault": "quiet", "device": "canal"})["error"]
        assert "nobody" in tell(process, {"fault": "silence", "device": "nobody"})["error"]
        assert "error" in tell(process, ["what"])
        assert "error" in tell(process, {"fault": "late", "device": "canal", "colour": 3})
    notes = [line.get("fault") for line in truth(tmp_path / "truth.jsonl", "main-meter")]
    assert notes == ["exception", None, None]


def test_every_push_device_talks_and_truth_agrees(tmp_path):
    with program("city", "--dir", tmp_path / "c", "--truth", tmp_path / "truth.jsonl"):
        with port(tmp_path / "c" / "level") as fd:
            line = read(fd, 24).split(b"\r", 1)[1]  # the first may be a tail
        with port(tmp_path / "c" / "speed", termios.B19200) as fd:
            speeds = read(fd, 120, timeout_s=15)
        text = line.split(b"\r")[0]
        wait_for(lambda: text in {b"R%04d" % round(v["distance"] * 1000) for v in heard(tmp_path, "canal")})
        members = json.loads(speeds[speeds.index(b"{") :].split(b"\r\n")[0])
        speed = pytest.approx(abs(members["speed"]) * 3.6)
        wait_for(lambda: any(v["speed"] == speed for v in heard(tmp_path, "speed-sign")))


def heard(folder, device):
    """Values that reached the reader whole."""
    return [line["values"] for line in truth(folder / "truth.jsonl", device) if "fault" not in line]


def test_the_idle_city_needs_little(tmp_path):
    """Readers on all ptys; CPU time by the process's own count, as a share of the time that passed."""
    ticks = os.sysconf("SC_CLK_TCK")

    def spent(process):
        with open(f"/proc/{process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / ticks

    with (
        program("city", "--dir", tmp_path / "c") as (process, _),
        port(tmp_path / "c" / "level") as a,
        port(tmp_path / "c" / "pm-head") as b,
    ):
        started, before = time.monotonic(), spent(process)
        read(a, 10_000, timeout_s=2)
        assert len(read(b, 64, timeout_s=3)) >= 64
        share = (spent(process) - before) / (time.monotonic() - started)
    assert share < 0.3


def test_single_device_with_a_fault(tmp_path):
    link = tmp_path / "meter"
    arguments = ("device", "eastron-sdm630", "--port-link", link, "--unit", 9, "--fault", "echo")
    with program(*arguments) as (_, ready):
        assert ready == {"ready": True, "device": "eastron-sdm630", "port": str(link)}
        request = rtu(9, b"\x04\0\0\0\2")
        with port(link) as fd:
            os.write(fd, request)
            assert read(fd, 17)[:8] == request
    both = [sys.executable, "-m", "firmware_sims", "device", "a01nyub", "--tcp", "0", "--port-link", str(link)]
    assert subprocess.run(both, capture_output=True, timeout=60).returncode == 2


def test_the_broker_as_a_program():
    with program("broker") as (process, ready):
        assert ready["port"] > 0
        process.terminate()
        assert process.wait(10) == 0


def test_a_scenario_file(tmp_path):
    script = tmp_path / "bad-day.jsonl"
    script.write_text(
        '# faults of one morning\n{"at": 0.2, "unplug": "level"}\n\n'
        '{"at": 0.05, "quirk": "stuck", "device": "canal"}\n{"at": 0.1, "quirk": "absent", "device": "radar"}\n'
    )
    with program("city", "--dir", tmp_path / "c", "--scenario", script) as (process, _):
        answers = [json.loads(process.stdout.readline()) for _ in range(3)]
        assert [answer["at"] for answer in answers] == [0.05, 0.1, 0.2]
        assert ["error" in answer for answer in answers] == [False, True, False]
        assert not (tmp_path / "c" / "level").is_symlink()
    script.write_text('{"unplug": "level"}\n')
    with pytest.raises(ValueError, match=":1: no control line"):
        scenario(script)


def test_a_day_by_script(tmp_path):
    """Values, the day's time, a device's own clock, and the platform's outages; the truth tells what was seen."""
    script = tmp_path / "day.jsonl"
    script.write_text(
        '{"at": 0.0, "values": {"power_active": 4321.0}, "device": "main-meter"}\n'
        '{"at": 0.0, "values": {"pm2_5": 180}, "device": "air-north"}\n'
        '{"at": 0.0, "values": {"pm2_5": 180}, "device": "radar"}\n'
        '{"at": 0.0, "leap": 3600}\n{"at": 0.0, "leap": -1}\n'
        '{"at": 0.0, "device_clock": "radar", "ahead_s": 90}\n{"at": 0.0, "device_clock": "canal", "ahead_s": 90}\n'
        '{"at": 0.05, "broker": "down"}\n{"at": 0.06, "database": "down"}\n{"at": 0.1, "database": "up"}\n'
    )
    flags = ("--scenario", script, "--broker", "0", "--database", "0", "--truth", tmp_path / "truth.jsonl")
    with program("city", "--dir", tmp_path / "c", *flags) as (process, ready):
        answers = [json.loads(process.stdout.readline()) for _ in range(10)]
        assert ["error" in answer for answer in answers] == [False, False, True, False, True, False, True] + [False] * 3
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", ready["broker"]), timeout=5)
        socket.create_connection(("127.0.0.1", ready["database"]), timeout=5).close()


def test_what_is_imposed_is_seen_until_it_is_healed(tmp_path):
    async def try_it():
        async with City(tmp_path / "c", Truth(None)) as city:
            meter, air = city.devices["main-meter"], city.devices["air-north"]
            told = []
            meter.note = told.append
            city.impose("main-meter", {"power_active": 4321.0})
            meter.answer(bytes.fromhex("0400340002"), NOON)
            city.impose("air-north", {"pm2_5": 180.0})
            assert air.speak(time.time() + 3600)[0][12:14] == (180).to_bytes(2, "big")
            city.heal("main-meter")
            meter.answer(bytes.fromhex("0400340002"), NOON)
            first, second = (each.values["power_active"] for each in told)
            assert (first, second != first) == (4321.0, True)

    asyncio.run(try_it())
