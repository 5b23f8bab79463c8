"""Against slaves that share no code with us: pymodbus' server over TCP and RTU on a pty, libmodbus over both."""

import asyncio
import contextlib
import os
import pty
import random
import shutil
import subprocess
import threading
import tty
from pathlib import Path

import pytest
from bus_sim import crc
from modbus_wires import told
from parts import free_port

from drivers.errors import DeviceRefused, LinkLost, ReplyError
from drivers.link import SerialLink, TcpLink
from drivers.modbus.master import Master
from drivers.profile import Limits


@pytest.fixture
def crossed():
    """Two ptys joined by a thread that copies bytes, as a null-modem cable; gives the two slave paths."""
    ends = [pty.openpty(), pty.openpty()]
    for ours, theirs in ends:
        tty.setraw(ours)
        tty.setraw(theirs)
    stop_r, stop_w = os.pipe()

    def copy():
        import select

        masters = [ends[0][0], ends[1][0]]
        while True:
            ready, _, _ = select.select([*masters, stop_r], [], [])
            if stop_r in ready:
                return
            for n, master in enumerate(masters):
                if master in ready:
                    with contextlib.suppress(OSError):
                        os.write(masters[1 - n], os.read(master, 4096))

    thread = threading.Thread(target=copy)
    thread.start()
    yield [os.ttyname(theirs) for _, theirs in ends]
    os.write(stop_w, b"x")
    thread.join()
    for fd in (stop_r, stop_w, *ends[0], *ends[1]):
        os.close(fd)


@pytest.fixture(scope="module")
def slave_binary(tmp_path_factory):
    source = Path(__file__).with_name("slave.c")
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here: the libmodbus slave cannot be built")
    target = tmp_path_factory.mktemp("slave") / "slave"
    built = subprocess.run(
        ["gcc", "-O1", "-Wall", "-o", str(target), str(source), "-lmodbus"], capture_output=True, text=True
    )
    if built.returncode and "modbus.h" in built.stderr:
        pytest.skip("libmodbus-dev is not installed")
    assert built.returncode == 0, built.stderr
    return target


@contextlib.contextmanager
def slave(binary, *args):
    with subprocess.Popen([str(binary), *map(str, args)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().strip() == "ready"
            yield process
        finally:
            process.kill()


async def torture(master, unit, *, reads, limits, counts=(2,), seed=5):
    """Random reads of self-identifying registers: right, wrong, failed."""
    chance = random.Random(seed)
    found = {"right": 0, "wrong": 0, "failed": 0}
    for _ in range(reads):
        address, count = chance.randrange(5), chance.choice(counts)
        try:
            got = await master.read(unit, "holding", address=address, count=count, limits=limits, patience_s=10)
        except ReplyError:
            found["failed"] += 1
        else:
            found["right" if got.data == told(unit, address, count) else "wrong"] += 1
    return found


async def with_master(link, work, **options):
    master = Master(link, **options)
    await master.open()
    try:
        return await work(master), master.counters()
    finally:
        await master.close()


@pytest.mark.parts
@pytest.mark.parametrize("delay_ms", [0, 40])
def test_libmodbus_rtu(slave_binary, crossed, delay_ms):
    """With replies of 0 to 80 ms and a timeout of 40 ms: 0 wrong values."""
    limits = Limits(timeout_ms=40 if delay_ms else 500)
    with slave(slave_binary, "rtu", crossed[1], 17, delay_ms):
        link = SerialLink(crossed[0], "115200 8N1")
        found, counters = asyncio.run(
            with_master(link, lambda master: torture(master, 17, reads=60, limits=limits, counts=(2, 2, 5)))
        )
    assert found["wrong"] == 0
    assert found["right"] > 30
    assert found["failed"] == 0 or delay_ms
    assert counters.units[17].answers >= found["right"]


@pytest.mark.parts
@pytest.mark.parametrize("delay_ms", [0, 40])
def test_libmodbus_tcp(slave_binary, delay_ms):
    port = free_port()
    limits = Limits(timeout_ms=40 if delay_ms else 500)
    with slave(slave_binary, "tcp", port, 17, delay_ms):
        link = TcpLink("127.0.0.1", port)
        found, _ = asyncio.run(
            with_master(link, lambda master: torture(master, 17, reads=60, limits=limits), framing="tcp")
        )
    assert found["wrong"] == 0
    assert found["right"] > 30


@pytest.mark.parts
def test_libmodbus_bits_and_refusals(slave_binary, crossed):
    async def work(master):
        bits = await master.read(17, "coil", address=0, count=12)
        with pytest.raises(DeviceRefused, match="illegal data address") as caught:
            await master.read(17, "input", address=999, count=2)
        after = await master.read(17, "input", address=998, count=2)
        return bits.data, caught.value.code, after.data

    with slave(slave_binary, "rtu", crossed[1], 17, 0):
        found, counters = asyncio.run(with_master(SerialLink(crossed[0], "115200 8N1"), work))
    assert found == (bytes([0b00001000, 0b10]), 2, told(17, 998, 2))
    assert counters.refused == 1
    assert counters.timeouts == 0


def test_an_unplugged_port_is_lost_and_can_be_opened_again(tmp_path):
    """The adapter vanishes while an answer is awaited; another one comes back under the same by-path name."""
    name = tmp_path / "by-path"

    async def scenario():
        first, theirs = pty.openpty()
        name.symlink_to(os.ttyname(theirs))
        master = Master(SerialLink(str(name), "9600 8N1"))
        await master.open()
        os.close(theirs)
        asyncio.get_running_loop().call_later(0.02, os.close, first)
        with pytest.raises(LinkLost):
            await master.read(1, "input", address=0, count=2)
        with pytest.raises(LinkLost):
            await master.read(1, "input", address=0, count=2)
        await master.close()
        second, theirs = pty.openpty()
        name.unlink()
        name.symlink_to(os.ttyname(theirs))
        await master.open()
        os.close(theirs)

        def answer():
            request = os.read(second, 100)
            frame = bytes([1, 4, 2 * request[5]]) + told(1, request[3], request[5])
            os.write(second, frame + crc(frame))

        loop = asyncio.get_running_loop()
        loop.add_reader(second, answer)
        got = await master.read(1, "input", address=3, count=2, patience_s=5)
        await master.close()
        loop.remove_reader(second)
        os.close(second)
        return got.data

    assert asyncio.run(scenario()) == told(1, 3, 2)


def pymodbus_device(unit):
    from pymodbus.simulator import DataType, SimData, SimDevice

    registers = [SimData(0, values=[unit * 1000 + n for n in range(100)], datatype=DataType.REGISTERS)]
    bits = [SimData(0, values=[True, False] * 8, datatype=DataType.BITS)]
    return SimDevice(unit, simdata=(bits, bits, registers, registers))


def test_pymodbus_server_over_tcp():
    from pymodbus.server import ModbusTcpServer

    async def scenario():
        server = ModbusTcpServer(pymodbus_device(3), address=("127.0.0.1", 0))
        await server.serve_forever(background=True)
        port = server.transport.sockets[0].getsockname()[1]
        try:
            return await with_master(
                TcpLink("127.0.0.1", port),
                lambda master: torture(master, 3, reads=100, limits=Limits(), counts=(1, 2, 40)),
                framing="tcp",
            )
        finally:
            await server.shutdown()

    found, counters = asyncio.run(scenario())
    assert found == {"right": 100, "wrong": 0, "failed": 0}
    assert counters.transactions == 100


def test_pymodbus_server_over_rtu(crossed):
    from pymodbus.server import ModbusSerialServer

    async def scenario():
        server = ModbusSerialServer(pymodbus_device(3), port=crossed[1], baudrate=19200)
        await server.serve_forever(background=True)
        try:
            return await with_master(
                SerialLink(crossed[0], "19200 8N1"),
                lambda master: torture(master, 3, reads=40, limits=Limits(), counts=(1, 2, 40)),
            )
        finally:
            await server.shutdown()

    found, counters = asyncio.run(scenario())
    assert found == {"right": 40, "wrong": 0, "failed": 0}
    assert counters.junk_bytes == 0
