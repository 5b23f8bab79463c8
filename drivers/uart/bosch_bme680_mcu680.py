"""Bosch BME680 behind the MCU680 serial bridge (frame `5A 5A 3F 0F`, 20 bytes).

Source: layout as in avaldebe/PyPMS mcu680, checked against its recorded frames. UART 9600 8N1, asked or continuous.
The accuracy of the air-quality index are the top four bits of its word (PyPMS prints word >> 4, a defect).
"""

from __future__ import annotations

from struct import unpack_from
from typing import Final

from drivers.checksum import sum8
from drivers.uart.family import Cut, Facts, Family, judged, junk

HEAD: Final = b"\x5a\x5a\x3f\x0f"
SIZE: Final = 20


def cut(buffer: bytes) -> Cut | None:
    """Head, 15 bytes, 8-bit sum of everything before."""
    if skip := junk(buffer, HEAD):
        return Cut(skip)
    if len(buffer) < SIZE:
        return None
    return judged(SIZE, good=sum8(buffer[:19]) == buffer[19])


def decode(frame: bytes, _variant: str) -> tuple[Facts, ...]:
    """Temperature (Cel), humidity (%), pressure (hPa), air-quality index, gas resistance (kOhm), altitude (m)."""
    temperature, humidity = unpack_from(">hH", frame, 4)
    index = int.from_bytes(frame[11:13])
    return (
        Facts(
            {
                "temp": temperature / 100,
                "rhum": humidity / 100,
                "pres": int.from_bytes(frame[8:11]) / 100,
                "IAQ": index & 0xFFF,
                "IAQ_acc_by_layout": index >> 12,
                "gas": int.from_bytes(frame[13:17]) / 1000,
                "alt": int.from_bytes(frame[17:19], signed=True),
            },
            warming=not any(frame[4:19]),
        ),
    )


def _ask(_unit: int, _count: int) -> bytes:
    return b"\xa5\x56\x01\xfc"


FAMILY: Final = Family(name="bosch_bme680_mcu680", cut=cut, decode=decode, ask=_ask)
