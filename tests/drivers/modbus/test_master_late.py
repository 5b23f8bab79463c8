"""The row to show first: replies slower than the timeout give 0 wrong values, whatever the delays are."""

import random
import struct

import pytest
import virtual_time
from bus_sim import Bus

from drivers.errors import ReplyError
from drivers.modbus.master import Master
from drivers.profile import Limits


def told(unit, address, count):
    """Self-identifying registers: each says its unit and its address."""
    return b"".join(struct.pack(">H", (unit * 1000 + address + n) & 0xFFFF) for n in range(count))


async def torture(delay, *, units=(1,), reads=500, timeout_ms=200, counts=(2,), seed=0, pause_s=0.0, **faults):
    import asyncio

    chance = random.Random(seed)
    bus = Bus(delay=lambda unit: delay(chance), memory=told, **faults)
    master = Master(bus, framing="rtu", line=bus.line)
    await master.open()
    right = wrong = failed = 0
    for _ in range(reads):
        unit, address, count = chance.choice(units), chance.choice(range(5)), chance.choice(counts)
        try:
            answer = await master.read(
                unit, "holding", address=address, count=count, limits=Limits(timeout_ms=timeout_ms), patience_s=60
            )
        except ReplyError:
            failed += 1
        else:
            if answer.data == told(unit, address, count):
                right += 1
            else:
                wrong += 1
        if pause_s:
            await asyncio.sleep(pause_s)
    counters = master.counters()
    await master.close()
    return right, wrong, failed, counters


@pytest.mark.parametrize("units", [(1,), (1, 2, 3)])
@pytest.mark.parametrize(
    "delay",
    [
        lambda chance: 0.25,
        lambda chance: chance.uniform(0.2, 0.6),
        lambda chance: chance.uniform(0.01, 2.0),
        lambda chance: chance.choice([0.01, 0.01, 5.0]),
        lambda chance: chance.expovariate(3),
    ],
    ids=["250ms", "1-3x", "0-10x", "rare-5s", "long-tail"],
)
def test_no_wrong_value_with_replies_slower_than_the_timeout(delay, units):
    right, wrong, failed, counters = virtual_time.run(torture(delay, units=units))
    print(right, wrong, failed, counters)
    assert wrong == 0
    assert right > 0
