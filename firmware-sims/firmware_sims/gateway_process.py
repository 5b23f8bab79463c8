"""The real daemon as a process of its own, fed by simulated devices: config, start, what it wrote, a clean end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from firmware_sims.bench import Placed

READY_S: Final = 30.0
STEP_S: Final = 0.02
T = TypeVar("T")

_HEAD: Final = """\
schema = 1
[gateway]
id = "test-1"
city = "khon-kaen"
state_dir = "{state}"
[clock]
trust = "system"
[windows]
lengths = {windows}
[sink.lines]
kind = "file"
format = "jsonl"
path = "{records}"
streams = {streams}
"""
_SERIAL: Final = """\
[bus.{bus}]
kind = "serial"
port = "{port}"
line = "{line}"
"""
_TCP: Final = """\
[bus.{bus}]
kind = "tcp"
host = "127.0.0.1"
port = {port}
framing = "{framing}"
"""


def until(question: Callable[[], T | None], *, deadline_s: float, what: str) -> T:
    """Ask until the answer is true; the answer.

    Raises:
        TimeoutError: not within `deadline_s`; the message says what was waited for.
    """
    end = time.monotonic() + deadline_s
    while not (answer := question()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {deadline_s} s")
        time.sleep(STEP_S)
    return answer


def config(
    devices: Sequence[Placed], folder: Path, *, streams: Sequence[str], every: str | None = None, extra: str = ""
) -> str:
    """The text of a gateway.toml that reads `devices` and writes their records to a file of JSON lines."""
    windows = [stream for stream in streams if stream not in {"raw", "event"}] or ["1m"]
    text = _HEAD.format(
        state=folder / "state",
        records=folder / "records.jsonl",
        windows=json.dumps(windows),
        streams=json.dumps(list(streams)),
    )
    wires: dict[int, str] = {}
    for placed in devices:
        known = id(placed.wire)
        if known not in wires:
            wires[known] = f"wire-{len(wires) + 1}"
            text += _bus(placed, wires[known])
        text += f'[device.{_id(placed, devices)}]\nbus = "{wires[known]}"\nprofile = "{placed.name}"\n'
        text += f"unit = {placed.unit}\n" if placed.kind.unit else ""
        text += f'every = "{every}"\n' if every else ""
        text += _parts(placed)
    return text + extra


def _id(placed: Placed, devices: Sequence[Placed]) -> str:
    twins = [other for other in devices if other.name == placed.name]
    number = next(n for n, other in enumerate(twins, start=1) if other is placed)
    return placed.id if len(twins) == 1 else f"{placed.id}-{number}"


def _bus(placed: Placed, name: str) -> str:
    if placed.port is not None:
        return _SERIAL.format(bus=name, port=placed.port, line=placed.line)
    framing = "tcp" if placed.kind.tcp else "rtu" if placed.kind.dress.function_at == 1 else "stream"
    return _TCP.format(bus=name, port=placed.tcp, framing=framing)


def _parts(placed: Placed) -> str:
    """Lanes and channels are declared; the simulated street has four lanes."""
    word = placed.kind.parts
    return "" if not word else f"{word} = {{ 1 = {{}}, 2 = {{}}, 3 = {{}}, 4 = {{}} }}\n"


def lay(profiles: Mapping[str, str], folder: Path) -> None:
    """Put the texts of own profiles, by name, where the daemon looks for them: beside its config."""
    (folder / "profiles").mkdir()
    for name, text in profiles.items():
        (folder / "profiles" / f"{name}.toml").write_text(text, encoding="utf-8")


@dataclass
class Gateway:
    """A running daemon: `folder` holds its config, state and the records that it delivered to its file sink."""

    folder: Path
    text: str
    process: subprocess.Popen[bytes] | None = None
    _taken: list[dict[str, Any]] = field(default_factory=list, repr=False)
    _at: int = 0

    def start(self) -> None:
        """Start it and wait until its local socket answers.

        Raises:
            RuntimeError: it ended instead; the message has its log.
        """
        (self.folder / "state").mkdir(parents=True, exist_ok=True)
        path = self.folder / "gateway.toml"
        path.write_text(self.text, encoding="utf-8")
        with (self.folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "gateway", "--config", str(path), "run"]
            self.process = subprocess.Popen(  # noqa: S603 - our own module
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        until(self._ready, deadline_s=READY_S, what="the daemon's start")

    def _ready(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(f"the daemon ended with {self.process.returncode}:\n{self.log()}")
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.folder / "state" / "citygate.sock")) == 0

    def log(self) -> str:
        """What it said so far."""
        return (self.folder / "log").read_text("utf-8", "replace")

    def records(self, device: str | None = None, stream: str = "raw") -> list[dict[str, Any]]:
        """The delivered records, oldest first; with `device`, those of one device (or of one of its lanes)."""
        path = self.folder / "records.jsonl"
        if path.exists():
            with path.open("rb") as file:
                file.seek(self._at)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._at += len(whole)
            self._taken += [json.loads(line) for line in whole.splitlines()]
        fits = [entry for entry in self._taken if entry["stream"] == stream]
        return fits if device is None else [entry for entry in fits if entry["device"] == device]

    def record(self, device: str, stream: str = "raw", *, deadline_s: float = 20.0) -> dict[str, Any]:
        """The first delivered record of a device that has values.

        Raises:
            TimeoutError: none came within `deadline_s`.
        """

        def found() -> dict[str, Any] | None:
            return next((entry for entry in self.records(device, stream) if entry.get("v")), None)

        return until(found, deadline_s=deadline_s, what=f"a record of {device}")

    def until(
        self, fits: Callable[[dict[str, Any]], bool], *, stream: str = "raw", deadline_s: float = 20.0
    ) -> dict[str, Any]:
        """The first delivered record that `fits`.

        Raises:
            TimeoutError: none came within `deadline_s`.
        """

        def found() -> dict[str, Any] | None:
            return next((entry for entry in self.records(stream=stream) if fits(entry)), None)

        return until(found, deadline_s=deadline_s, what="such a record")

    def stop(self) -> int | None:
        """End it as an operator would; its exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(READY_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(READY_S)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(READY_S)
