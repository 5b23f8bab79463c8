"""Who is believed: a device that was away shows its fingerprints and its serial number first."""

import asyncio

import pytest
import virtual_time
from bus_sim import Bus
from made_profiles import profile
from made_records import series

from drivers.link import TcpLink
from drivers.modbus.device import RegisterDevice
from drivers.modbus.master import Master
from drivers.sample import Code, Sample
from gateway.poller import PolledWire, PushWire, Station

PROFILE = profile(
    ("energy_import", "input 0 u16"),
    ("energy_export", "input 1 u16"),
    more="""[[fingerprint]]
read="holding 11 u16"
means="model"
equals=341.0
[serial]
read="holding 100 u16"
registers=3
means="serial number"
""",
)


class Meter:
    """Its registers; `swap` puts another of the same model in its place."""

    def __init__(self):
        self.counter, self.serial, self.model = 1000, b"A12345", 341

    def swap(self):
        self.counter, self.serial = 50000, b"A99999"

    def memory(self, unit, address, count):
        self.counter += 1
        return {0: self.counter.to_bytes(2, "big") + b"\0\0", 11: self.model.to_bytes(2, "big"), 100: self.serial}[
            address
        ]


def swapped(*, away_s, act, lost=()):
    """Seconds 0 to 30 as usual, then silent for `away_s` while `act(meter)` happens; what came and what was said.

    The first answers from the registers `lost` get lost.
    """
    meter, got, said, losing = Meter(), [], [], list(lost)

    def answer(unit, pdu):
        address = pdu[1] << 8 | pdu[2]
        if address in losing:
            losing.remove(address)
            return None
        body = meter.memory(unit, address, pdu[4])
        return bytes([pdu[0], len(body)]) + body

    bus = Bus(answer=answer, settings="19200 8N1")

    async def scenario():
        master = Master(bus, framing="rtu", line=bus.line)
        station = Station("u1", 1.0, {"": series("u1")}, RegisterDevice(master, PROFILE, unit=1))
        take, say = (lambda one, sample: got.append(sample)), (lambda *what: said.append(what))
        wire = PolledWire("w", way=master, stations=[station], take=take, say=say)
        wire.start_grid(0)
        task = asyncio.create_task(wire.run())
        await asyncio.sleep(30.0)
        bus.dead.add(1)
        await asyncio.sleep(away_s)
        act(meter)
        bus.dead.discard(1)
        await asyncio.sleep(120.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(scenario())
    return [sample.values[0] for sample in got if not any(sample.codes)], [sample.codes[0] for sample in got], said


def test_a_replaced_meter_of_the_same_model_is_not_believed():
    values, codes, said = swapped(away_s=60.0, act=Meter.swap)
    assert values
    assert max(values) < 2000
    assert codes[-5:] == [Code.ABSENT] * 5
    assert [what[1:3] for what in said] == [("CG-BUS-06", "raised")]
    assert "A99999" in said[0][3]


@pytest.mark.parametrize("lost", [(100,), (11,), (11, 100), (100, 100)])
@pytest.mark.parametrize("away_s", [25.0, 60.0])
def test_an_identity_read_that_was_lost_at_the_first_hearing_is_asked_again(lost, away_s):
    values, codes, said = swapped(away_s=away_s, act=Meter.swap, lost=lost)
    assert len(values) >= 20
    assert max(values) < 2000
    assert codes[-5:] == [Code.ABSENT] * 5
    assert [what[1:3] for what in said] == [("CG-BUS-06", "raised")]


def test_a_meter_whose_model_could_not_be_read_at_first_is_asked_for_its_model_again():
    def other_model(meter):
        meter.counter, meter.model = 50000, 342

    values, _codes, said = swapped(away_s=60.0, act=other_model, lost=(11,))
    assert max(values) < 2000
    assert "342" in said[0][3]


def test_the_same_meter_is_believed_again_at_once():
    _values, codes, said = swapped(away_s=60.0, act=lambda meter: None)
    assert codes[-5:] == [0] * 5
    assert Code.ABSENT not in codes
    assert said == []


def test_a_short_silence_asks_nobody_who_he_is():
    _values, codes, said = swapped(away_s=5.0, act=lambda meter: None)
    assert codes[-5:] == [0] * 5
    assert said == []


class KeepingServer:
    """A device server: hands over what it kept at once, then one fresh byte each second."""

    def __init__(self):
        self.gone = asyncio.Event()

    async def talk(self, reader, writer):
        writer.write(b"old" * 200)
        try:
            while True:
                try:
                    async with asyncio.timeout(0.8):
                        await reader.read()
                    break
                except TimeoutError:
                    writer.write(b"!")
        except ConnectionError:
            pass
        finally:
            writer.close()
            self.gone.set()


class Speaker:
    def start(self):
        return ()

    def feed(self, data, t_mono_ns):
        return (Sample(t_mono_ns, (float(len(data)), 2.0), (0, 0)),)


@pytest.mark.parts
def test_what_a_device_server_kept_is_not_taken_for_new():
    async def scenario():
        got = []
        kept = KeepingServer()
        async with await asyncio.start_server(kept.talk, "127.0.0.1", 0) as server:
            link = TcpLink("127.0.0.1", server.sockets[0].getsockname()[1])
            station = Station("pm", 1.0, {"": series("pm")}, Speaker())
            take = lambda one, sample: got.append(sample)
            wire = PushWire("w", link=link, stations=[station], take=take, say=lambda *what: None)
            task = asyncio.create_task(wire.run())
            async with asyncio.timeout(20.0):
                while not got:
                    await asyncio.sleep(0.02)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await kept.gone.wait()
        return got

    assert asyncio.run(scenario())[0].values[0] == 1.0
