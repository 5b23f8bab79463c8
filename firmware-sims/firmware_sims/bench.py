"""A test bench: simulated devices, buses, broker and database on a thread of their own, for tests in plain Python.

with Bench(folder) as bench:
    meter = bench.device("eastron-sdm630")
    ...  # read meter.port with whatever is to be tested
    assert meter.said()["voltage_l1"] > 200
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from firmware_sims.broker import Broker
from firmware_sims.database import Database
from firmware_sims.device import Note, Served, Simulated, forget
from firmware_sims.faults import Fault, Faults
from firmware_sims.framing import RTU
from firmware_sims.kind import Kind
from firmware_sims.lines import RtuLine, Slave, TcpUnits
from firmware_sims.plugs import ACTS
from firmware_sims.quirks import afflict
from firmware_sims.registers import Unit
from firmware_sims.single import DEVICES, far_end
from firmware_sims.tcp import TcpWire
from firmware_sims.uart import Line
from firmware_sims.wire import PtyWire

ANSWER_S: Final = 10.0
LONGEST_ID: Final = 25
KEPT: Final = 100_000
T = TypeVar("T")


def _log() -> deque[Served]:
    return deque(maxlen=KEPT)


class UnknownDevice(KeyError):
    """No device of this name is simulated; the text names those that are spelt like it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name
        self.near = tuple(get_close_matches(name, DEVICES, n=3, cutoff=0.5))

    def __str__(self) -> str:
        meant = f"; you meant {' or '.join(self.near)}" if self.near else ""
        return f"no device {self.name!r} is simulated{meant} (`citygate sim --help` lists all {len(DEVICES)})"


def _kind(name: str) -> Kind:
    if name not in DEVICES:
        raise UnknownDevice(name)
    return DEVICES[name]


async def _act(name: str, wire: PtyWire | TcpWire) -> None:
    await ACTS[name](wire)


@dataclass
class Named:
    """A Modbus unit that tells the truth under the name that the test gave it."""

    unit: Unit
    name: str
    note: Note = forget

    def __post_init__(self) -> None:
        self.unit.note = lambda served: self.note(replace(served, device=self.name))

    def answer(self, pdu: bytes, now_s: float) -> bytes | None:
        """The answer PDU."""
        return self.unit.answer(pdu, now_s)


@dataclass
class Placed:
    """A simulated device on a wire: `port` (path of a pty) or `tcp` (port on the loopback), `line`, `unit`.

    `served` is what it said, oldest first; `name` is the profile's, `id` the device's in a config made for it.
    """

    name: str
    kind: Kind
    unit: int
    faults: Faults
    device: Simulated
    bench: Bench
    wire: PtyWire | TcpWire
    line: str
    served: deque[Served] = field(default_factory=_log, repr=False)
    _cures: list[Callable[[], None]] = field(default_factory=list, repr=False)

    @property
    def id(self) -> str:
        """The profile's name, as far as an id with a lane behind it may be long."""
        return self.name[:LONGEST_ID].rstrip("-")

    @property
    def port(self) -> str | None:
        """Path of its serial port, None on TCP."""
        return str(self.wire.link) if isinstance(self.wire, PtyWire) else None

    @property
    def tcp(self) -> int | None:
        """Its TCP port, None on a serial line."""
        return self.wire.port if isinstance(self.wire, TcpWire) else None

    def said(self, part: str = "") -> dict[str, float]:
        """The newest value of each point, of itself or of one part, as whole answers said it; empty = none yet."""
        newest: dict[str, float] = {}
        for served in tuple(self.served):
            if served.part == part and not served.fault:
                newest |= served.values
        return newest

    def strike(self, fault: str, **options: Any) -> None:
        """Switch a fault on (`faults.NAMES`; options of `faults.Fault`)."""
        self.bench.now(lambda: self.faults.switch_on(Fault(fault, **options)))

    def afflict(self, quirk: str) -> None:
        """Give it a quirk of its own (`quirks.NAMES`).

        Raises:
            ValueError: it cannot have this quirk.
        """
        self._cures.append(self.bench.now(lambda: afflict(self.device, quirk, now_s=self.wire.clock())))

    def heal(self) -> None:
        """Switch all its faults and quirks off."""
        self.bench.now(self.faults.heal)
        while self._cures:
            self.bench.now(self._cures.pop())

    def act(self, name: str) -> None:
        """Do something to the port itself (`plugs.ACTS`): "unplug", "replug", "occupy", "cut", "mute" ...

        Raises:
            ValueError: this port cannot suffer that.
        """
        self.bench.call(_act(name, self.wire))

    def unplug(self) -> None:
        """Pull the plug of its wire."""
        self.act("unplug")

    def replug(self) -> None:
        """Put it back."""
        self.act("replug")


@dataclass
class Bench:
    """Where simulated things stand: `folder` gets the symlinks of the ports."""

    folder: Path
    seed: int = 1
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop, repr=False)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack, repr=False)
    _count: int = 0

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._loop.run_forever, name="bench", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.call(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ANSWER_S)
        self._loop.close()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on the bench's thread and wait for it."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(ANSWER_S)

    def now(self, act: Callable[[], T]) -> T:
        """Run `act` on the bench's thread."""

        async def work() -> T:
            return act()

        return self.call(work())

    def device(self, name: str, *, unit: int | None = None, line: str | None = None, tcp: bool = False) -> Placed:
        """One device on a wire of its own.

        Raises:
            UnknownDevice: there is no such device (`citygate sim --help` lists them).
        """
        kind = _kind(name)
        unit = kind.unit if unit is None else unit
        faults = Faults(kind.dress, seed=self.seed)
        device = kind.make(self.seed, unit)
        end, session = far_end(device, kind, unit=unit, faults=faults, tcp=tcp, seed=self.seed)
        served = _log()
        wire: PtyWire | TcpWire
        if tcp:
            wire = TcpWire(session, talker=end, note=served.append)
        else:
            wire = PtyWire(end, self._link(), line=Line.parse(line or kind.line), note=served.append)
        self.call(self._stack.enter_async_context(wire))
        return Placed(name, kind, unit, faults, device, self, wire, line or kind.line, served)

    def bus(self, units: Mapping[int, str], *, line: str = "9600 8N1", tcp: bool = False) -> dict[int, Placed]:
        """Several Modbus units by their address: on one RTU line (an RS-485 bus), or behind one Modbus TCP port.

        Raises:
            UnknownDevice: there is no such device.
            TypeError: one is no Modbus device.
        """
        slaves: dict[int, Slave] = {}
        told = {address: _log() for address in units}
        for address, name in units.items():
            made = _kind(name).make(self.seed, address)
            if not isinstance(made, Unit):
                raise TypeError(f"{name} speaks no Modbus: it cannot share a line")
            slaves[address] = Slave(Named(made, str(address)), faults=Faults(RTU, seed=self.seed + address))
        wire = self._shared(slaves, line=line, tcp=tcp, note=lambda served: told[int(served.device)].append(served))
        self.call(self._stack.enter_async_context(wire))
        placed = {}
        for address, name in units.items():
            kind, slave = replace(DEVICES[name], tcp=tcp), slaves[address]
            placed[address] = Placed(
                name, kind, address, slave.faults, slave.unit, self, wire, line, told[address]
            )  # fmt: skip
        return placed

    def _shared(self, slaves: Mapping[int, Slave], *, line: str, tcp: bool, note: Note) -> PtyWire | TcpWire:
        if not tcp:
            return PtyWire(RtuLine(slaves, seed=self.seed), self._link(), line=Line.parse(line), note=note)
        units = TcpUnits(slaves, gateway=True, seed=self.seed)
        units.note = note
        return TcpWire(units.session)

    def broker(self) -> Broker:
        """A small MQTT broker on a free loopback port."""
        return self.call(self._stack.enter_async_context(Broker()))

    def database(self) -> Database:
        """A small InfluxDB that takes line protocol, on a free loopback port."""
        return self.call(self._stack.enter_async_context(Database()))

    def _link(self) -> Path:
        self._count += 1
        return self.folder / f"tty{self._count}"
