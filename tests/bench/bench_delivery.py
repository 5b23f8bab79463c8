"""Delivery alone: journal on disk -> lanes -> shipper -> MQTT sink at QoS 1 -> mosquitto, one thread of ours.

Method: raw records of 60 values. Drain: a backlog beside a live record every 10 ms; values/s from the first send to the
last PUBACK, CPU of this process (nobody subscribes, so the broker answers 0x10; a subscriber would cost only it), live
latency from `offer` to PUBACK. Outage: the broker is killed and comes back after CITYGATE_BENCH_OUTAGE_S (10; the goal
is meant for 60), while 10 devices go on with 600 values/s; time from the broker's welcome until the PUBACK of the last
record made before it was back, and whether each device's answers came in order.
"""

import asyncio
import os
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from parts import Mosquitto
from sink_cases import SITE

from drivers.points import points
from gateway.archive import open_archive
from gateway.clock import FakeClock
from gateway.codec import Codec
from gateway.config import Sink
from gateway.lanes import Lanes
from gateway.ledger import Ledger
from gateway.reading import Reading, Series
from gateway.record import Record
from gateway.selection import Selection
from gateway.shipper import Shipper
from gateway.sinks.registry import make_sink

POINTS = tuple(point for point in points().values() if point.kind == "gauge")[:60]
DEVICES = tuple(Series(f"meter-{n}", f"meter-{n}", "energy", POINTS, 1000) for n in range(10))
RECORDS = int(os.environ.get("CITYGATE_BENCH_DELIVERY", "20000"))
OUTAGE_S = float(os.environ.get("CITYGATE_BENCH_OUTAGE_S", "10"))
T0_MS = 1_795_000_000_000
EPOCH = "00000001-0000"


class Bench:
    def __init__(self, folder, url):
        self.journal = open_archive(folder)
        self.codec = Codec({})
        for series in DEVICES:
            self.journal.mark(*self.codec.schema_marks(series))
        self.ledger = Ledger(low=self.journal.next)
        selection = Selection(Sink(kind="memory", streams=("raw",)), personal=frozenset())
        lanes = Lanes(ledger=self.ledger, selection=selection, journal=self.journal, codec=self.codec)
        sink = make_sink("city", Sink(kind="mqtt", urls=(url,)), site=SITE, clock=FakeClock(wall_ms=T0_MS))
        self.shipper = Shipper("city", sink=sink, lanes=lanes)
        self.count, self.offered, self.latency_s = 0, {}, []
        settle = self.shipper.settle

        def timed(position, fate, reason):
            began = self.offered.pop(position, None)
            if began is not None:
                self.latency_s.append(time.perf_counter() - began)
            settle(position, fate, reason)

        self.shipper.settle = timed

    def append(self, *, live=False):
        series = DEVICES[self.count % 10]
        t_ms = T0_MS + 1000 * (self.count // 10)
        values = tuple(round(230.0 + (self.count * 7 + i) % 97 / 10, 1) for i in range(60))
        body = Reading(series, t_ms, 0, values, (0,) * 60)
        record = Record(series.id, "raw", t_ms, EPOCH, self.count // 10 + 1, body)
        position = self.journal.append(*self.codec.encode(record))
        if live:
            self.offered[position] = time.perf_counter()
        self.shipper.offer(position, record)
        self.count += 1

    async def fill(self, many):
        for number in range(many):
            self.append()
            if number % 2000 == 1999:
                await self.journal.commit()
        await self.journal.commit()

    async def drained(self, *, live_every_s=None):
        """From the welcome to the last answer: (wall s, CPU s)."""
        task = asyncio.create_task(self.shipper.run())
        while self.shipper.state != "up":
            await asyncio.sleep(0.001)
        began, cpu = time.perf_counter(), time.process_time()
        ended = began
        backlog = self.count
        while self.ledger.low < backlog:
            await asyncio.sleep(live_every_s or 0.001)
            if live_every_s:
                self.append(live=True)
            ended = time.perf_counter()
        used = time.process_time() - cpu
        await self.journal.commit()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return ended - began, used

    async def close(self):
        await self.journal.close()


async def drain(folder, url):
    bench = Bench(folder, url)
    await bench.fill(RECORDS)
    bench.shipper.lanes.rate = 1000.0  # so the backlog is a long one, and live runs beside it
    wall_s, cpu_s = await bench.drained(live_every_s=0.01)
    await bench.close()
    late = sorted(bench.latency_s)
    values = RECORDS * 60
    return {
        "drain_values_per_s": values / wall_s,
        "drain_cpu_s_per_1000_values": 1000 * cpu_s / values,
        "drain_live_p95_s": late[int(0.95 * len(late))] if late else float("nan"),
        "drain_live_records": len(late),
    }


async def outage(folder, broker):
    """The broker is killed, and started again at the same port after OUTAGE_S; records are made all the while."""
    bench = Bench(folder, broker.url)
    welcomes, answers = [], []
    settle, up = bench.shipper.settle, bench.shipper._up

    def noted(position, fate, reason):
        answers.append((time.perf_counter(), position))
        settle(position, fate, reason)

    def welcomed():
        welcomes.append(time.perf_counter())
        up()

    bench.shipper.settle, bench.shipper._up = noted, welcomed
    task = asyncio.create_task(bench.shipper.run())

    async def live(until):
        due_s = time.perf_counter()
        while not until(due_s):
            bench.append()  # 10 records of 60 values each second
            if bench.count % 10 == 0:
                await bench.journal.commit()
                bench.shipper.committed()
            due_s += 0.1
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))

    await live(lambda _now_s: bench.count >= 20 and welcomes)
    before = bench.count
    await asyncio.to_thread(lambda: broker.stop(kill=True))
    began = time.perf_counter()
    await live(lambda now_s: now_s - began >= OUTAGE_S)
    await asyncio.to_thread(broker.start)
    back, missed = time.perf_counter(), bench.count
    await live(lambda now_s: (len(welcomes) > 1 and bench.ledger.waiting <= 10) or now_s - back > 60.0)
    await bench.journal.commit()
    bench.shipper.committed()
    waited_s = bench.shipper.waited_s
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await bench.close()
    order = defaultdict(list)
    for _when, position in answers:
        order[position % 10].append(position)  # one entry per record, devices in turn
    last = max((when for when, position in answers if position < missed), default=float("nan"))
    return {
        "outage_s": OUTAGE_S,
        "outage_records_made_meanwhile": missed - before,
        "outage_jittered_wait_s": waited_s,
        "outage_reconnect_after_s": welcomes[-1] - back,
        "outage_delivered_after_s": last - welcomes[-1],
        "outage_undelivered": len(set(range(missed)) - {position for _when, position in answers}),
        "outage_in_order": float(all(places == sorted(places) for places in order.values()) and len(order) == 10),
    }


def run():
    with (
        tempfile.TemporaryDirectory(prefix="citygate-bench-") as name,
        Mosquitto(extra=["set_tcp_nodelay true"]) as broker,
    ):
        figures = asyncio.run(drain(Path(name) / "drain", broker.url))
        figures |= asyncio.run(outage(Path(name) / "outage", broker))
    figures["load_average"] = os.getloadavg()[0]
    goals = {"drain_values_per_s": ">= 30000", "drain_live_p95_s": "<= 2", "outage_delivered_after_s": "<= 5",
             "outage_in_order": "1", "outage_undelivered": "0", "outage_jittered_wait_s": "<= 30"}  # fmt: skip
    for key, figure in figures.items():
        print(f"{key:32} {figure:12.4f}   {goals.get(key, '')}")
    return figures


if __name__ == "__main__":
    run()
