"""A register device over an in-memory wire: codes of failures, what is kept, bisecting, fingerprints."""

import asyncio
import random
import struct
from math import isnan

import pytest
import virtual_time
from bus_sim import Bus, crc
from made_profiles import HEAD, profile
from register_bus import METER, METER_VALUES, memory, on, polls

from drivers.errors import LinkLost, ProfileError
from drivers.link import CallLink
from drivers.modbus.device import RegisterDevice
from drivers.modbus.master import Master
from drivers.profile import parse
from drivers.sample import Code


def test_values_stand_in_the_order_of_the_rows():
    samples, device, _ = polls(Bus(answer=memory(METER_VALUES)), METER)
    assert samples[0].values == (1500.0, 230.5, 6.5, 50.0)
    assert samples[0].codes == (0, 0, 0, 0)
    assert samples[0].part == ""
    assert {block.table for block in device.blocks} == {"holding", "input"}


def test_the_time_is_that_of_the_first_byte_of_the_first_answer():
    bus = Bus(answer=memory(METER_VALUES), delay=lambda unit: 0.1)
    samples, _, _ = polls(bus, METER)
    begin_s, request = bus.requests[0]
    first_s = begin_s + len(request) * bus.line.char_s + 0.1
    assert samples[0].t_mono_ns / 1e9 == pytest.approx(first_s + 7 * bus.line.char_s, abs=2 * bus.line.char_s)


def test_a_mute_device_gives_timeouts_and_no_numbers():
    samples, _, _ = polls(Bus(dead=[1]), METER, times=2)
    for sample in samples:
        assert sample.codes == (Code.TIMEOUT,) * 4
        assert all(isnan(value) for value in sample.values)


def test_a_device_that_falls_silent_never_repeats_its_last_value():
    def between(n, bus):
        if n == 2:
            bus.dead.add(1)

    samples, _, _ = polls(Bus(answer=memory(METER_VALUES)), METER, times=3, between=between)
    assert samples[1].values == (1500.0, 230.5, 6.5, 50.0)
    assert all(isnan(value) for value in samples[2].values)


def test_a_failed_block_spoils_only_its_own_points():
    answers = memory(METER_VALUES)

    def answer(unit, pdu):
        return None if pdu[0] == 3 else answers(unit, pdu)

    samples, _, _ = polls(Bus(answer=answer), METER)
    assert samples[0].values[:3] == (1500.0, 230.5, 6.5)
    assert samples[0].codes == (0, 0, 0, Code.TIMEOUT)


def test_one_spoiled_frame_is_asked_again_once():
    spoiled = iter([True, False, False, False])

    def mutate(frame):
        return frame[:-1] + bytes([frame[-1] ^ 1]) if next(spoiled, False) else frame

    samples, _, counters = polls(Bus(answer=memory(METER_VALUES), mutate=mutate), METER)
    assert samples[0].codes == (0, 0, 0, 0)
    assert samples[0].values == (1500.0, 230.5, 6.5, 50.0)
    assert counters.crc == 1


def test_a_lost_answer_costs_one_poll_and_no_value_is_wrong_while_it_is_owed():
    """Polled each second, timeout 500 ms: the answer to the third poll comes 1.6 s late, overtaken by others."""
    described = profile(("voltage_l1", "input 0 f32", ""), ("current_l1", "input 2 f32", ""), limits="timeout_ms=500")
    asked = []
    held_back = []

    class Overtaking(Bus):
        async def write(self, data):
            asked.append(data)
            if len(asked) == 3:
                body = struct.pack(">ff", 3.0, 3.0)
                frame = data[:2] + bytes([len(body)]) + body
                held_back.append(self._loop.call_later(1.6, self.put, frame + crc(frame)))
            else:
                await super().write(data)

    bus = Overtaking(answer=memory({0: 230.0, 2: 5.0}))

    async def scenario():
        import asyncio

        device, master = await on(bus, described)
        loop = asyncio.get_running_loop()
        begin_s = loop.time()
        samples = []
        for n in range(8):
            await asyncio.sleep(begin_s + n - loop.time())
            samples.append((await device.poll())[0])
        return samples, master.counters()

    samples, counters = virtual_time.run(scenario())
    assert [sample.codes[0] for sample in samples] == [0, 0, Code.TIMEOUT, 0, 0, 0, 0, 0]
    assert {sample.values for sample in samples if sample.codes[0] == 0} == {(230.0, 5.0)}
    assert counters.late == 1
    assert [request[5] for request in asked] == [4, 4, 4, 2, 2, 4, 4, 4, 4]


def test_lasting_corruption_is_marked():
    samples, _, _ = polls(Bus(answer=memory(METER_VALUES), mutate=lambda frame: frame[:-1] + b"\0"), METER)
    assert samples[0].codes == (Code.CRC,) * 4
    assert all(isnan(value) for value in samples[0].values)


@pytest.mark.parametrize(
    ("exception", "code"),
    [(1, Code.EXCEPTION), (4, Code.EXCEPTION), (6, Code.EXCEPTION), (10, Code.TIMEOUT), (11, Code.TIMEOUT)],
)
def test_exceptions(exception, code):
    samples, device, _ = polls(Bus(answer=lambda unit, pdu: bytes([pdu[0] | 0x80, exception])), METER)
    assert samples[0].codes == (code,) * 4
    assert device.refused == ()


def test_plans_follow_the_reply_time_of_the_unit():
    apart = profile(*[(name, f"input {60 * n} u16", "") for n, name in enumerate(("voltage_l1", "voltage_l2"))])
    values = dict.fromkeys(range(200), 7)

    async def blocks(delay_s):
        device, _ = await on(Bus(answer=memory(values), delay=lambda unit: delay_s, settings="19200 8N1"), apart)
        before = len(device.blocks)
        for _ in range(40):
            await device.poll()
            await asyncio.sleep(1.0)
        return before, len(device.blocks)

    assert virtual_time.run(blocks(0.02)) == (2, 2)
    assert virtual_time.run(blocks(0.2)) == (2, 1)  # a hole of 59 registers is cheaper than 0.2 s


def test_a_read_that_sets_its_counter_to_zero_is_never_sent_twice():
    resets = profile(("energy_import", "input 0 u16", ""), limits="retry=false,timeout_ms=200")
    chance = random.Random(5)
    bus = Bus(
        answer=memory({0: 3}),
        delay=lambda unit: 0.5 if chance.random() < 0.3 else 0.01,
        mutate=lambda frame: frame[:-1] + b"!" if chance.random() < 0.2 else frame,
    )

    async def scenario():
        device, _ = await on(bus, resets)
        asked = []
        for _ in range(200):
            before = len(bus.requests)
            await device.poll()
            asked.append(len(bus.requests) - before)
            await asyncio.sleep(3.0)
        return asked

    assert max(virtual_time.run(scenario())) == 1


def test_identify():
    marked = profile(
        ("voltage_l1", "input 0 f32", ""),
        more="""
[[fingerprint]]
read = "input 0 f32"
means = "mains voltage"
between = [200.0, 250.0]
[[fingerprint]]
read = "input 10 u16"
means = "model"
equals = 341.0
[[fingerprint]]
read = "input 20 u16"
means = "name"
text = "PM53"
""",
    )
    values = {0: 230.0, 10: 341, 20: int.from_bytes(b"PM", "big"), 21: int.from_bytes(b"53", "big")}

    async def scenario(values):
        device, _ = await on(Bus(answer=memory(values)), marked)
        return [finding.holds for finding in await device.identify()]

    assert virtual_time.run(scenario(values)) == [True, True, True]
    assert virtual_time.run(scenario(values | {10: 342})) == [True, False, True]
    assert virtual_time.run(scenario({})) == [False, False, False]


def test_a_lost_link_is_raised():
    async def scenario():
        master = Master(CallLink(lambda request: b""), framing="tcp")
        device = RegisterDevice(master, METER, unit=1)
        with pytest.raises(LinkLost):
            await device.poll()

    virtual_time.run(scenario())


def test_several_requests_outstanding_where_the_device_takes_them():
    wide = profile(("voltage_l1", "input 0 f32", ""), ("frequency", "holding 0 f32", ""), limits="outstanding=4")
    waiting = []

    def answer(request):
        waiting.append(request)
        if len(waiting) < 2:
            return b""
        body = struct.pack(">f", 50.0)
        return b"".join(one[:4] + b"\0\x07" + one[6:8] + b"\x04" + body for one in reversed(waiting))

    async def scenario():
        master = Master(CallLink(answer), framing="tcp")
        await master.open()
        return await RegisterDevice(master, wide, unit=1).poll()

    assert virtual_time.run(scenario())[0].values == (50.0, 50.0)


def test_a_device_whose_reads_change_it_is_neither_asked_twice_nor_probed():
    counting = profile(("vehicle_count", "input 0 u16", ""), limits="timeout_ms=200, retry=false")
    spoil = iter([True])

    def mutate(frame):
        return frame[:-1] + bytes([frame[-1] ^ 1]) if next(spoil, False) else frame

    bus = Bus(answer=memory({0: 7}), mutate=mutate)

    async def scenario():
        import asyncio

        device, master = await on(bus, counting)
        samples = []
        for _ in range(4):
            samples.append((await device.poll())[0].codes)
            await asyncio.sleep(1)
        return samples, master.counters().probes

    codes, probes = virtual_time.run(scenario())
    assert codes == [(Code.CRC,), (0,), (0,), (0,)]
    assert probes == 0
    assert len(bus.requests) == 4


def test_profiles_that_are_not_of_registers_are_refused():
    with pytest.raises(ProfileError):
        RegisterDevice(
            Master(Bus()),
            parse(HEAD.replace('"modbus"', '"push"\nfamily="f"') + '[[row]]\npoint="pm10"\nfield="a"\n', name="x-y"),
            unit=1,
        )


def test_bus_and_driver_agree_on_the_checksum():
    assert crc(bytes.fromhex("01 04 00 00 00 02")) == bytes.fromhex("71 CB")
