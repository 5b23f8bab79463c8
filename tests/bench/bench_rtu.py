"""Modbus RTU: mean cycle of back-to-back reads through the master on a paced pty, against the ideal of the line.

The slave is a process of its own behind a pty: it lets the request take its time on the line, keeps t3.5, and lets
the answer arrive in portions of a UART's FIFO (16 bytes), each when its last bit would have come. It never answers
early, so a ratio below 1.00 would mean that the master does not keep the silence. Ideal = request + t3.5 + answer +
t3.5. Goals: 1.00 to 1.04 at 9600 and 19200, at most 1.08 at 115200. What the slave itself was late (a busy machine) is
taken off. `gap` is the shortest silence before a request that the slave saw, in units of t3.5.
"""

import asyncio
import multiprocessing
import os
import pty
import statistics
import time
import tty

from bus_sim import crc

from drivers.line import line
from drivers.link import SerialLink
from drivers.modbus.master import Master

SECONDS = 2.0
ROUNDS = 3
CASES = [(settings, count) for settings in ("9600 8N1", "19200 8N1", "115200 8N1", "9600 8E1") for count in (10, 60)]
FIFO_BYTES = 16
SPIN_S = 0.001


def until(when_s):
    """Sleep, and spin for the last millisecond: the slave must not be late by its own fault."""
    while (left_s := when_s - time.monotonic()) > 0:
        if left_s > SPIN_S:
            time.sleep(left_s - SPIN_S)


def slave(fd, settings, pipe, *, foreign):
    """Answers until the pty is closed; then sends the gaps before each request, and how late its answers were."""
    os.close(foreign)
    speed = line(settings)
    gaps, late_s, end_s = [], [], 0.0
    try:
        while True:
            request = os.read(fd, 64)
            begin_s = time.monotonic()
            if end_s:
                gaps.append((begin_s - end_s) / speed.t35_s)
            count = request[4] << 8 | request[5]
            frame = request[:2] + bytes([2 * count]) + bytes(2 * count)
            frame += crc(frame)
            at_s = begin_s + len(request) * speed.char_s + speed.t35_s
            for begin in range(0, len(frame), FIFO_BYTES):
                portion = frame[begin : begin + FIFO_BYTES]
                at_s += len(portion) * speed.char_s
                until(at_s)
                end_s = time.monotonic()
                os.write(fd, portion)
            late_s.append(end_s - at_s)
    except OSError:
        pipe.send((gaps, late_s))


async def cycles(port, settings, count, seconds):
    master = Master(SerialLink(port, settings))
    await master.open()
    loop = asyncio.get_running_loop()
    for _ in range(5):
        await master.read(1, "holding", address=0, count=count)
    begin_s, done = loop.time(), 0
    while loop.time() - begin_s < seconds:
        await master.read(1, "holding", address=0, count=count)
        done += 1
    mean_s = (loop.time() - begin_s) / done
    await master.close()
    return mean_s


def measure(settings, count):
    """(mean cycle / ideal, shortest gap in t3.5)."""
    near, far = pty.openpty()
    tty.setraw(far)
    context = multiprocessing.get_context("fork")
    pipe, theirs = context.Pipe()
    process = context.Process(target=slave, args=(near, settings, theirs), kwargs={"foreign": far}, daemon=True)
    process.start()
    os.close(near)
    mean_s = asyncio.run(cycles(os.ttyname(far), settings, count, SECONDS))
    os.close(far)
    gaps, late_s = pipe.recv()
    process.join()
    speed = line(settings)
    ideal_s = (8 + 5 + 2 * count) * speed.char_s + 2 * speed.t35_s
    return (mean_s - statistics.mean(late_s[5:])) / ideal_s, min(gaps[5:])


def run():
    """Measure, print a table, return the figures (medians of interleaved rounds)."""
    found = {case: [] for case in CASES}
    for _ in range(ROUNDS):
        for case in CASES:
            found[case].append(measure(*case))
    figures = {}
    for (settings, count), rows in found.items():
        ratios = [ratio for ratio, _ in rows]
        figures[f"{settings}, {count} registers"] = {
            "ratio": statistics.median(ratios),
            "best": min(ratios),
            "worst": max(ratios),
            "shortest_gap_t35": min(gap for _, gap in rows),
        }
        print(
            f"{settings:>11}, {count:3} registers: cycle/ideal {statistics.median(ratios):.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f}), shortest gap {min(gap for _, gap in rows):.2f} t3.5"
        )
    print(f"load {os.getloadavg()[0]:.1f}")
    return {"name": "rtu", "seconds": SECONDS, "cpus": os.cpu_count(), "load": os.getloadavg()[0], "figures": figures}


if __name__ == "__main__":
    run()
