"""`citygate decode`: recorded bytes in, one JSON line per frame found. Offline."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from gateway.catalogue.fault import EXIT_DATA, Fault, Trouble
from gateway.cli.face import Face
from gateway.cli.words import Misuse

if TYPE_CHECKING:
    from drivers.offline import Found

_HEX = re.compile(rb"(?:\s*(?:0x)?[0-9a-fA-F]{2}[\s,;:]*)+")


@click.command("decode")
@click.argument("profile")
@click.argument("file", default="-")
@click.option("--request", help="Which registers the answer covers: TABLE:ADDRESS:COUNT, such as input:0:42.")
@click.option("--framing", type=click.Choice(["rtu", "tcp", "pdu"]), default="rtu", show_default=True)
@click.pass_obj
def command(face: Face, *, profile: str, file: str, request: str | None, framing: Literal["rtu", "tcp", "pdu"]) -> int:
    """Decode FILE (raw bytes, or hex text; `-` is stdin) as frames of PROFILE, a profile or a family of captures.

    One JSON line per frame: offset, size, ok, and v, q, fields, or the code and reason of its rejection.
    Exit 65 if any frame was rejected or none was found.
    """
    from drivers.errors import ProfileError

    data = read(file)
    try:
        found = _decode(profile, data, request=request, framing=framing)
    except ProfileError as error:
        raise Trouble([_unknown(profile, str(error))], exit_code=EXIT_DATA) from None
    except ValueError as error:
        raise Misuse(str(error), f"ถอดรหัสแบบนี้ไม่ได้: {error}") from None
    for frame in found:
        face.emit(frame.row())
    if not found:
        face.faults([Fault("CG-DEC-01", {"size": str(len(data)), "profile": profile})])
    return 0 if found and all(frame.ok for frame in found) else EXIT_DATA


def read(file: str) -> bytes:
    """The bytes of a file or of stdin; hex text becomes the bytes it spells."""
    raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    return spelled(raw)


def spelled(raw: bytes) -> bytes:
    """Hex text ("42 4d 00", "0x42,0x4d", "424d00") or a file of `citygate capture` as bytes; anything else as it is.

    Of a capture the requests stand before their answers, so that these are understood.
    """
    if raw.startswith((b'{"format"', b'{\n "format"')):
        taken = json.loads(raw)["captures"]
        return b"".join(bytes.fromhex(one.get("request_hex", "") + one.get("raw_hex", "")) for one in taken)
    if raw.strip() and _HEX.fullmatch(raw):
        return bytes.fromhex(re.sub(rb"0x|[^0-9a-fA-F]", b"", raw).decode("ascii"))
    return raw


def _decode(profile: str, data: bytes, *, request: str | None, framing: Literal["rtu", "tcp", "pdu"]) -> list[Found]:
    from drivers.offline import decode_stream, knows_stream

    if knows_stream(profile):
        return decode_stream(profile, data)
    from drivers.offline_registers import decode_registers

    return list(decode_registers(profile, data, request=request, framing=framing))


def _unknown(profile: str, seen: str) -> Fault:
    from drivers.profile import shipped
    from gateway.config.shape import nearest

    if profile in shipped():
        return Fault("CG-DEC-02", {"profile": profile}, seen=seen)
    return Fault("CG-CFG-11", {"profile": profile}, nearest=nearest(profile, shipped()))
