"""Modbus/TCP against servers that lie, garble and repeat: what arrives as a value is the right one."""

import asyncio
import random
import struct

import pytest
import virtual_time
from modbus_wires import Net, good, reading, told

from drivers.errors import BadFrame, LinkLost, NoReply, ReplyError
from drivers.link import TcpLink
from drivers.modbus.envelope import build
from drivers.modbus.master import Master
from drivers.modbus.tcp import TcpWire
from drivers.profile import Limits

LIES = {
    "wrong id": lambda a: struct.pack(">H", 999) + a[2:],
    "wrong protocol": lambda a: a[:2] + b"\0\1" + a[4:],
    "wrong unit": lambda a: a[:6] + bytes([a[6] + 1]) + a[7:],
    "wrong function": lambda a: a[:7] + b"\x04" + a[8:],
    "wrong byte count": lambda a: a[:8] + bytes([a[8] + 2]) + a[9:],
    "shorter": lambda a: a[:4] + struct.pack(">H", 5) + a[6:8] + b"\x02" + a[9:11],
    "longer": lambda a: a[:4] + struct.pack(">H", 9) + a[6:8] + b"\x06" + a[9:] + b"\1\1",
    "length 0": lambda a: a[:4] + b"\0\0" + a[6:],
    "length 65535": lambda a: a[:4] + b"\xff\xff" + a[6:],
    "length one less": lambda a: a[:4] + struct.pack(">H", len(a) - 7) + a[6:],
    "only a head": lambda a: a[:7],
    "garbage": lambda a: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "RTU": lambda a: a[6:] + b"\0\0",
}


@pytest.mark.parametrize("lie", LIES)
def test_no_lie_is_believed(lie):
    net = Net(lambda request: [(0.01, LIES[lie](good(request)))])
    outcomes, _ = reading(net, (1, 5, 2), (1, 6, 2), patience_s=60)
    assert all(outcome in {NoReply, BadFrame, LinkLost} for outcome in outcomes)


def test_a_fuzzed_server_is_never_believed():
    """A real socket whose other end sends mutated answers: every value that arrives is the right one."""

    chance = random.Random(9)

    async def server(reader, writer):
        while True:
            try:
                request = await reader.readexactly(12)
            except (asyncio.IncompleteReadError, ConnectionResetError):
                break
            answer = bytearray(good(request))
            if chance.random() < 0.5:
                answer[chance.randrange(9)] ^= 1 << chance.randrange(8)  # heads only: TCP has no checksum of its data
            writer.write(bytes(answer))
        writer.close()

    async def scenario():
        wrong = right = 0
        async with await asyncio.start_server(server, "127.0.0.1", 0) as listening:
            master = Master(TcpLink("127.0.0.1", listening.sockets[0].getsockname()[1]), framing="tcp")
            await master.open()
            for n in range(150):
                unit = n % 200 + 1
                try:
                    got = await master.read(unit, "holding", address=n, count=2, limits=Limits(timeout_ms=20))
                except LinkLost:
                    await master.close()
                    await master.open()
                except ReplyError:
                    continue
                else:
                    right += got.data == told(unit, n, 2)
                    wrong += got.data != told(unit, n, 2)
            await master.close()
        return wrong, right

    wrong, right = asyncio.run(scenario())
    assert wrong == 0
    assert right > 30


def mutated(chance, adu):
    """What becomes of an answer on its way: pieces to be received, the last of them perhaps never."""
    data, kind = bytearray(adu), chance.randrange(10)
    if kind == 0:
        data[chance.randrange(9)] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del data[chance.randrange(len(data)) :]
    elif kind == 2:
        data[chance.randrange(9)] = chance.randrange(256)
    elif kind == 3:  # another unit's, function's or transaction's answer first
        other = bytearray(adu)
        other[chance.choice((0, 1, 6, 7))] ^= 1 << chance.randrange(7)
        other[9:] = chance.randbytes(len(adu) - 9)
        data[:0] = other
    elif kind == 4:  # another length, its fields right
        body = chance.randbytes(len(adu) - 9 + chance.choice((-2, 2, 4)))
        data[4:] = struct.pack(">HBBB", len(body) + 3, adu[6], adu[7], len(body)) + body
    elif kind == 5:
        data[:] = chance.randbytes(chance.randint(1, 40))
    elif kind == 6:  # its own request comes back
        data[:] = adu[:4] + struct.pack(">HBBHH", 6, adu[6], adu[7], 1, 1)
    elif kind == 7:
        data[:] = adu[:4] + bytes((0, 3, adu[6], adu[7] | 0x80, chance.randrange(12)))
    elif kind == 8:
        data += adu
    at = chance.randrange(len(data) + 1) if data else 0
    return [bytes(piece) for piece in (data[:at], data[at:]) if piece]


def fuzz(rounds, seed):
    """Rounds of one request and one mutated answer: (wrong values, right values, errors told)."""
    chance = random.Random(seed)
    pool = [build(chance.randint(1, 247), "holding", address=chance.randrange(9999), count=n) for n in (1, 2, 5, 10)]
    net = Net(lambda request: ())

    async def scenario():
        wrong = right = told_errors = 0
        wire = TcpWire(net, stray=lambda frame, t_s: False)
        await wire.open()
        for _ in range(rounds):
            request = chance.choice(pool)
            data = chance.randbytes(request.byte_count)
            try:
                future = wire.exchange(request, timeout_s=0.05, owed=False)
            except LinkLost:
                await wire.open()
                future = wire.exchange(request, timeout_s=0.05, owed=False)
            number = net.sent.pop()[:2]
            for piece in mutated(chance, number + request.answer + data):
                net._on_data(piece)
            try:
                async with asyncio.timeout(0.06):
                    got = await future
            except (ReplyError, LinkLost):
                told_errors += 1
            else:
                wrong += got.data != data
                right += got.data == data
        await wire.close()
        return wrong, right, told_errors

    return virtual_time.run(scenario())


@pytest.mark.parametrize(
    "rounds", [3_000, pytest.param(1_000_000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
def test_no_mutated_answer_is_believed(rounds):
    wrong, right, told_errors = fuzz(rounds, seed=rounds)
    print(f"{rounds} answers: {wrong} wrong, {right} right, {told_errors} errors told")
    assert wrong == 0
    assert right > 0.1 * rounds
    assert wrong + right + told_errors == rounds
