"""Links over TCP on loopback, and the ways in which their peers go away."""

import asyncio
import socket

import pytest
import virtual_time

from drivers.errors import LinkLost
from drivers.link import CallLink, TcpLink


async def served(answer, port=0):
    return await asyncio.start_server(answer, "127.0.0.1", port)


def test_tcp_both_ways_and_close():
    async def scenario():
        async def echo(reader, writer):
            while data := await reader.read(100):
                writer.write(data)
            writer.close()

        async with await served(echo) as server:
            link = TcpLink("127.0.0.1", server.sockets[0].getsockname()[1])
            with pytest.raises(LinkLost, match="not connected"):
                await link.write(b"x")
            await link.open()
            await link.write(b"hello")
            data, _ = await link.read(5)
            assert (await link.read(0.01))[0] == b""
            await link.close()
            await link.close()
            with pytest.raises(LinkLost):
                await link.read(1)
            await link.open()
            await link.close()
        return data

    assert asyncio.run(scenario()) == b"hello"


def test_tcp_peer_closes_and_refuses():
    async def scenario():
        async def bye(_, writer):
            writer.write(b"bye")
            writer.close()

        async with await served(bye) as server:
            link = TcpLink("127.0.0.1", server.sockets[0].getsockname()[1])
            await link.open()
            assert (await link.read(5))[0] == b"bye"
            with pytest.raises(LinkLost, match="closed"):
                await link.read(5)
            with pytest.raises(LinkLost):
                await link.write(b"x")
            await link.close()
        with pytest.raises(LinkLost):
            await link.open()

    asyncio.run(scenario())


def test_tcp_a_peer_that_never_accepts_in_time():
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        address = deaf.getsockname()
        fillers = []
        for _ in range(4):  # fill the backlog, so that further connections hang
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            fillers.append(filler)

        async def scenario():
            link = TcpLink(*address, connect_timeout_s=0.2)
            with pytest.raises(LinkLost, match="within"):
                await link.open()

        asyncio.run(scenario())
        for filler in fillers:
            filler.close()


def test_tcp_a_peer_that_takes_nothing_is_given_up():
    async def scenario():
        gate = asyncio.Event()

        async def deaf(_, writer):
            await gate.wait()
            writer.close()

        async with await served(deaf) as server:
            link = TcpLink("127.0.0.1", server.sockets[0].getsockname()[1])
            await link.open()
            with pytest.raises(LinkLost):
                for _ in range(2000):
                    link.send(bytes(65536))
            await link.close()
            gate.set()

    asyncio.run(scenario())


def test_tcp_direct_delivery():
    async def scenario():
        async def greet(_, writer):
            writer.write(b"early")
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.write(b"late")
            writer.close()

        got, gone = [], asyncio.Event()
        async with await served(greet) as server:
            link = TcpLink("127.0.0.1", server.sockets[0].getsockname()[1])
            await link.open()
            await asyncio.sleep(0.02)
            link.listen(on_data=got.append, on_lost=lambda lost: gone.set())
            await asyncio.wait_for(gone.wait(), 5)
            await link.close()
        return b"".join(got)

    assert asyncio.run(scenario()) == b"earlylate"


def test_a_call_link_answers_at_once_and_its_silence_takes_time():
    async def scenario():
        link = CallLink(lambda request: request[::-1] if request != b"mute" else b"")
        with pytest.raises(LinkLost):
            await link.write(b"x")
        await link.open()
        await link.write(b"abc")
        loop = asyncio.get_running_loop()
        begin_s = loop.time()
        first = await link.read(5)
        assert first == (b"cba", begin_s)
        await link.write(b"mute")
        assert await link.read(5) == (b"", begin_s + 5)
        await link.close()

    virtual_time.run(scenario())
