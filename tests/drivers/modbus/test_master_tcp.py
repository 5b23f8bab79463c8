"""The TCP master: transaction ids, pipelining, lies of all kinds, lost connections."""

import asyncio
import random

import pytest
import virtual_time
from modbus_wires import QUICK, Net, good, reading, told

from drivers.errors import DeviceRefused, DriverError, LinkLost, NoReply
from drivers.link import CallLink, TcpLink
from drivers.modbus.master import Master
from drivers.profile import Limits

WIDE = Limits(timeout_ms=200, outstanding=8)


@pytest.mark.parametrize("outstanding", [1, 8])
def test_late_answers_are_told_by_their_id(outstanding):
    chance = random.Random(1)
    net = Net(lambda request: [(chance.choice([0.001, 0.25, 0.5, 1.5]), good(request))])
    reads = [(chance.randint(1, 3), chance.randrange(9), 2) for _ in range(300)]
    outcomes, counters = reading(net, *reads, limits=Limits(timeout_ms=200, outstanding=outstanding))
    right = sum(outcome == told(*read) for outcome, read in zip(outcomes, reads, strict=True))
    assert all(outcome in (told(*read), NoReply) for outcome, read in zip(outcomes, reads, strict=True))
    assert right > 100
    assert counters.late > 10


def test_pipelining_and_answers_out_of_order():
    chance = random.Random(2)
    net = Net(lambda request: [(chance.uniform(0.001, 0.1), good(request))])
    most = 0

    async def scenario():
        nonlocal most
        master = Master(net, framing="tcp")
        await master.open()
        wrong = 0

        async def reader(unit):
            nonlocal wrong, most
            for address in range(50):
                got = await master.read(unit, "holding", address=address, count=3, limits=WIDE)
                most = max(most, len(master._wire._open))
                wrong += got.data != told(unit, address, 3)

        await asyncio.gather(*[reader(unit) for unit in range(1, 13)])
        return wrong, master.counters()

    wrong, counters = virtual_time.run(scenario())
    assert wrong == 0
    assert counters.answers == 600
    assert 5 <= most <= 8


def test_outstanding_is_never_exceeded():
    net = Net(lambda request: [(0.01, good(request))])

    async def scenario():
        master = Master(net, framing="tcp")
        await master.open()
        reads = [master.read(unit, "holding", address=0, count=1, limits=QUICK) for unit in range(1, 20)]
        loop = asyncio.get_running_loop()
        begin_s = loop.time()
        await asyncio.gather(*reads)
        return loop.time() - begin_s

    assert virtual_time.run(scenario()) == pytest.approx(0.19)


@pytest.mark.parametrize("size", [1, 2, 5, 7, 11, 1000])
def test_answers_in_pieces_and_glued_together(size):
    stream = bytearray()

    def answer(request):
        stream.extend(good(request))
        if len(stream) < 4 * 13:
            return []
        data = bytes(stream)
        stream.clear()
        return [(0.001 * n, data[at : at + size]) for n, at in enumerate(range(0, len(data), size))]

    async def scenario():
        master = Master(Net(answer), framing="tcp")
        await master.open()
        reads = [master.read(unit, "holding", address=unit, count=2, limits=WIDE) for unit in range(1, 5)]
        return [answer.data for answer in await asyncio.gather(*reads)]

    assert virtual_time.run(scenario()) == [told(unit, unit, 2) for unit in range(1, 5)]


def test_refusals_and_what_a_gateway_says():
    def refuse(request):
        return [(0.01, request[:4] + b"\0\x03" + request[6:7] + bytes([request[7] | 0x80, 11]))]

    async def scenario():
        master = Master(Net(refuse), framing="tcp")
        await master.open()
        with pytest.raises(DeviceRefused, match="target did not respond") as caught:
            await master.read(1, "holding", address=0, count=2)
        return caught.value.code

    assert virtual_time.run(scenario()) == 11


def test_a_gateway_that_passes_late_answers_on_under_the_new_id_is_caught_by_shape():
    """A cheap serial server: the meter's late answer to an older request goes out under the newest transaction id."""
    chance = random.Random(3)
    owed = []
    line_s = [0.0]

    def answer(request):
        loop = asyncio.get_running_loop()
        owed.append(good(request))
        line_s[0] = max(line_s[0], loop.time()) + chance.choice([0.05, 0.05, 0.35])
        return [(line_s[0] - loop.time(), None)]

    class Cheap(Net):
        def send(self, data):
            for delay_s, _ in answer(data):
                self._loop.call_later(delay_s, self._deliver, data)
            self.newest = data[:2]

        def _deliver(self, _):
            self._on_data(self.newest + owed.pop(0)[2:])

    reads = [(1, chance.randrange(9), 2) for _ in range(300)]
    outcomes, _ = reading(Cheap(None), *reads, patience_s=30)
    right = sum(outcome == told(*read) for outcome, read in zip(outcomes, reads, strict=True))
    wrong = sum(isinstance(o, bytes) and o != told(*read) for o, read in zip(outcomes, reads, strict=True))
    assert wrong == 0
    assert right > 100


def test_a_lost_connection_fails_all_that_wait_and_the_next_one_works():
    answering = [False]
    net = Net(lambda request: [(0.01, good(request))] if answering[0] else [])

    async def scenario():
        master = Master(net, framing="tcp")
        with pytest.raises(LinkLost):
            await master.read(1, "holding", address=0, count=1)
        await master.open()
        reads = [
            asyncio.create_task(master.read(unit, "holding", address=0, count=1, limits=WIDE)) for unit in range(1, 6)
        ]
        await asyncio.sleep(0.01)
        net.lose()
        outcomes = await asyncio.gather(*reads, return_exceptions=True)
        assert all(isinstance(outcome, LinkLost) for outcome in outcomes)
        with pytest.raises(LinkLost, match="reset"):
            await master.read(1, "holding", address=0, count=1)
        await master.close()
        answering[0] = True
        await master.open()
        got = await master.read(1, "holding", address=0, count=2, limits=QUICK)
        await master.close()
        return got.data

    assert virtual_time.run(scenario()) == told(1, 0, 2)


def test_cancelled_reads_do_not_disturb_others():
    net = Net(lambda request: [(0.05, good(request))])

    async def scenario():
        master = Master(net, framing="tcp")
        await master.open()
        reads = [
            asyncio.create_task(master.read(unit, "holding", address=0, count=2, limits=WIDE)) for unit in range(1, 9)
        ]
        await asyncio.sleep(0.01)
        for read in reads[::2]:
            read.cancel()
        await asyncio.wait(reads)
        return [read.cancelled() or read.result().data == told(n + 1, 0, 2) for n, read in enumerate(reads)]

    assert virtual_time.run(scenario()) == [True] * 8


def test_ids_wrap_around():
    net = Net(lambda request: [(0, good(request))])

    async def scenario():
        master = Master(net, framing="tcp")
        await master.open()
        master._wire._id = 0xFFFD
        for address in range(6):
            got = await master.read(1, "holding", address=address, count=2, limits=QUICK)
            assert got.data == told(1, address, 2)

    virtual_time.run(scenario())
    assert [int.from_bytes(sent[:2], "big") for sent in net.sent] == [0xFFFE, 0xFFFF, 0, 1, 2, 3]


def test_an_id_that_may_still_be_answered_is_not_used_again():
    late = []

    def answer(request):
        if not late:
            late.append(request[:2])
            return [(60.0, good(request))]
        return [(0.0, good(request))]

    async def scenario():
        master = Master(Net(answer), framing="tcp")
        await master.open()
        with pytest.raises(NoReply):
            await master.read(1, "holding", address=0, count=2, limits=QUICK)
        master._wire._id = int.from_bytes(late[0], "big") - 1
        await master.read(2, "holding", address=0, count=2, limits=QUICK)
        return master._wire._id

    assert virtual_time.run(scenario()) == int.from_bytes(bytes(late[0]), "big") + 1


def test_a_connection_without_any_answer_is_given_up():
    async def scenario():
        master = Master(Net(lambda request: []), framing="tcp")
        await master.open()
        for unit in range(1, 9):
            with pytest.raises(NoReply):
                await master.read(unit, "holding", address=0, count=2, limits=QUICK)
        with pytest.raises(LinkLost, match="in a row"):
            await master.read(9, "holding", address=0, count=2, limits=QUICK)

    virtual_time.run(scenario())


def test_a_person_may_ask_a_resting_unit():
    from drivers.modbus.master import Priority

    mute = [True]
    net = Net(lambda request: [] if mute[0] else [(0.01, good(request))])

    async def scenario():
        master = Master(net, framing="tcp")
        await master.open()
        for _ in range(3):
            with pytest.raises(NoReply):
                await master.read(1, "holding", address=0, count=2, limits=QUICK, patience_s=1)
        mute[0] = False
        await asyncio.sleep(0.5)
        with pytest.raises(NoReply, match="rests"):
            await master.read(1, "holding", address=0, count=2, limits=QUICK)
        got = await master.read(1, "holding", address=0, count=2, limits=QUICK, priority=Priority.PERSON)
        return got.data

    assert virtual_time.run(scenario()) == told(1, 0, 2)


def test_tcp_needs_a_link_that_calls():
    class Plain:
        endpoint = "x"

    with pytest.raises(DriverError):
        Master(Plain(), framing="tcp")
    with pytest.raises(DriverError):
        Master(CallLink(bytes), framing="ascii")


def test_rtu_over_tcp_on_real_sockets():
    """A transparent converter that answers in two pieces, behind junk."""
    from bus_sim import crc

    async def converter(reader, writer):
        while True:
            try:
                request = await reader.readexactly(8)
            except asyncio.IncompleteReadError:
                break
            body = told(request[0], request[2] << 8 | request[3], request[5])
            frame = request[:2] + bytes([len(body)]) + body
            frame = b"\xff" + frame + crc(frame)
            writer.write(frame[:5])
            await writer.drain()
            await asyncio.sleep(0.002)
            writer.write(frame[5:])
        writer.close()

    async def scenario():
        async with await asyncio.start_server(converter, "127.0.0.1", 0) as server:
            master = Master(TcpLink("127.0.0.1", server.sockets[0].getsockname()[1]), framing="rtu")
            await master.open()
            for address in range(20):
                got = await master.read(7, "input", address=address, count=3)
                assert got.data == told(7, address, 3)
            counters = master.counters()
            await master.close()
        return counters

    counters = asyncio.run(scenario())
    assert counters.answers == 20
    assert counters.junk_bytes == 20
