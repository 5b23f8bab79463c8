"""How a simulated device is made and reached: what the tables of devices hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from firmware_sims.device import Simulated
from firmware_sims.framing import RTU, Dress

Maker: TypeAlias = Callable[[int, int], Simulated]


@dataclass(frozen=True, slots=True)
class Kind:
    """How to make a device of a seed and a unit id, its line, its unit (0 = none), and how its frames are dressed.

    `parts` is "lanes" or "channels" where its values are of such.
    `tcp` marks a unit that speaks Modbus TCP on a TCP port; other Modbus units speak RTU over TCP there.
    """

    make: Maker
    line: str = "9600 8N1"
    unit: int = 0
    dress: Dress = RTU
    tcp: bool = False
    parts: str = ""
