"""Schneider PM5xxx on Modbus TCP, function 3, f32 in kW and INT64 counters in Wh (devices.md 5.2).

A read that starts or ends inside a value is refused; registers that mean nothing read 0x8000; quantities the
model does not measure read as "not available" (NaN, the smallest INT64).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from firmware_sims.city_day import Load
from firmware_sims.eastron import readings
from firmware_sims.registers import Cell, RegisterUnit, text

# (protocol address of the first, type, scale, quantities in address order)
_ROWS: Final = (
    (0x0BB7, "f32", 1.0, "current_l1 current_l2 current_l3"),
    (0x0BC1, "f32", 1.0, "current_avg"),
    (0x0BCB, "f32", 1.0, "voltage_l1_l2 voltage_l2_l3 voltage_l3_l1"),
    (0x0BD3, "f32", 1.0, "voltage_l1 voltage_l2 voltage_l3"),
    (0x0BDB, "f32", 1.0, "voltage_ln"),
    (0x0BED, "f32", 1000.0, "power_active_l1 power_active_l2 power_active_l3 power_active"),
    (0x0BFB, "f32", 1000.0, "power_reactive"),
    (0x0C03, "f32", 1000.0, "power_apparent"),
    (0x0C0B, "f32", 1.0, "power_factor"),
    (0x0C25, "f32", 1.0, "frequency"),
    (0x0C83, "s64", 0.001, "energy_import energy_export"),
    (0x0C93, "s64", 0.001, "energy_reactive_import energy_reactive_export"),
    (0x0DBD, "s64", 0.001, "energy_import_l1 energy_import_l2 energy_import_l3"),
)
_ABSENT: Final = frozenset({"energy_import_l1", "energy_import_l2", "energy_import_l3"})
_WORDS: Final = {"f32": 2, "s64": 4}

CELLS: Final = tuple(
    Cell(start + n * _WORDS[kind], kind, key, scale)
    for start, kind, scale, keys in _ROWS
    for n, key in enumerate(keys.split())
)


def pm5xxx(name: str, load: Load, *, frequency_hz: Callable[[float], float]) -> RegisterUnit:
    """A power meter on `load`. The import coding of the power factor below 1 is the factor itself (lagging)."""
    return RegisterUnit(
        name,
        CELLS,
        lambda now_s: {k: v for k, v in readings(load, frequency_hz, now_s=now_s).items() if k not in _ABSENT},
        tables=frozenset({"holding"}),
        hole=b"\x80\x00",
        splits=False,
        constants=text(29, name, registers=20)
        | text(49, "PM5310", registers=20)
        | text(69, "Schneider Electric", registers=20),
        identity=("Schneider Electric", "METSEPM5310", "001.002.003"),
    )
