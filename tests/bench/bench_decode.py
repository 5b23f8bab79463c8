"""Cost of decoding one usual frame of every driver, from bytes to values: stream devices and Modbus answers.

CPU time, the best of several: other work on the machine is not ours to measure. The aim is 50 us; what costs more is
explained in `HEAVY`.
"""

import math
import statistics
from time import process_time

from stream_examples import EXAMPLES, stream

from drivers.checksum import crc16_modbus
from drivers.line import line
from drivers.modbus.decode import BlockDecoder
from drivers.modbus.plan import cost, plan
from drivers.profile import load, shipped, where
from drivers.uart.stream import StreamDevice

LIMIT_US = 50.0
HEAVY = {  # at most
    "dsmr-p1": (200.0, "a telegram of 30 points with its CRC over 247 bytes, once in 1 to 10 s: 0.01 % of a core"),
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


def _block(name):
    """Microseconds and bytes of the largest answer of a register profile: its CRC and all its values."""
    profile = load(name)
    part = next(part for part in ("", "lane1", "ch1") if profile.rows_of(part))
    rows = profile.rows_of(part)
    blocks = plan(
        [where(row.read) for row in rows], profile.limits, price=cost(line(profile.wire.lines[0]), profile.limits)
    )
    block = max(blocks, key=lambda each: each.count)
    decoder = BlockDecoder(block, [rows[n] for n in block.values])
    data = bytes(range(1, 256)) * 2
    body = bytes((1, 3, block.data_bytes)) + data[: block.data_bytes]
    frame = body + crc16_modbus(body).to_bytes(2, "little")

    def work():
        if crc16_modbus(frame) == 0:
            decoder.decode(frame[3:-2])

    return _cost_us(work), len(frame)


def run():
    figures, reference = {}, _cost_us(lambda: crc16_modbus(bytes(32)))
    print(f"{'profile':26} {'bytes':>6} {'us':>8}   (crc16 of 32 bytes: {reference:.2f} us)")
    seen = {}
    for example in EXAMPLES:
        if example.profile not in seen:
            seen[example.profile] = _one(example)
    seen |= {name: _block(name) for name in shipped() if load(name).by_registers}
    for profile, (us, size) in sorted(seen.items(), key=lambda item: -item[1][0]):
        most, reason = HEAVY.get(profile, (0.0, "NOT EXPLAINED"))
        why = f"   {reason if us <= most else 'NOT EXPLAINED'}" if us > LIMIT_US else ""
        print(f"{profile:26} {size:6.0f} {us:8.1f}{why}")
        figures[profile] = {"us": round(us, 2), "bytes": size, "ratio": round(us / reference, 2)}
    median = statistics.median(us for us, _ in seen.values())
    print(f"median {median:.1f} us")
    return {"profiles": figures, "median_us": round(median, 2), "reference_us": round(reference, 3)}
