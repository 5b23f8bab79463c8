"""The demo city: seven devices on five ptys and one TCP port, with faults and plugs that can be pulled.

| id | device | wire |
|---|---|---|
| air-north | Plantower PMS5003 | `pm-head`, 9600 8N1 |
| main-meter, feeder-2 | Eastron SDM630 (unit 1), SDM120 (unit 2) | `rs485`, 9600 8N1 |
| radar | Wavetronix SS125, id 1, four lanes, 5 s intervals | `radar`, 9600 8N1 |
| speed-sign | OmniPreSense OPS243 | `speed`, 19200 8N1 |
| canal | MaxBotix HRXL | `level`, 9600 8N1 |
| chiller | Schneider PM5xxx, unit 255 | Modbus TCP `plc` |
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from firmware_sims import omnipresense, plantower, ultrasonic, wavetronix
from firmware_sims.broker import Broker
from firmware_sims.city_day import CANAL_MOUNT_M, CityDay, Lane
from firmware_sims.database import Database
from firmware_sims.day import Course
from firmware_sims.device import Simulated, steady
from firmware_sims.eastron import EastronMeter, sdm120, sdm630
from firmware_sims.faults import Fault, Faults
from firmware_sims.faulty import Faulty
from firmware_sims.framing import RTU, TCP, Dress
from firmware_sims.lines import RtuLine, Slave, TcpUnits
from firmware_sims.quirks import afflict, impose
from firmware_sims.registers import RegisterUnit
from firmware_sims.schneider import pm5xxx
from firmware_sims.tcp import TcpWire
from firmware_sims.truth import Truth
from firmware_sims.uart import Line
from firmware_sims.wire import PtyWire

BOULEVARD_PER_HOUR: Final = 900.0  # the speed sign's street is busy at any hour
WIRES: Final = {
    "pm-head": ("9600 8N1", ("air-north",)),
    "rs485": ("9600 8N1", ("main-meter", "feeder-2")),
    "radar": ("9600 8N1", ("radar",)),
    "speed": ("19200 8N1", ("speed-sign",)),
    "level": ("9600 8N1", ("canal",)),
}
UNITS: Final = {"main-meter": 1, "feeder-2": 2, "chiller": 255}
DRESSES: Final[Mapping[str, Dress]] = {
    "air-north": plantower.DRESS,
    "main-meter": RTU,
    "feeder-2": RTU,
    "radar": wavetronix.DRESS,
    "speed-sign": omnipresense.DRESS,
    "canal": ultrasonic.DRESS,
    "chiller": TCP,
}


@dataclass(frozen=True)
class CityDevices:
    """The seven simulated devices of one city, without wires."""

    air: plantower.PMS5003
    main_meter: EastronMeter
    feeder: EastronMeter
    radar: wavetronix.SS125
    speed_sign: omnipresense.OPS243
    canal: ultrasonic.MaxBotixHRXL
    chiller: RegisterUnit

    def by_id(self) -> dict[str, Simulated]:
        """Device id -> device."""
        devices: tuple[Simulated, ...] = (
            self.air, self.main_meter, self.feeder, self.radar, self.speed_sign, self.canal, self.chiller,
        )  # fmt: skip
        return {device.name: device for device in devices}


def build(seed: int) -> CityDevices:
    """The city's devices; same seed, same values at the same time."""
    day = CityDay(seed)
    street = Lane(Course((BOULEVARD_PER_HOUR,) * 168, day.lanes[0].flow.ripples), day.lanes[0].seed + 1)
    return CityDevices(
        air=plantower.PMS5003("air-north", day.pm2_5),
        main_meter=sdm630("main-meter", day.building, frequency_hz=day.frequency_hz, unit=1),
        feeder=sdm120("feeder-2", day.pump, frequency_hz=day.frequency_hz, unit=2),
        radar=wavetronix.SS125("radar", day.lanes),
        speed_sign=omnipresense.OPS243("speed-sign", street, flags={"J", "M", "U"}, direction="|"),
        canal=ultrasonic.MaxBotixHRXL("canal", lambda now_s: CANAL_MOUNT_M - day.canal_level_m(now_s)),
        chiller=pm5xxx("chiller", day.chiller, frequency_hz=day.frequency_hz),
    )


def city_devices(seed: int = 1) -> dict[str, Simulated]:
    """The city's devices by id, for a replay of history: push devices `speak`, the radar `hear`s, meters `answer`.

    Pure: no wire, no clock, nothing runs by itself.
    """
    return build(seed).by_id()


@dataclass
class City:
    """The running city under `folder`: `async with City(folder, truth) as city`.

    `folder` gets one symlink per pty; the Modbus TCP port is `city.tcp["plc"]` then. `broker` and `database` are the
    city's platform, where it has a simulated one: a scenario takes them down and up.
    """

    folder: Path
    truth: Truth
    seed: int = 1
    tcp_port: int = 0
    broker: Broker | None = None
    database: Database | None = None
    faults: dict[str, Faults] = field(default_factory=dict)
    wires: dict[str, PtyWire | TcpWire] = field(default_factory=dict)
    devices: dict[str, Simulated] = field(default_factory=dict)
    _cures: dict[str, list[Callable[[], None]]] = field(default_factory=dict, repr=False)
    _steady: Callable[[], float] = field(default_factory=steady, repr=False)
    _ahead_s: float = 0.0
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack, repr=False)

    async def __aenter__(self) -> Self:
        devices = build(self.seed)
        self.devices = devices.by_id()
        self.faults = {name: Faults(dress, seed=self.seed + n) for n, (name, dress) in enumerate(DRESSES.items())}
        ends: dict[str, Simulated] = {
            "pm-head": Faulty(devices.air, self.faults["air-north"]),
            "rs485": RtuLine(
                {
                    1: Slave(devices.main_meter, faults=self.faults["main-meter"]),
                    2: Slave(devices.feeder, faults=self.faults["feeder-2"]),
                },
                seed=self.seed,
            ),
            "radar": Faulty(devices.radar, self.faults["radar"]),
            "speed": Faulty(devices.speed_sign, self.faults["speed-sign"]),
            "level": Faulty(devices.canal, self.faults["canal"]),
        }
        meter = Slave(devices.chiller, reply_s=(0.003, 0.01), faults=self.faults["chiller"])
        units = TcpUnits({255: meter, 1: meter}, seed=self.seed)
        units.note = self.truth.note
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, (line, _) in WIRES.items():
            self.wires[name] = PtyWire(
                ends[name], self.folder / name, line=Line.parse(line), note=self.truth.note, clock=self._clock
            )
        self.wires["plc"] = TcpWire(units.session, port=self.tcp_port, clock=self._clock)
        for wire in self.wires.values():
            await self._stack.enter_async_context(wire)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _clock(self) -> float:
        return self._steady() + self._ahead_s

    @property
    def ports(self) -> dict[str, str]:
        """Wire -> path of its port."""
        return {name: str(wire.link) for name, wire in self.wires.items() if isinstance(wire, PtyWire)}

    @property
    def tcp(self) -> dict[str, int]:
        """Wire -> TCP port on the loopback."""
        return {name: wire.port for name, wire in self.wires.items() if isinstance(wire, TcpWire)}

    def strike(self, device: str, fault: Fault) -> None:
        """Switch a fault of one device on.

        Raises:
            KeyError: no such device.
        """
        self.faults[device].switch_on(fault)

    def afflict(self, device: str, quirk: str) -> None:
        """Give a device a quirk of its own (`quirks.NAMES`).

        Raises:
            KeyError: no such device.
            ValueError: it cannot have this quirk.
        """
        self._cures.setdefault(device, []).append(afflict(self.devices[device], quirk, now_s=self._clock()))

    def impose(self, device: str, values: Mapping[str, float]) -> None:
        """Let a device see these values until it is healed.

        Raises:
            KeyError: no such device.
            ValueError: it does not measure one of them.
        """
        self._cures.setdefault(device, []).append(impose(self.devices[device], values))

    def leap(self, seconds: float) -> None:
        """Move the city's day forward: what devices see is that of later.

        Raises:
            ValueError: backward; time never falls for a device.
        """
        if seconds < 0:
            raise ValueError("the city's day only moves forward; a device's own clock is set by `device_clock`")
        self._ahead_s += seconds

    def set_clock(self, device: str, ahead_s: float) -> None:
        """Let a device's own clock go wrong by `ahead_s`.

        Raises:
            KeyError: no such device.
            TypeError: it has no clock.
        """
        radar = self.devices[device]
        if not isinstance(radar, wavetronix.SS125):
            raise TypeError(f"{device} has no clock of its own")
        radar.clock_s = ahead_s

    async def outage(self, part: str, *, down: bool) -> None:
        """Take the broker or the database down, or up again on the same port.

        Raises:
            KeyError: this city has no such part.
        """
        found = {"broker": self.broker, "database": self.database}[part]
        if found is None:
            raise KeyError(part)
        await (found.stop() if down else found.start())

    def heal(self, device: str, fault: str | None = None) -> None:
        """Switch one fault of a device off, or all faults and quirks.

        Raises:
            KeyError: no such device.
        """
        self.faults[device].heal(fault)
        if fault is None:
            for cure in reversed(self._cures.pop(device, [])):
                cure()

    def babble(self, wire: str, noise: str) -> None:
        """Fill a pty's line with `noise`: "low" (0x00), "chatter" (random bytes) or "off".

        Raises:
            KeyError: no such wire or noise.
        """
        line = self.wires[wire]
        makers: dict[str, Callable[[int], bytes] | None] = {
            "low": bytes,
            "chatter": random.Random(self.seed).randbytes,
            "off": None,
        }
        if isinstance(line, PtyWire):
            line.babble(makers[noise])
