"""The live stream on virtual time: snapshot first, deltas once, replay by id, a beat in silence, an end."""

import asyncio
import json

import virtual_time
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import FakeClock, rfc3339
from gateway.web.broker_source import BrokerSource
from gateway.web.local_source import LocalSource
from gateway.web.picture import Picture
from gateway.web.stream import KEPT_S, Stream

KEPT = round(KEPT_S)


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


def scenario(work, **more):
    async def main():
        picture = Picture()
        picture.gateway("g", {"up": True})
        stream = Stream(picture, clock=FakeClock(wall_ms=1_790_000_000_000), mark="ab12", **more)
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


AIR = {"kind": "air", "every_s": 60.0, "points": {"pm2_5": {"unit": "ug/m3", "digits": 0}}}
CITY_S = BrokerSource.tick_s
TICK = round(CITY_S * 1000)


def test_one_gateway_is_told_once_a_second_and_a_city_sooner():
    assert LocalSource.tick_s == 1.0
    assert CITY_S < 0.5


class Page:
    """What a browser holds: a snapshot and the deltas after it."""

    def __init__(self, snapshot):
        self.devices = json.loads(json.dumps(snapshot))["devices"]

    def take(self, delta):
        for key in delta.get("gone", ()):
            self.devices.pop(key, None)
        for key, facts in delta.get("devices", {}).items():
            self.devices[key] = self.devices.get(key, {}) | facts

    def shown(self):
        """Without the sparkline: its newest quarter-hour is told when it is over."""
        return {
            key: {name: one for name, one in facts.items() if name != "spark"} for key, facts in self.devices.items()
        }


def bodies(stream):
    return [(number, json.loads(event.split(b"data: ", 1)[1])) for number, event in stream._deltas]


STEPS = st.lists(st.tuples(st.integers(1, 900), st.sampled_from("abc"), st.integers(0, 9)), max_size=60)


@given(STEPS, st.integers(0, 60))
def test_a_device_of_a_city_is_told_once_a_second_at_most_and_nothing_is_lost(steps, leaves):
    """Random readings, random devices that go; a page that left in between and came back has the picture in the end."""
    picture, clock = Picture(), FakeClock(wall_ms=1_790_000_000_000)
    stream = Stream(picture, clock=clock, mark="ab12", tick_s=CITY_S)
    for name in "abc":
        picture.device("g", name, facts=AIR)
    page, left, told = Page(picture.snapshot()), 0, {}
    tick_ms, began_ns = TICK, clock.now_ns

    def ticks_until(now_ms):
        nonlocal tick_ms
        while tick_ms <= now_ms:
            clock.now_ns = began_ns + tick_ms * 1_000_000
            before = stream._number
            stream.tick()
            for number, delta in bodies(stream):
                if number > before:
                    for key in delta.get("devices", {}):
                        assert tick_ms - told.get(key, -1000) >= 1000
                        told[key] = tick_ms
            tick_ms += TICK

    now_ms = 0
    for at, (step_ms, name, value) in enumerate(steps):
        now_ms += step_ms
        ticks_until(now_ms)
        if value == 9:
            picture.drop(f"g/{name}")
            told.pop(f"g/{name}", None)
            picture.device("g", name, facts=AIR) if at % 2 else None
        line = {"device": name, "stream": "raw", "t": rfc3339(1_790_000_000_000 + now_ms), "v": {"pm2_5": float(value)}}
        picture.reading("g", line)
        if at == leaves:
            left = stream._number
            page = Page(picture.snapshot())
    ticks_until(now_ms + 1000 + 2 * TICK)
    for number, delta in bodies(stream):
        if number > left:
            page.take(delta)
    assert page.shown() == Page(picture.snapshot()).shown()
    assert not picture.take(1e9)


async def a_city_is_told_within_half_a_second_and_replays_a_minute(picture, stream):
    """The first news of a quiet device come with the next tick; a minute of deltas can be asked for again."""
    loop = asyncio.get_running_loop()
    first = Reader(stream)
    _, seen, _ = await first.next()
    await first.close()
    for number in range(round(50 / CITY_S)):
        picture.gateway("g", {"n": number})
        stream.tick()
    again = Reader(stream, seen)
    assert (await again.next())[2]["gateways"]["g"]["n"] == 0
    while again.events[-1][1] != f"ab12-{stream._number}":
        await again.next()
    picture.device("g", "a", facts=AIR)
    began_s = loop.time()
    assert "g/a" in (await again.next())[2]["devices"]
    assert loop.time() - began_s <= CITY_S + 0.01
    assert {name for name, _ in again.events} == {"delta"}
    await again.close()


test_city = scenario(a_city_is_told_within_half_a_second_and_replays_a_minute, tick_s=CITY_S)
