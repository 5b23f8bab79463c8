"""Why a record became a dead letter, in words for people; the first pattern that the reason holds decides."""

from __future__ import annotations

import re
from typing import Final

from gateway.cli.face import Face

# pattern of the reason, English, Thai
_MEANINGS: Final[tuple[tuple[str, str, str], ...]] = (
    (
        "does not overwrite",
        "The server keeps both values of one time. Set rev_tag = true, which sends amended records by themselves.",
        "เซิร์ฟเวอร์ไม่เขียนทับ ตั้ง rev_tag = true แล้วส่งซ้ำ",
    ),
    (
        r"takes \d+ at most|too large|HTTP 413",
        "It is larger than the peer takes. Raise the peer's limit, then requeue.",
        "ใหญ่เกินที่ปลายทางรับ เพิ่มขีดจำกัดแล้วส่งซ้ำ",
    ),
    (
        "0x87|not authorised",
        "The broker forbade this topic for more than ten minutes. Ask for the right to publish, then requeue.",
        "โบรกเกอร์ไม่อนุญาตหัวข้อนี้ ขอสิทธิ์แล้วส่งซ้ำ",
    ),
    (
        "type conflict",
        "A field stands in the database with another type. Correct it there, then requeue.",
        "ชนิดข้อมูลของฟิลด์ในฐานข้อมูลไม่ตรงกัน แก้ที่ฐานข้อมูลแล้วส่งซ้ำ",
    ),
    (
        "retention",
        "It is older than the database keeps. Requeue after its retention was raised.",
        "เก่ากว่าที่ฐานข้อมูลเก็บ เพิ่มระยะเก็บก่อนส่งซ้ำ",
    ),
    (
        "cannot be encoded",
        "The record cannot be written in this sink's form. It stays here as evidence; report it.",
        "ระเบียนนี้เขียนในรูปแบบของปลายทางไม่ได้ เก็บไว้เป็นหลักฐาน",
    ),
    (
        "HTTP 4|HTTP 207",
        "The server refused this record and took its neighbours. Its own words are the reason.",
        "เซิร์ฟเวอร์ปฏิเสธเฉพาะรายการนี้ เหตุผลอยู่ด้านบน",
    ),
    (
        "0x",
        "The broker refused it again and again with this reason code.",
        "โบรกเกอร์ปฏิเสธซ้ำด้วยรหัสนี้",
    ),
    (
        "",
        "The sink's own words.",
        "คำของปลายทางเอง",
    ),
)


def explained(face: Face, reason: str) -> str:
    """What a reason means and what to do."""
    english, thai = next((en, th) for pattern, en, th in _MEANINGS if re.search(pattern, reason))
    return face.pick(english, thai)
