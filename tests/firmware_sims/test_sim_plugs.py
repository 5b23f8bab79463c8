"""What happens to ports themselves, seen by the product's own links."""

import asyncio

import pytest

from drivers.errors import LinkBusy, LinkLost
from drivers.link import SerialLink, TcpLink
from firmware_sims import plugs
from firmware_sims.city import City
from firmware_sims.control import obey
from firmware_sims.framing import mbap, rtu
from firmware_sims.lines import RtuLine, Slave, TcpUnits
from firmware_sims.self_identifying import SelfIdentifying
from firmware_sims.tcp import TcpWire
from firmware_sims.truth import Truth
from firmware_sims.wire import PtyWire

REQUEST = b"\x03\0\4\0\1"


def wire(path, unit):
    return PtyWire(RtuLine({1: Slave(SelfIdentifying("s", unit, "u16"), reply_s=(0.0, 0.0))}), path)


async def asked(link):
    """Unit number in the answer of the self-identifying unit; None for silence."""
    await link.write(rtu(1, REQUEST))
    data = b""
    while len(data) < 7:
        more, _ = await link.read(1.0)
        if not more:
            return None
        data += more
    return data[3] >> 4


def test_another_program_holds_the_port(tmp_path):
    async def scenario():
        async with wire(tmp_path / "a", 1) as far:
            link = SerialLink(str(far.link))
            await plugs.ACTS["occupy"](far)
            with pytest.raises(LinkBusy):
                await link.open()
            await plugs.ACTS["vacate"](far)
            await link.open()
            found = await asked(link)
            await link.close()
            return found

    assert asyncio.run(scenario()) == 1


def test_two_adapters_change_places(tmp_path):
    async def scenario():
        async with wire(tmp_path / "a", 1) as one, wire(tmp_path / "b", 2) as two:
            found = []
            for act in (lambda: None, lambda: plugs.swap(one, two)):
                act()
                link = SerialLink(str(tmp_path / "a"))
                await link.open()
                found.append(await asked(link))
                await link.close()
            return found

    assert asyncio.run(scenario()) == [1, 2]


def test_a_symlink_to_nothing(tmp_path):
    async def scenario():
        async with wire(tmp_path / "a", 1) as far:
            link = SerialLink(str(far.link))
            await plugs.ACTS["dangle"](far)
            with pytest.raises(LinkLost, match="points to nothing"):
                await link.open()
            await plugs.ACTS["replug"](far)
            await link.open()
            found = await asked(link)
            await link.close()
            return found

    assert asyncio.run(scenario()) == 1


def test_a_half_open_connection_and_a_reset():
    async def scenario():
        units = TcpUnits({1: Slave(SelfIdentifying("s", 1, "u16"), reply_s=(0.0, 0.0))})
        async with TcpWire(units.session) as far:
            link = TcpLink("127.0.0.1", far.port)
            await link.open()
            answers = []
            for act in ("mute", "unmute"):
                await plugs.ACTS[act](far)
                await link.write(mbap(7, 1, pdu=REQUEST))
                answers.append((await link.read(0.2 if act == "mute" else 5.0))[0])
            await plugs.ACTS["cut"](far)
            with pytest.raises(LinkLost):
                await link.read(5.0)
            await link.close()
            with pytest.raises(ValueError, match="TCP port"):
                await plugs.ACTS["occupy"](far)
            return answers

    silent, heard = asyncio.run(scenario())
    assert silent == b""
    assert heard[:2] == b"\0\7"


def test_by_order_of_a_scenario(tmp_path):
    async def scenario():
        async with City(tmp_path / "c", Truth(None)) as city:
            before = {name: (tmp_path / "c" / name).readlink() for name in ("radar", "speed")}
            answers = [
                await obey(city, line)
                for line in (
                    b'{"swap": ["radar", "speed"]}', b'{"occupy": "level"}', b'{"vacate": "level"}', b'{"cut": "plc"}',
                    b'{"dangle": "rs485"}', b'{"replug": "rs485"}', b'{"cut": "radar"}', b'{"mute": "nowhere"}',
                )
            ]  # fmt: skip
            after = {name: (tmp_path / "c" / name).readlink() for name in ("radar", "speed")}
            assert after == {"radar": before["speed"], "speed": before["radar"]}
            return ["error" in answer for answer in answers]

    assert asyncio.run(scenario()) == [False] * 6 + [True, True]
