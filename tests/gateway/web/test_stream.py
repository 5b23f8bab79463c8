"""The live stream on virtual time: snapshot first, deltas once, replay by id, a beat in silence, an end."""

import asyncio
import json

import virtual_time

from gateway.clock import FakeClock
from gateway.web.picture import Picture
from gateway.web.stream import KEPT, Stream


def parsed(chunk):
    fields = dict(line.split(": ", 1) for line in chunk.decode().strip().split("\n"))
    return fields.get("event", "retry"), fields.get("id", ""), json.loads(fields.get("data", "null"))


class Reader:
    def __init__(self, stream, last_id=""):
        self.events, self._pages = [], stream.follow(last_id)

    async def next(self):
        while True:
            name, ident, data = parsed(await anext(self._pages))
            if name != "retry":
                self.events.append((name, ident))
                return name, ident, data

    async def close(self):
        await self._pages.aclose()


def scenario(work):
    async def main():
        picture = Picture()
        picture.gateway("g", {"up": True})
        stream = Stream(picture, clock=FakeClock(wall_ms=1_790_000_000_000), mark="ab12")
        running = asyncio.create_task(stream.run())
        await work(picture, stream)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    def test():
        virtual_time.run(main())

    return test


async def first_snapshot_then_deltas(picture, stream):
    reader = Reader(stream)
    assert (await reader.next())[0] == "snapshot"
    picture.gateway("g", {"x": 1})
    picture.gateway("g", {"x": 2})
    before_s = asyncio.get_running_loop().time()
    name, _, data = await reader.next()
    while "gateways" not in data or data["gateways"]["g"].get("x") != 2:
        name, _, data = await reader.next()
    assert name == "delta"
    assert asyncio.get_running_loop().time() - before_s <= 2.0
    await reader.close()
    assert stream.followers == 0


async def a_page_that_comes_back_gets_what_it_missed(picture, stream):
    first = Reader(stream)
    _, seen, _ = await first.next()
    await first.close()
    for number in range(5):
        picture.gateway("g", {"n": number})
        stream.tick()
    again = Reader(stream, seen)
    got = [(await again.next())[2]["gateways"]["g"]["n"] for _ in range(5)]
    assert got == [0, 1, 2, 3, 4] or got[-1] == 4
    assert "snapshot" not in [name for name, _ in again.events]
    await again.close()


async def foreign_and_too_old_ids_get_a_snapshot(picture, stream):
    for number in range(KEPT + 5):
        picture.gateway("g", {"n": number})
        stream.tick()
    for last_id in ("ab12-1", "other-60", "ab12-999999", "ab12--1", "ab12-" + "9" * 40, "x", "ab12-١"):
        reader = Reader(stream, last_id)
        assert (await reader.next())[0] == "snapshot", last_id
        await reader.close()


async def silence_is_broken_by_a_beat(_picture, stream):
    reader = Reader(stream)
    await reader.next()
    await reader.next()
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while (await reader.next())[0] != "beat":
        pass
    assert 9.0 <= loop.time() - began_s <= 12.0
    await reader.close()


async def a_slow_page_gets_a_snapshot_not_a_hole(picture, stream):
    reader = Reader(stream)
    await reader.next()
    for number in range(KEPT * 2):
        picture.gateway("g", {"n": number})
        stream.tick()
    name, _, data = await reader.next()
    assert name == "snapshot"
    assert data["gateways"]["g"]["n"] == KEPT * 2 - 1
    await reader.close()


async def the_end_lets_everybody_go(_picture, stream):
    readers = [Reader(stream) for _ in range(20)]
    for reader in readers:
        await reader.next()
    stream.end()
    for reader in readers:
        try:
            while True:
                await reader.next()
        except StopAsyncIteration:
            pass
    assert stream.followers == 0


test_snapshot_first = scenario(first_snapshot_then_deltas)
test_replay = scenario(a_page_that_comes_back_gets_what_it_missed)
test_ids = scenario(foreign_and_too_old_ids_get_a_snapshot)
test_beat = scenario(silence_is_broken_by_a_beat)
test_slow = scenario(a_slow_page_gets_a_snapshot_not_a_hole)
test_end = scenario(the_end_lets_everybody_go)
