"""Modbus TCP: CPU of one read through the master, against a minimal client and against pymodbus, in the same run.

The minimal client is what one would write by hand on `asyncio.BufferedProtocol`: transaction ids and futures, no
deadline, no check of unit, function or length, no counters. Goal: the master costs at most 1.3 of it. The server is a
process of its own that answers holding registers at once; figures are the client's CPU time (user + system). `ratio`
is that of the best rounds: other processes only ever add to CPU time; `median` is that of neighbouring rounds.
"""

import asyncio
import multiprocessing
import os
import statistics
import struct
import time

from drivers.link import TcpLink
from drivers.modbus.master import Master
from drivers.profile import Limits

READS = 800
ROUNDS = 15


class Server(asyncio.Protocol):
    """Answers each read with count registers of zero."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        for at in range(0, len(data), 12):
            size = 2 * (data[at + 10] << 8 | data[at + 11])
            head = data[at : at + 4] + struct.pack(">HBBB", size + 3, data[at + 6], data[at + 7], size)
            self.transport.write(head + bytes(size))


def serve(port):
    async def main():
        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


class Minimal(asyncio.BufferedProtocol):
    """The yardstick."""

    def __init__(self):
        self.buffer = bytearray(4096)
        self.view = memoryview(self.buffer)
        self.filled = 0
        self.number = 0
        self.pending = {}

    def connection_made(self, transport):
        self.transport = transport
        self.loop = asyncio.get_running_loop()

    def get_buffer(self, sizehint):
        return self.view[self.filled :]

    def buffer_updated(self, nbytes):
        self.filled += nbytes
        at = 0
        while self.filled - at >= 6:
            number, _, length = struct.unpack_from(">HHH", self.buffer, at)
            end = at + 6 + length
            if end > self.filled:
                break
            future = self.pending.pop(number)
            if not future.done():
                future.set_result(bytes(self.view[at + 9 : end]))
            at = end
        self.buffer[: self.filled - at] = self.buffer[at : self.filled]
        self.filled -= at

    def connection_lost(self, exc):
        pass

    async def read(self, unit, address, count):
        self.number = (self.number + 1) & 0xFFFF
        future = self.pending[self.number] = self.loop.create_future()
        self.transport.write(struct.pack(">HHHBBHH", self.number, 0, 6, unit, 3, address, count))
        return await future


async def minimal(port, outstanding):
    _, protocol = await asyncio.get_running_loop().create_connection(Minimal, "127.0.0.1", port)
    return lambda count: protocol.read(1, 0, count), protocol.transport.abort


async def ours(port, outstanding):
    master = Master(TcpLink("127.0.0.1", port), framing="tcp")
    await master.open()
    limits = Limits(outstanding=outstanding)
    return lambda count: master.read(1, "holding", address=0, count=count, limits=limits), master.close


async def pymodbus(port, outstanding):
    from pymodbus.client import AsyncModbusTcpClient

    client = AsyncModbusTcpClient("127.0.0.1", port=port)
    await client.connect()
    return lambda count: client.read_holding_registers(0, count=count), client.close


async def once(make, port, count, outstanding):
    read, close = await make(port, outstanding)

    async def worker(reads):
        for _ in range(reads):
            await read(count)

    await worker(50)
    begin = time.process_time()
    await asyncio.gather(*[worker(READS // outstanding) for _ in range(outstanding)])
    spent = (time.process_time() - begin) / (READS // outstanding * outstanding) * 1e6
    closing = close()
    if asyncio.iscoroutine(closing):
        await closing
    return spent


def run():
    """Measure, print a table, return the figures (us of CPU per read; ratios are medians of interleaved rounds)."""
    context = multiprocessing.get_context("spawn")
    port_in, port_out = context.Pipe()
    server = context.Process(target=serve, args=(port_out,), daemon=True)
    server.start()
    port = port_in.recv()
    figures = {}
    try:
        for count, outstanding in ((10, 1), (125, 1), (10, 8)):
            rows = {make.__name__: [] for make in (minimal, ours, pymodbus)}
            for n in range(ROUNDS):
                for make in (minimal, ours, pymodbus)[: 3 if n < 3 else 2]:
                    rows[make.__name__].append(asyncio.run(once(make, port, count, outstanding)))
            median = statistics.median(o / m for o, m in zip(rows["ours"], rows["minimal"], strict=True))
            best = {name: min(found) for name, found in rows.items()}
            ratio = best["ours"] / best["minimal"]
            figures[f"{count} registers, {outstanding} outstanding"] = {
                "minimal_us": best["minimal"],
                "ours_us": best["ours"],
                "pymodbus_us": best["pymodbus"],
                "ratio": ratio,
                "median": median,
            }
            print(
                f"{count:4} registers, {outstanding} outstanding: minimal {best['minimal']:6.1f} us, "
                f"ours {best['ours']:6.1f} us, pymodbus {best['pymodbus']:6.1f} us; "
                f"ours/minimal {ratio:.2f} (median {median:.2f})"
            )
    finally:
        server.terminate()
        server.join()
    return {"name": "modbus_tcp", "reads": READS, "cpus": os.cpu_count(), "figures": figures}


if __name__ == "__main__":
    run()
