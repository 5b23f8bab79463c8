"""`citygate raw`: one read request with the flags of mbpoll; prints both frames. Reads only, whatever is asked."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import click

from gateway.catalogue.fault import EXIT_DATA, EXIT_UNAVAILABLE, Fault, Trouble
from gateway.cli.face import Face
from gateway.cli.words import Misuse

if TYPE_CHECKING:
    from drivers.link import Link
    from drivers.modbus.envelope import Request
    from gateway.cli.target import Target

TIMEOUT_S: Final = 1.0
SILENCE_S: Final = 0.1  # behind a whole answer: long enough to hear a second one
TABLES: Final = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}
WHO: Final = {"17": b"\x11", "43": b"\x2b\x0e\x01\x00"}  # V1.1b3: 6.13 report server id; 6.21 basic identification
WIDTH: Final = {"int16": 1, "hex": 1, "int": 2, "float": 2}
_TCP_ID: Final = b"\x00\x01"


@click.command("raw")
@click.argument("target")
@click.option("-b", "baud", type=int, default=19200, show_default=True, help="Baud rate of a serial port.")
@click.option("-p", "parity", default="even", show_default=True, help="Parity none|even|odd; or a TCP port.")
@click.option("-a", "unit", type=click.IntRange(0, 255), default=1, show_default=True, help="Unit (slave) address.")
@click.option(
    "-t",
    "kind",
    default="4",
    show_default=True,
    help="0 coil, 1 discrete, 3 input, 4 holding; :hex :int :float. 17, 43: who are you.",
)
@click.option(
    "-r", "reference", type=click.IntRange(0, 65536), default=1, show_default=True, help="First register, from 1."
)
@click.option("-c", "count", type=click.IntRange(1, 125), default=1, show_default=True, help="How many values.")
@click.option("-0", "zero", is_flag=True, help="-r counts from 0: it is the address on the wire.")
@click.option(
    "-o", "timeout_s", type=click.FloatRange(0.05, 10.0), default=TIMEOUT_S, show_default=True, help="Wait, s."
)
@click.pass_obj
def command(  # noqa: PLR0913 - mbpoll's flags
    face: Face, *, target: str, baud: int, parity: str, unit: int, kind: str, reference: int, count: int, zero: bool,
    timeout_s: float,
) -> int:  # fmt: skip
    """Send one read request to TARGET (a serial port, or HOST) and print both frames and the values."""
    from drivers.errors import DriverError
    from drivers.modbus.envelope import build

    if kind in WHO:
        return _who(face, target, baud=baud, parity=parity, unit=unit, kind=kind, timeout_s=timeout_s)
    number, _colon, form = kind.partition(":")
    form = form or "int16"
    if number not in TABLES or form not in WIDTH:
        raise Misuse(
            "-t is 0, 1, 3 or 4, with :int16, :hex, :int or :float behind 3 and 4; or 17 or 43",
            "-t คือ 0 1 3 หรือ 4 ต่อท้าย 3 และ 4 ด้วย :int16 :hex :int หรือ :float ได้ หรือ 17 หรือ 43",
        )
    address = reference - (0 if zero else 1)
    try:
        wide = count * (WIDTH[form] if number in {"3", "4"} else 1)
        request = build(unit, TABLES[number], address=address, count=wide)
        wire = _wire(face, target, parity)
        link, tcp = _link(wire, baud=baud, parity=parity)
    except DriverError as error:
        raise Misuse(str(error), f"ส่งคำขอนี้ไม่ได้: {error}") from None
    sent = _TCP_ID + request.mbap if tcp else request.rtu
    heard = _exchanged(face, wire, link, sent=sent, timeout_s=timeout_s)
    _show(face, request, sent=sent, heard=heard)
    data = _data(request, _answer(face, sent, heard, tcp=tcp), tcp=tcp)
    values = _values(data, form) if number in {"3", "4"} else _bits(data, count)
    if face.json:
        face.emit({
            "schema": 1, "table": request.table, "address": address, "sent": sent.hex(), "heard": heard.hex(),
            "values": values,
        })  # fmt: skip
    else:
        step = WIDTH[form] if number in {"3", "4"} else 1
        face.table([(str(address + n * step), str(value)) for n, value in enumerate(values)], head=("address", "value"))
    return 0


def _wire(face: Face, text: str, parity: str) -> Target:
    """The wire that TARGET and, where it is a host without a port, -p name. Raises Trouble: there is no such wire."""
    from gateway.cli.target import target

    plain_host = not text.startswith("/") and ":" not in text and parity.isascii() and parity.isdigit()
    wire = target(face, f"{text}:{parity}" if plain_host else text)
    return replace(wire, name=text)


def _exchanged(face: Face, wire: Target, link: Link, *, sent: bytes, timeout_s: float) -> bytes:
    """What came back on the wire, which the daemon lends where it owns it."""
    from gateway.cli.loan import borrowed

    return borrowed(face, wire, work=lambda: _exchange(link, sent, timeout_s=timeout_s, tcp=not wire.port))


def _who(face: Face, where: str, *, baud: int, parity: str, unit: int, kind: str, timeout_s: float) -> int:
    """Ask a unit who it is: function 17 or 43; the texts that its answer holds."""
    from drivers.checksum import crc16_modbus

    wire = _wire(face, where, parity)
    link, tcp = _link(wire, baud=baud, parity=parity)
    pdu = WHO[kind]
    body = bytes([unit]) + pdu
    size = (1 + len(pdu)).to_bytes(2, "big")
    sent = _TCP_ID + b"\0\0" + size + body if tcp else body + crc16_modbus(body).to_bytes(2, "little")
    heard = _exchanged(face, wire, link, sent=sent, timeout_s=timeout_s)
    face.talk(f"  >  {sent.hex(' ')}")
    face.talk(f"  <  {heard.hex(' ') or '-'}")
    answer = _whole(_answer(face, sent, heard, tcp=tcp), unit, tcp=tcp)
    if answer[0] == pdu[0] | 0x80 and len(answer) > 1:
        raise Trouble([Fault("CG-DEV-02", seen=f"{answer[1]}")], exit_code=EXIT_DATA)
    if answer[0] != pdu[0]:
        raise Trouble([Fault("CG-DEV-01", seen=heard.hex(" "))], exit_code=EXIT_DATA)
    texts = _objects(answer) if kind == "43" else [answer[2:].decode("latin-1").strip("\0 ")]
    if face.json:
        face.emit({"schema": 1, "function": pdu[0], "sent": sent.hex(), "heard": heard.hex(), "texts": texts})
    else:
        for text in texts:
            face.data("".join(char if char.isprintable() else "." for char in text))
    return 0


def _whole(heard: bytes, unit: int, *, tcp: bool) -> bytes:
    """The PDU of an answer whose envelope holds. Raises Trouble where there is none."""
    if not heard:
        raise Trouble([Fault("CG-BUS-05", {"unit": str(unit)})], exit_code=EXIT_UNAVAILABLE)
    fits = _is_whole(heard, tcp=tcp) and (not tcp or heard[:4] == _TCP_ID + b"\0\0")
    pdu = heard[7:] if tcp else heard[1:-2]
    if not fits or not pdu or heard[6 if tcp else 0] != unit:
        raise Trouble([Fault("CG-DEV-01", seen=heard.hex(" "))], exit_code=EXIT_DATA)
    return pdu


def _objects(pdu: bytes) -> list[str]:
    """The texts of a device identification (V1.1b3, 6.21): maker, product, version."""
    texts, at = [], 7
    while at + 2 <= len(pdu) and at + 2 + pdu[at + 1] <= len(pdu):
        texts.append(pdu[at + 2 : at + 2 + pdu[at + 1]].decode("latin-1"))
        at += 2 + pdu[at + 1]
    return texts


def _link(wire: Target, *, baud: int, parity: str) -> tuple[Link, bool]:
    from drivers.link import SerialLink, TcpLink

    if wire.port:
        letter = {"none": "N", "even": "E", "odd": "O"}.get(parity.lower(), parity.upper()[:1])
        return SerialLink(wire.port, f"{baud} 8{letter}{2 if letter == 'N' else 1}"), False
    return TcpLink(wire.host, wire.tcp_port), True


async def _exchange(link: Link, sent: bytes, *, timeout_s: float, tcp: bool) -> bytes:
    """What comes back within `timeout_s`, or until the line falls silent behind a whole answer."""
    import asyncio

    await link.open()
    try:
        link.flush()
        await link.write(sent)
        loop = asyncio.get_running_loop()
        until_s = loop.time() + timeout_s
        heard = b""
        while (left_s := until_s - loop.time()) > 0:
            whole = _is_whole(heard if tcp else heard.removeprefix(sent), tcp=tcp)
            data, _t_s = await link.read(min(left_s, SILENCE_S) if whole else left_s)
            if whole and not data:
                break
            heard += data
        return heard
    finally:
        await link.close()


def _is_whole(heard: bytes, *, tcp: bool) -> bool:
    """Whether these bytes are a frame from end to end: the length of MBAP, or the checksum of RTU, holds."""
    from drivers.checksum import crc16_modbus

    if tcp:
        return len(heard) >= 8 and len(heard) == 6 + int.from_bytes(heard[4:6], "big")
    return len(heard) >= 5 and crc16_modbus(heard) == 0


def _answer(face: Face, sent: bytes, heard: bytes, *, tcp: bool) -> bytes:
    """The answer alone: without the adapter's echo in front of it, and once where it came twice (told as CG-LNK-14)."""
    if not tcp and heard.startswith(sent):
        face.talk(face.pick("the adapter's echo is left out", "ตัดเสียงสะท้อน (echo) ของอะแดปเตอร์ออกแล้ว"))
        heard = heard.removeprefix(sent)
    half = heard[: len(heard) // 2]
    if heard == half + half and _is_whole(half, tcp=tcp):
        face.faults([Fault("CG-LNK-14", {"unit": str(half[6 if tcp else 0])}, warning=True)])
        return half
    return heard


def _show(face: Face, request: Request, *, sent: bytes, heard: bytes) -> None:
    where = f"{request.table} {request.address} x {request.count}"
    face.talk(
        face.pick(
            f"wire address: {where} (function {request.function})", f"ที่อยู่บนสาย: {where} (ฟังก์ชัน {request.function})"
        )
    )
    face.talk(f"  >  {sent.hex(' ')}")
    face.talk(f"  <  {heard.hex(' ') or '-'}")


def _data(request: Request, heard: bytes, *, tcp: bool) -> bytes:
    """The data bytes of a whole, right answer. Raises Trouble where there is none."""
    from drivers.checksum import crc16_modbus
    from drivers.modbus.envelope import EXCEPTION, EXCEPTIONS, tcp_data

    if not heard:
        raise Trouble([Fault("CG-BUS-05", {"unit": str(request.unit)})], exit_code=EXIT_UNAVAILABLE)
    if not tcp:
        body, crc = heard[:-2], heard[-2:]
        if crc16_modbus(body).to_bytes(2, "little") != crc:
            raise Trouble([Fault("CG-DEV-01", seen=heard.hex(" "))], exit_code=EXIT_DATA)
        heard = _TCP_ID + b"\0\0" + len(body).to_bytes(2, "big") + body
    if len(heard) >= 9 and heard[7] == request.function | EXCEPTION:
        why = EXCEPTIONS.get(heard[8], "unknown exception")
        raise Trouble([Fault("CG-DEV-02", seen=f"{heard[8]}: {why}")], exit_code=EXIT_DATA)
    data = tcp_data(request, heard)
    if not isinstance(data, bytes):
        raise Trouble([Fault("CG-DEV-01", seen=heard.hex(" "))], exit_code=EXIT_DATA)
    return data


def _values(data: bytes, form: str) -> Sequence[int | float | str]:
    if form == "hex":
        return [f"0x{value:04X}" for (value,) in struct.iter_unpack(">H", data)]
    return [value for (value,) in struct.iter_unpack({"int16": ">H", "int": ">i", "float": ">f"}[form], data)]


def _bits(data: bytes, count: int) -> Sequence[int]:
    return [data[n // 8] >> n % 8 & 1 for n in range(count)]
