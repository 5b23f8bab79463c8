r"""Meters with an optical head or current loop, IEC 62056-21 (formerly 1107): readout in modes A and C.

Sources: IEC 62056-21 sections 5 and 6; RIOT-OS/RIOT#22033, pwitab/iec62056-21 (recorded and test blocks).
300 Bd 7E1. The session: `/?!` CR LF, the meter's identification, for mode C `ACK 0 Z 0` (data readout at the speed Z
that the meter named; Z = 0 stays at 300 Bd where the link cannot change), then `STX` data `!` CR LF `ETX` BCC. At
300 Bd a whole readout takes one to three minutes. Mode D pushes: dsmr_p1.py.
The check byte may have any value, so nothing here is read by lines. An optical head that echoes is no trouble: the
host's own bytes are no frame. Hardware without 7E1 leaves the parity bit in place: it is checked here, then dropped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from drivers.checksum import xor8
from drivers.errors import BadFrame, DeviceRefused
from drivers.uart.family import Cut, Facts, Family, Value, judged
from drivers.uart.obis import entry, sets

SOH, STX, ETX, NAK = 0x01, 0x02, 0x03, 0x15
LONGEST: Final = 65536
SPEEDS: Final = {"0": 300, "1": 600, "2": 1200, "3": 2400, "4": 4800, "5": 9600, "6": 19200}  # modes C and E
WAKE: Final = bytes(66)  # a sleeping meter needs NUL characters for 2.1 to 2.3 s (10 bits each at 300 Bd)
STAY_AT_300: Final = b"\x06000\r\n"
OWN_PREFIXES: Final = ("1-0:", "1-1:")
_SEVEN_BITS: Final = bytes(byte & 0x7F for byte in range(256))
_START: Final = re.compile(rb"[\x01\x02\x81\x82/\xaf]")
_END: Final = re.compile(rb"[\x03\x83]")
_IDENT_LONGEST: Final = 32  # more bytes than an identification line has
_IDENT: Final = re.compile(rb"/([A-Za-z]{3})([\x21-\x7e])([^\r\n]{0,20})\r\n")
_IDENT_BEGUN: Final = re.compile(rb"/[A-Za-z]{0,3}[^\r\n]{0,21}\r?")


def cut(buffer: bytes) -> Cut | None:
    """An identification line, or a block or command from STX or SOH to ETX and its check byte."""
    found = _START.search(buffer)
    if found is None:
        return Cut(len(buffer))
    if found.start():
        return Cut(found.start())
    plain = _plain(buffer[:_IDENT_LONGEST])
    if plain[:1] != b"/":
        return _block(buffer)
    if match := _IDENT.match(plain):
        return Cut(match.end(), frame=True)
    return None if _IDENT_BEGUN.fullmatch(plain) else Cut(1)


def _block(buffer: bytes) -> Cut | None:
    found = _END.search(buffer, 1)
    if found is None:
        return Cut(1, reason="endless") if len(buffer) > LONGEST else None
    size = found.end() + 1
    if len(buffer) < size:
        return None
    if not _parity_holds(buffer[:size]):
        return Cut(size, reason="parity")
    plain = _plain(buffer[:size])
    return judged(size, good=xor8(plain[1:-1]) == plain[-1])


def _plain(data: bytes) -> bytes:
    """The seven data bits of each character."""
    return data if data.isascii() else data.translate(_SEVEN_BITS)


def _parity_holds(data: bytes) -> bool:
    """Even parity in every character, where the hardware left parity bits at all."""
    return data.isascii() or all(byte.bit_count() % 2 == 0 for byte in data)


def decode(frame: bytes, _variant: str) -> tuple[Facts, ...]:
    """Identification, data sets of a block, or a command with its data set."""
    plain = _plain(frame)
    if plain[:1] == b"/":
        match = _IDENT.match(plain)
        if match is None:
            raise BadFrame("not an identification line", seen=frame)
        maker, baud, ident = (part.decode("ascii") for part in match.groups())
        return (Facts({"manufacturer": maker, "baud_char": baud, "identification": ident}),)
    text = plain[1:-2].decode("ascii")
    if plain[0] == STX:
        if text.startswith(("(ER", "ER")):
            raise DeviceRefused(f"the meter answers {text!r}", code=0, seen=frame)
        return (Facts(data_sets(plain[1:-2])),)
    command, _, data_set = text.partition("\x02")
    return (Facts({"command": command} | ({"data_set": data_set} if data_set else {})),)


def data_sets(block: bytes) -> dict[str, Value]:
    """The data sets in `block` by their key (`1-0:` and `1-1:` left out; of equal keys the first), and how many."""
    found: dict[str, Value] = {}
    count = 0
    for name, texts in sets(block.decode("latin-1")):
        count += 1
        key = name[4:] if name.startswith(OWN_PREFIXES) else name
        found.setdefault(key, entry(texts[0]) if len(texts) == 1 else tuple(entry(text) for text in texts))
    return found | {"data_sets": count}


def _ask(unit: int, _count: int) -> bytes:
    return b"/?!\r\n" if unit <= 1 else b"/?%d!\r\n" % unit


def _reply(frame: bytes) -> bytes:
    """Mode C and E (a digit as baud character): data readout without changing the speed. Mode A goes on by itself."""
    match = _IDENT.match(_plain(frame))
    return STAY_AT_300 if match and match[2].isdigit() else b""


def _whole(facts: Sequence[Facts]) -> bool:
    return any("data_sets" in fact.fields for fact in facts)


def _tuned(frame: bytes, baud: int) -> tuple[bytes, int] | None:
    """Mode C at the meter's own speed: it is repeated in the acknowledgement, and both sides change behind it.

    Only on a line that begins at 300 Bd: one set to another speed is a current loop that never changes. Mode B has
    letters and changes without an acknowledgement: it is left at 300 Bd, which it takes after a silence.
    """
    match = _IDENT.match(_plain(frame))
    speed = 300 if match is None else SPEEDS.get(match[2].decode("ascii"), 300)
    if match is None or baud != 300 or speed == 300:
        return None
    return b"\x060%b0\r\n" % match[2], speed


FAMILY: Final = Family(
    name="iec62056_21",
    cut=cut,
    decode=decode,
    ask=_ask,
    whole=_whole,
    reply=_reply,
    tuned=_tuned,
    wake=(WAKE,),
    gap_s=2.0,
    react_s=3.0,
)
