"""1,000 idle sockets and a slow-loris at the live page: the polls of the daemon keep their times.

Jitter is the distance of a poll from its grid, seen at the simulated device. Three kinds of rounds in turn: calm; the
attackers at a port that nobody listens on (their own processor time, which is a stranger's); the attackers at the page.
What the page adds is the third against the second. The page drops what it holds too long, they come back at once.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from live_desk import LivePage
from parts import free_port

from firmware_sims.bench import Bench
from firmware_sims.gateway_process import Gateway, config

IDLE, SLOW, PERIOD_S, ROUND_S, ROUNDS, DEVICES = 1000, 50, 0.2, 14.0, 4, 8
ATTACK = """
import asyncio, os, sys
os.nice(19)  # a stranger's processor is not ours: what counts is the page's own work
port, idle, slow = map(int, sys.argv[1:])
held = 0
async def hold(slowly):
    global held
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            held += 1
            try:
                if slowly:
                    writer.write(b"GET / HTTP/1.1\\r\\nHost: localhost:%d\\r\\nX: " % port)
                    while not (reader.at_eof() or reader.exception() or writer.is_closing()):
                        writer.write(b"a")
                        await asyncio.sleep(0.5)
                else:
                    await reader.read()
            finally:
                held -= 1
                writer.close()
        except OSError:
            pass
        await asyncio.sleep(1.0)
async def main():
    tasks = [asyncio.create_task(hold(n < slow)) for n in range(idle + slow)]
    while True:
        await asyncio.sleep(1)
        print(held, flush=True)
asyncio.run(main())
"""


def jitter_ms(devices, begin_s, end_s):
    """p50 and p99 of the distance of the polls from each device's own grid."""
    found = []
    for device in devices:
        times = [one.t_s for one in tuple(device.served) if begin_s <= one.t_s < end_s and "voltage" in one.values]
        phases = [t % PERIOD_S for t in times]
        middle = statistics.median((phase - phases[0] + PERIOD_S / 2) % PERIOD_S for phase in phases)
        found += [abs((phase - phases[0] + PERIOD_S / 2) % PERIOD_S - middle) * 1000 for phase in phases]
    found.sort()
    return {"n": len(found), "p50": found[len(found) // 2], "p99": found[int(len(found) * 0.99)]}


def run():
    folder = Path(tempfile.mkdtemp(prefix="citygate-bench-"))
    rounds = {"calm": [], "elsewhere": [], "attacked": []}
    with Bench(folder) as bench:
        devices = [bench.device("eastron-sdm120", unit=1, tcp=True) for _ in range(DEVICES)]
        text = config(devices, folder, streams=("raw",), every=f"{PERIOD_S * 1000:.0f}ms")
        gateway = Gateway(folder, text)
        gateway.start()
        live = LivePage(folder)
        live.config.write_text(text)
        try:
            with live:
                live.ready()
                time.sleep(3)
                held = measure(live, devices, rounds)
                alive = live.get("/healthz")[0] if time.sleep(8) is None else 0
        finally:
            gateway.stop()
    calm, elsewhere, attacked = (statistics.median(one["p99"] for one in found) for found in rounds.values())
    print(f"{DEVICES} devices at {1 / PERIOD_S:.0f} Hz, {ROUNDS} rounds of {ROUND_S:.0f} s each, in turn")
    for key, found in rounds.items():
        shown = "  ".join(f"{one['p50']:.2f}/{one['p99']:.2f}" for one in found)
        print(f"  {key:9} p50/p99 jitter of {found[0]['n']} polls a round, ms: {shown}")
    print(
        f"  p99 attacked / elsewhere: {attacked / elsewhere:.2f} (bound 1.10), attacked / calm: {attacked / calm:.2f}; "
        f"sockets held at once {held}; page after: {alive}"
    )
    return {"rounds": rounds, "ratio": attacked / elsewhere, "of_calm": attacked / calm, "held": held}


def measure(live, devices, rounds):
    held = 0
    for _ in range(ROUNDS):
        for key in rounds:
            attack = None
            if key != "calm":
                port = live.port if key == "attacked" else free_port()
                command = [sys.executable, "-c", ATTACK, str(port), str(IDLE), str(SLOW)]
                attack = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
                attack.stdout.readline()  # most of them stand
            begin_s = time.time()
            time.sleep(ROUND_S)
            rounds[key].append(jitter_ms(devices, begin_s, time.time()))
            if attack is not None:
                attack.terminate()
                held = max([held, *(int(line) for line in attack.stdout.read().split())])
                attack.wait()
                attack.stdout.close()
            time.sleep(1)
    return held
