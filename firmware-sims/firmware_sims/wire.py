"""A pseudo-terminal that behaves like a serial line: bytes come at the line's pace, and wrong settings garble them.

The reader's baud rate and stop bits are read back from the slave side. A pty knows no parity (the kernel clears it),
so a wrong parity is only heard where `reader` says what the reader is set to. Nothing is kept for a reader
that has not opened the port; such bytes are lost, as on a real line.
"""

from __future__ import annotations

import asyncio
import os
import select
import termios
import tty
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from firmware_sims.device import Asked, Note, Served, Simulated, Speaking, Tuned, forget, steady
from firmware_sims.uart import Line, heard

_CHUNK_S: Final = 0.004  # bytes are written in portions of about this length
_BABBLE_S: Final = 0.05
_LOOK_S: Final = 0.02  # how often an unopened port is looked at
_BAUDS: Final = {
    getattr(termios, f"B{baud}"): baud
    for baud in (300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600)
    if hasattr(termios, f"B{baud}")
}


@dataclass
class Counters:
    """What happened on a wire. Bytes as the device's UART saw them.

    `early`: requests that began less than 3.5 characters after the last answer ended. `collisions`: requests that
    began while an answer was still on the line. `lost`: bytes nobody listened to. `overrun`: bytes the reader did
    not fetch. `framing`, `parity`: characters garbled by wrong settings, either way.
    """

    sent: int = 0
    received: int = 0
    early: int = 0
    collisions: int = 0
    lost: int = 0
    overrun: int = 0
    framing: int = 0
    parity: int = 0


@dataclass
class PtyWire:
    """A device (or a line of them) at the far end of a pty that is reached by the symlink `link`.

    Attributes:
        line: the device's settings. reader: what the reader is taken to be set to; None = read back.
        clock: Unix time for the device, s.
        inverted: wires A and B swapped.
        note: where the ground truth goes; frames nobody could understand are marked `nobody` or `garbled`.
    """

    device: Simulated
    link: Path
    line: Line = field(default_factory=Line)
    reader: Line | None = None
    clock: Callable[[], float] = field(default_factory=steady)
    inverted: bool = False
    note: Note = forget
    counters: Counters = field(default_factory=Counters)
    holder: int = -1  # a descriptor that holds the port's lock (plugs.occupy)
    _master: int = -1
    _listened: bool = False
    _waiting: list[tuple[float, int, bytes, bool]] = field(default_factory=list, repr=False)
    _sending: tuple[float, bytes, int, bool] | None = None
    _sent_until: float = 0.0
    _heard_until: float = 0.0
    _timers: dict[str, asyncio.TimerHandle] = field(default_factory=dict, repr=False)
    _count: int = 0

    async def __aenter__(self) -> Self:
        self.device.note = self._noted
        self.replug()
        self._speak()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self.unplug()

    # --- the port

    def replug(self) -> None:
        """Make the port appear, under the same symlink."""
        if self._master >= 0:
            return
        self._master, slave = os.openpty()
        tty.setraw(slave)
        path = os.ttyname(slave)
        os.close(slave)  # from here on the master hangs up until a reader opens the port
        os.set_blocking(self._master, False)
        fresh = self.link.with_name(f".{self.link.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(path)
        fresh.replace(self.link)
        self._await_reader()

    def unplug(self) -> None:
        """Make the port vanish; a reader sees its end of file or EIO."""
        if self._master < 0:
            return
        self._cancel("look")
        if self.holder >= 0:
            os.close(self.holder)
            self.holder = -1
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        self._master, self._listened = -1, False
        self.link.unlink(missing_ok=True)

    @property
    def listened(self) -> bool:
        """Whether a reader has the port open."""
        return self._listened

    def _await_reader(self) -> None:
        poll = select.poll()
        poll.register(self._master, select.POLLIN)
        events = dict(poll.poll(0)).get(self._master, 0)
        if events & select.POLLHUP:
            self._at("look", asyncio.get_running_loop().time() + _LOOK_S, self._await_reader)
            return
        self._listened = True
        asyncio.get_running_loop().add_reader(self._master, self._readable)
        if events & select.POLLIN:
            self._readable()

    def _readable(self) -> None:
        try:
            data = os.read(self._master, 4096)
        except BlockingIOError:
            return
        except OSError:  # EIO: the reader closed the port
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
            self._listened = False
            termios.tcflush(self._master, termios.TCIOFLUSH)
            self._at("look", asyncio.get_running_loop().time() + _LOOK_S, self._await_reader)
            return
        self._arrive(data)

    def _settings(self) -> Line:
        """What the reader is set to."""
        if self.reader is not None:
            return self.reader
        _, _, flags, _, _, speed, _ = termios.tcgetattr(self._master)
        return replace(
            self.line,
            baud=_BAUDS.get(speed, self.line.baud),
            stop_bits=2 if flags & termios.CSTOPB else 1,
        )

    def _own(self) -> Line:
        """What the device's UART is set to now."""
        baud = self.device.baud_at(self.clock()) if isinstance(self.device, Tuned) else 0
        return replace(self.line, baud=baud) if baud else self.line

    # --- towards the device

    def _arrive(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._sending:
            self.counters.collisions += 1
        elif now < self._sent_until + 3.5 * self.line.char_s:
            self.counters.early += 1
        settings = self._settings()
        took_s = len(data) * settings.char_s
        self._heard_until = max(now, self._heard_until) + took_s
        # Stop bits make no difference to a receiver; only the sender's longer character does.
        there = heard(data, sent=settings, listened=self._own(), inverted=self.inverted)
        self.counters.framing += there.framing_errors
        self.counters.parity += there.parity_errors
        self.counters.received += len(there.data)
        loop.call_at(self._heard_until, self._hear, there.data)

    def _hear(self, data: bytes) -> None:
        if not isinstance(self.device, Asked):
            return
        now = asyncio.get_running_loop().time()
        for delay_s, answer in self.device.hear(data, self.clock()):
            self._send(answer, now + delay_s)
        self._speak()

    # --- from the device

    def _speak(self) -> None:
        if not isinstance(self.device, Speaking):
            return
        if not self._listened and self._master >= 0:
            self._await_reader()
        now_s = self.clock()
        data, due_s = self.device.speak(now_s)
        now = asyncio.get_running_loop().time()
        if data:
            self._send(data, now, audible=self._listened)
        self._at("speak", now + max(due_s - now_s, 0.0005), self._speak)

    def _send(self, data: bytes, at: float, *, audible: bool = True) -> None:
        self._count += 1
        heappush(self._waiting, (at, self._count, data, audible))
        self._pump()

    def _pump(self) -> None:
        now, char_s = asyncio.get_running_loop().time(), self._own().char_s
        while True:
            if self._sending is None:
                if not self._waiting or self._waiting[0][0] > now:
                    break
                at, _, data, audible = heappop(self._waiting)
                self._sending = (max(at, self._sent_until), data, 0, audible)
            start, data, done, audible = self._sending
            due = min(int((now - start) / char_s + 1e-6), len(data))
            self._put(data[done:due], audible=audible or done > 0)
            if due < len(data):
                self._sending = (start, data, due, audible)
                break
            self._sending, self._sent_until = None, start + len(data) * char_s
        if self._sending:
            start, data, done, _ = self._sending
            portion = max(1, int(_CHUNK_S / char_s))
            self._at("pump", start + min(done + portion, len(data)) * char_s, self._pump)
        elif self._waiting:
            self._at("pump", self._waiting[0][0], self._pump)

    def _put(self, data: bytes, *, audible: bool) -> None:
        if not data:
            return
        if not self._listened or not audible:  # who opens the port too late hears a tail, no whole frame
            self.counters.lost += len(data)
            return
        there = heard(data, sent=self._own(), listened=self._settings(), inverted=self.inverted)
        self.counters.framing += there.framing_errors
        self.counters.parity += there.parity_errors
        written = 0
        with suppress(OSError):  # full: the reader does not fetch; EIO: it has just gone
            written = os.write(self._master, there.data)
        self.counters.sent += written
        self.counters.overrun += len(there.data) - written

    def _noted(self, served: Served) -> None:
        trouble = served.fault
        if not self._listened:
            trouble = f"{trouble}+nobody".strip("+")
        elif self.inverted or self._settings().baud != self.line.baud:
            trouble = f"{trouble}+garbled".strip("+")
        self.note(replace(served, fault=trouble))

    def babble(self, noise: Callable[[int], bytes] | None) -> None:
        """A transmitter that will not stop: `noise(size)` fills the line from now on; None ends it.

        `bytes` gives the 0x00 of a line stuck low, `random.randbytes` chatter.
        """
        self._cancel("babble")
        if noise is not None:
            size = max(1, int(_BABBLE_S / self.line.char_s))
            now = asyncio.get_running_loop().time()
            self._send(noise(size), now)
            self._at("babble", now + size * self.line.char_s, lambda: self.babble(noise))

    # --- timers

    def _at(self, name: str, when: float, call: Callable[[], None]) -> None:
        self._cancel(name)
        self._timers[name] = asyncio.get_running_loop().call_at(when, call)

    def _cancel(self, name: str) -> None:
        if name in self._timers:
            self._timers.pop(name).cancel()
