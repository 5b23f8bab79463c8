"""Register devices before a meter in memory: registers that answer, that refuse, that are not there."""

import struct

import virtual_time
from made_profiles import profile

from drivers.modbus.device import RegisterDevice
from drivers.modbus.master import Master

METER = profile(
    ("power_active", "input 52 f32", ""),
    ("voltage_l1", "input 0 f32", ""),
    ("current_l1", "input 6 f32", ""),
    ("frequency", "holding 10 u16", "scale=0.01"),
    limits="timeout_ms=200",
)
METER_VALUES = {52: 1500.0, 0: 230.5, 6: 6.5, 10: 5000}


def memory(values, *, kind=">f", refuse=(), known=None):
    """An answering function over registers; `refuse`: registers no read may touch; `known`: those that exist."""
    registers = {}
    for address, value in values.items():
        raw = struct.pack(kind, value) if isinstance(value, float) else struct.pack(">H", value)
        for n in range(0, len(raw), 2):
            registers[address + n // 2] = raw[n : n + 2]

    def answer(unit, pdu):
        address, count = struct.unpack(">HH", pdu[1:5])
        span = range(address, address + count)
        if any(n in refuse for n in span) or (known is not None and any(n not in known for n in span)):
            return bytes([pdu[0] | 0x80, 2])
        body = b"".join(registers.get(n, b"\0\0") for n in span)
        return bytes([pdu[0], len(body)]) + body

    return answer


async def on(bus, described, **options):
    master = Master(bus, framing="rtu", line=bus.line)
    await master.open()
    return RegisterDevice(master, described, unit=1, **options), master


def polls(bus, described, times=1, between=lambda n, bus: None):
    async def scenario():
        device, master = await on(bus, described, patience_s=5)
        samples = []
        for n in range(times):
            between(n, bus)
            samples.append((await device.poll())[0])
        return samples, device, master.counters()

    return virtual_time.run(scenario())
