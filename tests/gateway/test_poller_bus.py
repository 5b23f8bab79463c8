"""Twenty units on one wire through the real poller and the real master, on virtual time: one of them misbehaves."""

import asyncio
import random
import struct
from functools import partial
from itertools import pairwise

import pytest
import virtual_time
from bus_sim import Bus
from made_profiles import profile
from made_records import series

from drivers.modbus.device import RegisterDevice
from drivers.modbus.master import Master
from drivers.points import points
from gateway.poller import PolledWire, Station

UNITS = 20
ODD = 7
PROFILE = profile(("voltage_l1", "input 0 f32"), ("current_l1", "input 6 f32"))


def told(unit, address, count):
    """Self-identifying: unit and address as two floats."""
    words = {0: struct.pack(">f", 100.0 + unit), 6: struct.pack(">f", 200.0 + unit)}
    data = bytearray(2 * (address + count))
    for at, raw in words.items():
        data[2 * at : 2 * at + 4] = raw
    return bytes(data[2 * address : 2 * (address + count)])


def on_a_bus(bus, *, every_s, seconds, script=()):
    """Polls all units; returns (samples by unit, wire, master, seconds of the wire spent on the odd unit)."""
    got = {}

    def take(one, sample):
        got.setdefault(one.id, []).append((asyncio.get_running_loop().time(), sample))

    async def scenario():
        master = Master(bus, framing="rtu", line=bus.line)
        stations = []
        for unit in range(1, UNITS + 1):
            device = RegisterDevice(master, PROFILE, unit=unit)
            every = every_s[unit % len(every_s)]
            stations.append(Station(f"u{unit}", every, {"": series(f"u{unit}")}, device))
        wire = PolledWire("w", way=master, stations=stations, take=take, say=lambda *what: None)
        wire.start_grid(0)
        wire.report()
        task = asyncio.create_task(wire.run())
        for at_s, act in script:
            await asyncio.sleep(at_s)
            act()
        await asyncio.sleep(seconds)
        report = wire.report()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return wire, report

    wire, report = virtual_time.run(scenario())
    return got, wire, report


def quality(got, wire, *, seconds):
    """(worst share of polls kept among the others, p95 of their jitter in s, wrong values)."""
    kept, jitter, wrong = [], [], 0
    for station in wire.stations:
        unit = int(station.id[1:])
        good = [t for t, sample in got[station.id] if not any(sample.codes)]
        for _, sample in got[station.id]:
            wrong += not any(sample.codes) and sample.values != (100.0 + unit, 200.0 + unit)
        if unit == ODD:
            continue
        kept.append(len(good) / (seconds / station.every_s))
        jitter += [abs(b - a - station.every_s) for a, b in pairwise(good)]
    return min(kept), sorted(jitter)[len(jitter) * 95 // 100], wrong


def odd_delay(kind, chance):
    def delay(unit):
        if unit == ODD and kind == "slow":
            return chance.uniform(0.25, 0.6)
        if unit == ODD and kind == "late" and chance.random() < 0.3:
            return chance.uniform(1.0, 3.0)
        return chance.uniform(0.005, 0.015)

    return delay


def vain_s(bus):
    """Wire time that requests to the odd unit cost: until the next request of another unit, where no answer came."""
    spent = 0.0
    for (begin, frame), (after, _) in zip(bus.requests, bus.requests[1:], strict=False):
        spent += after - begin if frame[0] == ODD else 0.0
    return spent


KINDS = ("dead", "slow", "flapping", "late", "fast-flapping")


def shared(kind, *, every_s, seconds):
    """One run of that kind: asserts the row's goals and returns (wire, samples, bus, seconds)."""
    chance = random.Random(1)
    bus = Bus(delay=odd_delay(kind, chance), memory=told, settings="19200 8N1", chunk=64)
    script, left = [], float(seconds)
    if kind == "dead":
        bus.dead.add(ODD)
    if kind.endswith("flapping"):
        half_s = 20.0 if kind == "flapping" else 3.0
        turns = (bus.dead.discard, bus.dead.add)
        script = [(half_s, partial(turns[n % 2], ODD)) for n in range(int(seconds / half_s))]
        left = seconds - half_s * len(script)
    got, wire, report = on_a_bus(bus, every_s=every_s, seconds=left, script=script)
    kept, jitter_s, wrong = quality(got, wire, seconds=seconds)
    odd = got[f"u{ODD}"]
    print(f"{kind} {every_s} {seconds} s: kept {kept:.4f}, p95 jitter {jitter_s * 1000:.1f} ms,", end=" ")
    print(f"load {report['load']:.2f}, odd one: {vain_s(bus) / seconds:.4f} of the wire", end=" ")
    print(f"for {sum(not any(sample.codes) for _, sample in odd)} of {len(odd)} samples")
    assert wrong == 0
    assert kept >= 0.99
    assert jitter_s <= 0.05
    return wire, got, bus


def assert_dead_one_is_cheap_and_fails_on_time(wire, got, bus, seconds, *, found_s=0.0):
    samples = got[f"u{ODD}"]
    assert vain_s(bus) <= 0.02 * seconds + found_s
    assert len(samples) >= 0.95 * seconds / wire.stations[ODD - 1].every_s
    assert all(min(sample.codes) >= 200 for _, sample in samples)


@pytest.mark.parametrize(("kind", "every_s"), [("dead", (1.0,)), ("slow", (1.0,)), ("fast-flapping", (1.0, 2.0, 5.0))])
def test_one_bad_unit_harms_only_itself(kind, every_s):
    seconds = 301
    wire, got, bus = shared(kind, every_s=every_s, seconds=seconds)
    if kind == "dead":  # three times the profile's timeout until it is known to be dead
        assert_dead_one_is_cheap_and_fails_on_time(wire, got, bus, seconds, found_s=3.0)


LONG = profile(*[(name, f"input {300 * n} u16") for n, name in enumerate(list(points())[:24])])


def test_a_long_plan_is_no_fault():
    """A meter of 24 reads, ten times as long as the gaps between the others' polls, keeps its period."""
    bus = Bus(delay=lambda unit: 0.01, memory=lambda unit, address, count: bytes(2 * count), settings="19200 8N1")
    taken = {}

    def take(one, sample):
        taken.setdefault(one.id, []).append(max(sample.codes))

    async def scenario():
        master = Master(bus, framing="rtu", line=bus.line)
        stations = [
            Station(f"u{unit}", 1.0, {"": series(f"u{unit}")}, RegisterDevice(master, PROFILE, unit=unit))
            for unit in range(1, 19)
        ]
        stations.append(Station("long", 10.0, {"": series("long")}, RegisterDevice(master, LONG, unit=99)))
        wire = PolledWire("w", way=master, stations=stations, take=take, say=lambda *what: None)
        wire.start_grid(0)
        task = asyncio.create_task(wire.run())
        await asyncio.sleep(120.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return stations

    stations = virtual_time.run(scenario())
    assert stations[-1].need_s > 0.45
    assert len(taken["long"]) >= 11
    assert not any(taken["long"])
    assert all(len(taken[one.id]) >= 115 for one in stations[:-1])


WIDE = profile(*[(name, f"input {n} u16") for n, name in enumerate(list(points())[:40])])


def test_a_unit_that_begins_to_refuse_everything_does_not_stop_the_others():
    """A meter that starts up again: 40 values are not all searched for the one at fault while 19 others wait."""
    refusing, taken = [], {}

    def answer(unit, pdu):
        if unit == ODD and refusing:
            return bytes([pdu[0] | 0x80, 2])
        address, count = struct.unpack(">HH", pdu[1:5])
        body = bytes(2 * count) if unit == ODD else told(unit, address, count)
        return bytes([pdu[0], len(body)]) + body

    bus = Bus(delay=lambda unit: 0.2 if unit == ODD else 0.01, answer=answer, settings="19200 8N1")

    def take(one, sample):
        taken.setdefault(one.id, []).append((asyncio.get_running_loop().time(), max(sample.codes)))

    async def scenario():
        master = Master(bus, framing="rtu", line=bus.line)
        stations = [
            Station(
                f"u{unit}",
                10.0 if unit == ODD else 1.0,
                {"": series(f"u{unit}")},
                RegisterDevice(master, WIDE if unit == ODD else PROFILE, unit=unit),
            )
            for unit in range(1, UNITS + 1)
        ]
        wire = PolledWire("w", way=master, stations=stations, take=take, say=lambda *what: None)
        wire.start_grid(0)
        task = asyncio.create_task(wire.run())
        await asyncio.sleep(30.0)
        refusing.append(True)
        await asyncio.sleep(90.0)
        refusing.clear()
        await asyncio.sleep(20.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(scenario())
    odd = [code for _, code in taken.pop(f"u{ODD}")]
    assert odd[0] == odd[-1] == 0
    assert max(odd) >= 200
    assert all(b[0] - a[0] < 1.6 for polls in taken.values() for a, b in pairwise(polls))
    assert all(sum(not code for _, code in polls) >= 137 for polls in taken.values())


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("every_s", [(1.0,), (1.0, 2.0, 5.0)], ids=["1s", "mixed"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_bad_unit_harms_only_itself_for_four_hours(kind, every_s):
    seconds = 4 * 3600
    wire, got, bus = shared(kind, every_s=every_s, seconds=seconds)
    if kind == "dead":
        assert_dead_one_is_cheap_and_fails_on_time(wire, got, bus, seconds)
