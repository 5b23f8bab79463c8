"""For tests of the live page: a scripted daemon behind a real local socket, and the page's real process in front."""

import asyncio
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime

from parts import free_port, poll

from gateway.local import LocalSocket

POINTS = {
    "air": {"pm2_5": ("ug/m3", 0), "pm10": ("ug/m3", 0)},
    "energy": {"power_active": ("W", 1), "voltage_l1": ("V", 2)},
    "water": {"level": ("m", 3)},
    "traffic": {"speed": ("km/h", 1), "vehicle_count": ("1", 0)},
}


def rfc(seconds_ago=0.0):
    at = datetime.fromtimestamp(time.time() - seconds_ago, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def device(kind="air", *, name=None, every_s=1.0, ago_s=0.0, v=None, q=None, windows=(), **more):
    points = {
        point: {"unit": unit, "kind": "gauge", "digits": digits} for point, (unit, digits) in POINTS[kind].items()
    }
    held = dict.fromkeys(points, 12.0) if v is None else v
    last = {"device": "?", "stream": "raw", "t": rfc(ago_s), "seq": 1, "v": held, "q": q or {}}
    facts = {"kind": kind, "device": "x", "profile": "maker-model", "name": name or {}, "state": "ok"}
    return facts | {"every_s": every_s, "points": points, "last": last, "windows": list(windows)} | more


def aqi(value, level):
    figure = {"value": value, "level": level, "rule": "TH2023", "span": "24h", "coverage": 0.92}
    return {"stream": "1h", "t": rfc(7200), "end": rfc(3600), "i": {"aqi_th": figure}}


class ScriptedDaemon(threading.Thread):
    """Answers on `state`/citygate.sock as the daemon would; `devices` may be changed while it runs."""

    def __init__(self, state, devices, *, history=None, alarms=(), streams=None):
        super().__init__(daemon=True)
        self.state, self.devices, self.history, self.alarms = state, devices, history or [], list(alarms)
        self.up, self.ended = threading.Event(), threading.Event()
        self.asked, self.streams = [], streams
        self.seq = 1

    def snapshot(self):
        for ident, facts in self.devices.items():
            if facts["last"]:
                facts["last"]["device"] = ident
        gateway = {"id": "gw-1", "city": "khon-kaen", "name": {"en": "Test cabinet", "th": "ตู้ทดสอบ"}, "uptime_s": 60}
        gateway |= {"version": "0", "epoch": "00000001-aaaa", "location": {"latitude": 16.4, "longitude": 102.8}}
        if self.streams:
            gateway["streams"] = self.streams
        parts = {"buses": {}, "sinks": {"broker": {"state": "live", "waiting": 0}}, "clock": {"trusted": True}}
        return {"schema": 1, "t": rfc(), "gateway": gateway, "devices": self.devices, "alarms": self.alarms} | parts

    async def answer(self, request):
        self.asked.append(request)
        if request["ask"] == "history":
            fits = [line for line in self.history if request["from"] <= line["t"] < request["to"]]
            return {"records": [line for line in fits if line["stream"] == request["stream"]], "truncated": False}
        if request["ask"] == "health":
            return {"t": rfc(), "uptime_s": 61, "clock": {"trusted": True}, "buses": {}, "sinks": {}}
        return {"error": {"code": "CG-SYS-04", "fact": "no"}}

    def run(self):
        asyncio.run(self._main())
        self.ended.set()

    async def _main(self):
        self.loop, self.stopping = asyncio.get_running_loop(), asyncio.Event()
        self.local = LocalSocket(self.state / "citygate.sock", snapshot=self.snapshot, answer=self.answer)
        await self.local.open()
        self.up.set()
        await self.stopping.wait()
        await self.local.close()
        for _ in range(3):  # who was accepted while it closed is begun, so that his end closes his socket
            await asyncio.sleep(0)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    def tell(self, ident, v, *, q=None, stream="raw", **more):
        """One record to all subscribers."""
        self.seq += 1
        line = {"device": ident, "stream": stream, "t": rfc(), "seq": self.seq, "v": v, "q": q or {}} | more
        self.loop.call_soon_threadsafe(self.local.publish, {"record": line})

    def event(self, line):
        self.loop.call_soon_threadsafe(self.local.publish, {"record": {"stream": "event", "device": "_gateway"} | line})

    def __enter__(self):
        self.start()
        assert self.up.wait(5)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.stopping.set)
        assert self.ended.wait(5)
        self.join(5)


class LivePage:
    """`citygate live` as a process."""

    def __init__(self, folder, *options):
        self.folder, self.options = folder, options
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (folder / "state").mkdir(exist_ok=True)
        self.config = folder / "gateway.toml"
        self.config.write_text(
            f'schema = 1\n[gateway]\nid = "gw-1"\ncity = "khon-kaen"\nstate_dir = "{folder}/state"\n'
        )

    def __enter__(self):
        self.log = (self.folder / "live.log").open("ab")
        command = [sys.executable, "-W", "error", "-m", "gateway", "--config", str(self.config), "live"]
        self.process = subprocess.Popen(
            [*command, "--bind", f"127.0.0.1:{self.port}", *self.options],
            stdout=self.log, stderr=self.log, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        poll(self._answers, what=f"the live page; {self.text()}")
        return self

    def text(self):
        return (self.folder / "live.log").read_text()

    def _answers(self):
        assert self.process.poll() is None, self.text()
        try:
            return self.get("/healthz")[0] == 200
        except OSError:
            return False

    def ready(self):
        poll(lambda: self.get("/readyz")[0] == 200, what="the source")
        return self

    def get(self, path, headers=None, *, method="GET", host=None, body=None):
        """Status, headers, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            if host != "":
                connection.putheader("Host", host or f"127.0.0.1:{self.port}")
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
