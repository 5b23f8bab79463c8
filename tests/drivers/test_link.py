"""Links on real ports (ptys), and the ways in which they go away."""

import asyncio
import contextlib
import os
import pty
import termios
import tty

import pytest

from drivers.errors import DriverError, LinkBusy, LinkError, LinkLost
from drivers.link import SerialLink, line


@pytest.fixture
def port():
    """A pty: the master's end and the path of the slave."""
    ours, theirs = pty.openpty()
    tty.setraw(ours)
    path = os.ttyname(theirs)
    os.close(theirs)
    yield ours, path
    with contextlib.suppress(OSError):
        os.close(ours)


def test_line_settings():
    assert line("9600 8N1").char_s == pytest.approx(10 / 9600)
    assert line("9600 8N1").t35_s == pytest.approx(3.5 * 10 / 9600)
    assert line("19200 8E1").t35_s == pytest.approx(2.005e-3, rel=1e-3)  # devices.md 1.1
    assert line("1200 8O1").t35_s == pytest.approx(32.08e-3, rel=1e-3)
    assert line("38400 8N2").t35_s == 0.00175
    assert line("300 7E1").char_s == pytest.approx(10 / 300)
    assert str(line("9600 8N1")) == "9600 8N1"


@pytest.mark.parametrize("text", ["9600", "9600 9N1", "9600 8X1", "8N1 9600", "9600 8N3", "", "-9600 8N1"])
def test_line_settings_that_are_none(text):
    with pytest.raises(DriverError, match="8N1"):
        line(text)


def test_bytes_go_both_ways_whatever_their_value(port):
    ours, path = port
    every = bytes(range(256))

    async def scenario():
        link = SerialLink(path, "9600 8N1")
        await link.open()
        await link.write(every)
        got = b""
        while len(got) < 256:
            got += os.read(ours, 300)
        os.write(ours, every)
        back = b""
        while len(back) < 256:
            data, t_s = await link.read(5)
            assert t_s <= asyncio.get_running_loop().time()
            back += data
        await link.close()
        return got, back

    assert asyncio.run(scenario()) == (every, every)


def test_silence_and_flush(port):
    ours, path = port

    async def scenario():
        link = SerialLink(path)
        await link.open()
        assert (await link.read(0.01))[0] == b""
        assert (await link.read(0))[0] == b""
        os.write(ours, b"abc")
        flushed = link.flush()
        assert link.flush() == b""
        os.write(ours, b"def")
        now = await link.read(0)
        await link.close()
        return flushed, now[0]

    assert asyncio.run(scenario()) == (b"abc", b"def")


def test_a_port_whose_driver_has_no_rs485_mode_is_refused_and_unlocked(port):
    _near, far = port

    async def scenario():
        with pytest.raises(LinkError, match="RS-485"):
            await SerialLink(far, rs485=True).open()
        link = SerialLink(far)
        await link.open()
        await link.close()

    asyncio.run(scenario())


def test_a_short_wait_never_ends_early_and_its_timer_is_given_back(port):
    _near, far = port

    async def scenario():
        link = SerialLink(far, "115200 8N1")
        loop = asyncio.get_running_loop()
        await link.open()
        waits = []
        for n in range(20):
            begin_s = loop.time()
            data, _ = await link.read(0.00175 + n / 10000)
            waits.append(loop.time() - begin_s - 0.00175 - n / 10000)
            assert data == b""
        await link.close()
        await link.close()
        return waits

    open_before = len(os.listdir("/proc/self/fd"))
    assert min(asyncio.run(scenario())) >= 0
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_what_came_before_the_port_was_opened_is_forgotten(port):
    ours, path = port
    os.write(ours, b"old")

    async def scenario():
        link = SerialLink(path)
        await link.open()
        data, _ = await link.read(0.05)
        await link.close()
        return data

    assert asyncio.run(scenario()) == b""


def test_a_port_is_locked(port):
    _, path = port

    async def scenario():
        first, second = SerialLink(path), SerialLink(path)
        await first.open()
        with pytest.raises(LinkBusy, match="another process"):
            await second.open()
        await first.close()
        await first.close()
        await second.open()
        await second.close()

    asyncio.run(scenario())


def test_a_closed_port_does_not_drop_dtr(port):
    _, path = port

    async def scenario():
        link = SerialLink(path)
        await link.open()
        attributes = termios.tcgetattr(link._fd)
        await link.close()
        return attributes

    attributes = asyncio.run(scenario())
    assert not attributes[2] & termios.HUPCL
    assert attributes[6][termios.VMIN] == 1


def test_unplugging_while_reading_and_writing(port):
    ours, path = port

    async def scenario():
        link = SerialLink(path)
        await link.open()
        os.write(ours, b"last words")
        asyncio.get_running_loop().call_later(0.05, os.close, ours)
        got, _ = await link.read(5)
        with pytest.raises(LinkLost):
            await link.read(5)
        with pytest.raises(LinkLost):
            await link.write(b"x")
        with pytest.raises(LinkLost):
            await link.read(5)
        await link.close()
        with pytest.raises(LinkLost, match="not open"):
            await link.write(b"x")
        return got

    assert asyncio.run(scenario()) == b"last words"


def test_what_is_not_a_port(tmp_path):
    plain, pipe, dangling = tmp_path / "plain", tmp_path / "pipe", tmp_path / "dangling"
    plain.write_bytes(b"")
    os.mkfifo(pipe)
    dangling.symlink_to(tmp_path / "nowhere")

    async def scenario():
        for path, fact, kind in (
            (tmp_path, "folder", LinkError),
            (plain, "plain file", LinkError),
            (pipe, "pipe", LinkError),
            ("/dev/null", "serial port", LinkError),
            (dangling, "points to nothing", LinkLost),
            (tmp_path / "ttyUSB9", "no such port", LinkLost),
        ):
            with pytest.raises(kind, match=fact) as caught:
                await SerialLink(str(path)).open()
            assert str(path) in str(caught.value)

    asyncio.run(asyncio.wait_for(scenario(), 5))


def test_a_link_that_points_elsewhere_is_resolved_again(port, tmp_path):
    ours, path = port
    name = tmp_path / "by-path"
    name.symlink_to(tmp_path / "gone")

    async def scenario():
        link = SerialLink(str(name))
        with pytest.raises(LinkLost):
            await link.open()
        name.unlink()
        name.symlink_to(path)
        await link.open()
        os.write(ours, b"x")
        data, _ = await link.read(5)
        await link.close()
        return data

    assert asyncio.run(scenario()) == b"x"


def test_a_flood_is_bounded(port):
    ours, path = port
    os.set_blocking(ours, False)

    async def scenario():
        link = SerialLink(path)
        await link.open()
        sent = 0
        for n in range(4000):
            with contextlib.suppress(BlockingIOError):
                sent += os.write(ours, bytes([n & 255]) * 1000)
            await asyncio.sleep(0)
            if sent > 100_000:
                break
        kept = link.flush()
        overrun = link._inbox.overrun_bytes
        await link.close()
        return sent, len(kept), overrun

    sent, kept, overrun = asyncio.run(scenario())
    assert kept <= 16384 + 4096
    assert overrun > 0
    assert sent > kept


def test_a_port_that_takes_nothing_is_lost_and_not_waited_for_ever(port, monkeypatch):
    monkeypatch.setattr("drivers.serial_port.STUCK_S", 0.05)

    async def scenario():
        link = SerialLink(port[1])
        await link.open()
        with pytest.raises(LinkLost, match="took no bytes"):
            await link.write(bytes(1 << 20))
        await link.close()

    asyncio.run(scenario())


def test_closing_wakes_who_reads(port):
    async def scenario():
        link = SerialLink(port[1])
        await link.open()
        reader = asyncio.create_task(link.read(60))
        await asyncio.sleep(0)
        await link.close()
        with pytest.raises(LinkLost):
            await reader

    asyncio.run(scenario())
