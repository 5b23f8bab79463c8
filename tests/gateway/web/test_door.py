"""The door: how many it takes a second, whom it parks, that those after an attack are served; over TLS too."""

import asyncio
import contextlib
import errno
import socket
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import Certificates

from gateway.web import door
from gateway.web.door import Bucket, Door, Places, listening


@given(st.lists(st.floats(0, 0.5), max_size=200), st.integers(1, 50), st.integers(1, 20))
def test_never_more_than_the_burst_and_the_rate(pauses, per_s, burst):
    bucket, now_s, passed = Bucket(per_s=per_s, burst=burst), 100.0, []
    for pause_s in pauses:
        now_s += pause_s
        if bucket.ready(now_s):
            bucket.spend()
            passed.append(now_s)
    for first, begin_s in enumerate(passed):
        for last in range(first, len(passed)):
            assert last - first + 1 <= burst + (passed[last] - begin_s) * per_s + 1e-6
    assert bucket.ready(now_s + 1.01 / per_s)  # whoever waits is let in


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=80))
def test_places_are_counted_and_given_back_once(steps):
    places, held = Places(most=5, of_peer=3), {"a": [], "b": []}
    for peer, comes in steps:
        if comes:
            place = places.enter(peer)
            taken = len(held["a"]) + len(held["b"])
            assert (place is None) == (taken >= 5 or len(held[peer]) >= 3)
            held[peer] += [place] if place else []
        elif held[peer]:
            place = held[peer].pop()
            place.leave()
            place.leave()
        assert places.taken == len(held["a"]) + len(held["b"])


class Greeter(asyncio.Protocol):
    """Says hello and keeps its place until its guest goes."""

    def __init__(self, place):
        self.place = place

    def connection_made(self, transport):
        transport.write(b"hello")

    def connection_lost(self, exc):
        self.place.leave()


class Guest:
    """A client of the door."""

    async def come(self, port, context=None):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        return self

    async def heard(self, within_s=0.5):
        """What the door said: a greeting, b"" for closed, None for nothing yet."""
        try:
            return await asyncio.wait_for(self.reader.read(5), within_s)
        except TimeoutError:
            return None
        except ConnectionError:
            return b""

    async def go(self):
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


def scene(work, *, most=100, parking=100, tls=None, sockets=None):
    """Run `work(port, door, places, come)` at an open door; all guests go and the door closes at its end."""

    async def main():
        doors = sockets() if sockets else listening("127.0.0.1", 0)
        places = Places(most=most, of_peer=most)
        opened = Door(Greeter, places=places, tls=tls, parking=parking)
        opened.open(doors)
        guests = []

        async def come(context=None):
            guests.append(await Guest().come(doors[0].getsockname()[1], context))
            return guests[-1]

        try:
            await work(opened, places, come)
        finally:
            opened.close()
            for guest in guests:
                await guest.go()
            for one in doors:
                one.close()
            await asyncio.sleep(0)

    asyncio.run(main())


async def until(question):
    for _ in range(500):
        if question():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not within 5 s")


def test_beyond_the_rate_nobody_is_accepted_and_all_are_served_in_the_end(monkeypatch):
    monkeypatch.setattr(door, "BURST", 3.0)
    monkeypatch.setattr(door, "PER_S", 10.0)

    async def work(_door, places, come):
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        guests = [await come() for _ in range(10)]  # the kernel takes them; the door, three
        await until(lambda: places.taken >= 3)
        assert places.taken <= 3 + (loop.time() - began_s) * 10 + 1
        assert [await guest.heard(10) for guest in guests] == [b"hello"] * 10
        assert loop.time() - began_s >= (10 - 3 - 1) / 10

    scene(work)


def test_without_a_place_one_is_parked_and_let_go_and_the_next_is_served(monkeypatch):
    monkeypatch.setattr(door, "PARK_S", 0.5)

    async def work(opened, places, come):
        inside = [await come() for _ in range(2)]
        assert [await guest.heard() for guest in inside] == [b"hello"] * 2
        waiting = [await come() for _ in range(3)]
        await until(lambda: len(opened.parked) == 3)
        assert await waiting[0].heard(0.1) is None  # held, not told anything
        assert [await guest.heard(5) for guest in waiting] == [b""] * 3
        assert not opened.parked
        await inside[0].go()
        await until(lambda: places.taken == 1)
        assert await (await come()).heard() == b"hello"

    scene(work, most=2)


def test_where_all_are_parked_the_next_is_closed_at_once_and_the_door_for_a_moment(monkeypatch):
    monkeypatch.setattr(door, "PARK_S", 60.0)
    monkeypatch.setattr(door, "PAUSE_S", 0.3)

    async def work(opened, places, come):
        loop = asyncio.get_running_loop()
        inside = await come()
        assert await inside.heard() == b"hello"
        for _ in range(2):
            await come()
        assert await (await come()).heard(5) == b""
        closed_s = loop.time()
        await inside.go()
        await until(lambda: places.taken == 0)
        after = await come()
        assert await after.heard(5) == b"hello"
        assert loop.time() - closed_s >= 0.2  # it was shut meanwhile
        assert len(opened.parked) == 2

    scene(work, most=1, parking=2)


class Tired(socket.socket):
    """A listening socket that finds no file descriptor at first."""

    tired = 2

    def accept(self):
        if Tired.tired:
            Tired.tired -= 1
            raise OSError(errno.EMFILE, "too many open files")
        return super().accept()


def test_without_descriptors_it_tries_again():
    def sockets():
        Tired.tired = 2
        made = Tired(socket.AF_INET, socket.SOCK_STREAM)
        made.bind(("127.0.0.1", 0))
        made.listen(5)
        made.setblocking(False)
        return [made]

    async def work(_door, _places, come):
        assert await (await come()).heard(5) == b"hello"
        assert Tired.tired == 0

    scene(work, sockets=sockets)


def test_who_speaks_no_tls_holds_a_place_for_a_moment_only(monkeypatch, tmp_path):
    monkeypatch.setattr(door, "HANDSHAKE_S", 0.3)
    made = Certificates(tmp_path / "tls")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(made.server, made.server_key)
    context = ssl.create_default_context(cafile=str(made.ca))
    context.check_hostname = False

    async def work(opened, places, come):
        idle = [await come() for _ in range(2)]
        await until(lambda: places.taken == 2)
        await come()
        await until(lambda: len(opened.parked) == 1)
        assert [await guest.heard(5) for guest in idle] == [b""] * 2
        await until(lambda: places.taken == 0)
        guest = await come(context)
        assert await guest.heard(5) == b"hello"
        assert places.taken == 1
        await guest.go()
        await until(lambda: places.taken == 0)

    scene(work, most=2, tls=tls)


def test_an_address_that_is_taken_or_not_ours_is_told():
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(OSError, match="in use"):
        listening("127.0.0.1", other.getsockname()[1])
    with pytest.raises(OSError, match="assign"):
        listening("192.0.2.1", 0)
