r"""DSMR P1 telegrams (Netherlands, Belgium, Luxembourg, Sweden), and IEC 62056-21 mode D pushes of the same form.

Sources: DSMR P1 companion standard 2.2, 4.2, 5.0; Fluvius e-MUCS 1.7.1; telegrams of ndokter/dsmr_parser. From `/` to
`!`, then CRC-16/ARC of it all as up to four hex digits (no leading zero in some meters). 2.2, 3 and mode D have no CRC:
such a telegram is believed only if it says no newer version and every line has its form.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from drivers.checksum import crc16_arc
from drivers.errors import BadFrame
from drivers.uart.family import Cut, Facts, Family, Value, junk
from drivers.uart.obis import entry, sets

HEAD: Final = b"/"
LONGEST: Final = 16384
MBUS_TYPES: Final = {3: "gas", 7: "water"}
_END: Final = re.compile(rb"!(?:([0-9A-Fa-f]{4})|([0-9A-Fa-f]{0,3})\r?\n)")
_END_BEGUN: Final = re.compile(rb"![0-9A-Fa-f]{0,3}\r?")
_HEADER: Final = re.compile(r"/[A-Za-z]{3}[0-9A-Za-z][\x20-\x7e]*")
_LINE: Final = re.compile(r"(?:\d{1,3}-\d{1,3}:[0-9A-F.]{3,12}(?:\*\d{1,3})?)?(?:\([ -'*-~]*\))+")
_TIME: Final = re.compile(r"(\d{12})([SW]?)")
_VERSION: Final = re.compile(rb"\n(?:1-3:0\.2\.8\((?:4|5)|0-0:96\.1\.4\()")
_CHANNELS: Final = tuple(
    (f"0-{n}:24.1.0", (f"0-{n}:24.2.1", f"0-{n}:24.2.3", f"0-{n}:24.3.0")) for n in range(1, 5)
)  # device type, readings
OFFSET_H: Final = {"S": 2, "W": 1}  # summer and winter time of the devices' home


def cut(buffer: bytes) -> Cut | None:
    """From `/` to the `!` at a line's start; the check value over both and all between."""
    if skip := junk(buffer, HEAD):
        return Cut(skip)
    mark = buffer.find(b"\n!", 0, LONGEST) + 1
    end = _END.match(buffer, mark) if mark else None
    if end is None and mark and not _END_BEGUN.fullmatch(buffer, mark):
        return Cut(mark + 1, reason="checksum")
    if end is None:
        return Cut(1, reason="endless") if len(buffer) > LONGEST else None
    printed = end[1] or end[2]
    if printed:
        good = int(printed, 16) == crc16_arc(buffer[: mark + 1])
        return Cut(end.end(), frame=True) if good else Cut(end.end(), reason="checksum")
    if _VERSION.search(buffer, 0, mark):
        return Cut(end.end(), reason="no checksum")
    return Cut(end.end(), frame=True)


def decode(frame: bytes, _variant: str) -> tuple[Facts, ...]:
    """All data sets under their printed OBIS key, the telegram's time in UTC, and gas and water of their channels."""
    header, lines = _lines(frame)
    if not _HEADER.fullmatch(header):
        raise BadFrame("not a telegram's first line", seen=frame)
    has_crc = frame.rpartition(b"!")[2].strip() != b""
    if not has_crc and not (lines and all(_LINE.fullmatch(line) for line in lines)):
        raise BadFrame("a line without form in a telegram without checksum", seen=frame)
    return (Facts(data_sets(frame)),)


def _lines(telegram: bytes) -> tuple[str, list[str]]:
    header, _, body = telegram.decode("latin-1").partition("\n!")[0].partition("\n")
    return header.strip(), [line for line in body.replace("\r", "").split("\n") if line]


def data_sets(telegram: bytes) -> dict[str, Value]:
    """The data sets in `telegram`, whatever its check value says."""
    header, lines = _lines(telegram)
    fields: dict[str, Value] = {"header": header}
    waiting = ""  # version 2 and 3 print the gas value on the line after its key
    waiting_texts: tuple[str, ...] = ()
    for name, texts in sets("\n".join(lines)):
        if name:
            fields.setdefault(name, _set(texts))
            waiting, waiting_texts = name, texts
        elif waiting.endswith(":24.3.0") and len(waiting_texts) == 6:
            number = entry(f"{texts[0]}*{waiting_texts[5]}")
            if isinstance(number, tuple):
                fields[waiting] = (*number, time(waiting_texts[0]))
    if "0-0:1.0.0" in fields:
        fields["timestamp_utc"] = time(str(fields["0-0:1.0.0"]))
    return fields | _channels(fields)


def _set(texts: tuple[str, ...]) -> Value:
    if len(texts) == 1:
        return entry(texts[0])
    if len(texts) == 2 and _TIME.fullmatch(texts[0]) and isinstance(number := entry(texts[1]), tuple):
        return (*number, time(texts[0]))
    return tuple(entry(text) for text in texts)


def time(text: str) -> str | None:
    """`YYMMDDhhmmssX` in UTC; `local time ...` without S or W; None for an impossible one (`632525252525W`)."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    year, *rest = (int(match[1][at : at + 2]) for at in range(0, 12, 2))
    try:
        local = datetime(2000 + year, rest[0], rest[1], rest[2], rest[3], rest[4])  # noqa: DTZ001 - zone follows below
    except ValueError:
        return None
    if not match[2]:
        return f"local time {match[1]}"
    return (local - timedelta(hours=OFFSET_H[match[2]])).isoformat() + "Z"


def _channels(fields: dict[str, Value]) -> dict[str, Value]:
    """Readings of M-Bus meters by what they measure: the channel number does not tell it."""
    found: dict[str, Value] = {}
    for type_key, keys in _CHANNELS:
        kind = fields.get(type_key)
        medium = MBUS_TYPES.get(int(kind)) if isinstance(kind, str) and kind.isdigit() else None
        for key in keys if medium else ():
            value = fields.get(key)
            if isinstance(value, tuple) and len(value) == 3:
                found.setdefault(f"mbus_{medium}", value)
    return found


FAMILY: Final = Family(name="dsmr_p1", cut=cut, decode=decode, gap_s=2.0)
