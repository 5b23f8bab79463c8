"""Registers that a device refuses: the one at fault is found, the others are kept, and it is asked again later."""

import asyncio
from math import isnan

import virtual_time
from bus_sim import Bus
from hypothesis import given
from hypothesis import strategies as st
from made_profiles import profile
from register_bus import METER, METER_VALUES, memory, on, polls

from drivers.points import points
from drivers.sample import Code

NAMES = ("power_active_l1", "power_active_l2", "power_active_l3", "power_active")
EVEN = "even_start=true"
LONG = profile(
    *[(name, f"input {2 * n + 2} f32", "") for n, name in enumerate(NAMES)], ("voltage_l1", "input 0 f32", "")
)


def test_one_illegal_register_is_found_and_the_rest_is_kept():
    values = {n: float(n + 1) for n in (0, 2, 4, 6, 8)}
    bus = Bus(answer=memory(values, refuse={5}))
    samples, device, counters = polls(bus, LONG, times=3)
    for sample in samples:
        assert sample.codes == (0, Code.EXCEPTION, 0, 0, 0)
        assert [v for v in sample.values if not isnan(v)] == [3.0, 7.0, 9.0, 1.0]
    assert device.refused == ("input 4 f32",)
    assert counters.refused <= 6  # bisected once, not at every poll


def test_a_hole_that_must_not_be_read_is_learned():
    holed = profile(
        ("voltage_l1", "input 0 f32", ""), ("frequency", "input 6 f32", ""), ("current_l1", "input 2 f32", "")
    )
    bus = Bus(answer=memory({0: 1.0, 2: 2.0, 6: 3.0}, known={0, 1, 2, 3, 6, 7}))
    samples, device, _ = polls(bus, holed, times=2)
    assert [sample.values for sample in samples] == [(1.0, 3.0, 2.0)] * 2
    assert device.refused == ()
    assert [(block.address, block.count) for block in device.blocks] == [(0, 4), (6, 2)]


def test_a_device_that_refuses_everything_is_not_remembered_so():
    ready = []
    good = memory(METER_VALUES)

    def answer(unit, pdu):
        return good(unit, pdu) if ready else bytes([pdu[0] | 0x80, 2])

    def between(n, bus):
        if n == 6:
            ready.append(True)

    samples, device, _ = polls(Bus(answer=answer), METER, times=7, between=between)
    assert samples[5].codes == (Code.EXCEPTION,) * 4
    assert samples[6].values == (1500.0, 230.5, 6.5, 50.0)
    assert device.refused == ()


def test_a_slow_unit_is_bisected_over_many_polls():
    """No poll asks for much more than its blocks, and polls go on meanwhile."""
    names = ("voltage_l1", "voltage_l2", "voltage_l3", "current_l1", "current_l2", "current_l3", "frequency")
    wide = profile(*[(name, f"input {n} u16", "") for n, name in enumerate(names)])
    reads = []

    async def scenario():
        bus = Bus(delay=lambda unit: 0.3, answer=memory(dict.fromkeys(range(7), 5), refuse={4}))
        device, _ = await on(bus, wide)
        samples = []
        for _ in range(12):
            before = len(bus.requests)
            samples += await device.poll()
            reads.append(len(bus.requests) - before)
        return samples, device

    samples, device = virtual_time.run(scenario())
    assert samples[0].codes == (Code.EXCEPTION,) * 7
    assert samples[-1].codes == (0, 0, 0, 0, Code.EXCEPTION, 0, 0)
    assert device.refused == ("input 4 u16",)
    assert max(reads) <= 4
    assert reads[-1] == len(device.blocks) == 2


def test_one_that_refused_everything_while_it_started_is_bisected_later():
    """After a start that used all lessons up, its one illegal register is found nevertheless."""
    starting = [True]
    good = memory({n: float(n + 1) for n in (0, 2, 4, 6, 8)}, refuse={5})

    async def scenario():
        bus = Bus(answer=lambda unit, pdu: bytes([pdu[0] | 0x80, 2]) if starting else good(unit, pdu))
        device, _ = await on(bus, LONG)
        for n in range(100):
            if n == 30:
                starting.clear()
            (sample,) = await device.poll()
            await asyncio.sleep(1.0)
        return sample, device

    sample, device = virtual_time.run(scenario())
    assert device.refused == ("input 4 f32",)
    assert sample.codes == (0, Code.EXCEPTION, 0, 0, 0)


def test_a_refused_value_beside_a_good_one_whose_read_is_rounded_to_even_addresses():
    even = profile(("energy_import", "holding 100 u16", ""), ("voltage_l1", "holding 101 u32", ""), limits=EVEN)
    bus = Bus(answer=memory({100: 7, 101: 0}, known={100, 101}))
    samples, device, _ = polls(bus, even, times=3)
    assert device.refused == ("holding 101 u32",)
    assert [sample.codes for sample in samples] == [(0, Code.EXCEPTION)] * 3
    assert samples[2].values[0] == 7


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from(("u16", "u32", "f64"))), min_size=2, max_size=8, unique=True
    ),
    st.sets(st.integers(0, 44)),
    st.sampled_from(("", EVEN, "hole=false", "max_registers=4")),
)
def test_whatever_is_refused_a_poll_says_what_it_knows_and_raises_nothing(places, refuse, limits):
    names = [name for name, point in points().items() if point.kind == "gauge"][: len(places)]
    rows = [(name, f"input {at} {kind}", "") for name, (at, kind) in zip(names, places, strict=True)]
    values = {n: 1000 + n for n in range(50)}
    samples, device, _ = polls(Bus(answer=memory(values, refuse=refuse)), profile(*rows, limits=limits), times=4)
    for sample in samples:
        assert len(sample.values) == len(sample.codes) == len(rows)
        for (_, read, _), code in zip(rows, sample.codes, strict=True):
            _, at, kind = read.split()
            size = {"u16": 1, "u32": 2, "f64": 4}[kind]
            assert code or not refuse & set(range(int(at), int(at) + size))
    assert len(device.refused) < len(rows)


def test_a_refused_value_that_shares_registers_with_a_good_one():
    shared = profile(
        ("voltage_l1", "input 0 u32", ""), ("frequency", "input 0 u16", ""), ("current_l1", "input 4 u16", "")
    )
    bus = Bus(answer=memory({0: 7, 4: 9}, known={0, 4}))
    samples, device, _ = polls(bus, shared, times=3)
    assert device.refused == ("input 0 u32",)
    assert samples[2].codes == (Code.EXCEPTION, 0, 0)
    assert samples[2].values[1:] == (7.0, 9.0)


def test_forget_asks_for_everything_again():
    async def scenario():
        refuse = {5}
        values = {n: float(n + 1) for n in (0, 2, 4, 6, 8)}
        device, _ = await on(Bus(answer=memory(values, refuse=refuse)), LONG)
        await device.poll()
        refuse.clear()
        before = (await device.poll())[0]
        device.forget()
        return before, (await device.poll())[0]

    before, after = virtual_time.run(scenario())
    assert before.codes[1] == Code.EXCEPTION
    assert after.codes == (0,) * 5


def test_what_a_starting_device_refuses_is_asked_again_after_a_minute_and_then_more_seldom():
    refuse = {5}
    values = {n: float(n + 1) for n in (0, 2, 4, 6, 8)}

    async def scenario(boot_s, seconds):
        bus = Bus(answer=memory(values, refuse=refuse))
        device, _ = await on(bus, LONG)
        begin_s = asyncio.get_running_loop().time()
        healed_s, asked = None, []
        while (now_s := asyncio.get_running_loop().time() - begin_s) < seconds:
            if now_s >= boot_s:
                refuse.clear()
            before = len(bus.requests)
            (sample,) = await device.poll()
            if len(bus.requests) - before > len(device.blocks):
                asked.append(now_s)
            if healed_s is None and sample.codes == (0,) * 5:
                healed_s = now_s
            await asyncio.sleep(20.0)
        return healed_s, asked

    healed_s, _ = virtual_time.run(scenario(20.0, 100.0))
    assert 60 <= healed_s <= 85
    refuse.add(5)
    healed_s, asked = virtual_time.run(scenario(1e9, 5400.0))
    assert healed_s is None
    assert len(asked) == 5  # at once, after 1, 4, 16 and 64 minutes
