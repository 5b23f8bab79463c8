"""Lending a wire: the owner lets go at once, marks its devices absent meanwhile, and comes back by itself."""

import asyncio

import pytest
import virtual_time

from drivers.errors import LinkBusy, LinkLost
from gateway.lending import Loan
from gateway.poller import Wire


class Way:
    endpoint = "way"

    def __init__(self):
        self.is_open, self.opened = False, 0

    async def open(self):
        self.is_open, self.opened = True, self.opened + 1

    async def close(self):
        self.is_open = False


class Serving(Wire):
    """A wire without devices; counts the seconds for which it is served."""

    served = 0

    async def serve(self):
        while True:
            assert self.way.is_open
            self.served += 1
            await asyncio.sleep(1.0)


def test_the_owner_keeps_off_a_lent_wire_and_comes_back():
    said = []

    async def go():
        wire = Serving("w", way=Way(), stations=(), take=lambda *_: None, say=lambda *what: said.append(what[1:3]))
        owner = asyncio.create_task(wire.run())
        await asyncio.sleep(5.5)
        await wire.loan.lend(30.0)
        assert wire.loan.lent
        served = wire.served
        await asyncio.sleep(29.0)
        assert (wire.served, wire.way.is_open, wire.way.opened) == (served, False, 1)
        assert (wire.state, wire.fact) == ("down", "lent to a technician's tool")
        await asyncio.sleep(20.0)
        assert (wire.state, wire.way.opened) == ("up", 2)
        await wire.loan.lend(3000.0)
        await wire.loan.lend(0.0)
        await asyncio.sleep(20.0)
        assert wire.state == "up"
        owner.cancel()
        await asyncio.gather(owner, return_exceptions=True)
        assert not wire.way.is_open

    virtual_time.run(go())
    assert said[:2] == [("CG-BUS-01", "raised"), ("CG-BUS-01", "cleared")]


def test_a_failure_of_the_work_passes_through():
    async def go():
        async def lost():
            raise LinkLost("gone", endpoint="e")

        with pytest.raises(LinkLost):
            await Loan("e").work(lost)

    virtual_time.run(go())


def test_a_lent_wire_is_not_opened():
    async def go():
        loan = Loan("e")
        loan.check()
        await loan.lend(1.0)
        with pytest.raises(LinkBusy):
            loan.check()

    virtual_time.run(go())
