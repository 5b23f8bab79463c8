"""Cost of decoding one usual frame of every stream driver, from bytes to sample, against one CRC-16 of the same bytes.

CPU time, the best of several: other work on the machine is not ours to measure. The aim is 50 us; what costs more is
explained in `HEAVY`.
"""

import math
import statistics
from time import process_time

from stream_examples import EXAMPLES, stream

from drivers.checksum import crc16_modbus
from drivers.profile import load
from drivers.uart.stream import StreamDevice

LIMIT_US = 50.0
HEAVY = {
    "banner-dxm": "eight samples of eight channels, once in 30 s",
    "dsmr-p1": "a telegram of 350 to 1000 bytes with dozens of data sets, once in 1 to 10 s",
    "easymeter-q3d": "a telegram of 350 bytes, once in 2 s",
    "iec62056-21": "a readout of hundreds of bytes, once in minutes",
    "iss-rtms-g4": "a message of ten frames for all zones, once in 30 s",
    "wavetronix-ss105": "all lanes of an interval, once in 30 s",
}


def _cost_us(work, *, seconds=0.03, rounds=5):
    count, best = 1, math.inf
    while (took := _timed(work, count)) < seconds / 4:
        count *= 4
    for _ in range(rounds):
        took = _timed(work, count)
        best = min(best, took / count * 1e6)
    return best


def _timed(work, count):
    begin = process_time()
    for _ in range(count):
        work()
    return process_time() - begin


def _one(example):
    """Microseconds and bytes of one frame; push devices' reader is the same as the polled ones' to this point."""
    count = 20
    data = stream(example, count)
    reader = StreamDevice(load(example.profile))
    return _cost_us(lambda: reader.feed(data, 0)) / count, len(data) / count


def run():
    figures, reference = {}, _cost_us(lambda: crc16_modbus(bytes(32)))
    print(f"{'profile':26} {'bytes':>6} {'us':>8}   (crc16 of 32 bytes: {reference:.2f} us)")
    seen = {}
    for example in EXAMPLES:
        if example.profile not in seen:
            seen[example.profile] = _one(example)
    for profile, (us, size) in sorted(seen.items(), key=lambda item: -item[1][0]):
        why = f"   {HEAVY.get(profile, 'NOT EXPLAINED')}" if us > LIMIT_US else ""
        print(f"{profile:26} {size:6.0f} {us:8.1f}{why}")
        figures[profile] = {"us": round(us, 2), "bytes": size, "ratio": round(us / reference, 2)}
    median = statistics.median(us for us, _ in seen.values())
    print(f"median {median:.1f} us")
    return {"profiles": figures, "median_us": round(median, 2), "reference_us": round(reference, 3)}
