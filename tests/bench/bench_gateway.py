"""The gateway under its reference load: 10 devices x 60 float32 over Modbus TCP at 1 Hz, raw to mosquitto, journal on.

Method: one slave server (in this process) answers ten units; the daemon is a process of its own with its default plan,
one mqtt sink (QoS 1, raw) and its journal on this disk; mosquitto is another. CPU is utime + stime of the daemon's
process (/proc/PID/stat) over the measured time, RSS its VmRSS at the end. Latency: from the moment the slave hands an
answer to its socket to the moment the subscriber here has the message; both on this process's monotonic clock.
"""

import asyncio
import json
import os
import re
import statistics
import struct
import tempfile
import threading
import time
from pathlib import Path
from typing import ClassVar

import paho.mqtt.client as mqtt
from parts import Mosquitto

from drivers.points import points
from gateway.demo.servers import start_daemon

DEVICES, VALUES, WARM_S, MEASURE_S = 10, 60, 8.0, 30.0
TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


class Slave(asyncio.Protocol):
    """Answers any read of holding registers; register pair 0 of a poll holds its number. Counts requests."""

    requests = 0
    polls: ClassVar = {}
    sent: ClassVar = {}

    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""

    def data_received(self, data):
        self.buffer += data
        while len(self.buffer) >= 12:
            head, self.buffer = self.buffer[:12], self.buffer[12:]
            transaction, _, _, unit, function, address, count = struct.unpack(">HHHBBHH", head)
            cls = type(self)
            cls.requests += 1
            poll = cls.polls[unit] = cls.polls.get(unit, 0) + 1
            values = [float(poll), *(float(unit * 10 + i % 7) for i in range(1, VALUES))]
            block = struct.pack(f">{VALUES}f", *values)[2 * address : 2 * (address + count)]
            cls.sent[unit, poll] = time.monotonic()
            body = struct.pack(">BBB", unit, function, len(block)) + block
            self.transport.write(struct.pack(">HHH", transaction, 0, len(body)) + body)


def profile():
    names = [name for name, point in points().items() if point.kind == "gauge"][:VALUES]
    assert len(names) == VALUES
    rows = "".join(f'[[row]]\npoint = "{n}"\nread = "holding {2 * i} f32"\n' for i, n in enumerate(names))
    head = 'schema = 1\nid = "bench-meter"\nmaker = "bench"\nmodel = "60 values"\nkind = "energy"\nversion = 1\n'
    head += 'speaks = "modbus"\nevery_s = 1.0\nsource = "tests/bench"\nproven = "untested"\n'
    return head + rows, names[0]


def site(folder, *, port, broker):
    text, first = profile()
    (folder / "etc" / "profiles").mkdir(parents=True)
    (folder / "state").mkdir()
    (folder / "etc" / "profiles" / "bench-meter.toml").write_text(text)
    devices = "".join(
        f'[device.meter-{n}]\nbus = "plc"\nprofile = "bench-meter"\nunit = {n}\nevery = "1s"\n'
        for n in range(1, DEVICES + 1)
    )
    (folder / "etc" / "gateway.toml").write_text(
        f'schema = 1\n[gateway]\nid = "bench"\ncity = "khon-kaen"\nstate_dir = "{folder}/state"\n'
        f'[clock]\ntrust = "system"\n[bus.plc]\nkind = "tcp"\nhost = "127.0.0.1"\nport = {port}\n{devices}'
        f'[sink.broker]\nkind = "mqtt"\nurls = ["{broker}"]\nstreams = ["raw"]\n'
    )
    return first


def cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def rss_mb(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


class Platform:
    """The subscriber: notes when each record arrived."""

    def __init__(self, port, first):
        self.latency_s, self.first = [], first
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.on_message = self.arrived
        self.client.on_connect = lambda client, *_: client.subscribe("citygate/+/+/+/raw", qos=1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def arrived(self, _client, _data, message):
        now_s = time.monotonic()
        unit = int(message.topic.split("/")[3].removeprefix("meter-"))
        poll = int(json.loads(message.payload)["v"][self.first])
        sent_s = Slave.sent.pop((unit, poll), None)
        if sent_s is not None:
            self.latency_s.append(now_s - sent_s)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def serve():
    """The slave's loop in a thread; returns its port and a way to stop it."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(Slave, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def stop():
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    return server.sockets[0].getsockname()[1], stop


def run():
    port, stop = serve()
    with (
        tempfile.TemporaryDirectory(prefix="citygate-bench-") as name,
        Mosquitto(extra=["set_tcp_nodelay true"]) as broker,
    ):
        folder = Path(name)
        first = site(folder, port=port, broker=broker.url)
        platform = Platform(broker.port, first)
        daemon = start_daemon(folder, folder / "etc" / "gateway.toml")
        pid = daemon.process.pid
        time.sleep(WARM_S)
        requests, cpu, began = Slave.requests, cpu_s(pid), time.monotonic()
        platform.latency_s.clear()
        time.sleep(MEASURE_S)
        passed = time.monotonic() - began
        used, asked = cpu_s(pid) - cpu, Slave.requests - requests
        latency = sorted(platform.latency_s)
        rss = rss_mb(pid)
        daemon.stop()
        platform.close()
    stop()
    values = len(latency) * VALUES
    figures = {
        "cpu_s_per_1000_values": used / values * 1000,
        "cpu_percent_of_a_core": 100 * used / passed,
        "rss_mb": rss,
        "requests_per_cycle": asked / passed,
        "values_per_s": values / passed,
        "latency_p50_ms": 1000 * statistics.median(latency),
        "latency_p95_ms": 1000 * latency[int(0.95 * len(latency))],
    }
    goals = {
        "cpu_s_per_1000_values": "<= 0.016", "rss_mb": "<= 60", "requests_per_cycle": "10",
        "latency_p50_ms": "<= 5", "latency_p95_ms": "<= 20",
    }  # fmt: skip
    for key, figure in figures.items():
        print(f"{key:24} {figure:10.4f}   {goals.get(key, '')}")
    return figures


if __name__ == "__main__":
    run()
