"""The RTU master on virtual time: fences, silence, turns, the breaker, noise, echo."""

import asyncio
import itertools

import pytest
import virtual_time
from bus_sim import Bus, crc, noise
from modbus_wires import QUICK, opened, storm, told

from drivers.errors import BadFrame, DeviceRefused, LinkLost, NoReply, ReplyError
from drivers.modbus.master import Master, Priority
from drivers.profile import Limits


@pytest.mark.parametrize("settings", ["1200 8E1", "9600 8N1", "19200 8E1", "115200 8N1"])
def test_the_silence_is_kept_and_hardly_exceeded(settings):
    bus = Bus(memory=told, delay=lambda unit: 0.005, settings=settings, chunk=256)
    found, _ = virtual_time.run(storm(bus, units=(1, 2), reads=50, counts=(1, 10)))
    assert found == {"right": 50, "wrong": 0, "failed": 0}
    ends = bus.ends
    gaps = [begin - end for (begin, _), end in zip(bus.requests[1:], ends, strict=False)]
    t35_s = max(3.5 * bus.line.char_s, 0) if bus.line.baud <= 19200 else 0.00175
    assert min(gaps) >= t35_s * 0.999999
    assert max(gaps) <= t35_s * 1.001


def test_turnaround_holds_only_its_own_unit():
    slow = Limits(timeout_ms=500, turnaround_ms=50)
    bus = Bus(memory=told, delay=lambda unit: 0.005, chunk=256)

    async def scenario():
        master = await opened(bus)

        async def reader(unit, limits):
            for _ in range(20):
                await master.read(unit, "holding", address=0, count=2, limits=limits)

        await asyncio.gather(reader(1, slow), reader(2, Limits(timeout_ms=500)))

    virtual_time.run(scenario())
    of_slow = [begin for begin, frame in bus.requests if frame[0] == 1]
    of_fast = [begin for begin, frame in bus.requests if frame[0] == 2]
    assert min(b - a for a, b in itertools.pairwise(of_slow)) >= 0.05
    assert of_fast[-1] - of_fast[0] < 20 * 0.05


def test_a_person_goes_first():
    bus = Bus(memory=told, delay=lambda unit: 0.02)
    order = []

    async def scenario():
        master = await opened(bus)

        async def ask(name, unit, priority):
            await master.read(unit, "holding", address=0, count=2, priority=priority)
            order.append(name)

        polls = [asyncio.create_task(ask(f"poll{n}", n, Priority.POLL)) for n in range(1, 6)]
        await asyncio.sleep(0.001)
        idle = asyncio.create_task(ask("scan", 9, Priority.IDLE))
        await asyncio.sleep(0)
        person = asyncio.create_task(ask("person", 7, Priority.PERSON))
        await asyncio.gather(person, idle, *polls)

    virtual_time.run(scenario())
    assert order == ["poll1", "person", "poll2", "poll3", "poll4", "poll5", "scan"]


def test_a_cancelled_read_owes_its_answer():
    bus = Bus(memory=told, delay=lambda unit: 0.15)

    async def scenario():
        master = await opened(bus)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await master.read(1, "holding", address=0, count=2, limits=QUICK)
        got = await master.read(1, "holding", address=3, count=2, limits=QUICK, patience_s=99)
        return got.data, master.counters()

    data, counters = virtual_time.run(scenario())
    assert data == told(1, 3, 2)
    assert counters.late == 1


def test_a_cancelled_read_in_the_queue_gives_its_turn_on():
    bus = Bus(memory=told, delay=lambda unit: 0.02)

    async def scenario():
        master = await opened(bus)
        tasks = [asyncio.create_task(master.read(n, "holding", address=0, count=2)) for n in range(1, 5)]
        await asyncio.sleep(0.001)
        tasks[1].cancel()
        tasks[2].cancel()
        await asyncio.wait(tasks)
        return [task.cancelled() for task in tasks], tasks[3].result().data

    cancelled, data = virtual_time.run(scenario())
    assert cancelled == [False, True, True, False]
    assert data == told(4, 0, 2)


@pytest.mark.parametrize("dead", [1, 3])
def test_dead_units_cost_a_small_share_and_others_keep_their_period(dead):
    """Ten units polled each second; `dead` of them are mute."""
    bus = Bus(memory=told, delay=lambda unit: 0.005, settings="19200 8N1", dead=range(1, dead + 1))
    begun = {unit: [] for unit in range(1, 11)}

    async def scenario():
        master = await opened(bus, dead_share=0.05)
        loop = asyncio.get_running_loop()
        lost = 0

        async def poll(unit, start_s):
            nonlocal lost
            for n in range(300):
                await asyncio.sleep(max(0.0, start_s + n - loop.time()))
                begun[unit].append(loop.time() - start_s - n)
                try:
                    await master.read(unit, "input", address=0, count=10, limits=QUICK)
                except NoReply:
                    lost += unit > dead

        start_s = loop.time() + 1
        await asyncio.gather(*[poll(unit, start_s) for unit in range(1, 11)])
        return lost, master.counters()

    lost, counters = virtual_time.run(scenario())
    assert lost == 0
    to_dead = [begin for begin, frame in bus.requests if frame[0] <= dead]
    after_opening = [begin for begin in to_dead if begin > to_dead[0] + 30]
    assert len(after_opening) * 0.25 < 0.05 * 270
    assert len(after_opening) >= dead  # but they are still looked for
    assert counters.units[10].answers == 300


def test_a_unit_that_comes_back_is_read_again():
    bus = Bus(memory=told, delay=lambda unit: 0.005, dead=[1])

    async def scenario():
        master = await opened(bus)
        results = []
        for second in range(120):
            if second == 60:
                bus.dead.clear()
            try:
                await master.read(1, "input", address=0, count=10, limits=QUICK)
                results.append(second)
            except NoReply:
                pass
            await asyncio.sleep(1)
        return results

    results = virtual_time.run(scenario())
    assert results[0] >= 60
    assert results[0] < 75
    assert results[-1] == 119
    assert len(results) == 120 - results[0]


@pytest.mark.parametrize("function", ["holding", "input", "coil"])
def test_an_echo_is_not_an_answer(function):
    bus = Bus(memory=lambda unit, address, count: bytes([unit]), echo=True)
    if function != "coil":
        bus = Bus(memory=told, echo=True)

    async def scenario():
        master = await opened(bus, echo=function == "coil")
        got = await master.read(3, function, address=0x0400, count=2)
        return got.data, master.counters()

    data, counters = virtual_time.run(scenario())
    assert data == (b"\x03" if function == "coil" else told(3, 0x0400, 2))
    assert counters.echoes == 1


def test_an_echo_whose_address_looks_like_a_length():
    """Request 01 03 04 00 ...: its echo begins like an answer of four bytes; a refusal follows."""
    bus = Bus(answer=lambda unit, pdu: bytes([0x83, 2]), echo=True)

    async def scenario():
        master = await opened(bus)
        await master.read(1, "holding", address=0x0400, count=2)

    with pytest.raises(DeviceRefused):
        virtual_time.run(scenario())


def test_noise_is_never_believed_and_never_fatal():
    bus = Bus(memory=told, mutate=noise(11), delay=lambda unit: 0.01)
    found, counters = virtual_time.run(storm(bus, units=(1, 2), reads=400, counts=(1, 2, 10)))
    assert found["wrong"] == 0
    assert found["right"] > 200
    assert counters.crc > 50


def test_a_babbling_line_fails_in_bounded_time_and_heals():
    bus = Bus(memory=told, delay=lambda unit: 0.01)

    async def scenario():
        master = await opened(bus)
        loop = asyncio.get_running_loop()
        babbling = True

        async def babbler():
            while babbling:
                bus.put(b"\0" * 11)
                await asyncio.sleep(0.001)

        task = asyncio.create_task(babbler())
        begin_s = loop.time()
        for _ in range(5):
            with pytest.raises((BadFrame, NoReply)):
                await master.read(1, "holding", address=0, count=2, limits=QUICK)
        spent_s = loop.time() - begin_s
        babbling = False
        await task
        await asyncio.sleep(1)
        return spent_s, await master.read(1, "holding", address=0, count=2, patience_s=9), master.counters()

    spent_s, answer, counters = virtual_time.run(scenario())
    assert spent_s < 5 * 1.5
    assert answer.data == told(1, 0, 2)
    assert counters.babble > 0


def test_frames_of_another_master_are_counted_and_left_alone():
    bus = Bus(memory=told, delay=lambda unit: 0.05)
    stranger = b"\x01\x04\x54" + bytes(0x54)
    stranger += crc(stranger)

    async def scenario():
        master = await opened(bus)
        asyncio.get_running_loop().call_later(0.03, bus.put, stranger)
        got = await master.read(1, "input", address=0, count=2)
        return got.data, master.counters()

    data, counters = virtual_time.run(scenario())
    assert data == told(1, 0, 2)
    assert counters.foreign == 1


@pytest.mark.parametrize("shape", ["short", "long", "function", "unit"])
def test_an_answer_of_another_shape_is_not_believed(shape):
    def mutate(frame):
        unit, function, body = frame[0], frame[1], frame[3:-2]
        body = {"short": body[:-2], "long": body + body[:2]}.get(shape, body)
        changed = bytes([unit + (shape == "unit"), function + (shape == "function"), len(body)]) + body
        return changed + crc(changed)

    bus = Bus(memory=told, mutate=mutate)

    async def scenario():
        master = await opened(bus)
        with pytest.raises(ReplyError):
            await master.read(1, "holding", address=0, count=4)
        return master.counters()

    assert virtual_time.run(scenario()).foreign == 1


@pytest.mark.parametrize("late_s", [0.95, 1.4])
def test_a_wire_is_given_up_only_when_the_answer_to_a_read_that_was_broken_off_is_out_of_the_way(late_s):
    """The next owner of the wire, another program, asks at once for another register of the same length."""
    values = {0: b"\x00\x64", 10: b"\x27\x0f"}
    delays = [late_s]

    async def scenario():
        loop = asyncio.get_running_loop()
        memory, delay = (lambda unit, address, count: values[address]), (lambda unit: delays.pop() if delays else 0.02)
        bus = Bus(delay=delay, memory=memory, settings="9600 8N1")
        first, second = Master(bus, framing="rtu", line=bus.line), Master(bus, framing="rtu", line=bus.line)
        await first.open()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(first.read(1, "input", address=10, count=1), 0.9)
        before_s = loop.time()
        await first.close()
        took_s = loop.time() - before_s
        await second.open()
        answer = await second.read(1, "input", address=0, count=1)
        before_s = loop.time()
        await second.close()
        return answer.data, took_s, loop.time() - before_s

    data, took_s, owing_nothing_s = virtual_time.run(scenario())
    assert data == values[0]
    assert took_s < late_s - 0.85  # its late answer ends the wait
    assert owing_nothing_s == 0.0


def test_a_link_that_was_lost_is_closed_at_once():
    async def scenario():
        loop = asyncio.get_running_loop()
        bus = Bus(dead={1}, settings="9600 8N1")
        master = Master(bus, framing="rtu", line=bus.line)
        await master.open()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(master.read(1, "input", address=10, count=1), 0.5)
        bus.read = unplugged
        before_s = loop.time()
        await master.close()
        return loop.time() - before_s

    async def unplugged(_timeout_s):
        raise LinkLost("unplugged", endpoint="bus")

    assert virtual_time.run(scenario()) == 0.0
