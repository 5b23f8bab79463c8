"""1,000 idle sockets and a slow-loris at the live page: the polls of the daemon keep their times.

Jitter is the distance of a poll from its device's own grid, by the time at which the kernel took its request: in front
of each simulated device stands a tap that passes bytes on and asks the kernel for that time (SO_TIMESTAMPNS). What
measures can be late itself, and the figure does not show it. Daemon and page are the real processes.

The attackers hold 1,000 sockets and say nothing; 50 more send a header, a byte each half second. Who is dropped is back
a second later. A real attacker has a processor of his own, and so have the devices; so there are two models:
- apart: the gateway (daemon and page) has one core, the world (devices, taps, attackers) the other. Calm and attacked
  rounds in turn. The figure is p99 of all attacked polls over p99 of all calm ones. What it is worth is told by the
  calm rounds alone: the even ones over the odd ones.
- together, the harsh one: all on all cores, the attackers in turn at the page and at a stranger's server, which does no
  more than hold each socket as long as the page does. What the attackers' own work costs stands on both sides.
"""

import contextlib
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from live_desk import LivePage
from parts import free_port

from firmware_sims.bench import Bench
from firmware_sims.gateway_process import Gateway, config

IDLE, SLOW, PERIOD_S, DEVICES = 1000, 50, 0.1, 8
ROUND_S, ROUNDS, HARSH_ROUNDS = 12.0, 5, 2
SETTLE_S, CALM_S = 8.0, 7.0  # until those who were let in first have been dropped and are back; until the page is empty
SO_TIMESTAMPNS = 35
ATTACK = """
import asyncio, os, sys
os.nice(19)
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
STRANGER = """
import collections, os, select, socket, sys, time
os.nice(15)
os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
door = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
held = collections.deque()
while True:
    if select.select([door], [], [], 0.25)[0]:
        held.append((time.monotonic() + 6, door.accept()[0]))
    while held and held[0][0] < time.monotonic():
        held.popleft()[1].close()
"""


class Tap(threading.Thread):
    """A port in front of a device: `asked` are the kernel's times (s) of the first request of each poll."""

    def __init__(self, device):
        super().__init__(daemon=True)
        self.device, self.asked, self.first = device, [], b""
        self.door = socket.create_server(("127.0.0.1", 0))
        self.port = self.door.getsockname()[1]
        self.start()

    def run(self):
        while True:
            guest, _ = self.door.accept()
            with contextlib.suppress(OSError), guest, socket.create_connection(("127.0.0.1", self.device.tcp)) as far:
                for one in (guest, far):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                guest.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
                back = threading.Thread(target=self.back, args=(far, guest), daemon=True)
                back.start()
                self.forth(guest, far)
                far.shutdown(socket.SHUT_RDWR)
                back.join()

    def forth(self, guest, far):
        while True:
            data, told, _, _ = guest.recvmsg(4096, 128)
            if not data:
                return
            self.first = self.first or data[6:]  # behind the transaction's number
            if data[6:] == self.first:
                self.asked += [s + ns / 1e9 for *_, form in told for s, ns in [struct.unpack("qq", form[:16])]]
            far.sendall(data)

    @staticmethod
    def back(far, guest):
        with contextlib.suppress(OSError):
            while data := far.recv(4096):
                guest.sendall(data)
            guest.shutdown(socket.SHUT_RDWR)


def jitter_ms(taps, begin_s, end_s):
    """The distances of the polls from each device's own grid."""
    found = []
    for tap in taps:
        times = [at for at in tuple(tap.asked) if begin_s <= at < end_s]
        if not times:
            continue  # the number of polls tells it
        phases = [(at - times[0] + PERIOD_S / 2) % PERIOD_S for at in times]
        middle = statistics.median(phases)
        found += [abs(phase - middle) * 1000 for phase in phases]
    return found


def share(found, part):
    return sorted(found)[int(len(found) * part)]


def cpu_s(process):
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Scene:
    """Eight devices behind taps, the daemon that polls them, the page; `apart`: the world has a core of its own."""

    def __init__(self, *, apart):
        cores = sorted(os.sched_getaffinity(0))
        self.apart = apart and len(cores) > 1
        self.cores = set(cores)
        self.ours, self.world = ({cores[0]}, {cores[1]}) if self.apart else (self.cores, self.cores)

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.begin(stack)
            self.stack = stack.pop_all()
        time.sleep(5)
        return self

    def begin(self, stack):
        stack.callback(os.sched_setaffinity, 0, self.cores)
        folder = Path(tempfile.mkdtemp(prefix="citygate-bench-"))
        os.sched_setaffinity(0, self.world)  # threads and processes stay where they were begun
        bench = stack.enter_context(Bench(folder))
        devices = [bench.device("eastron-sdm120", unit=1, tcp=True) for _ in range(DEVICES)]
        self.taps = [Tap(device) for device in devices]
        text = config(devices, folder, streams=("raw",), every=f"{PERIOD_S * 1000:.0f}ms")
        for tap in self.taps:
            text = text.replace(f"port = {tap.device.tcp}\n", f"port = {tap.port}\n")
        self.gateway, self.live = Gateway(folder, text), LivePage(folder)
        self.live.config.write_text(text)
        os.sched_setaffinity(0, self.ours)
        self.gateway.start()
        stack.callback(self.gateway.stop)
        stack.enter_context(self.live).ready()
        os.sched_setaffinity(0, self.world)

    def __exit__(self, *_):
        self.stack.close()

    def round(self, port=None):
        """Jitter of one round, with the attackers at `port` where there is one."""
        attack = None
        if port is not None:
            command = [sys.executable, "-c", ATTACK, str(port), str(IDLE), str(SLOW)]
            attack = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            time.sleep(SETTLE_S)
        spent_s, begin_s, load = cpu_s(self.live.process), time.time(), os.getloadavg()[0]
        time.sleep(ROUND_S)
        found = {"jitter": jitter_ms(self.taps, begin_s, time.time()), "load": load}
        found["page_cpu_pct"] = (cpu_s(self.live.process) - spent_s) / ROUND_S * 100
        if attack is not None:
            attack.terminate()
            held = [int(line) for line in attack.stdout.read().split()]
            found["held"] = statistics.median(held[int(SETTLE_S) :] or [0])
            attack.wait()
            attack.stdout.close()
            time.sleep(CALM_S)
        return found


def pooled(rounds):
    return [one for found in rounds for one in found["jitter"]]


def told(name, rounds):
    found = pooled(rounds)
    each = " ".join(f"{share(one['jitter'], 0.99):.2f}" for one in rounds)
    page = statistics.mean(one["page_cpu_pct"] for one in rounds)
    held = max(one.get("held", 0) for one in rounds)
    wanted = len(rounds) * DEVICES * ROUND_S / PERIOD_S
    print(
        f"  {name:10} {len(found)} of {wanted:.0f} polls: p50 {share(found, 0.5):.2f} p95 {share(found, 0.95):.2f} "
        f"p99 {share(found, 0.99):.2f} ms (rounds {each}); page {page:.1f} % of a core; sockets held {held:.0f}"
    )
    return {
        "n": len(found),
        **{f"p{int(part * 100)}_ms": share(found, part) for part in (0.5, 0.95, 0.99)},
        "page": page,
    }


def apart():
    """Calm and attacked in turn, the gateway on a core of its own."""
    calm, attacked = [], []
    with Scene(apart=True) as scene:
        for _ in range(ROUNDS):
            calm.append(scene.round())
            attacked.append(scene.round(scene.live.port))
        calm.append(scene.round())
        alive = scene.live.get("/healthz")[0]
    print(f"apart: the gateway on one core, the world on {'the other' if scene.apart else 'THE SAME (one core)'}")
    found = {"calm": told("calm", calm), "attacked": told("attacked", attacked)}
    found["ratio"] = found["attacked"]["p99_ms"] / found["calm"]["p99_ms"]
    found["repeat"] = share(pooled(calm[::2]), 0.99) / share(pooled(calm[1::2]), 0.99)
    found["load"] = [one["load"] for one in (*calm, *attacked)]
    print(
        f"  p99 attacked / calm {found['ratio']:.2f} (bound 1.10); calm / calm {found['repeat']:.2f}; page after: "
        f"{alive}; load {min(found['load']):.1f} to {max(found['load']):.1f}"
    )
    return found


def together():
    """All on all cores; the attackers at a stranger's server, then at the page."""
    elsewhere, attacked = [], []
    port = free_port()
    stranger = subprocess.Popen([sys.executable, "-c", STRANGER, str(port)])
    try:
        with Scene(apart=False) as scene:
            for _ in range(HARSH_ROUNDS):
                elsewhere.append(scene.round(port))
                attacked.append(scene.round(scene.live.port))
    finally:
        stranger.kill()
        stranger.wait()
    print("together: all on all cores, the attackers' own work on both sides")
    found = {"elsewhere": told("elsewhere", elsewhere), "attacked": told("attacked", attacked)}
    found["ratio"] = found["attacked"]["p99_ms"] / found["elsewhere"]["p99_ms"]
    print(f"  p99 attacked / elsewhere {found['ratio']:.2f}")
    return found


def run():
    print(
        f"{DEVICES} devices at {1 / PERIOD_S:.0f} Hz; {IDLE} idle sockets, {SLOW} slow ones; rounds of {ROUND_S:.0f} s"
    )
    return {"apart": apart(), "together": together()}


if __name__ == "__main__":
    print(json.dumps(run()))
