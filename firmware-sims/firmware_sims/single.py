"""One simulated device by its profile's name, on a pty or a TCP port: what `citygate sim` starts."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from firmware_sims import (
    air_streams,
    energy_streams,
    omnipresense,
    plantower,
    register_models,
    traffic_streams,
    ultrasonic,
    water_streams,
    wavetronix,
)
from firmware_sims.city import build
from firmware_sims.control import Told, say
from firmware_sims.device import Simulated
from firmware_sims.faults import Fault, Faults
from firmware_sims.faulty import Faulty
from firmware_sims.kind import Kind
from firmware_sims.lines import RtuLine, Slave, TcpUnits
from firmware_sims.plugs import ACTS
from firmware_sims.quirks import afflict
from firmware_sims.registers import Unit
from firmware_sims.self_identifying import SelfIdentifying
from firmware_sims.tcp import Session, TcpWire
from firmware_sims.truth import Truth
from firmware_sims.uart import Line
from firmware_sims.wire import PtyWire


def _radar(seed: int, unit: int) -> Simulated:
    radar = build(seed).radar
    radar.id = unit
    return radar


def _a01(seed: int, _unit: int) -> Simulated:
    return ultrasonic.A01NYUB("a01nyub", build(seed).canal.distance_m)


def _metric(seed: int, unit: int) -> Simulated:
    radar = build(seed).radar
    radar.id, radar.metric = unit, True
    return radar


_TABLES: Final = (register_models, air_streams, energy_streams, traffic_streams, water_streams)
DEVICES: Final[dict[str, Kind]] = {name: kind for table in _TABLES for name, kind in table.kinds().items()} | {
    "plantower-pms5003": Kind(lambda seed, _unit: build(seed).air, dress=plantower.DRESS),
    "plantower-pms5003-polled": Kind(lambda seed, _unit: build(seed).air, dress=plantower.DRESS),
    "plantower-pms5003-duty": Kind(lambda seed, _unit: build(seed).air, dress=plantower.DRESS),
    "eastron-sdm630": Kind(lambda seed, _unit: build(seed).main_meter, unit=1),
    "eastron-sdm120": Kind(lambda seed, _unit: build(seed).feeder, unit=1),
    "eastron-sdm230": Kind(lambda seed, _unit: build(seed).feeder, unit=1),
    "schneider-pm5xxx": Kind(lambda seed, _unit: build(seed).chiller, line="19200 8E1", unit=1, tcp=True),
    "wavetronix-ss125": Kind(_radar, unit=1, dress=wavetronix.DRESS, parts="lanes"),
    "wavetronix-ss125-events": Kind(_radar, unit=1, dress=wavetronix.DRESS, parts="lanes"),
    "wavetronix-ss125-metric": Kind(_metric, unit=1, dress=wavetronix.DRESS, parts="lanes"),
    "omnipresense-ops243": Kind(lambda seed, _unit: build(seed).speed_sign, line="19200 8N1", dress=omnipresense.DRESS),
    "maxbotix-hrxl": Kind(lambda seed, _unit: build(seed).canal, dress=ultrasonic.DRESS),
    "a01nyub": Kind(_a01, dress=ultrasonic.A01_DRESS),
    "dfrobot-a01nyub": Kind(_a01, dress=ultrasonic.A01_DRESS),
    "self-identifying": Kind(lambda _seed, unit: SelfIdentifying("self-identifying", unit), unit=1, tcp=True),
}


def far_end(
    device: Simulated, kind: Kind, *, unit: int, faults: Faults, tcp: bool, seed: int = 1
) -> tuple[Simulated, Callable[[], Session]]:
    """What stands at the far end of a wire with this device alone on it, and what gives a connection its session."""
    if not isinstance(device, Unit):
        faulty = Faulty(device, faults)
        return faulty, lambda: faulty
    if tcp and kind.tcp:
        slave = Slave(device, faults=faults)
        units = TcpUnits({unit: slave, 255: slave}, seed=seed)
        return units, units.session
    line = RtuLine({unit: Slave(device, faults=faults)}, seed=seed)
    return line, lambda: line


@dataclass
class Alone:
    """One device on one wire, with its faults and quirks, as a program of its own."""

    device: Simulated
    faults: Faults
    wire: PtyWire | TcpWire
    cures: list[Callable[[], None]] = field(default_factory=list)

    @classmethod
    def of(cls, options: argparse.Namespace, *, truth: Truth) -> Self:
        """The wire that the options ask for, with the device and its faults at the far end."""
        kind = DEVICES[options.name]
        faults = Faults(kind.dress, seed=options.seed)
        for name in options.fault:
            faults.switch_on(Fault(name, rate=options.rate, delay_s=options.delay))
        unit = kind.unit if options.unit is None else options.unit
        device = kind.make(options.seed, unit)
        end, session = far_end(device, kind, unit=unit, faults=faults, tcp=options.tcp is not None, seed=options.seed)
        if options.tcp is not None:
            return cls(device, faults, TcpWire(session, talker=end, port=options.tcp, note=truth.note))
        line = Line.parse(options.line or kind.line)
        return cls(device, faults, PtyWire(end, port_link(options), line=line, note=truth.note))

    async def obey(self, line: bytes) -> dict[str, object]:
        """Do what one control line says: `fault` (with its options), `quirk`, `heal`, or an act of plugs.ACTS."""
        try:
            order: dict[str, Any] = json.loads(line)
            if "quirk" in order:
                self.cures.append(afflict(self.device, order["quirk"], now_s=self.wire.clock()))
            elif "fault" in order:
                self.faults.switch_on(Fault(order["fault"], **{k: v for k, v in order.items() if k != "fault"}))
            elif "heal" in order:
                self.faults.heal()
                while self.cures:
                    self.cures.pop()()
            else:
                await ACTS[next(iter(order))](self.wire)
        except (ValueError, TypeError, AttributeError, LookupError, StopIteration) as error:
            return {"error": str(error) or "no control line"}
        return {"done": order}


def port_link(options: argparse.Namespace) -> Path:
    """Where the port appears: as asked, or under the device's name in the folder of temporary files."""
    asked: Path | None = options.port_link
    return asked or Path(tempfile.gettempdir()) / f"citygate-sim-{options.name}"


async def run_device(options: argparse.Namespace) -> None:
    """Run one device; a JSON line on stdout when its port is there, then control lines on stdin."""
    told = Told()
    async with AsyncExitStack() as stack:
        truth = await stack.enter_async_context(Truth(options.truth))
        alone = Alone.of(options, truth=truth)
        for quirk in options.quirk:
            alone.cures.append(afflict(alone.device, quirk, now_s=alone.wire.clock()))
        wire = alone.wire
        await stack.enter_async_context(wire)
        where = {"port": str(wire.link)} if isinstance(wire, PtyWire) else {"tcp": wire.port}
        say({"ready": True, "device": options.name} | where)
        await told.to_end(seconds=options.seconds, order=alone.obey)
