"""Every fault of the firmware simulators against the RTU master,: no value of another register or poll."""

import asyncio
import random
import struct

import pytest
import virtual_time

from drivers.errors import ReplyError
from drivers.inbox import Inbox
from drivers.line import line
from drivers.modbus.master import Master
from drivers.profile import Limits
from firmware_sims.faults import NAMES, Fault, Faults
from firmware_sims.framing import RTU
from firmware_sims.lines import RtuLine, Slave
from firmware_sims.self_identifying import Origin, SelfIdentifying, stamp

LIMITS = Limits(timeout_ms=200)
SETTINGS = line("19200 8N1")
FAULTS = {
    "late": Fault("late", rate=0.3, delay_s=0.2, delay_to_s=0.6),
    "dribble": Fault("dribble", rate=0.3, delay_s=0.004),
    "noise_between": Fault("noise_between", rate=0.3, delay_s=0.05),
    "exception": Fault("exception", rate=0.3, code=6),
}


class Simulated:
    """A `Link` to a simulated line; answers take the line's time in portions of 16 bytes, as from a UART's FIFO."""

    endpoint = "simulated"

    def __init__(self, far):
        self.far = far

    async def open(self):
        self._loop = asyncio.get_running_loop()
        self._inbox = Inbox(self._loop)

    async def close(self):
        pass

    async def write(self, data):
        end_s = self._loop.time() + len(data) * SETTINGS.char_s
        for delay_s, answer in self.far.hear(data, end_s):
            at_s = end_s + delay_s
            for begin in range(0, len(answer), 16):
                portion = answer[begin : begin + 16]
                at_s += len(portion) * SETTINGS.char_s
                self._loop.call_at(at_s, self._inbox.put, portion)

    async def read(self, timeout_s):
        return await self._inbox.read(timeout_s)

    def flush(self):
        return self._inbox.take()[0]


async def reads(fault, *, count):
    chance = random.Random(4)
    units = {n: SelfIdentifying(f"unit-{n}", n, "u16") for n in (1, 2)}
    faults = Faults(RTU, seed=3)
    faults.switch_on(fault)
    far = RtuLine({1: Slave(units[1], faults=faults), 2: Slave(units[2])})
    master = Master(Simulated(far), framing="rtu", line=SETTINGS)
    await master.open()
    found = {unit: {"right": 0, "wrong": 0, "failed": 0} for unit in units}
    for _ in range(count):
        unit, address, size = chance.choice([1, 2]), chance.randrange(200), chance.choice([1, 2, 2, 10])
        try:
            got = await master.read(unit, "holding", address=address, count=size, limits=LIMITS, patience_s=9)
        except ReplyError:
            found[unit]["failed"] += 1
            continue
        said = [stamp("u16", Origin(unit, address + n, units[unit].polls)) for n in range(size)]
        found[unit]["right" if got.data == struct.pack(f">{size}H", *said) else "wrong"] += 1
    return found, master.counters(), faults


@pytest.mark.parametrize("name", NAMES)
def test_no_fault_makes_a_wrong_value(name):
    fault = FAULTS.get(name, Fault(name, rate=0.3))
    found, counters, faults = virtual_time.run(reads(fault, count=300))
    assert faults.struck or name == "missing"
    assert found[1]["wrong"] == found[2]["wrong"] == 0, counters
    assert found[1]["right"] > 50
    assert found[2]["right"] > 0.95 * sum(found[2].values())
