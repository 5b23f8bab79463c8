"""R13: bytes that reach the flash, counted by the block layer of a loop-mounted ext4; two sinks confirm; with sealing.

Load B: 10 devices x 30 points at 1 Hz; load A: 10 x 10 points, each every 10 s. A commit each second (virtual), real
pipeline, windows (1m, 15m, 1h), ledgers and journal. ext4 writes its own journal every 5 s of real time, so a run in
virtual time shows too little of that: `CITYGATE_BENCH_PACE_S=180` adds a run of load B in real time. Needs root.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

from bench_outage import AIR, ENERGY, Weather

from drivers.points import point
from drivers.sample import Sample
from gateway.clock import FakeClock
from gateway.codec import Codec
from gateway.columns import Columns
from gateway.config import Sink
from gateway.journal.log import open_journal
from gateway.lanes import Lanes
from gateway.ledger import Ledger
from gateway.numbers import next_epoch
from gateway.pipeline import Pipeline
from gateway.reading import Series
from gateway.selection import Selection
from gateway.sinks import Fate
from gateway.window import Windows

PACE_S = int(os.environ.get("CITYGATE_BENCH_PACE_S", "0"))
HOURS_A, HOURS_B = 8.0, 1.0
SECTOR = 512


@contextmanager
def ext4():
    """A folder on a fresh ext4 of 128 MiB in a file; gives it and its block device's name."""
    with tempfile.TemporaryDirectory(prefix="bench-flash-") as folder:
        image, mount = Path(folder, "image"), Path(folder, "mount")
        mount.mkdir()
        with image.open("wb") as file:
            file.truncate(128 << 20)
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
        subprocess.run(["mount", "-o", "loop,noatime", str(image), str(mount)], check=True)
        try:
            mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
            yield mount, next(Path(source).name for source, where, *_ in mounts if where == str(mount))
        finally:
            subprocess.run(["umount", str(mount)], check=True)


def written_bytes(device: str) -> int:
    """Sectors written so far (Documentation/block/stat), in bytes."""
    return int(Path(f"/sys/block/{device}/stat").read_text().split()[6]) * SECTOR


def load(points: int, every_ms: int) -> list[Series]:
    found = []
    for number in range(10):
        kind, names = ("energy", ENERGY.split()) if number % 2 else ("air", AIR.split())
        rows = tuple(point(names[n % len(names)]) for n in range(points))
        found.append(Series(f"{kind}-{number}", f"{kind}-{number}", kind, rows, every_ms))
    return found


class Site:
    """A gateway with two sinks that confirm everything at once."""

    def __init__(self, folder: Path, series: list[Series]) -> None:
        self.clock = FakeClock(wall_ms=1_795_000_000_000, mono_ns=5_000_000_000)
        self.journal = open_journal(folder, stamp=self.clock.wall_ms, sealer=Columns())
        codec = Codec(self.journal.marks)
        self.pipeline = Pipeline(
            clock=self.clock, journal=self.journal, codec=codec, epoch=next_epoch(self.journal.marks, "beef")
        )
        self.pipeline.fit(series, windows=Windows(series, ("1m", "15m", "1h"), zone=ZoneInfo("Asia/Bangkok")))
        self.series, self.weather = series, [Weather(one, n) for n, one in enumerate(series)]
        selection = Selection(Sink(kind="memory", streams=("raw", "1m", "15m", "1h", "event")), personal=frozenset())
        self.sinks = {
            name: Lanes(ledger=Ledger(low=0), selection=selection, journal=self.journal, codec=codec)
            for name in ("a", "b")
        }
        for lanes in self.sinks.values():
            lanes.begin()
            lanes.backlog(10)
        self.pipeline.listeners += [lanes.offer for lanes in self.sinks.values()]
        self.values = self.sealed = 0

    async def second(self, number: int) -> None:
        self.clock.now_ns += 1_000_000_000
        for index, (one, weather) in enumerate(zip(self.series, self.weather, strict=True)):
            every_s = (one.every_ms or 1000) // 1000
            if number % every_s == index % every_s:
                values = weather.at(number)
                self.values += len(values)
                self.pipeline.take(one, Sample(self.clock.now_ns, values, (0,) * len(values)))
        self.pipeline.tick()
        self.pipeline.set_marks()
        for name, lanes in self.sinks.items():
            for parcel in [*lanes.live(500), *lanes.backlog(500)]:
                lanes.settle(parcel.position, Fate.DELIVERED)
            self.journal.mark(f"sink:{name}", lanes.state_bytes())
        await self.journal.commit()
        if number % 60 == 0:
            self.sealed += await self.journal.seal()


async def _measure(*, points: int, every_ms: int, seconds: int, paced: bool = False) -> dict[str, float]:
    with ext4() as (mount, device):
        site = Site(mount / "journal", load(points, every_ms))
        await site.second(0)
        os.sync()
        before, begin_s = written_bytes(device), time.monotonic()
        for number in range(1, seconds + 1):
            await site.second(number)
            if paced:
                await asyncio.sleep(max(0.0, begin_s + number - time.monotonic()))
        os.sync()
        took = written_bytes(device) - before
        await site.journal.close()
    return {
        "commits": seconds,
        "segments_sealed": site.sealed,
        "bytes_per_commit": round(took / seconds),
        "bytes_per_value": round(took / site.values, 1),
    }


def run() -> dict[str, object]:
    """Figures of both loads; a reason instead where no ext4 can be mounted."""
    if os.geteuid() or not shutil.which("mkfs.ext4") or not Path("/dev/loop-control").exists():
        figures: dict[str, object] = {"not measured": "needs root, mkfs.ext4 and a loop device"}
    else:
        figures = {
            "load_b": asyncio.run(_measure(points=30, every_ms=1000, seconds=round(HOURS_B * 3600))),
            "load_a": asyncio.run(_measure(points=10, every_ms=10_000, seconds=round(HOURS_A * 3600))),
        }
        if PACE_S:
            figures["load_b_in_real_time"] = asyncio.run(_measure(points=30, every_ms=1000, seconds=PACE_S, paced=True))
            figures["load_a_in_real_time"] = asyncio.run(
                _measure(points=10, every_ms=10_000, seconds=PACE_S, paced=True)
            )
    print(json.dumps(figures, indent=1))
    return figures


if __name__ == "__main__":
    run()
