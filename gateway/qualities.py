"""Qualities: what each code means, and its twins in OPC UA (Part 4 and 8 status codes) and QARTOD (primary flags).

QARTOD knows 1 good, 3 suspect, 4 fail and 9 missing; where a read failed there is no value to judge, so it is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from drivers.sample import Code


@dataclass(frozen=True, slots=True)
class Meaning:
    """One quality code. `opcua` is the StatusCode's name, `status` its number; `qartod` the primary flag."""

    opcua: str
    status: int
    qartod: int
    en: str
    th: str


_SUBNORMAL: Final = "UncertainSubNormal", 0x40950000
_INACCURATE: Final = "UncertainSensorNotAccurate", 0x40930000
MEANINGS: Final[Mapping[Code, Meaning]] = {
    Code.GOOD: Meaning("Good", 0, 1, "believed", "เชื่อถือได้"),
    Code.STUCK: Meaning(*_INACCURATE, 3, "unchanged for longer than it should be", "ค่าค้างนานผิดปกติ"),
    Code.JUMP: Meaning(*_SUBNORMAL, 3, "changed faster than it can, or far from its neighbours", "เปลี่ยนเร็วหรือห่างจากค่าข้างเคียงเกินไป"),
    Code.WARMUP: Meaning("UncertainInitialValue", 0x40920000, 3, "the device was switched on a short while ago", "อุปกรณ์เพิ่งเปิด"),
    Code.CORRECTED: Meaning("UncertainSubstituteValue", 0x40910000, 3, "changed by a rule that says so", "ถูกแก้ตามกฎที่ระบุ"),
    Code.ESTIMATED: Meaning("UncertainSubstituteValue", 0x40910000, 3, "not measured: simulated, or between neighbours", "ไม่ได้วัดจริง เป็นค่าจำลองหรือประมาณ"),
    Code.CLOCK: Meaning(*_SUBNORMAL, 3, "its time is not exact", "เวลาไม่แน่นอน"),
    Code.SUSPECT: Meaning(*_SUBNORMAL, 3, "contradicts other points of the same reading", "ขัดกับค่าอื่นในการอ่านเดียวกัน"),
    Code.CALIBRATION: Meaning(*_INACCURATE, 3, "the certificate has expired or does not cover it", "ใบรับรองหมดอายุหรือไม่ครอบคลุม"),
    Code.TIMEOUT: Meaning("BadTimeout", 0x800A0000, 9, "the device did not answer in time", "อุปกรณ์ไม่ตอบทันเวลา"),
    Code.EXCEPTION: Meaning("BadDeviceFailure", 0x808B0000, 9, "the device refused", "อุปกรณ์ปฏิเสธ"),
    Code.CRC: Meaning("BadCommunicationError", 0x80050000, 9, "the answer was damaged", "คำตอบเสียหาย"),
    Code.RANGE: Meaning("BadOutOfRange", 0x803C0000, 4, "outside of what the sensor can measure", "นอกช่วงที่เซนเซอร์วัดได้"),
    Code.SENTINEL: Meaning("BadNoData", 0x809B0000, 9, "the device says that it has no value", "อุปกรณ์แจ้งว่าไม่มีค่า"),
    Code.STALE: Meaning("BadNoCommunication", 0x80310000, 9, "the device has fallen silent", "อุปกรณ์เงียบไป"),
    Code.ABSENT: Meaning("BadNoCommunication", 0x80310000, 9, "the wire, or this part of the answer, is not there", "ไม่มีสายหรือไม่มีส่วนนี้ในคำตอบ"),
    Code.SENSOR: Meaning("BadSensorFailure", 0x808C0000, 4, "the device reports a fault of its sensor", "อุปกรณ์แจ้งว่าเซนเซอร์ผิดปกติ"),
}  # fmt: skip


def dictionary() -> dict[str, dict[str, Any]]:
    """The table as plain data: spelling in records -> number, twins, and meaning in English and Thai."""
    return {
        code.text: {"code": int(code), "opcua": row.opcua, "opcua_status": f"0x{row.status:08X}",
                    "qartod": row.qartod, "en": row.en, "th": row.th}
        for code, row in MEANINGS.items()
    }  # fmt: skip
