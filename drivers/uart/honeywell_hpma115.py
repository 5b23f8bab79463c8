"""Honeywell HPMA115S0 and HPMA115C0 particle sensors: asked (`40 ..`) or sending by themselves (`42 4D ..`).

Source: Honeywell HPM series data sheet 32322550; frames recorded by avaldebe/PyPMS. UART 9600 8N1. Variant: `s0`, `c0`.
"""

from __future__ import annotations

from struct import unpack_from
from typing import Final

from drivers.checksum import sum8
from drivers.errors import BadFrame, DeviceRefused
from drivers.uart import plantower
from drivers.uart.family import Cut, Facts, Family, judged

ASK: Final = b"\x68\x01\x04\x93"
STOP_AUTO: Final = b"\x68\x01\x20\x77"
ACK: Final = b"\xa5\xa5"
NAK: Final = b"\x96\x96"
HEADS: Final = (b"\x40", b"BM", ACK, NAK)
LENGTHS: Final = (2, 5, 13)  # coefficient, S0 values, C0 values: bytes between head and checksum, less one
KEYS: Final = {"s0": ("pm25", "pm10"), "c0": ("pm01", "pm25", "pm04", "pm10")}
AUTO_OFFSET: Final = {"s0": 6, "c0": 4}  # of the first value in the 32-byte frame


def cut(buffer: bytes) -> Cut | None:
    """`40`, length, payload, two's complement of the sum; or a Plantower-like frame; or `A5 A5` / `96 96`."""
    at = min((place for head in HEADS if (place := buffer.find(head)) >= 0), default=len(buffer))
    if at == len(buffer) and buffer[-1:] in (b"B", b"\xa5", b"\x96"):
        at -= 1
    if at:
        return Cut(at)
    if buffer[:1] == b"B":
        return plantower.cut(buffer)
    if buffer[:2] in (ACK, NAK):
        return Cut(2, frame=True)
    if len(buffer) > 1 and (buffer[0] != 0x40 or buffer[1] not in LENGTHS):
        return Cut(1)
    size = buffer[1] + 3 if len(buffer) > 1 else 2
    return judged(size, good=sum8(buffer[:size]) == 0) if len(buffer) >= size else None


def decode(frame: bytes, variant: str) -> tuple[Facts, ...]:
    """Mass values in ug/m3; a negative answer is a refusal; other replies say nothing."""
    if frame == NAK:
        raise DeviceRefused("negative answer 96 96", code=0x96, seen=frame)
    keys = KEYS[variant or "c0"]
    if frame[:1] == b"B":
        if len(frame) != 32:
            return ()
        values = unpack_from(f">{len(keys)}H", frame, AUTO_OFFSET[variant or "c0"])
    elif frame == ACK or frame[2] != 0x04:
        return ()
    elif frame[1] != 1 + 2 * len(keys) + (4 if variant != "s0" else 0):
        raise BadFrame(f"{len(frame)} bytes are not the answer of a {variant}: the other model?", seen=frame)
    else:
        values = unpack_from(f">{len(keys)}H", frame, 3)
    return (Facts(dict(zip(keys, values, strict=True)), warming=not any(values)),)


def _ask(_unit: int, _count: int) -> bytes:
    return ASK


def _match(frame: bytes, _unit: int, _count: int) -> bool:
    return frame == NAK or frame[:1] == b"\x40"


FAMILY: Final = Family(name="honeywell_hpma115", cut=cut, decode=decode, start=(STOP_AUTO,), ask=_ask, match=_match)
