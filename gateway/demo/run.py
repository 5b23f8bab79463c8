"""One run of the demo: start everything, show it, keep it alive, end it, and count what arrived."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.archive import open_archive
from gateway.codec import RAW, Codec
from gateway.config.load import Loaded, load
from gateway.demo import leash
from gateway.demo.platform import Platform
from gateway.demo.servers import LIVE_PORT, Child, start_broker, start_city, start_daemon, start_database, start_live
from gateway.demo.site import Database, gateway_toml
from gateway.local import ask

LOOK_S: Final = 1.0
DRAIN_S: Final = 15.0

Say = Callable[[str], None]


@dataclass(slots=True)
class Tally:
    """Raw records made since the start of the run, per device and epoch: the highest sequence number seen."""

    made: dict[str, dict[str, int]] = field(default_factory=dict)

    def look(self, snapshot: dict[str, Any]) -> None:
        """Take the numbers of one snapshot."""
        epoch = snapshot["gateway"]["epoch"]
        for device, facts in snapshot["devices"].items():
            last = facts["last"]
            self.see(device, epoch, seq=0 if last is None else last["seq"])

    def see(self, device: str, epoch: str, *, seq: int) -> None:
        """One record with this number exists."""
        epochs = self.made.setdefault(device, {})
        epochs[epoch] = max(epochs.get(epoch, 0), seq)


class City:
    """The demo city in a folder of its own; `start`, then `look` as often as you like, then `finish`."""

    def __init__(self, folder: Path, say: Say) -> None:
        self.folder = folder
        self.say = say
        self.config = folder / "etc" / "gateway.toml"
        self.tally = Tally()
        self.children: dict[str, Child] = {}
        self.database: Database | None = None
        self.platform: Platform | None = None
        self._leash: subprocess.Popen[bytes] | None = None

    def prepare(self) -> Loaded:
        """Start devices, broker and database; write the config that a site would have."""
        (self.folder / "etc").mkdir(parents=True, exist_ok=True)
        (self.folder / "state").mkdir(exist_ok=True)
        self._leash = leash.hold()
        with ThreadPoolExecutor(3) as pool:  # each is mostly waiting for a child: together they take as long as one
            jobs = [pool.submit(start, self.folder) for start in (self._city, self._broker, self._database)]
        ready, url, _ = (job.result() for job in jobs)
        self.platform = Platform(url)
        self.say(f"broker {url}; database {self.database.name if self.database else 'none installed: a file instead'}")
        text = gateway_toml(self.folder, broker_url=url, database=self.database, tcp=ready["tcp"])
        self.config.write_text(text, encoding="utf-8")
        return load(self.config)

    def _city(self, folder: Path) -> Any:
        self.children["city"], ready = start_city(folder)
        return ready

    def _broker(self, folder: Path) -> Any:
        self.children["broker"], url = start_broker(folder)
        return url

    def _database(self, folder: Path) -> Any:
        started = start_database(folder)
        if started is not None:
            self.children["database"], self.database = started

    def replay(self, loaded: Loaded, *, hours: int = 26) -> int:
        """`hours` of history into the journal, before the daemon opens it."""
        from firmware_sims.city import city_devices  # noqa: PLC0415 - only the demo touches the simulators
        from firmware_sims.wavetronix import SS125  # noqa: PLC0415 - as above
        from gateway.demo import history  # noqa: PLC0415 - numpy and drivers, only when history is wanted

        journal = open_archive(self.folder / "state" / "journal")
        try:
            devices = city_devices(seed=1)
            radar = devices["radar"]
            if isinstance(radar, SS125):
                radar.interval_s = history.STEP_S  # its counts must cover the whole step
            return history.replay(loaded, journal, devices=devices, hours=hours)
        finally:
            asyncio.run(journal.close())

    def start(self) -> None:
        """The real daemon."""
        self.children["daemon"] = start_daemon(self.folder, self.config)

    def show(self) -> None:
        """The live page, where its libraries are installed."""
        started = start_live(self.folder, self.config)
        if started is None:
            self.say("no live page: starlette and uvicorn are not installed (citygate[live])")
            return
        self.children["live"], address = started
        taken = "" if address.endswith(f":{LIVE_PORT}") else f" (port {LIVE_PORT} is taken)"
        self.say(f"the live page: {address}{taken}")

    def keep(self) -> None:
        """Start the daemon again if it died, as systemd would."""
        process = self.children["daemon"].process
        if process.poll() is not None:
            self.say(f"the daemon ended with {process.returncode}; it starts again")
            self.start()

    def snapshot(self) -> dict[str, Any] | None:
        """What the daemon says now; None while it is away."""
        try:
            found = asyncio.run(ask(self.folder / "state" / "citygate.sock", {"ask": "snapshot"}, timeout_s=5.0))
        except (OSError, TimeoutError):
            return None
        self.tally.look(found)
        return found

    def drain(self) -> dict[str, Any]:
        """Polling stops, sinks drain for at most 10 s; what the sinks say then."""
        socket = self.folder / "state" / "citygate.sock"
        answer = asyncio.run(ask(socket, {"ask": "drain"}, timeout_s=DRAIN_S))
        self.snapshot()
        return dict(answer["sinks"])

    def stop(self) -> None:
        """End all children, the daemon first."""
        if self.platform is not None:
            self.platform.close()
            self.platform = None
        for name in ("live", "daemon", "city", "broker", "database"):
            if name in self.children:
                self.children.pop(name).stop()
        if self._leash is not None:
            leash.let_go(self._leash)
            self._leash = None

    def committed(self) -> dict[str, int]:
        """Raw records of this run that are in the journal, by device. The daemon must have ended."""
        journal = open_archive(self.folder / "state" / "journal")
        counts: dict[str, int] = {}
        try:
            codec = Codec(journal.marks)
            at = journal.first
            while entries := journal.read(at, limit_bytes=1 << 20):
                for entry in entries:
                    record = codec.decode(entry.kind, entry.payload) if entry.kind == RAW else None
                    if record is not None and not record.estimated:
                        counts[record.device] = counts.get(record.device, 0) + 1
                        self.tally.see(record.device, record.epoch, seq=record.seq)
                at = entries[-1].position + 1
        finally:
            asyncio.run(journal.close())
        return counts

    def summary(self, sinks: dict[str, Any]) -> dict[str, Any]:
        """The JSON object that a run ends with (contracts.md, `make demo`)."""
        committed = self.committed()
        devices = {
            device: {"records": sum(epochs.values()), "committed": committed.get(device, 0)}
            for device, epochs in sorted(self.tally.made.items())
        }
        ok = all(row["committed"] > 0 for row in devices.values()) and bool(devices)
        ok = ok and all(sink["confirmed"] > 0 and sink["waiting"] == 0 for sink in sinks.values()) and bool(sinks)
        return {"devices": devices, "sinks": sinks, "ok": ok}


@contextmanager
def folder_for(keep: Path | None) -> Iterator[Path]:
    """A folder of the run's own, removed at its end unless it was named."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    made = Path(tempfile.mkdtemp(prefix="citygate-demo-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def run(
    *, seconds: float | None, keep: Path | None, say: Say, show: Callable[[dict[str, Any]], None], history: bool = True
) -> dict[str, Any]:
    """Run until `seconds` have passed or Ctrl-C; `show` gets a snapshot every second. Returns the summary.

    Raises:
        DemoFailed: a part did not come up.
    """
    with folder_for(keep) as folder:
        city = City(folder, say)
        try:
            loaded = city.prepare()
            with ThreadPoolExecutor(1) as pool:
                shown = pool.submit(city.show)  # the page comes up while the history is made
                if history:
                    began_s = time.monotonic()
                    count = city.replay(loaded)
                    say(f"26 h of history replayed: {count} readings in {time.monotonic() - began_s:.1f} s")
                city.start()
            shown.result()
            _watch(city, seconds, show)
            sinks = city.drain()
            say(f"a subscriber at the broker heard {city.platform.messages if city.platform else 0} messages")
            city.stop()
            return city.summary(sinks)
        finally:
            city.stop()


def _watch(city: City, seconds: float | None, show: Callable[[dict[str, Any]], None]) -> None:
    until_s = None if seconds is None else time.monotonic() + seconds
    try:
        while until_s is None or time.monotonic() < until_s:
            city.keep()
            snapshot = city.snapshot()
            if snapshot is not None:
                show(snapshot)
            time.sleep(LOOK_S if until_s is None else max(0.0, min(LOOK_S, until_s - time.monotonic())))
    except KeyboardInterrupt:
        city.say("ending")
