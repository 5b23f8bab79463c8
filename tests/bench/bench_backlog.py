"""R9: a gateway that starts in front of 10,000,000 values: time to open, time to the first parcel, memory.

Raw records of 10 points, sealed and (the newest) plain. A process of its own opens the journal, resumes a ledger and
hands out the first parcels as the shipper does, then drains all of it. `CITYGATE_BENCH_BACKLOG` sets the values.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_outage import AIR, Weather

from drivers.points import point
from gateway.archive import open_archive
from gateway.codec import Codec
from gateway.columns import Columns
from gateway.config import Sink
from gateway.journal.log import open_journal
from gateway.lanes import Lanes
from gateway.ledger import Ledger
from gateway.reading import Reading, Series
from gateway.record import Record
from gateway.selection import Selection
from gateway.sinks import Fate

VALUES = int(os.environ.get("CITYGATE_BENCH_BACKLOG", "10000000"))
T0 = 1_795_000_000_000
SERIES = Series("air-1", "air-1", "air", tuple(point(name) for name in AIR.split()), 1000)


def rss_kib() -> int:
    """Resident memory of this process now."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def lanes_of(journal, codec):
    selection = Selection(Sink(kind="memory", streams=("raw",)), personal=frozenset())
    blob = journal.marks.get("sink:city")
    ledger = Ledger(low=0) if blob is None else Ledger.from_bytes(blob)
    return Lanes(ledger=ledger, selection=selection, journal=journal, codec=codec)


async def fill(folder: Path) -> dict[str, float]:
    journal, codec = open_journal(folder, sealer=Columns()), Codec({})
    journal.mark(*codec.schema_marks(SERIES))
    lanes, weather, begin_s, sealing_s = lanes_of(journal, codec), Weather(SERIES, 1), time.perf_counter(), 0.0
    for number in range(VALUES // len(SERIES.points)):
        values = tuple(round(v, p.digits) for v, p in zip(weather.at(number), SERIES.points, strict=True))
        t_ms = T0 + number * 1000
        body = Reading(SERIES, t_ms, 0, values, (0,) * len(values))
        record = Record(SERIES.id, "raw", t_ms, "00000001-abcd", number + 1, body)
        lanes.offer(journal.append(*codec.encode(record)), record)
        if number % 1000 == 999:
            journal.mark("sink:city", lanes.state_bytes())
            await journal.commit()
            if number % 30_000 == 29_999:
                now_s = time.perf_counter()
                while await journal.seal():
                    pass
                sealing_s += time.perf_counter() - now_s
    journal.mark("sink:city", lanes.state_bytes())
    await journal.commit()
    size_bytes = journal.size_bytes
    await journal.close()
    return {
        "values": VALUES,
        "disk_mib": round(size_bytes / (1 << 20), 1),
        "sealed_values_per_s": round(VALUES / sealing_s) if sealing_s else 0,
        "fill_s": round(time.perf_counter() - begin_s, 1),
    }


async def start(folder: Path) -> dict[str, float]:
    """What the daemon does between its start and the first parcel, then the rest of the backlog."""
    warm, _ = Columns().unseal(Columns().seal([(1, bytes(120))])), Codec({})
    before_kib, begin_s = rss_kib(), time.perf_counter()
    journal = open_archive(folder)
    open_s = time.perf_counter() - begin_s
    lanes = lanes_of(journal, Codec(journal.marks))
    lanes.resume()
    lanes.begin()
    first = lanes.backlog(len(warm))
    first_s = time.perf_counter() - begin_s
    drained, slowest_s, most_kib = 0, 0.0, rss_kib()
    parcels = first
    while parcels:
        for parcel in parcels:
            lanes.settle(parcel.position, Fate.DELIVERED)
        drained += len(parcels)
        now_s = time.perf_counter()
        parcels = lanes.backlog(100)
        slowest_s = max(slowest_s, time.perf_counter() - now_s)
        if drained % 20_000 < 100:
            most_kib = max(most_kib, rss_kib())
    took_s = time.perf_counter() - begin_s - first_s
    await journal.close()
    return {
        "open_s": round(open_s, 3),
        "first_parcel_s": round(first_s, 3),
        "drained_values": drained * len(SERIES.points),
        "drain_values_per_s": round(drained * len(SERIES.points) / took_s),
        "slowest_step_ms": round(slowest_s * 1000, 1),
        "rss_growth_mib": round((most_kib - before_kib) / 1024, 1),
    }


def run() -> dict[str, float]:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="bench-backlog-") as folder:
        figures = asyncio.run(fill(Path(folder, "journal")))
        child = [sys.executable, __file__, str(Path(folder, "journal"))]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        figures |= json.loads(subprocess.run(child, check=True, capture_output=True, text=True, env=env).stdout)
    print(json.dumps(figures, indent=1))
    return figures


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(asyncio.run(start(Path(sys.argv[1])))))
    else:
        run()
