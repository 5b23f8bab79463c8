"""A broker that sends us elsewhere: followed to a listed url only; else the next url, an alarm, and never the other."""

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sink_cases import SITE, T0_MS, Book, options, parcels, raw, until

from firmware_sims.broker import Broker
from gateway.clock import FakeClock
from gateway.sinks import SinkDown
from gateway.sinks.mqtt_dial import Redirected
from gateway.sinks.mqtt_urls import Urls
from gateway.sinks.registry import make_sink


class Door:
    """Answers CONNECT with a refusal that names a server; with `late`, accepts and then disconnects so."""

    def __init__(self, code, reference, *, late=False):
        name = reference.encode()
        self.tail = bytes([code, len(name) + 3 if name else 0])
        self.tail += b"\x1c" + len(name).to_bytes(2, "big") + name if name else b""
        self.late, self.connects = late, 0

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await self.server.wait_closed()

    async def answer(self, reader, writer):
        self.connects += 1
        with contextlib.suppress(ConnectionError):
            await reader.read(4096)
            if self.late:
                writer.write(b"\x20\x03\x00\x00\x00")
                await reader.read(1)
                writer.write(bytes([0xE0, len(self.tail)]) + self.tail)
            else:
                writer.write(bytes([0x20, len(self.tail) + 1, 0]) + self.tail)
            await writer.drain()
            await reader.read()
        writer.close()


def url(part):
    return f"mqtt://127.0.0.1:{part.port}"


def made(*parts):
    return make_sink("city", options("mqtt", urls=tuple(map(url, parts))), site=SITE, clock=FakeClock(wall_ms=T0_MS))


async def delivers(sink):
    book = Book()
    try:
        await sink.open(book)
        await sink.send(parcels([raw(1)]))
        await book.until(1)
        return sink.warning()
    finally:
        await sink.close()


def story(coroutine):
    asyncio.run(coroutine)


@pytest.mark.parametrize("code", [0x9C, 0x9D])
def test_a_listed_server_is_taken_at_once_and_kept(code):
    async def tell():
        async with (
            Broker() as other,
            Broker() as named,
            Door(code, f"elsewhere.example 127.0.0.1:{named.port}") as door,
        ):
            sink = made(door, other, named)
            assert await delivers(sink) == ""
            assert named.messages
            assert not other.messages
            assert await delivers(sink) == ""
            assert door.connects == 1

    story(tell())


@pytest.mark.parametrize("reference", ["127.0.0.1:{evil}", "evil.example", "", "127.0.0.1:99999", "[::"])
def test_an_unlisted_server_is_never_taken(reference):
    async def tell():
        async with (
            Broker() as evil,
            Broker() as good,
            Door(0x9D, reference.format(evil=evil.port)) as door,
        ):
            sink = made(door, good)
            with pytest.raises(SinkDown) as caught:
                await sink.open(Book())
            assert caught.value.code == "CG-MQT-09"
            assert caught.value.retry_s is None
            await sink.close()
            assert "not in `urls`" in await delivers(sink)
            assert good.messages
            assert not evil.messages

    story(tell())


@pytest.mark.parametrize("listed", [True, False])
def test_sent_away_from_a_standing_connection(listed):
    async def tell():
        async with (
            Broker() as next_one,
            Broker() as named,
            Door(0x9C, f"127.0.0.1:{named.port}", late=True) as door,
        ):
            sink = made(door, next_one, named) if listed else made(door, next_one)
            with pytest.raises(SinkDown):
                await sink.open(Book())
            await until(lambda: sink.down() is not None)
            await sink.close()
            assert bool(await delivers(sink)) is not listed
            assert bool(named.messages) is listed
            assert bool(next_one.messages) is not listed

    story(tell())


def test_two_that_send_us_to_each_other_end_in_a_wait():
    async def tell():
        one = Door(0x9C, "")
        async with one, Door(0x9C, f"127.0.0.1:{one.port}") as two:
            one.tail = bytes([0x9C, 18 + 3]) + b"\x1c\x00\x12" + f"127.0.0.1:{two.port} x"[:18].ljust(18).encode()
            sink = made(one, two)
            with pytest.raises(SinkDown):
                await sink.open(Book())
            assert (one.connects, two.connects) == (1, 1)
            await sink.close()

    story(tell())


@given(st.text(max_size=60))
def test_no_text_leads_to_an_unlisted_server(text):
    urls = Urls(("mqtts://a.example:8883", "mqtts://b.example"))
    down = Redirected("moved", code="CG-MQT-02")
    down.reference = text
    try:
        assert urls.sent_on("mqtts://a.example:8883", down) == "mqtts://b.example"
    except SinkDown:
        assert urls.order()[0] == "mqtts://b.example"
