"""Lending a wire: the owner lets go at once, marks its devices absent meanwhile, and comes back by itself."""

import asyncio

import pytest
import virtual_time

from drivers.errors import LinkBusy, LinkLost
from gateway.lending import Loan, same
from gateway.poller import Wire
from gateway.steering import Steering


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
        token = await wire.loan.lend(3000.0)
        await wire.loan.lend(0.0, token=token)
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


def test_nobody_ends_or_prolongs_the_loan_of_another():
    async def go():
        loan = Loan("e")
        first = await loan.lend(1.0)
        await asyncio.sleep(1.5)
        second = await loan.lend(60.0)
        assert first != second
        for token in ("", first, "guess"):
            await loan.lend(0.0, token=token)
            assert loan.lent
            with pytest.raises(LinkBusy):
                await loan.lend(5.0, token=token)
        for _turn in range(10):
            await asyncio.sleep(50.0)
            assert await loan.lend(60.0, token=second) == second
        await asyncio.sleep(61.0)
        assert not loan.lent
        with pytest.raises(LinkBusy):
            await loan.lend(60.0, token=second)
        with pytest.raises(LinkBusy):  # the owner started anew meanwhile
            await Loan("e").lend(60.0, token=second)

    virtual_time.run(go())


def steering(*endpoints):
    wires = []
    for number, endpoint in enumerate(endpoints):
        way = Way()
        way.endpoint = endpoint
        wires.append(Wire(f"w{number}", way=way, stations=(), take=lambda *_: None, say=lambda *_: None))
    return Steering(wires=tuple(wires), shippers=(), pipeline=None, health=None, rest=None, history=None)


def test_a_wire_is_lent_by_what_it_is(tmp_path):
    (tmp_path / "ttyUSB0").touch()
    (tmp_path / "by-path").symlink_to("ttyUSB0")

    async def go():
        desk = steering("127.0.0.1:502", str(tmp_path / "ttyUSB0"), "127.0.0.1:503")
        wanted = {"ask": "lend", "bus": "", "for_s": 30.0}
        for endpoint, bus in [
            ("localhost:503", "w2"), (str(tmp_path / "by-path"), "w1"), ("127.0.0.1:504", ""), ("/dev/none", ""),
        ]:  # fmt: skip
            assert (await desk.answer({**wanted, "endpoint": endpoint}))["bus"] == bus
        assert (await desk.answer({**wanted, "endpoint": "127.0.0.1:503"}))["error"]["code"] == "CG-BUS-19"
        assert (await desk.answer({**wanted, "bus": "none"}))["error"]["code"] == "CG-BUS-16"
        told = await desk.answer({"ask": "lend", "bus": "w0", "for_s": 10**400})
        assert told["lent_s"] == 3600.0
        assert (await desk.answer({"ask": [1]}))["error"]["code"] == "CG-SYS-04"

    asyncio.run(go())


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [("x:1", "x:2", False), ("/a", "h:1", False), ("h:1", "/a", False), ("/a/../b", "/b", True)],
)
def test_one_wire_or_two(one, other, wanted):
    assert asyncio.run(same(one, other)) is wanted
