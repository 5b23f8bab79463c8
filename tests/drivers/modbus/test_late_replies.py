"""The RTU master on lines where answers come after their time: none is taken for another one."""

import asyncio
import random
import struct

import pytest
import virtual_time
from bus_sim import Bus
from modbus_wires import QUICK, opened, storm, told

from drivers.errors import DeviceRefused, ReplyError
from drivers.modbus import unit as unit_module

DELAYS = {
    "250ms": lambda chance: 0.25,
    "1-3x": lambda chance: chance.uniform(0.2, 0.6),
    "0-10x": lambda chance: chance.uniform(0.01, 2.0),
    "rare-5s": lambda chance: chance.choice([0.01, 0.01, 5.0]),
    "long-tail": lambda chance: chance.expovariate(3),
}


@pytest.mark.parametrize("units", [(1,), (1, 2, 3)], ids=["one-unit", "three-units"])
@pytest.mark.parametrize("busy", ["queue", "drop"])
@pytest.mark.parametrize("delay", DELAYS)
def test_no_wrong_value_when_replies_are_slower_than_the_timeout(delay, busy, units):
    chance = random.Random(7)
    bus = Bus(delay=lambda unit: DELAYS[delay](chance), memory=told, busy=busy)
    found, counters = virtual_time.run(storm(bus, units=units, reads=500))
    assert found["wrong"] == 0
    assert found["right"] > 50
    assert counters.late > 0


@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("units", [(1,), (1, 2, 3)], ids=["one-unit", "three-units"])
def test_shape_and_order_hold_without_any_quarantine(monkeypatch, delay, units):
    """The second and third fence alone: the time-based one is taken away."""
    monkeypatch.setattr(unit_module.Unit, "worst_s", 0.0)
    monkeypatch.setattr(unit_module.Unit, "_ceiling_s", 0.2)
    monkeypatch.setattr(unit_module, "HOLD", 0.0)
    chance = random.Random(3)
    bus = Bus(delay=lambda unit: DELAYS[delay](chance), memory=told)
    found, counters = virtual_time.run(storm(bus, units=units, reads=500, counts=(1, 2, 4)))
    assert found["wrong"] == 0
    assert counters.late > 20
    assert counters.probes > 0


def test_without_the_fences_values_are_wrong(monkeypatch):
    """This bus does produce the fault; a master that forgets debts and does not wait believes it."""
    monkeypatch.setattr(unit_module.Unit, "worst_s", 0.0)
    monkeypatch.setattr(unit_module.Unit, "owe", lambda self, shape, *, sent_s, spent: None)
    monkeypatch.setattr(unit_module.Unit, "_ceiling_s", 0.2)
    bus = Bus(delay=lambda unit: 0.25, memory=told)
    found, _ = virtual_time.run(storm(bus, units=(1,), reads=100))
    assert found["wrong"] > 50


@pytest.mark.parametrize("quarantine", [True, False])
def test_exceptions_that_come_late_are_not_taken_for_another_answer(monkeypatch, quarantine):
    """Odd addresses are refused; a late refusal must not mark an even one."""
    chance = random.Random(5)
    if not quarantine:
        monkeypatch.setattr(unit_module.Unit, "worst_s", 0.0)
        monkeypatch.setattr(unit_module.Unit, "_ceiling_s", 0.2)
        monkeypatch.setattr(unit_module, "HOLD", 0.0)

    def answer(unit, pdu):
        address, count = struct.unpack(">HH", pdu[1:5])
        return bytes([pdu[0] | 0x80, 2]) if address % 2 else bytes([pdu[0], 2 * count]) + told(unit, address, count)

    bus = Bus(delay=lambda unit: chance.uniform(0.01, 0.5), answer=answer)

    async def scenario():
        master = await opened(bus)
        wrong = refused = right = 0
        for _ in range(500):
            address, count = chance.randrange(6), chance.choice([2, 4, 10])
            try:
                got = await master.read(1, "input", address=address, count=count, limits=QUICK, patience_s=99)
            except DeviceRefused:
                refused += 1
                wrong += address % 2 == 0
            except ReplyError:
                pass
            else:
                right += 1
                wrong += got.data != told(1, address, count)
        return wrong, refused, right

    wrong, refused, right = virtual_time.run(scenario())
    assert (wrong, refused > 20, right > 20) == (0, True, True)


def day_of_torture(hours):
    """R21: 20 units, 30 % of the replies of half of them delayed one to three times the timeout."""
    chance = random.Random(2026)

    def delay(unit):
        late = unit <= 10 and chance.random() < 0.3
        return chance.uniform(0.2, 0.6) if late else chance.uniform(0.005, 0.02)

    bus = Bus(memory=told, delay=delay, settings="19200 8N1", chunk=64)
    bus.keep = False
    counts = {"wrong": 0, "healthy": 0, "healthy-right": 0, "late-right": 0}

    async def scenario():
        master = await opened(bus)
        loop = asyncio.get_running_loop()

        async def poll(unit):
            start_s = loop.time() + chance.random() * 5
            for n in range(int(hours * 720)):
                await asyncio.sleep(max(0.0, start_s + 5 * n - loop.time()))
                address = chance.randrange(100)
                counts["healthy"] += unit > 10
                try:
                    got = await master.read(unit, "holding", address=address, count=10, limits=QUICK)
                except ReplyError:
                    continue
                right = got.data == told(unit, address, 10)
                counts["wrong"] += not right
                counts["healthy-right" if unit > 10 else "late-right"] += right

        await asyncio.gather(*[poll(unit) for unit in range(1, 21)])
        return master.counters()

    return counts, virtual_time.run(scenario())


@pytest.mark.parametrize("hours", [0.5, pytest.param(24, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])])
def test_late_reply_torture(hours):
    counts, counters = day_of_torture(hours)
    print(f"{hours} h: {counts}, {counters.transactions} requests, {counters.timeouts} timeouts, {counters.late} late")
    assert counts["wrong"] == 0
    assert counts["healthy-right"] >= 0.99 * counts["healthy"]
    assert counts["late-right"] > 0.65 * counts["healthy"]  # the 70 % in time: no wire waits for the others
    assert counters.late > 0
