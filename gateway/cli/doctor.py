"""`citygate doctor`: config, ports, clock, disk, brokers, databases; one line each, with what to do. No bus traffic."""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click

from gateway.catalogue.fault import EXIT_FOUND, Fault, Trouble
from gateway.cli.add import stable
from gateway.cli.face import Face, wrapped

if TYPE_CHECKING:
    from gateway.config import Bus
    from gateway.config.load import Loaded

CONNECT_S: Final = 1.5
LOW_BYTES: Final = 200_000_000
PORTS: Final = {"mqtt": 1883, "mqtts": 8883, "http": 80, "https": 443}
FORGETFUL: Final = frozenset({"overlay", "tmpfs", "ramfs", "aufs"})
"""Filesystems that may be gone after a power cut."""
LONGEST_S: Final = 4.0
REACHED: Final = {"mqtt": "CG-MQT-01", "sparkplug": "CG-MQT-01", "ngsi-ld": "CG-NGS-01"}
_NUMBERED: Final = re.compile(r"/dev/tty(USB|ACM)\d+")
_COLOUR: Final = {"ok": "green", "WARN": "yellow", "FAIL": "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, "ok", "WARN" or "FAIL", what was seen, and the fault that explains it."""

    what: str
    mark: str
    seen: str
    fault: Fault | None = None


@click.command("doctor")
@click.pass_obj
def command(face: Face) -> int:
    """Examine config, ports, clock, disk, brokers and databases. No bus traffic. Exit 1 where something fails."""
    from gateway.catalogue.table import spoken

    findings = list(examine(face))
    for finding in findings:
        told = spoken(finding.fault, face.lang) if finding.fault else {}
        if face.json:
            face.emit(
                {"schema": 1, "what": finding.what, "mark": finding.mark, "seen": finding.seen, "fault": told or None}
            )
            continue
        mark = face.paint(f"{finding.mark:<5}", _COLOUR[finding.mark])
        head, *more = wrapped(f"{finding.what:<16} {finding.seen}", face.width(), first=6, rest=8)
        face.data(f"{mark} {head}")
        for line in more:
            face.data(line)
        if told:
            face.facts([(face.pick("do", "ทำ"), f"{told['do']}  ({finding.fault.code if finding.fault else ''})")])
    failed = sum(finding.mark == "FAIL" for finding in findings)
    warned = sum(finding.mark == "WARN" for finding in findings)
    if not face.json:
        well = len(findings) - failed - warned
        face.prose(
            face.pick(f"{failed} failed, {warned} warnings, {well} ok", f"ไม่ผ่าน {failed} เตือน {warned} ผ่าน {well}")
        )
    return EXIT_FOUND if failed else 0


def examine(face: Face) -> Iterator[Finding]:
    """Everything, in the order in which a site visit needs it."""
    from gateway.config.load import ConfigError, load

    try:
        loaded = load(face.config)
    except ConfigError as error:
        errors = [fault for fault in error.faults if not fault.warning]
        yield Finding("config", "FAIL", f"{len(errors)} x", errors[0])
        return
    config = loaded.config
    seen = f"{len(config.device)} devices, {len(config.sink)} sinks"
    yield Finding("config", "WARN" if loaded.warnings else "ok", seen, next(iter(loaded.warnings), None))
    yield from _surroundings(face, loaded)


def _surroundings(face: Face, loaded: Loaded) -> Iterator[Finding]:
    """Daemon, buses, clock, sinks, disk."""
    from gateway.cli.socket import ask

    snapshot: Mapping[str, Any] = {}
    try:
        snapshot = ask(face, {"ask": "snapshot"}, timeout_s=2.0)
        yield Finding("daemon", "ok", str(snapshot["gateway"].get("version", "")))
    except Trouble as trouble:
        yield Finding("daemon", "WARN", "-", trouble.faults[0])
    live = snapshot.get("buses", {})
    sinks = loaded.config.sink.items()
    checks: list[tuple[str, Callable[[], Finding]]] = [
        *((f"bus {name}", partial(_bus, name, bus, live.get(name))) for name, bus in loaded.config.bus.items()),
        ("clock", partial(_clock, loaded)),
        *(
            (f"sink {name}", partial(_reached, f"sink {name}", url, code=REACHED.get(sink.kind, "CG-INF-01")))
            for name, sink in sinks
            for url in sink.urls
        ),
        ("disk", partial(_disk, Path(loaded.config.gateway.state_dir))),
    ]
    yield from _side_by_side(checks)


def _side_by_side(checks: Sequence[tuple[str, Callable[[], Finding]]]) -> Iterator[Finding]:
    """All checks at once, in their order; one that has no answer in time (a resolver without a net) is told as such."""
    found: list[Finding | None] = [None] * len(checks)

    def work(number: int) -> None:
        found[number] = checks[number][1]()

    threads = [Thread(target=work, args=(number,), daemon=True) for number in range(len(checks))]
    for thread in threads:
        thread.start()
    until_s = monotonic() + LONGEST_S
    for number, thread in enumerate(threads):
        thread.join(max(0.0, until_s - monotonic()))
        late = Finding(checks[number][0], "FAIL", f"> {LONGEST_S:g} s", Fault("CG-SYS-07", {"what": checks[number][0]}))
        yield found[number] or late


def _bus(name: str, bus: Bus, live: Mapping[str, Any] | None) -> Finding:
    what = f"bus {name}"
    if live is not None:
        up = live.get("state") == "up"
        fault = None if up else Fault("CG-BUS-01", {"endpoint": str(bus.port if bus.kind == "serial" else bus.host)})
        return Finding(what, "ok" if up else "FAIL", str(live.get("state")), fault)
    if bus.kind == "tcp":
        return _reached(what, f"tcp://{bus.host}:{bus.port}", code="CG-BUS-01")
    return _port(what, str(bus.port))


def _port(what: str, port: str) -> Finding:
    """A serial port that no daemon owns: there, a port, allowed, free, with a name that stays."""
    try:
        mode = Path(port).stat().st_mode
    except OSError as error:
        return Finding(what, "FAIL", f"{port}: {error.strerror}", Fault("CG-BUS-01", {"endpoint": port}))
    if not stat.S_ISCHR(mode):
        return Finding(what, "FAIL", f"{port}: not a serial port", Fault("CG-BUS-01", {"endpoint": port}))
    if not os.access(port, os.R_OK | os.W_OK):
        return Finding(what, "FAIL", f"{port}: permission", Fault("CG-SYS-05", {"path": port}))
    holder = _holder(port)
    if holder:
        return Finding(what, "WARN", f"{port}: {holder}", Fault("CG-BUS-03", {"endpoint": port}, seen=holder))
    if _NUMBERED.fullmatch(port):
        return Finding(what, "WARN", port, Fault("CG-BUS-20", {"endpoint": port, "stable": stable(port)}))
    return Finding(what, "ok", port)


def _holder(port: str) -> str:
    """Which other process has the port open, as far as /proc shows it; "" for nobody."""
    real = os.path.realpath(port)
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            files = list((entry / "fd").iterdir()) if int(entry.name) != os.getpid() else []
            if any(str(file.readlink()) == real for file in files):
                return f"{(entry / 'comm').read_text().strip()} (process {entry.name})"
        except OSError:
            continue  # ended meanwhile, or not ours to see
    return ""


def _clock(loaded: Loaded) -> Finding:
    from gateway.clock import SystemClock

    trusted = SystemClock(loaded.config.clock.trust).trusted()
    seen = f"trust = {loaded.config.clock.trust}"
    return Finding("clock", "ok" if trusted else "WARN", seen, None if trusted else Fault("CG-CLK-01"))


def _disk(folder: Path) -> Finding:
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free_bytes = shutil.disk_usage(place).free
    seen = f"{place}: {free_bytes / 1e9:.1f} GB free"
    if not os.access(place, os.W_OK):
        return Finding("disk", "FAIL", seen, Fault("CG-SYS-05", {"path": str(place)}))
    kind = filesystem(place)
    if kind in FORGETFUL:
        fault = Fault("CG-SYS-14", {"path": str(place), "kind": kind})
        return Finding("disk", "WARN", f"{seen}, {kind}", fault)
    low = free_bytes < LOW_BYTES
    return Finding("disk", "WARN" if low else "ok", seen, Fault("CG-SYS-08", {"path": str(place)}) if low else None)


def filesystem(place: Path, mounts: str | None = None) -> str:
    """The kind of filesystem that holds `place` (proc(5), mounts), "" where it cannot be told."""
    try:
        text = Path("/proc/self/mounts").read_text(encoding="utf-8") if mounts is None else mounts
    except OSError:
        return ""
    real, best = str(place.resolve()) + "/", ("", "")
    for row in text.splitlines():
        point, kind = row.split(" ")[1:3]
        if real.startswith(point.rstrip("/") + "/") and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


def _reached(what: str, url: str, *, code: str) -> Finding:
    """Whether a TCP connection to the address opens; nothing is sent."""
    split = urlsplit(url)
    host, port = split.hostname or "", split.port or PORTS.get(split.scheme, 0)
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.settimeout(CONNECT_S)
            probe.connect(address)
    except OSError as error:
        seen = f"{host}:{port}: {error.strerror or error}"
        return Finding(what, "FAIL", seen, Fault(code, {"endpoint": f"{host}:{port}"}, seen=seen))
    return Finding(what, "ok", f"{host}:{port}")
