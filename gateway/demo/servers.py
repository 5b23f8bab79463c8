"""Child processes of the demo: the simulated city, a broker, a database, the daemon. Ended by their pid."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Final

from gateway.demo import leash
from gateway.demo.site import Database

READY_S: Final = 20.0
LIVE_PORT: Final = 8080
STOP_S: Final = 10.0
PLACES: Final = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"


class DemoFailed(Exception):
    """A part of the demo did not come up; `name` says which, the text where its output is."""

    def __init__(self, name: str, fact: str) -> None:
        super().__init__(f"{name} {fact}")
        self.name = name


@dataclass(slots=True)
class Child:
    """One process of the demo."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> int:
        """SIGTERM, then SIGKILL after `STOP_S`; returns the exit code."""
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


def find(program: str) -> str | None:
    """A program of the machine, also where ordinary users have no sbin in their path."""
    return shutil.which(program) or shutil.which(program, path=PLACES)


def free_port() -> int:
    """A TCP port on 127.0.0.1 that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def start(name: str, command: list[str], *, folder: Path, stdin: int | None = None, stdout: int | None = None) -> Child:
    """Start a child whose talk goes to `folder`/NAME.log."""
    log = folder / f"{name}.log"
    with log.open("ab") as sink:
        process = subprocess.Popen(  # noqa: S603 - our own commands, no shell
            command,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=sink if stdout is None else stdout,
            stderr=sink,
            cwd=folder,
            env=leash.environment(),
            start_new_session=True,
        )
    return Child(name, process, log)


def wait_until(child: Child, ready: Callable[[], bool]) -> None:
    """Until `ready()` says so. Raises `DemoFailed` with the end of the child's log."""
    until_s = time.monotonic() + READY_S
    while time.monotonic() < until_s and child.process.poll() is None:
        if ready():
            return
        time.sleep(0.02)
    tail = child.log.read_text(encoding="utf-8", errors="replace")[-600:]
    child.stop()
    raise DemoFailed(child.name, f"did not come up; the end of {child.log}:\n{tail}")


def answers(port: int) -> bool:
    """Whether something accepts connections on 127.0.0.1:`port`."""
    with socket.socket() as sock:
        sock.settimeout(0.5)
        return sock.connect_ex(("127.0.0.1", port)) == 0


def start_broker(folder: Path) -> tuple[Child, str]:
    """Mosquitto where it is installed, else the simulated broker; and its url."""
    port = free_port()
    mosquitto = find("mosquitto")
    if mosquitto is None:
        command = [sys.executable, "-m", "firmware_sims", "broker", "--port", str(port)]
    else:
        conf = folder / "mosquitto.conf"
        text = f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
        text += "set_tcp_nodelay true\nmax_inflight_messages 100\n"
        conf.write_text(text, encoding="utf-8")
        command = [mosquitto, "-c", str(conf)]
    child = start("broker", command, folder=folder)
    wait_until(child, lambda: answers(port))
    return child, f"mqtt://127.0.0.1:{port}"


def start_database(folder: Path) -> tuple[Child, Database] | None:
    """Influxd (v1) or VictoriaMetrics (v2) where one is installed; None where neither is."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    influxd = find("influxd")
    if influxd is not None:
        conf = folder / "influxd.conf"
        conf.write_text(_INFLUX.format(dir=folder, port=port, rpc=free_port()), encoding="utf-8")
        child = start("influxd", [influxd, "-config", str(conf)], folder=folder)
        wait_until(child, lambda: _fetch(f"{url}/ping") is not None)
        _fetch(f"{url}/query", data=urllib.parse.urlencode({"q": "CREATE DATABASE citygate"}).encode())
        return child, Database("InfluxDB 1.x", url, "v1")
    victoria = find("victoria-metrics")
    if victoria is not None:
        flags = [
            f"-storageDataPath={folder / 'victoria'}", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=12",
            "-search.latencyOffset=0s", "-dedup.minScrapeInterval=1ms", "-memory.allowedBytes=64MB",
        ]  # fmt: skip
        child = start("victoria-metrics", [victoria, *flags], folder=folder)
        wait_until(child, lambda: _fetch(f"{url}/health") is not None)
        return child, Database("VictoriaMetrics", url, "v2")
    return None


_INFLUX = """\
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{dir}/influx/meta"
[data]
dir = "{dir}/influx/data"
wal-dir = "{dir}/influx/wal"
query-log-enabled = false
[http]
bind-address = "127.0.0.1:{port}"
log-enabled = false
[monitor]
store-enabled = false
"""


def _fetch(url: str, data: bytes | None = None) -> bytes | None:
    try:
        with urllib.request.urlopen(url, data, timeout=2) as response:  # noqa: S310 - our own loopback url
            return bytes(response.read(65536))
    except (urllib.error.URLError, OSError):
        return None


def start_city(folder: Path) -> tuple[Child, dict[str, Any]]:
    """The simulated devices on ptys and loopback TCP; their ready line."""
    ports = folder / "ports"
    ports.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "firmware_sims",
        "city",
        "--dir",
        str(ports),
        "--truth",
        str(folder / "truth.jsonl"),
    ]
    child = start("city", command, folder=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    stream: IO[bytes] | None = child.process.stdout
    line = b"" if stream is None else stream.readline()
    if not line:
        wait_until(child, lambda: False)
    return child, json.loads(line)


def start_daemon(folder: Path, config: Path) -> Child:
    """The real daemon; ready when its local socket answers."""
    child = start("daemon", [sys.executable, "-m", "gateway", "--config", str(config), "run"], folder=folder)
    wait_until(child, lambda: _listens(folder / "state" / "citygate.sock"))
    return child


def start_live(folder: Path, config: Path) -> tuple[Child, str] | None:
    """The live page, on port 8080 where it is free, and its address; None where its libraries are not installed."""
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        return None
    ports = [free_port()] if answers(LIVE_PORT) else [LIVE_PORT, free_port()]
    while True:
        port = ports.pop(0)
        command = [sys.executable, "-m", "gateway", "--config", str(config), "live", "--bind", f"127.0.0.1:{port}"]
        child = start("live", command, folder=folder)
        try:
            wait_until(child, partial(answers, port))
        except DemoFailed:
            if not ports:  # somebody took 8080 between our look and its start
                raise
            continue
        return child, f"http://127.0.0.1:{port}"


def _listens(path: Path) -> bool:
    """Whether a process answers at this unix socket; the file alone may be a dead daemon's."""
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(str(path)) == 0
