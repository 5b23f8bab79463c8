"""Frames of every stream family, with independent check functions: from the data sheets, sharing no code with drivers.

`EXAMPLES`: worked or recorded frames of devices.md, or frames built here from the published layout.
"""

from dataclasses import dataclass
from struct import pack


def crc(data, *, poly, init, reflected):
    """Bitwise CRC-16."""
    value = init
    for byte in data:
        if reflected:
            value ^= byte
            for _ in range(8):
                value = (value >> 1) ^ poly if value & 1 else value >> 1
        else:
            value ^= byte << 8
            for _ in range(8):
                value = ((value << 1) ^ poly) & 0xFFFF if value & 0x8000 else (value << 1) & 0xFFFF
    return value


def crc8(data):
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = ((value << 1) ^ 0x1C) & 0xFF if value & 0x80 else (value << 1) & 0xFF
    return value


def xor(data):
    value = 0
    for byte in data:
        value ^= byte
    return value


def pms(payload):
    body = b"BM" + pack(">H", len(payload) + 2) + payload
    return body + pack(">H", sum(body))


def sum_complement(body):
    return body + bytes((-sum(body) & 0xFF,))


def winsen(payload):
    return b"\xff" + payload + bytes((-sum(payload) & 0xFF,))


def ss125(body, *, unit=1, seq=2, to=0):
    head = b"Z1" + pack(">BHBHBB", 0, to, 0, unit, seq, len(body))
    return head + bytes((crc8(head),)) + body + bytes((crc8(body),))


def ss125_interval(packet, *, lanes=2, approaches=1, number=7, volume=12, speed=0x801F80, occupancy=0x0A80, minute=5):
    body = bytes((0x71, packet, 0)) + number.to_bytes(3, "big")
    body += pack(">II", 2026 << 9 | 11 << 5 | 21, 3 << 22 | minute << 16)
    body += speed.to_bytes(3, "big") + volume.to_bytes(3, "big") + pack(">H", occupancy)
    body += b"".join(count.to_bytes(3, "big") for count in (5, 4, 2, 1))
    body += (0x802480).to_bytes(3, "big") + (4200).to_bytes(3, "big") + (3900).to_bytes(3, "big")
    return body + bytes((lanes, approaches))


def ss105(payload, *, unit=1):
    return b"Z0%04dXD" % unit + payload + b"%04X~\r" % (sum(payload) & 0xFFFF)


def g4(kind, data, *, unit=1):
    body = pack(">H", unit) + data
    return b"\xff\xaa" + bytes((kind, len(data) + 2)) + body + pack(">H", sum(body) & 0xFFFF)


def g4_message(*, zones=2, flags=0, number=9, volume=(12, 0), speed=(61, 0xFFFF), classes=((2, 0), (1, 0))):
    head = bytes((number, 0, 1, flags)) + b"\x00\x05\x10\x06\x21\x11\x26" + bytes((zones, 0)) + pack(">H", 30)
    head += bytes((124, 0x10)) + bytes(5)
    frames = g4(0x80, head) + g4(0x10, pack(f">{zones}H", *volume)) + g4(0x11, pack(f">{zones}H", 123, 0))
    frames += g4(0x12, pack(f">{zones}H", *speed))
    frames += b"".join(g4(0x14 + k, pack(f">{zones}H", *counts)) for k, counts in enumerate(classes))
    return frames + g4(0x81, b"\x09")


def adec(data, *, unit=1, ctrl=0x08):
    body = bytes((ctrl, unit)) + data
    return bytes((0x68, len(body), len(body), 0x68)) + body + bytes((sum(body) & 0xFF, 0x16))


def canoga():
    body = b"".join(pack(">I", 300 + n)[1:] + pack(">I", 70000 + n) + bytes((17 + n, 1)) for n in range(4))
    return body + bytes((xor(body),))


def telegram(*lines):
    text = "\r\n".join(("/ISk5\\2MT382-1000", "", *lines, "!")).encode()
    return text + b"%04X\r\n" % crc(text, poly=0xA001, init=0, reflected=True)


P1 = telegram(
    "1-3:0.2.8(50)",
    "0-0:1.0.0(170102192002W)",
    "1-0:1.8.1(000004.426*kWh)",
    "1-0:1.8.2(000002.399*kWh)",
    "1-0:1.7.0(00.244*kW)",
    "1-0:2.7.0(00.000*kW)",
    "1-0:32.7.0(0230.0*V)",
    "0-1:24.1.0(003)",
    "0-1:24.2.1(170102161005W)(00000.107*m3)",
)
MODE_D = b"/ESY5Q3DB1024 V3.04\r\n\r\n1-0:1.8.0*255(00052185.7825309*kWh)\r\n1-0:1.7.0*255(002124.86*W)\r\n!\r\n"


def hdlc(data, *, addresses=b"\x41\x08\x83"):
    head = pack(">H", 0xA000 | len(data) + len(addresses) + 7) + addresses + b"\x13"
    head += pack("<H", crc(head, poly=0x8408, init=0xFFFF, reflected=True) ^ 0xFFFF)
    body = head + data
    return b"\x7e" + body + pack("<H", crc(body, poly=0x8408, init=0xFFFF, reflected=True) ^ 0xFFFF) + b"\x7e"


def unstuffed(frame):
    out, escaped = bytearray(), False
    for byte in frame[1:-1]:
        if escaped:
            out.append(byte ^ 0x20)
        elif byte != 0x7D:
            out.append(byte)
        escaped = byte == 0x7D and not escaped
    return bytes(out)


def unescaped(frame):
    out, escaped = bytearray(), False
    for byte in frame[1:-1]:
        if escaped:
            out.append(byte | 0xF0)
        elif byte != 0xFA:
            out.append(byte)
        escaped = byte == 0xFA and not escaped
    return bytes(out)


def g4_holds(frame):
    at = 0
    while at < len(frame):
        size = frame[at + 3] + 6
        one = frame[at : at + size]
        if one[:2] != b"\xff\xaa" or sum(one[4:-2]) & 0xFFFF != int.from_bytes(one[-2:], "big"):
            return False
        at += size
    return at == len(frame)


def dsmr_holds(frame):
    text, mark, rest = frame.rpartition(b"!")
    printed = rest.strip()
    return not printed or int(printed, 16) == crc(text + mark, poly=0xA001, init=0, reflected=True)


def hpma_holds(frame):
    if frame[:1] == b"B":
        return sum(frame[:-2]) == int.from_bytes(frame[-2:], "big")
    return frame in (b"\xa5\xa5", b"\x96\x96") or sum(frame) & 0xFF == 0


def ft12_holds(frame):
    return frame == b"\xe5" or (sum(frame[1 if frame[0] == 0x10 else 4 : -2]) & 0xFF == frame[-2] and frame[-1] == 0x16)


HOLDS = {  # family -> whether the check value of a frame is right; absent: the protocol has none
    "plantower": lambda f: sum(f[:-2]) & 0xFFFF == int.from_bytes(f[-2:], "big"),
    "plantower_polled": lambda f: sum(f[:-2]) & 0xFFFF == int.from_bytes(f[-2:], "big"),
    "nova_polled": lambda f: sum(f[2:8]) & 0xFF == f[8] and f[9] == 0xAB,
    "nova": lambda f: sum(f[2:8]) & 0xFF == f[8] and f[9] == 0xAB,
    "sensirion_sps30": lambda f: sum(unstuffed(f)) & 0xFF == 0xFF,
    "honeywell_hpma115": hpma_holds,
    "winsen": lambda f: sum(f[1:]) & 0xFF == 0,
    "bosch_bme680_mcu680": lambda f: sum(f[:-1]) & 0xFF == f[-1],
    "gill_windsonic": lambda f: xor(f[1:-3]) == int(f[-2:], 16),
    "a01nyub": lambda f: sum(f[:3]) & 0xFF == f[3],
    "iec62056_21": lambda f: f[:1] in (b"/", b"\xaf") or xor(bytes(b & 0x7F for b in f[1:])) == 0,
    "dsmr_p1": dsmr_holds,
    "wavetronix_ss125": lambda f: crc8(f[:11]) == 0 and crc8(f[11:]) == 0,
    "wavetronix_ss125_events": lambda f: crc8(f[:11]) == 0 and crc8(f[11:]) == 0,
    "wavetronix_ss105": lambda f: (
        sum(f[8 : f.index(b"~") - 4]) & 0xFFFF == int(f[f.index(b"~") - 4 : f.index(b"~")], 16)
    ),
    "rtms_g4": g4_holds,
    "houston_radar": lambda f: (
        crc(unescaped(f)[:-2], poly=0x1021, init=0, reflected=False) == int.from_bytes(unescaped(f)[-2:], "little")
    ),
    "canoga": lambda f: xor(f) == 0,
    "adec_tdc": ft12_holds,
    "dlms_hdlc": lambda f: (
        crc(f[1:-2], poly=0x8408, init=0xFFFF, reflected=True) ^ 0xFFFF == int.from_bytes(f[-2:], "little")
    ),
}


@dataclass(frozen=True)
class Example:
    """One frame of one profile, the points it must give, and its part."""

    profile: str
    frame: bytes
    values: dict
    part: str = ""

    def __str__(self):
        return self.profile


HEX = bytes.fromhex
EXAMPLES = [
    Example(
        "plantower-pms5003",
        HEX("424D001C001B00210029001A002100292BFB04BE006B00100004000467000446"),
        {"pm1": 26, "pm2_5": 33, "pm10": 41, "particles_0_3": 112.59, "particles_10_0": 0.04},
    ),
    Example("maxbotix-hrxl-10m", b"R4321\r", {"distance": 4.321}),
    Example("houston-dr500-metric", HEX("F3322D3896FC"), {"speed": 45}),
    Example("dfrobot-a02yyuw", HEX("FF07A1A7"), {"distance": 1.953}),
    Example(
        "plantower-pms3003",
        HEX("424d001400010001000100010001000100000000005100fa"),
        {"pm1": 1, "pm2_5": 1, "pm10": 1},
    ),
    Example(
        "plantower-pms5003t",
        HEX("424d001c001700270029001600230029100804a90116000c00d400e09a0004aa"),
        {"pm2_5": 35, "particles_0_3": 41.04, "temperature": 21.2, "humidity": 22.4},
    ),
    Example(
        "plantower-pms5003s",
        pms(pack(">13H", 1, 2, 3, 4, 5, 6, 600, 500, 400, 300, 200, 100, 37)),
        {"pm1": 4, "pm2_5": 5, "pm10": 6, "hcho_mass": 37},
    ),
    Example(
        "plantower-pms5003st",
        pms(pack(">13HhHHBB", 1, 2, 3, 4, 5, 6, 600, 500, 400, 300, 200, 100, 37, -55, 613, 0, 0x91, 0)),
        {"pm2_5": 5, "hcho_mass": 37, "temperature": -5.5, "humidity": 61.3},
    ),
    Example("nova-sds011", HEX("aac02c0037007e2304ab"), {"pm2_5": 4.4, "pm10": 5.5}),
    Example("nova-sds198", HEX("aacf0e001000e9050cab"), {"pm100": 16}),
    Example(
        "sensirion-sps30",
        HEX(
            "7e0003002840a78320411777bb414a5f8341548ddd41d2833e427d33fc85422617224229a4d9422a29bc3f55b7e79e7e",
        ),
        {"pm1": 5.2347564697265625, "particles_1_0": 36.99660110473633, "particle_size": 0.8348373770713806},
    ),
    Example(
        "honeywell-hpma115c0", HEX("400D0400010003000300040000" + "0000A4"), {"pm1": 1, "pm2_5": 3, "pm4": 3, "pm10": 4}
    ),
    Example("honeywell-hpma115s0", sum_complement(HEX("40050400210029")), {"pm2_5": 33, "pm10": 41}),
    Example("winsen-mhz19b", HEX("ff860de53d4042cffa"), {"co2": 3557}),
    Example("winsen-ze25-o3", winsen(HEX("2a04000123" + "2710")), {"o3": 291}),
    Example("winsen-ze12-no2", winsen(HEX("2c030300640fa0")), {"no2": 100}),
    Example("winsen-ze15-co", winsen(HEX("040301007b1388")), {"co": 12.3}),
    Example("winsen-ze08-ch2o", winsen(HEX("86002500000" + "01e")), {"hcho_mass": 37}),
    Example("winsen-zh03b", winsen(HEX("86002100290" + "01a")), {"pm1": 26, "pm2_5": 33, "pm10": 41}),
    Example(
        "bosch-bme680-mcu680",
        HEX("5a5a3f0f097d0ac4018b89001900009ef2000519"),
        {"temperature": 24.29, "humidity": 27.56, "pressure": 1012.57},
    ),
    Example("optical-org-815", b"R- 0.25 001.234", {"rain_rate": 0.25, "rain_total": 1.234}),
    Example(
        "plantower-pms5003-polled",
        HEX("424D001C001B00210029001A002100292BFB04BE006B00100004000467000446"),
        {"pm1": 26, "pm2_5": 33, "pm10": 41},
    ),
    Example("nova-sds011-duty", HEX("aac02c0037007e2304ab"), {"pm2_5": 4.4, "pm10": 5.5}),
    Example("gill-windsonic", b"\x02Q,229,002.74,M,00,\x0316", {"wind_speed": 2.74, "wind_direction": 229}),
    Example("dfrobot-a01nyub", HEX("FF07A1A7"), {"distance": 1.953}),
    Example("maxbotix-hrxl", b"R1234\r", {"distance": 1.234}),
    Example("maxbotix-xl", b"R123\r", {"distance": 1.23}),
    Example(
        "omnipresense-ops243", b'{"magnitude":1.2,"speed":-3.4}', {"speed": 12.24, "direction": -1, "magnitude": 1.2}
    ),
    Example(
        "wavetronix-ss125-events",
        ss125(HEX("670100000FC192058D0939015C0A0001198043C0021604")),
        {"speed": 67.75 * 1.609344, "length": 22.015625 * 0.3048, "vehicle_class": 2, "duration": 0.281},
        "lane1",
    ),
    Example(
        "wavetronix-ss125",
        ss125(ss125_interval(1)),
        {"vehicle_count": 12, "speed": 31.5 * 1.609344, "occupancy": 10.5, "headway": 4.2, "vehicle_count_c4": 1},
        "lane2",
    ),
    Example(
        "wavetronix-ss105",
        ss105(b"2D24BD00" + b"10000000C00250066035500550056"),
        {"vehicle_count": 12, "speed": 37 * 1.609344, "occupancy": 102 / 10.24, "vehicle_count_c1": 10},
        "lane1",
    ),
    Example(
        "iss-rtms-g4",
        g4_message(),
        {"vehicle_count": 12, "speed": 61, "occupancy": 12.3, "vehicle_count_c1": 9, "vehicle_count_c2": 2},
        "lane1",
    ),
    Example(
        "iss-rtms-g4-events",
        g4(0x5E, bytes((3, 2, 47, 61)) + pack(">H", 480) + bytes(8) + b"\x00"),
        {"speed": 61, "length": 4.7, "vehicle_class": 2, "duration": 0.48},
        "lane3",
    ),
    Example("houston-dr500", HEX("F3322D3896FC"), {"speed": 45 * 1.609344}),
    Example("canoga-c900", canoga(), {"duration": 0.3}, "ch1"),
    Example(
        "adec-tdc",
        adec(b"\x00" + pack(">I", 4711) + pack(">BBHHB", 62, 2, 48, 310, 45)),
        {"speed": 62, "vehicle_class": 2, "duration": 0.48, "gap": 3.1, "length": 4.5, "vehicle_total": 4711},
    ),
    Example("banner-dxm", b"RSP00011,90,0,65001,1800,0,0,0,9,\r\n", {"occupancy": 5}, "ch1"),
    Example("natch", b"\nds,01a5,3,323,4638,17:50:28\r", {"duration": 0.323, "headway": 4.638}, "lane4"),
    Example("icoms-tma", b"\n-072 km/h\r", {"speed": 72, "direction": -1}),
    Example(
        "dsmr-p1",
        P1,
        {"energy_import": 6.825, "power_active": 244, "voltage_l1": 230, "gas_total": 0.107},
    ),
    Example("easymeter-q3d", MODE_D, {"energy_import": 52185.7825309, "power_active": 2124.86}),
    Example(
        "kaifa-ma304",
        hdlc(HEX("e6e7000f40000000090c07e00c0401102d1eff800000" + "020106000004d2")),
        {"power_active_import": 1234},
    ),
    Example(
        "iec62056-21",
        b"\x021.8.0(015882.692*kWh)\r\n16.7.0(000028*W)!\r\n\x03",
        {"energy_import": 15882.692, "power_active": 28},
    ),
]
EXAMPLES[-1] = Example("iec62056-21", EXAMPLES[-1].frame + bytes((xor(EXAMPLES[-1].frame[1:]),)), EXAMPLES[-1].values)
FOLLOWED = {"icoms-tma": b"\n", "natch": b"\n"}  # the line end that closes the last frame stays for the next


def stream(example, count):
    """`count` frames in a row, closed."""
    return example.frame * count + FOLLOWED.get(example.profile, b"")
