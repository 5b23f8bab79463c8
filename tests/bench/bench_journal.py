"""What the journal costs: append, commit, bytes to disk, reading a long backlog, opening in front of one."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import tempfile
import time
from pathlib import Path

from gateway.journal.log import open_journal

VALUES = 60  # per record
PAYLOAD_BYTES = 20 + 4 * VALUES  # about what a poll of 60 points takes
BACKLOG_VALUES = int(os.environ.get("CITYGATE_BENCH_BACKLOG", "10000000"))


def _plain_append(folder, batches):
    """The reference of the same run: a growing file, one write and one fdatasync per batch."""
    fd = os.open(folder / "plain", os.O_CREAT | os.O_WRONLY)
    begin = time.perf_counter()
    for _ in range(batches):
        os.write(fd, bytes(10 * PAYLOAD_BYTES))
        os.fdatasync(fd)
    took_s = time.perf_counter() - begin
    os.close(fd)
    return took_s / batches


async def _commits(journal, *, batches, records):
    payload = os.urandom(PAYLOAD_BYTES)
    times, appends = [], 0.0
    for number in range(batches):
        begin = time.perf_counter()
        for _ in range(records):
            journal.append(1, payload)
        appends += time.perf_counter() - begin
        journal.mark("sink:city", b"%d" % number)
        begin = time.perf_counter()
        await journal.commit()
        times.append(time.perf_counter() - begin)
    times.sort()
    return times, appends / (batches * records)


def _written_bytes():
    """Bytes that this process caused to be sent to the block layer (proc_pid_io(5))."""
    try:
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return int(next(line for line in lines if line.startswith("write_bytes")).split()[1])


async def _measure(folder):
    journal = open_journal(folder / "small")
    await _commits(journal, batches=1, records=1)
    result = {}
    for records in (1, 10, 60):
        before = _written_bytes()
        times, append_s = await _commits(journal, batches=100, records=records)
        result[f"commit_{records}"] = {
            "median_us": round(times[50] * 1e6),
            "p99_us": round(times[98] * 1e6),
            "bytes_per_record": round((_written_bytes() - before) / (100 * records)),
        }
        result["append_us"] = round(append_s * 1e6, 2)
    await journal.close()
    result["plain_commit_10_us"] = round(_plain_append(folder, 100) * 1e6)
    result |= await _backlog(folder)
    return result


async def _backlog(folder):
    records = BACKLOG_VALUES // VALUES
    journal = open_journal(folder / "backlog")
    begin = time.perf_counter()
    await _commits(journal, batches=records // 1000, records=1000)
    fill_s = time.perf_counter() - begin
    await journal.close()
    begin = time.perf_counter()
    journal = open_journal(folder / "backlog")
    open_s = time.perf_counter() - begin
    rss_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin, position, slowest_s = time.perf_counter(), 0, 0.0
    while True:
        chunk = time.perf_counter()
        entries = journal.read(position, limit_bytes=65536)
        slowest_s = max(slowest_s, time.perf_counter() - chunk)
        if not entries:
            break
        position = entries[-1].position + 1
    read_s = time.perf_counter() - begin
    await journal.close()
    return {
        "backlog_values": position * VALUES,
        "fill_values_per_s": round(position * VALUES / fill_s),
        "open_ms": round(open_s * 1e3, 1),
        "read_values_per_s": round(position * VALUES / read_s),
        "read_chunk_max_ms": round(slowest_s * 1e3, 1),
        "read_rss_growth_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - rss_before,
    }


def run() -> dict:
    """All figures; times are wall time, bytes are `write_bytes` of this process."""
    with tempfile.TemporaryDirectory(prefix="bench-journal-") as folder:
        return asyncio.run(_measure(Path(folder)))


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
