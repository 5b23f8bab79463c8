"""Winsen gas sensors with the nine-byte frame: MH-Z14/16/19 (CO2), ZE03/07/08/12/14/15/25/27, ZH03B (particles, asked).

Sources: Winsen manuals of MH-Z19B, ZE03, ZE08-CH2O, ZE15-CO, ZH03B; frames recorded by avaldebe/PyPMS and Sming.
UART 9600 8N1. Variants: `mhz19` and `zh03b` are asked, `ze` and `ze15` send by themselves, `ze08` answers in ppb.
The gas is a matter of the profile: sources disagree about the gas code of NO and NO2.
"""

from __future__ import annotations

from typing import Final

from drivers.checksum import sum8
from drivers.errors import BadFrame
from drivers.uart.family import Cut, Facts, Family, Value, judged, junk

HEAD: Final = b"\xff"
SIZE: Final = 9
READ: Final = 0x86
GASES: Final = (0x01, 0x02, 0x03, 0x04, 0x17, 0x2A, 0x2B, 0x2C)  # CH4 NH3 H2S CO CH2O O3 SO2 NO2/NO
UNITS: Final = {2: "mg/m3", 3: "ppm", 4: "ppb"}
ASKED: Final = ("mhz19", "ze08", "zh03b")


def cut(buffer: bytes) -> Cut | None:
    """`FF`, kind, six bytes, two's complement of the sum of the seven before it."""
    if skip := junk(buffer, HEAD):
        return Cut(skip)
    if len(buffer) < 2:
        return None
    if buffer[1] != READ and buffer[1] not in GASES:
        return Cut(1)
    if len(buffer) < SIZE:
        return None
    return judged(SIZE, good=sum8(buffer[1:SIZE]) == 0)


def decode(frame: bytes, variant: str) -> tuple[Facts, ...]:
    """The values of an answer or of a frame sent by itself, as the variant lays them out."""
    variant = variant or "mhz19"
    if (frame[1] == READ) != (variant in ASKED):
        return ()  # our own question (FF 01 86 ..) echoed, or the other mode's frame
    first = int.from_bytes(frame[2:4])
    if variant == "mhz19":
        return (Facts({"CO2": first, "temperature_byte_minus_40": frame[4] - 40}, warming=not first),)
    if variant == "zh03b":
        values = {"pm25": first, "pm10": int.from_bytes(frame[4:6]), "pm01": int.from_bytes(frame[6:8])}
        return (Facts(values, warming=not any(values.values())),)
    if variant == "ze08":
        return (Facts({"mass_ug_m3": first, "concentration": (int.from_bytes(frame[6:8]), "ppb")}),)
    return (_active(frame, variant),)


def _active(frame: bytes, variant: str) -> Facts:
    unit, decimals = UNITS.get(frame[2]), frame[3]
    if unit is None or decimals > 3:
        raise BadFrame(f"unit code {frame[2]}, {decimals} decimals", seen=frame)
    high, broken = frame[4], False
    if variant == "ze15":  # bit 7 is the sensor's fault flag, five bits are the value
        high, broken = frame[4] & 0x1F, bool(frame[4] & 0x80)
    fields: dict[str, Value] = {
        "gas_code": frame[1],
        "concentration": ((high * 256 + frame[5]) / 10**decimals, unit),
        "full_range": (int.from_bytes(frame[6:8]), unit),
    }
    return Facts(fields, fault="the sensor's fault flag" if broken else "")


def _ask(_unit: int, _count: int) -> bytes:
    return b"\xff\x01\x86\x00\x00\x00\x00\x00\x79"


def _match(frame: bytes, _unit: int, _count: int) -> bool:
    return frame[1] == READ


FAMILY: Final = Family(name="winsen", cut=cut, decode=decode, ask=_ask, match=_match)
