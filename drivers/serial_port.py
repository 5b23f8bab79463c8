"""A serial port as a link: pyserial configures and locks it, the event loop watches it, `os.read` empties it.

Facts behind the details (measured on Linux): an unplugged adapter shows as an empty read or EIO; `flock` excludes other
processes while TIOCEXCL alone lets root in; ptys and CDC-ACM refuse the low-latency flag, which then does not apply.
"""

from __future__ import annotations

import array
import asyncio
import errno
import fcntl
import os
import stat
import termios
from contextlib import suppress
from typing import Final

import serial
from serial.rs485 import RS485Settings

from drivers.alarm import Alarm
from drivers.errors import LinkBusy, LinkError, LinkLost
from drivers.inbox import Inbox
from drivers.line import LineSettings, line

STUCK_S: Final = 5.0
_READ_BYTES: Final = 4096
_CFLAG: Final = 2
_ISPEED: Final = 4
_OSPEED: Final = 5
_CC: Final = 6
_BUSY: Final = (errno.EAGAIN, errno.EACCES, errno.EBUSY)


class SerialLink:
    """A serial port, locked for this process while it is open. Implements `drivers.link.Link`.

    Args:
        port: device path; a stable one (`/dev/serial/by-path/...`) survives replugging. Resolved at every open.
        line: line settings, such as "9600 8N1".
        rs485: the kernel's driver switches the transceiver by RTS around each request (TIOCSRS485); for UARTs of
            boards with a bare transceiver. Adapters that switch by themselves need nothing.
    """

    def __init__(self, port: str, line: str | LineSettings = "9600 8N1", *, rs485: bool = False) -> None:
        self.endpoint = port
        self.rs485 = rs485
        self.line = line if isinstance(line, LineSettings) else _parse(line)
        self._port: serial.Serial | None = None
        self._fd = -1
        self._inbox: Inbox | None = None
        self._alarm: Alarm | None = None

    async def open(self) -> None:
        """Open, lock, configure and flush the port; never blocks on it.

        Raises:
            LinkBusy: another process holds it.
            LinkLost: there is no such port (now); it may come back.
            LinkError: the path is not a serial port, may not be used, or its driver has no RS-485 mode.
        """
        await self.close()
        _must_be_a_port(self.endpoint)
        try:
            port = serial.Serial(
                self.endpoint,
                baudrate=self.line.baud,
                bytesize=self.line.bits,
                parity=self.line.parity,
                stopbits=self.line.stop,
                timeout=0,
                exclusive=True,
            )
        except serial.SerialException as error:
            raise _why(error, self.endpoint) from None
        except (ValueError, termios.error) as error:
            raise LinkError(f"the port does not take {self.line}: {error}", endpoint=self.endpoint) from None
        try:
            if self.rs485:
                port.rs485_mode = RS485Settings(rts_level_for_tx=True, rts_level_for_rx=False)
            _settle(port)
        except (ValueError, NotImplementedError):
            port.close()
            raise LinkError("its driver has no RS-485 mode (rs485 = true)", endpoint=self.endpoint) from None
        except (OSError, termios.error) as error:
            port.close()
            raise LinkLost(f"gone while it was set up ({error})", endpoint=self.endpoint) from None
        loop = asyncio.get_running_loop()
        self._alarm = Alarm(loop)
        self._port, self._fd, self._inbox = port, port.fileno(), Inbox(loop, self._alarm)
        loop.add_reader(self._fd, self._readable)

    async def retune(self, baud: int) -> None:
        """Go on at another speed once everything written has left; the next `open` returns to `line`.

        Raises:
            LinkLost: the port is gone.
            LinkError: it cannot have this speed.
        """
        self._live()
        speed = getattr(termios, f"B{baud}", None)
        if speed is None:
            raise LinkError(f"the port does not take {baud} Bd", endpoint=self.endpoint)
        try:
            await self._sent()
            attributes = termios.tcgetattr(self._fd)
            attributes[_ISPEED] = attributes[_OSPEED] = speed
            termios.tcsetattr(self._fd, termios.TCSANOW, attributes)
        except (OSError, termios.error) as error:
            raise self._lose(f"gone while its speed was set ({error})") from None

    async def _sent(self) -> None:
        """Wait until the driver's buffer is empty (TIOCOUTQ), and for one character that the chip may still hold."""
        waiting = array.array("i", [1])
        async with asyncio.timeout(STUCK_S):
            while waiting[0]:
                fcntl.ioctl(self._fd, termios.TIOCOUTQ, waiting)
                await asyncio.sleep(self.line.char_s)

    def receive_errors(self) -> tuple[int, int, int] | None:
        """Framing errors, parity errors and breaks that the driver has counted; None where it counts nothing.

        TIOCGICOUNT (linux/serial.h, serial_icounter_struct): pyserial hides the errors themselves.
        """
        counts = array.array("i", bytes(80))
        try:
            fcntl.ioctl(self._fd, termios.TIOCGICOUNT, counts)
        except (OSError, ValueError):
            return None
        return counts[6], counts[8], counts[9]

    async def write(self, data: bytes) -> None:
        """Hand `data` to the driver. Raises `LinkLost`."""
        rest = memoryview(data)
        while rest:
            self._live()
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                await self._writable()
            except OSError as error:
                raise self._lose(error.strerror or str(error)) from None

    async def read(self, timeout_s: float) -> tuple[bytes, float]:
        """As `Link.read`; a timeout of 0 also takes what the kernel holds. Raises `LinkLost`."""
        inbox = self._live(reading=True)
        if timeout_s <= 0 and inbox.lost is None:
            self._readable()
        return await inbox.read(timeout_s)

    def flush(self) -> bytes:
        """Throw away and return everything that has arrived, the kernel's buffer included."""
        if self._inbox is None:
            return b""
        if self._inbox.lost is None:
            self._readable()
        return self._inbox.take()[0]

    async def close(self) -> None:
        """Close and unlock; harmless when closed."""
        if self._port is None:
            return
        self._unwatch()
        if self._inbox is not None:
            self._inbox.lose(LinkLost("closed", endpoint=self.endpoint))
        if self._alarm is not None:
            self._alarm.close()
        port, self._port, self._inbox, self._fd = self._port, None, None, -1
        with suppress(OSError, termios.error, serial.SerialException):
            port.close()

    def _live(self, *, reading: bool = False) -> Inbox:
        if self._inbox is None:
            raise LinkLost("the port is not open", endpoint=self.endpoint)
        if self._inbox.lost is not None and not reading:
            raise self._inbox.lost
        return self._inbox

    def _readable(self) -> None:
        if self._inbox is None:
            return
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error.strerror or str(error))
            return
        if data:
            self._inbox.put(data)
        else:
            self._lose("unplugged (the port reads empty)")

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_writer(self._fd, lambda: None if ready.done() else ready.set_result(None))
        try:
            async with asyncio.timeout(STUCK_S):
                await ready
        except TimeoutError:
            raise self._lose(f"the port took no bytes for {STUCK_S:g} s") from None
        finally:
            if self._fd >= 0:
                loop.remove_writer(self._fd)

    def _unwatch(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)

    def _lose(self, fact: str) -> LinkLost:
        lost = LinkLost(fact, endpoint=self.endpoint)
        if self._inbox is not None and self._inbox.lost is None:
            self._unwatch()
            self._inbox.lose(lost)
        return lost


def _parse(text: str) -> LineSettings:
    return line(text)


def _must_be_a_port(path: str) -> None:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  (a path of the system, not a file of ours)
    except FileNotFoundError:
        fact = "points to nothing" if os.path.islink(path) else "there is no such port"  # noqa: PTH114
        raise LinkLost(fact, endpoint=path) from None
    except OSError as error:
        raise LinkError(error.strerror or str(error), endpoint=path) from None
    for is_kind, kind in ((stat.S_ISDIR, "a folder"), (stat.S_ISREG, "a plain file"), (stat.S_ISFIFO, "a pipe")):
        if is_kind(mode):
            raise LinkError(f"is {kind}, not a serial port", endpoint=path)
    if not stat.S_ISCHR(mode):
        raise LinkError("is not a serial port", endpoint=path)


def _why(error: serial.SerialException, endpoint: str) -> LinkError:
    code = error.errno
    if code in _BUSY and ("lock" in str(error) or code == errno.EBUSY):
        return LinkBusy("another process holds the port", endpoint=endpoint)
    if code in {errno.EACCES, errno.EPERM}:
        return LinkError("permission denied", endpoint=endpoint)
    if code in {errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.EIO}:
        return LinkLost(f"cannot be opened ({os.strerror(code)})", endpoint=endpoint)
    return LinkError(f"cannot be used as a serial port ({error})", endpoint=endpoint)


def _settle(port: serial.Serial) -> None:
    """Never block, tell "nothing yet" from "gone" (VMIN 1), do not drop DTR at close, forget what came before."""
    fd = port.fileno()
    os.set_blocking(fd, False)
    attributes = termios.tcgetattr(fd)
    attributes[_CFLAG] &= ~termios.HUPCL
    attributes[_CC][termios.VMIN] = 1
    attributes[_CC][termios.VTIME] = 0
    termios.tcsetattr(fd, termios.TCSANOW, attributes)
    with suppress(ValueError, NotImplementedError):  # ENOTTY, EINVAL: this port has no such mode
        port.set_low_latency_mode(True)
    termios.tcflush(fd, termios.TCIFLUSH)
