"""Eastron SDM630 (three phases) and SDM120 (one), Modbus RTU, f32 in input registers (devices.md 5.1).

The meters read 0.0 where they have no value, and do not mind an odd start: the words then straddle the values.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from firmware_sims.city_day import Load
from firmware_sims.device import Note
from firmware_sims.registers import Cell, RegisterUnit

# Quantities in address order, two registers each, from the address in front; "" = not named by the contract.
_PHASED: Final = (
    (0x0000, "voltage_l1 voltage_l2 voltage_l3 current_l1 current_l2 current_l3"),
    (0x000C, "power_active_l1 power_active_l2 power_active_l3 power_apparent_l1 power_apparent_l2 power_apparent_l3"),
    (0x0018, "power_reactive_l1 power_reactive_l2 power_reactive_l3 power_factor_l1 power_factor_l2 power_factor_l3"),
    (0x0024, "phase_angle_l1 phase_angle_l2 phase_angle_l3 voltage_ln"),
    (0x002E, "current_avg current_sum"),
    (0x0034, "power_active"),
    (0x0038, "power_apparent"),
    (0x003C, "power_reactive power_factor"),
    (0x0042, "phase_angle"),
    (0x0046, "frequency energy_import energy_export energy_reactive_import energy_reactive_export energy_apparent"),
    (0x0054, "power_active_demand power_active_demand_max"),
    (0x00C8, "voltage_l1_l2 voltage_l2_l3 voltage_l3_l1 voltage_ll"),
    (0x00E0, "current_n"),
    (0x00EA, "thd_voltage_l1 thd_voltage_l2 thd_voltage_l3 thd_current_l1 thd_current_l2 thd_current_l3"),
    (0x00F8, "thd_voltage_avg thd_current_avg"),
    (0x0156, "energy_total energy_reactive_total energy_import_l1 energy_import_l2 energy_import_l3"),
    (0x0160, "energy_export_l1 energy_export_l2 energy_export_l3 energy_total_l1 energy_total_l2 energy_total_l3"),
)
_SINGLE: Final = (
    (0x0000, "voltage"),
    (0x0006, "current"),
    (0x000C, "power_active"),
    (0x0012, "power_apparent"),
    (0x0018, "power_reactive"),
    (0x001E, "power_factor"),
    (0x0024, "phase_angle"),
    (0x0046, "frequency energy_import energy_export energy_reactive_import energy_reactive_export"),
    (0x0156, "energy_total energy_reactive_total"),
)
BAUD_CODES: Final = {2400: 0, 4800: 1, 9600: 2, 19200: 3, 38400: 4}


def _cells(rows: tuple[tuple[int, str], ...]) -> tuple[Cell, ...]:
    return tuple(Cell(start + 2 * n, "f32", key) for start, keys in rows for n, key in enumerate(keys.split()))


def readings(load: Load, frequency_hz: Callable[[float], float], *, now_s: float) -> dict[str, float]:
    """What a three-phase meter of `load` shows at a moment, by contract point."""
    power_w, factor = load.power_w(now_s), load.power_factor(now_s)
    angle = math.degrees(math.acos(factor))
    said = {"frequency": frequency_hz(now_s), "energy_import": load.energy_kwh(now_s), "energy_export": 0.0}
    volts = load.voltages_v(now_s)
    for n, (share, volt) in enumerate(zip(load.shares, volts, strict=True), start=1):
        watt = power_w * share
        said |= {
            f"voltage_l{n}": volt,
            f"current_l{n}": watt / factor / volt,
            f"power_active_l{n}": watt,
            f"power_apparent_l{n}": watt / factor,
            f"power_reactive_l{n}": watt * math.tan(math.radians(angle)),
            f"power_factor_l{n}": factor,
            f"phase_angle_l{n}": angle,
            f"thd_voltage_l{n}": 1.9 + 0.1 * n,
            f"thd_current_l{n}": 9.0 + n,
            f"energy_import_l{n}": said["energy_import"] * share,
            f"energy_export_l{n}": 0.0,
            f"energy_total_l{n}": said["energy_import"] * share,
        }
    return said | _totals(said, factor=factor, angle=angle)


def _totals(said: Mapping[str, float], *, factor: float, angle: float) -> dict[str, float]:
    def total(key: str) -> float:
        return sum(said[f"{key}_l{n}"] for n in (1, 2, 3))

    reactive_kvarh = said["energy_import"] * 0.5
    return {
        "voltage_ln": total("voltage") / 3,
        "voltage_l1_l2": math.sqrt(3) * (said["voltage_l1"] + said["voltage_l2"]) / 2,
        "voltage_l2_l3": math.sqrt(3) * (said["voltage_l2"] + said["voltage_l3"]) / 2,
        "voltage_l3_l1": math.sqrt(3) * (said["voltage_l3"] + said["voltage_l1"]) / 2,
        "voltage_ll": math.sqrt(3) * total("voltage") / 3,
        "current_avg": total("current") / 3,
        "current_sum": total("current"),
        "current_n": 0.04 * total("current"),
        "power_active": total("power_active"),
        "power_apparent": total("power_apparent"),
        "power_reactive": total("power_reactive"),
        "power_factor": factor,
        "phase_angle": angle,
        "power_active_demand": total("power_active"),
        "power_active_demand_max": 96_400.0,
        "thd_voltage_avg": total("thd_voltage") / 3,
        "thd_current_avg": total("thd_current") / 3,
        "energy_apparent": said["energy_import"] / factor,
        "energy_reactive_import": reactive_kvarh,
        "energy_reactive_export": 0.0,
        "energy_reactive_total": reactive_kvarh,
        "energy_total": said["energy_import"] + said["energy_export"],
    }


def single_phase(load: Load, frequency_hz: Callable[[float], float], *, now_s: float) -> dict[str, float]:
    """What a one-phase meter shows: the whole load on L1, under the names without a phase."""
    whole = readings(load, frequency_hz, now_s=now_s)
    volt = whole["voltage_l1"]
    return whole | {"voltage": volt, "current": whole["power_apparent"] / volt}


@dataclass
class EastronMeter:
    """An SDM meter: `meter` serves function 4, `settings` function 3 (both f32)."""

    meter: RegisterUnit
    settings: RegisterUnit

    @property
    def name(self) -> str:
        """Id of the device."""
        return self.meter.name

    @property
    def note(self) -> Note:
        """Where the meter tells the truth to."""
        return self.meter.note

    @note.setter
    def note(self, note: Note) -> None:
        self.meter.note = note

    def answer(self, pdu: bytes, now_s: float) -> bytes | None:
        """The answer PDU."""
        return (self.meter if pdu[0] == 4 else self.settings).answer(pdu, now_s)


def _settings(name: str, *, unit: int, baud: int, system: int) -> RegisterUnit:
    numbers = {0x02: 60, 0x0A: system, 0x0C: 100, 0x12: 0, 0x14: unit, 0x1C: BAUD_CODES[baud]}
    words: dict[int, bytes] = {}
    for address, number in numbers.items():
        raw = struct.pack(">f", number)
        words |= {address: raw[:2], address + 1: raw[2:]}
    return RegisterUnit(
        name, (), lambda _now_s: {}, tables=frozenset({"holding"}), hole=b"\0\0", constants=words, last=0x4F, even=True
    )


def sdm630(name: str, load: Load, *, frequency_hz: Callable[[float], float], unit: int = 1) -> EastronMeter:
    """A three-phase meter on `load`."""
    meter = RegisterUnit(
        name,
        _cells(_PHASED),
        lambda now_s: readings(load, frequency_hz, now_s=now_s),
        max_registers=80,
        hole=b"\0\0",
        last=0x01FF,
    )
    return EastronMeter(meter, _settings(name, unit=unit, baud=9600, system=3))


def sdm120(name: str, load: Load, *, frequency_hz: Callable[[float], float], unit: int = 2) -> EastronMeter:
    """A one-phase meter on `load`."""
    meter = RegisterUnit(
        name,
        _cells(_SINGLE),
        lambda now_s: single_phase(load, frequency_hz, now_s=now_s),
        max_registers=80,
        hole=b"\0\0",
        last=0x01FF,
    )
    return EastronMeter(meter, _settings(name, unit=unit, baud=9600, system=1))
