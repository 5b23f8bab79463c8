"""Nova Fitness laser dust sensors: SDS011, SDS018, SDS021 (frame C0) and SDS198 (frame CF).

Sources: Nova "Laser Dust Sensor Control Protocol V1.3"; frames recorded by avaldebe/PyPMS. UART 9600 8N1, ten bytes,
one frame a second, or one every n minutes when a working period is set (the silence between is not a failure).
"""

from __future__ import annotations

from typing import Final

from drivers.checksum import sum8
from drivers.uart.family import Cut, Facts, Family, Value, judged, junk

HEAD: Final = b"\xaa"
DATA: Final = 0xC0
DATA_198: Final = 0xCF
REPLY: Final = 0xC5
SIZE: Final = 10


def cut(buffer: bytes) -> Cut | None:
    """`AA`, kind, six bytes, 8-bit sum of these six, `AB`."""
    if skip := junk(buffer, HEAD):
        return Cut(skip)
    if len(buffer) < 2:
        return None
    if buffer[1] not in (DATA, DATA_198, REPLY):
        return Cut(1)
    if len(buffer) < SIZE:
        return None
    if buffer[9] != 0xAB:
        return Cut(SIZE, reason="tail")
    return judged(SIZE, good=sum8(buffer[2:8]) == buffer[8])


def decode(frame: bytes, _variant: str) -> tuple[Facts, ...]:
    """Mass values, or the fields of a command's reply."""
    fields: dict[str, Value] = {"device_id_hex": frame[6:8].hex()}
    first, second = int.from_bytes(frame[2:4], "little"), int.from_bytes(frame[4:6], "little")
    if frame[1] == DATA:
        fields |= {"pm25": first / 10, "pm10": second / 10}
        return (Facts(fields, warming=not first and not second),)
    if frame[1] == DATA_198:
        fields |= {"pm100": float(second)}
        return (Facts(fields, warming=not second),)
    if frame[2] == 0x07:
        fields |= {"version_date_yy_mm_dd": tuple(frame[3:6])}
    else:
        fields |= {"set": frame[3]}
        if frame[2] == 0x06:
            fields |= {"state": "work" if frame[4] else "sleep"}
    return (Facts(fields),)


FAMILY: Final = Family(name="nova", cut=cut, decode=decode)
