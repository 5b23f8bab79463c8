"""R10: how many days of an outage fit into 256 MiB, under load A: 10 devices x 10 points, each every 10 s.

The real pipeline, windows (1m, 15m, 1h) and journal, sealed as the daemon seals it, in virtual time; nothing is
confirmed. Values at the resolution of the points' table: a walk around a day's curve with a noise of three steps of the
resolution (PM and the currents: ten). `CITYGATE_BENCH_DAYS` = 31 runs the whole of it, else a day stands for all.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import tempfile
import time
from pathlib import Path
from zoneinfo import ZoneInfo

from drivers.points import point
from drivers.sample import Sample
from gateway.clock import FakeClock
from gateway.codec import Codec
from gateway.columns import Columns
from gateway.journal.log import open_journal
from gateway.journal.segment import is_segment
from gateway.numbers import next_epoch
from gateway.pipeline import Pipeline
from gateway.reading import Series
from gateway.window import Windows

DAYS = float(os.environ.get("CITYGATE_BENCH_DAYS", "1"))
CAP_BYTES = 256 << 20
STEP_S = 10
ENERGY = "voltage_l1 voltage_l2 voltage_l3 current_l1 current_l2 current_l3 power_active power_factor frequency"
AIR = "pm1 pm2_5 pm10 temperature humidity pressure co2 no2 o3 noise_leq"
BASE = {"v": 230.0, "c": 12.0, "p": 40.0, "f": 50.0, "t": 28.0, "h": 70.0, "n": 50.0, "o": 30.0, "e": 1.0}
NOISY = ("pm", "current")


def load_a() -> list[Series]:
    """Five three-phase meters and five air stations."""
    found = []
    for number in range(10):
        kind, names = ("energy", ENERGY + " energy_import") if number % 2 else ("air", AIR)
        points = tuple(point(name) for name in names.split())
        found.append(Series(f"{kind}-{number}", f"{kind}-{number}", kind, points, STEP_S * 1000))
    return found


class Weather:
    """Values of one series over the day."""

    def __init__(self, series: Series, seed: int) -> None:
        self._points, self._dice = series.points, random.Random(seed)
        self._total = 1000.0

    def at(self, t_s: float) -> tuple[float, ...]:
        self._total += 0.002 * self._dice.random()
        day = math.sin(t_s / 86_400 * 2 * math.pi)
        found = []
        for one in self._points:
            step = 10.0**-one.digits
            if one.kind == "counter":
                found.append(self._total)
                continue
            noise = self._dice.gauss(0, (10 if one.name.startswith(NOISY) else 3) * step)
            found.append(BASE.get(one.name[0], 20.0) * (1 + 0.05 * day) + noise)
        return tuple(found)


async def _outage(folder: Path) -> dict[str, float]:
    clock = FakeClock(wall_ms=1_795_000_000_000, mono_ns=5_000_000_000)
    journal = open_journal(folder, cap_bytes=CAP_BYTES, stamp=clock.wall_ms, sealer=Columns())
    series = load_a()
    pipeline = Pipeline(
        clock=clock, journal=journal, codec=Codec(journal.marks), epoch=next_epoch(journal.marks, "beef")
    )
    pipeline.fit(series, windows=Windows(series, ("1m", "15m", "1h"), zone=ZoneInfo("Asia/Bangkok")))
    weather = [Weather(one, number) for number, one in enumerate(series)]
    begin, sealing_s, steps = time.perf_counter(), 0.0, round(DAYS * 86_400 / STEP_S)
    for step in range(steps):
        clock.now_ns += STEP_S * 1_000_000_000
        for one, now in zip(series, weather, strict=True):
            values = now.at(step * STEP_S)
            pipeline.take(one, Sample(clock.now_ns - 1_000_000 * random.randrange(50), values, (0,) * len(values)))
        pipeline.tick()
        pipeline.set_marks()
        await journal.commit()
        if step % 360 == 0:
            now_s = time.perf_counter()
            while await journal.seal():
                pass
            sealing_s += time.perf_counter() - now_s
        if journal.full:
            raise SystemExit(f"full after {step * STEP_S / 86_400:.1f} days")
    await journal.commit()
    held = sum((folder / name).stat().st_size for name in os.listdir(folder) if is_segment(name))
    sealed = sum((folder / name).stat().st_size for name in os.listdir(folder) if name.endswith("1"))
    entries = journal.next
    raw_values = steps * sum(len(one.points) for one in series)
    last = journal._store.segments[-1]  # its share of entries is not sealed yet
    sealed_share = last.first / entries
    await journal.close()
    return {
        "days": DAYS,
        "raw_values": raw_values,
        "entries": entries,
        "disk_bytes": held,
        "sealed_bytes": sealed,
        "sealed_bytes_per_raw_value": round(sealed / (raw_values * sealed_share), 2),
        "days_in_256_mib": round((CAP_BYTES - (8 << 20)) / (sealed / (DAYS * sealed_share)), 1),
        "sealing_cpu_share_of_a_day": round(sealing_s / (DAYS * 86_400), 6),
        "took_s": round(time.perf_counter() - begin, 1),
    }


def run() -> dict[str, float]:
    """All figures; `disk_bytes` is what the files take, the segment in use included."""
    with tempfile.TemporaryDirectory(prefix="bench-outage-") as folder:
        figures = asyncio.run(_outage(Path(folder)))
    print(json.dumps(figures, indent=1))
    return figures


if __name__ == "__main__":
    run()
