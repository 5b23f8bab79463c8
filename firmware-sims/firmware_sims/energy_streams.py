"""Meters that speak text or DLMS: DSMR P1, IEC 62056-21 modes C and D, Kaifa HDLC (devices.md 5.10 to 5.12)."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, TypeAlias

from firmware_sims.framing import Dress
from firmware_sims.kind import Kind
from firmware_sims.quantities import three_phase
from firmware_sims.streams import Stream, Told, crc, xor

Odd: TypeAlias = AbstractSet[str]
_NONE: Final[Odd] = frozenset()
WINTER: Final = timedelta(hours=1)  # the meters stand in central Europe and keep winter time here
HOSTILE: Final = "+/#$SYS ../a,b=c\u202e\x00'\"<script>"
CONTROLS: Final = (0x0A, 0x0D, 0x03, 0x21, 0x02)  # check bytes that look like something else
WAKING_S: Final = (2.0, 5.0)  # a sleeping meter listens this long after so many seconds of NUL characters
X25: Final = 0x8408
ARC: Final = 0xA001
TEXT: Final = Dress()
QUIRKS: Final = {
    "dsmr-p1": frozenset({"dst", "odd_values", "hostile", "no_crc", "crc_short", "clock_wrong"}),
    "kaifa-ma304": frozenset({"dst", "clock_wrong"}),
    "iec62056-21": frozenset({"odd_values", "hostile", "bcc_control", "asleep", "mode_a"}),
}
IDENT_A: Final = b"/ELS ZMD120.A\r\n"
SPEED: Final = 9600  # what the 5 in the identification offers
SETTLE_S: Final = 0.3
IDENT: Final = b"/LGZ5\\2ZMD3104107.B40\r\n"


def _local(now_s: float, odd: Odd = _NONE) -> str:
    if "odd_values" in odd:
        return "632525252525W"  # recorded in a peak history
    summer = "dst" in odd and now_s % 120 < 60  # the hour that comes twice, once a minute
    zone = WINTER * 2 if summer else WINTER
    return (datetime.fromtimestamp(now_s, UTC) + zone).strftime("%y%m%d%H%M%S") + "WS"[summer]


def _three(seed: int) -> Callable[[float], dict[str, float]]:
    now = three_phase(seed)
    return lambda now_s: {key: value for key, value in now(now_s).items() if value is not None}


class Block:
    """Lines of OBIS keys and values; what they say is read back from the printed digits."""

    def __init__(self, q: dict[str, float], prefix: str) -> None:
        self.q, self.prefix = q, prefix
        self.lines: list[str] = []
        self.said: dict[str, float] = {}

    def value(self, key: str, point: str, *, form: str) -> None:
        """One line: `form` is a printf form with unit, a k before the unit divides by 1000 what is in W."""
        number, _, unit = form.partition("*")
        divide = 1000.0 if unit == "kW" else 1.0
        printed = number % (self.q[point] / divide)
        self.lines.append(f"{self.prefix}{key}({printed}*{unit})" if unit else f"{self.prefix}{key}({printed})")
        self.said[point] = float(printed) * divide

    def text(self) -> bytes:
        """The lines with their line ends."""
        return "".join(line + "\r\n" for line in self.lines).encode()


def _phases(block: Block, forms: tuple[str, str, str], *, suffix: str = "") -> None:
    power, volts, amps = forms
    for n, decade in ((1, 20), (2, 40), (3, 60)):
        if power:
            block.value(f"{decade + 1}.7.0{suffix}", f"power_active_l{n}", form=power)
        if volts:
            block.value(f"{decade + 12}.7.0{suffix}", f"voltage_l{n}", form=volts)
        if amps:
            block.value(f"{decade + 11}.7.0{suffix}", f"current_l{n}", form=amps)


def _dsmr(q: dict[str, float], now_s: float, odd: Odd = _NONE) -> Told:
    """A telegram of version 5 with gas on channel 1 and water on channel 2."""
    block = Block(q, "1-0:")
    block.lines += ["1-3:0.2.8(50)", f"0-0:1.0.0({_local(now_s, odd)})", "0-0:96.1.1(4B384547303034303436333935353037)"]
    if "odd_values" in odd:
        block.lines += ["0-0:96.13.0()", "1-0:99.97.0(1)(0-0:96.7.19)(000101000001W)(2317482647*s)"]
    if "hostile" in odd:
        block.lines += [f"0-0:96.13.1({HOSTILE})"]
    for key, point in (("1.8.1", "energy_import_t1"), ("1.8.2", "energy_import_t2")):
        block.value(key, point, form="%010.3f*kWh")
    for key in ("2.8.1", "2.8.2"):
        block.lines.append(f"1-0:{key}(000000.000*kWh)")
    block.lines.append("0-0:96.14.0(0002)")
    block.value("1.7.0", "power_active", form="%06.3f*kW")
    block.lines.append("1-0:2.7.0(00.000*kW)")
    _phases(block, ("%06.3f*kW", "%05.1f*V", "%03.0f*A"))
    gas, water = 812.345 + (now_s % 1e7) / 1e5, 96.001 + (now_s % 1e7) / 1e6
    stamp = _local(now_s // 300 * 300, odd)
    block.lines += [f"0-1:24.1.0(003)\r\n0-1:24.2.1({stamp})({gas:09.3f}*m3)"]
    block.lines += [f"0-2:24.1.0(007)\r\n0-2:24.2.1({stamp})({water:09.3f}*m3)"]
    said = block.said | {"gas_total": round(gas, 3), "water_total": round(water, 3)}
    said |= {"energy_import": said["energy_import_t1"] + said["energy_import_t2"], "energy_export": 0.0}
    said |= {"energy_export_t1": 0.0, "energy_export_t2": 0.0}
    return _signed(b"/KFM5KAIFA-METER\r\n\r\n" + block.text(), odd), {"": said}


def _signed(body: bytes, odd: Odd) -> bytes:
    """The telegram with its CRC; with none as before version 4, or without its leading zeros."""
    if "no_crc" in odd:
        return body + b"!\r\n"
    if "crc_short" in odd:
        numbered = (body + b"0-0:96.14.1(%04d)\r\n!" % number for number in range(10_000))
        body = next(one for one in numbered if 0 < crc(one, ARC) < 0x1000)
        return body + b"%X\r\n" % crc(body, ARC)
    return body + b"!%04X\r\n" % crc(body + b"!", ARC)


def _q3d(q: dict[str, float], _now_s: float, _odd: Odd = _NONE) -> Told:
    """An EasyMeter Q3D: mode D, no check value, idle bytes behind the end."""
    block = Block(q, "1-0:")
    block.lines.append("1-0:0.0.0*255(0272031312565)")
    block.value("1.8.0*255", "energy_import", form="%016.7f*kWh")
    block.value("2.8.0*255", "energy_export", form="%016.7f*kWh")
    _phases(block, ("%09.2f*W", "", ""), suffix="*255")
    block.value("1.7.0*255", "power_active", form="%09.2f*W")
    block.lines += ["1-0:96.5.5*255(80)", "0-0:96.1.255*255(1ESY1313002565)"]
    return b"/ESY5Q3DB1024 V3.04\r\n\r\n" + block.text() + b"!\r\n  25803103\r\n", {"": block.said}


def readout(q: dict[str, float], odd: Odd = _NONE, *, count: int = 0) -> Told:
    """A mode C readout: STX, data sets, `!`, ETX, exclusive or of all behind STX."""
    block = Block(q, "")
    block.lines += ["F.F(00)", "0.0.0(10412345)"]
    if "hostile" in odd:
        block.lines += [f"C.1.0({HOSTILE.encode('ascii', 'replace').decode().replace(chr(0), '?')})"]
    for key, point in (("1.8.1", "energy_import_t1"), ("1.8.2", "energy_import_t2")):
        block.value(key, point, form="%09.2f*kWh")
    for key, point in (("1.8.0", "energy_import"), ("2.8.0", "energy_export")):
        block.value(key, point, form="%09.2f*kWh")
    block.value("1.7.0", "power_active", form="%06.2f*kW")
    _phases(block, ("", "%05.1f*V", "%06.2f*A"))
    block.value("14.7.0", "frequency", form="%04.1f*Hz")
    if "odd_values" in odd:  # a key again, no unit, a blank in front, a sign, nothing at all, a past month
        block.lines += ["1.8.0(000001.00*kWh)", "1.7.0(99.99)", "36.7.0( 001.67)", "56.7.0(-000.82)", "0.9.1()"]
        block.lines += ["1.8.0*01(000002.00*kWh)", "1.6.1(00.123*kW)(2606311175)"]
    body = block.text() + b"!\r\n\x03"
    if "bcc_control" in odd:
        wanted = CONTROLS[count % len(CONTROLS)]
        body = next(one for one in _padded(block) if xor(one) == wanted)
    return b"\x02" + body + bytes([xor(body)]), {"": block.said}


def _padded(block: Block) -> Iterator[bytes]:
    """The same readout with every text of two characters in one more data set."""
    for first in range(0x30, 0x5B):
        for second in range(0x20, 0x7F):
            if chr(second) not in "()!/":
                yield block.text() + b"C.9(%c%c)\r\n!\r\n\x03" % (first, second)


def _kaifa(q: dict[str, float], now_s: float, odd: Odd = _NONE) -> Told:
    """List 1: a data-notification with the active power alone, HDLC around it."""
    at = datetime.fromtimestamp(now_s, UTC) + WINTER * (2 if "dst" in odd and now_s % 120 < 60 else 1)
    stamp = struct.pack(">HBBBBBB", at.year, at.month, at.day, at.isoweekday(), at.hour, at.minute, at.second)
    power = round(q["power_active"])
    apdu = b"\x0f\x40\0\0\0\x09\x0c" + stamp + b"\xff\x80\0\0\x02\x01\x06" + power.to_bytes(4)
    head = b"\xa0\x27\x01\x02\x01\x10"
    head += (crc(head, X25, init=0xFFFF) ^ 0xFFFF).to_bytes(2, "little")
    body = head + b"\xe6\xe7\0" + apdu
    body += (crc(body, X25, init=0xFFFF) ^ 0xFFFF).to_bytes(2, "little")
    return b"\x7e" + body + b"\x7e", {"": {"power_active_import": float(power)}}


def _pushed(
    name: str, telegram: Callable[[dict[str, float], float, Odd], Told], period_s: float, seed: int, _unit: int
) -> Stream:
    now = _three(seed)

    def frame(stream: Stream, now_s: float) -> Told:
        return telegram(now(now_s), now_s + stream.ahead_s, stream.odd)

    return Stream(name, frame, period_s=period_s, quirks=QUIRKS.get(name, frozenset()))


def _session(asleep: bool, seed: int, _unit: int) -> Stream:  # noqa: FBT001 - partial
    """A mode C meter: request, identification, then the readout behind the acknowledgement at the speed agreed on."""
    now = _three(seed)

    def _identify(stream: Stream, _match: re.Match[bytes], now_s: float) -> Told:
        woken_s = now_s - stream.memory.get("woken_s", float("-inf"))
        if "asleep" in stream.odd and not 0 <= woken_s <= WAKING_S[1]:
            return b"", {}
        stream.memory["called_s"] = now_s
        if "mode_a" in stream.odd:  # no speed to agree on: the readout follows at once
            data, said = readout(now(now_s), stream.odd)
            return IDENT_A + data, said
        return IDENT, {}

    def _stir(stream: Stream, match: re.Match[bytes], now_s: float) -> Told:
        """A meter that sleeps counts the NUL characters that it hears: at 300 Bd, 30 in a second."""
        if len(match[0]) >= 30 * WAKING_S[0]:
            stream.memory["woken_s"] = now_s
        return b"", {}

    def _read(stream: Stream, match: re.Match[bytes], now_s: float) -> Told:
        if now_s - stream.memory.pop("called_s", float("-inf")) > 120:
            return b"", {}  # nobody called, or the session ran out
        told = readout(now(now_s), stream.odd, count=stream.polls)
        if match[1] == IDENT[4:5]:  # the host takes the speed that was offered: both change
            stream.memory["baud"] = SPEED
            stream.memory["fast_to_s"] = now_s + stream.delay_s + 10 * len(told[0]) / SPEED + SETTLE_S
        return told

    replies = [
        (re.compile(rb"/\?0*1?!\r\n"), _identify),
        (re.compile(rb"\x060([0-6])0\r\n"), _read),
        (re.compile(rb"\0{60,}"), _stir),
    ]
    odd = {"asleep"} if asleep else set()
    return Stream("iec62056-21", replies=replies, delay_s=0.2, quirks=QUIRKS["iec62056-21"], odd=odd)


def kinds() -> dict[str, Kind]:
    """The meters of this file, by their profile's name."""
    return {
        "dsmr-p1": Kind(partial(_pushed, "dsmr-p1", _dsmr, 10.0), line="115200 8N1", dress=TEXT),
        "easymeter-q3d": Kind(partial(_pushed, "easymeter-q3d", _q3d, 2.0), line="9600 7E1", dress=TEXT),
        "kaifa-ma304": Kind(partial(_pushed, "kaifa-ma304", _kaifa, 2.0), line="2400 8E1", dress=TEXT),
        "iec62056-21": Kind(partial(_session, False), line="300 7E1", unit=1, dress=TEXT),
        "iec62056-21-battery": Kind(partial(_session, True), line="300 7E1", unit=1, dress=TEXT),
    }
