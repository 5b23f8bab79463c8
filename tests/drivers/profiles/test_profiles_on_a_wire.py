"""Every register profile read through the real master from a device that keeps to the profile's limits."""

import struct

import pytest
import virtual_time

from drivers.checksum import crc16_modbus
from drivers.line import line
from drivers.link import CallLink
from drivers.modbus.master import Master
from drivers.modbus.polled import polled
from drivers.profile import load, shipped, where
from drivers.sample import Code

REGISTERS = [load(name) for name in shipped() if load(name).by_registers]
FORMATS = {"u16": "H", "s16": "h", "u32": "I", "s32": "i", "u64": "Q", "s64": "q", "f32": "f", "f64": "d"}


class Slave:
    """Answers reads as strictly as the profile says: whole values, within limits, across no hole that it excludes."""

    def __init__(self, profile, rows):
        self.profile = profile
        self.words = {}
        self.starts = set()
        self.wanted = {}
        self.requests = 0
        self.spoil_first = False
        for n, row in enumerate(rows):
            self.put(n, row)

    def put(self, n, row):
        place = where(row.read)
        if row.via == "level_unit":
            number, value = (2 << 48) + (1 << 32) + (1234 << 16), 0.1234
        else:
            low, high = row.valid
            value = max(min(high, 0.5 + n), low) if row.via is None else 0.5
            number = (value - row.offset) / row.scale
            if not place.type.startswith("f"):
                number = round(number)
                value = number * row.scale + row.offset
        self.wanted[row.point] = value
        data = struct.pack(">" + FORMATS[place.type], number)
        words = [data[at : at + 2] for at in range(0, len(data), 2)]
        if place.order == "CDAB":
            words.reverse()
        self.words |= {(place.table, place.address + at): word for at, word in enumerate(words)}
        self.starts.add((place.table, place.address))
        self.ends = getattr(self, "ends", set()) | {(place.table, place.address + place.count)}

    def answer(self, request):
        self.requests += 1
        assert crc16_modbus(request) == 0
        unit, function, address, count = struct.unpack(">BBHH", request[:6])
        table = {3: "holding", 4: "input"}[function]
        limits = self.profile.limits
        fits = count <= limits.max_registers and not (limits.even_start and (address % 2 or count % 2))
        fits = fits and (table, address) in self.starts and (table, address + count) in self.ends
        words = [self.words.get((table, address + at), None if not limits.hole else b"\0\0") for at in range(count)]
        if not fits or None in words:
            body = bytes((unit, function | 0x80, 2))
        else:
            body = bytes((unit, function, 2 * count)) + b"".join(words)
        crc = crc16_modbus(body) ^ (0xFFFF if self.spoil_first and self.requests == 1 else 0)
        return body + crc.to_bytes(2, "little")


async def polls(profile, slave, *, count=1, parts=("", "lane1", "lane2")):
    master = Master(CallLink(slave.answer), line=line(profile.wire.lines[0]))
    await master.open()
    device = polled(master, profile, unit=1, parts=parts)
    try:
        return [await device.poll() for _ in range(count)]
    finally:
        await master.close()


def rows_of(profile):
    return profile.rows_of() + profile.rows_of("lane1")


@pytest.mark.parametrize("profile", REGISTERS, ids=lambda profile: profile.id)
def test_every_value_arrives(profile):
    slave = Slave(profile, rows_of(profile))
    ((sample, *_),) = virtual_time.run(polls(profile, slave, parts=("", "lane1")))
    got = dict(zip([row.point for row in rows_of(profile)], sample.values, strict=True))
    assert set(sample.codes) == {Code.GOOD}
    assert got == pytest.approx(slave.wanted, rel=1e-6)


def test_lanes_are_parts_of_their_own():
    profile = load("generic-vehicle-counter")
    slave = Slave(profile, profile.rows_of("lane1"))
    slave.put(41, profile.rows_of("lane2")[0])
    ((first, second),) = virtual_time.run(polls(profile, slave))
    assert (first.part, first.values, second.part, second.values) == ("lane1", (0.0,), "lane2", (42.0,))


def test_a_count_that_a_read_clears_is_asked_once():
    profile = load("generic-vehicle-counter-reset")
    slave = Slave(profile, profile.rows_of("lane1"))
    slave.spoil_first = True
    ((sample,),) = virtual_time.run(polls(profile, slave, parts=("lane1",)))
    assert slave.requests == 1
    assert sample.codes == (Code.CRC,)


def test_a_spoiled_frame_is_read_again_elsewhere():
    profile = load("eastron-sdm120")
    slave = Slave(profile, rows_of(profile))
    slave.spoil_first = True
    ((sample,),) = virtual_time.run(polls(profile, slave))
    assert set(sample.codes) == {Code.GOOD}
    assert slave.requests > 1
