"""A readout at 300 Bd takes minutes: the wire's task is not taken for dead meanwhile, and is for no longer."""

import asyncio

import sim_bench
import virtual_time
from made_records import series

from drivers.profile import load
from drivers.uart.polled import PolledStream, Wire
from gateway.poller import PolledWire, Station


def test_a_long_readout_is_a_sign_of_life():
    device, _ = sim_bench.made("iec62056-21")
    device.device.replies = ()  # it never answers

    async def scenario():
        loop = asyncio.get_running_loop()
        bench = sim_bench.facing(device)
        polled = PolledStream(Wire(bench), load("iec62056-21"))
        wire = PolledWire("w", way=bench, stations=[Station("m", 900.0, {"": series()}, polled)], take=_none, say=_none)
        task = asyncio.create_task(wire.serve())
        await asyncio.sleep(1.0)
        promised_s = wire.beat_s - loop.time()
        await asyncio.sleep(900.0)
        late_s = loop.time() - wire.beat_s
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return promised_s, late_s, polled.longest_s

    promised_s, late_s, longest_s = virtual_time.run(scenario())
    assert 240 < promised_s <= longest_s  # the readout's own time
    assert late_s < 10.0


def _none(*_arguments):
    return None
