"""Ten minutes of 200 devices at 1 Hz with three open pages: the page's process does not grow."""

import http.client
import threading
import time
from pathlib import Path

import pytest
from live_desk import LivePage, ScriptedDaemon, device

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]
DEVICES, WARM_S, RUN_S, GROWTH_MIB = 200, 60, 600, 5.0


def rss_mib(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1048576


def follow(live, ended):
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=30)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    while not ended.is_set():
        answer.readline()
    connection.close()


def test_resident_memory_grows_less_than_5_mib_in_10_minutes(tmp_path):
    (tmp_path / "state").mkdir()
    daemon = ScriptedDaemon(tmp_path / "state", {f"d{n}": device() for n in range(DEVICES)})
    ended = threading.Event()

    def speak():
        while not ended.wait(1.0):
            for n in range(DEVICES):
                daemon.tell(f"d{n}", {"pm2_5": 10.0 + daemon.seq % 17, "pm10": 20.0})

    with daemon, LivePage(tmp_path) as live:
        live.ready()
        others = [threading.Thread(target=follow, args=(live, ended), daemon=True) for _ in range(3)]
        others.append(threading.Thread(target=speak, daemon=True))
        for thread in others:
            thread.start()
        time.sleep(WARM_S)
        pid, before = live.process.pid, rss_mib(live.process.pid)
        series = []
        until_s = time.monotonic() + RUN_S
        while time.monotonic() < until_s:
            time.sleep(30)
            series.append(round(rss_mib(pid), 1))
        ended.set()
        for thread in others:
            thread.join(15)
    print(f"\nresident: {before:.1f} MiB after {WARM_S} s, then every 30 s: {series}")
    assert series[-1] - before < GROWTH_MIB
