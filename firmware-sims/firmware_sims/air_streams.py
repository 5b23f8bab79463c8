"""Air sensors on a serial line of their own (devices.md 3.1 to 3.6, 3.8): frames from what a street corner breathes."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from functools import partial
from typing import Final

from firmware_sims import plantower
from firmware_sims.framing import Dress
from firmware_sims.kind import Kind
from firmware_sims.quantities import Source, street
from firmware_sims.streams import NOTHING, Frame, Reply, Stream, Told, complement, exactly

Sense = Callable[[float], dict[str, float]]
SUM_COMPLEMENT: Final = Dress(lambda data: data[:-1] + complement(data[:-1]), tail=1)
WINSEN: Final = Dress(lambda data: data[:-1] + complement(data[1:-1]), tail=1)
SDS: Final = Dress(lambda data: data[:-2] + bytes([sum(data[2:8]) & 0xFF, 0xAB]), damage=(2, 9))
BME: Final = Dress(lambda data: data[:-1] + bytes([sum(data[:-1]) & 0xFF]), tail=1)


def _sense(seed: int) -> Sense:
    now: Source = street(seed)
    return lambda now_s: {key: value for key, value in now(now_s).items() if value is not None}


# --- Plantower: 24-byte G3, and the 32- and 40-byte frames with more than dust


def _plantower(sense: Sense, model: str, stream: Stream, now_s: float) -> Told:
    del stream
    q = sense(now_s)
    air = [round(q[key]) for key in ("pm1", "pm2_5", "pm10")]
    said = {key: float(value) for key, value in zip(("pm1", "pm2_5", "pm10"), air, strict=True)}
    words = [*air, *air]
    sizes = ("0_3", "0_5", "1_0", "2_5", "5_0", "10_0")[: 4 if model == "pms5003t" else 6]
    shares = (190, 56, 9.5, 0.95, 0.3, 0.12)
    if model == "pms3003":
        words += [0, 0, 0]
    else:
        counts = [round(q["pm2_5"] * share) for _, share in zip(sizes, shares, strict=False)]
        words += counts
        said |= {f"particles_{size}": count / 100 for size, count in zip(sizes, counts, strict=True)}
    climate = [round(q["temperature"] * 10), round(q["humidity"] * 10)]
    if model in {"pms5003s", "pms5003st"}:
        words.append(round(q["hcho_mass"]))
        said["hcho_mass"] = float(words[-1])
    if model in {"pms5003t", "pms5003st"}:
        words += climate
        said |= {"temperature": climate[0] / 10, "humidity": climate[1] / 10}
    payload = b"".join(struct.pack(">H", word & 0xFFFF) for word in words)
    payload += {"pms3003": b"", "pms5003s": b"", "pms5003t": b"\x91\0", "pms5003st": b"\0\0\x71\0"}[model]
    return plantower.seal(plantower.HEADER + struct.pack(">H", len(payload) + 2) + payload), {"": said}


# --- Nova


def _nova(sense: Sense, model: str, stream: Stream, now_s: float) -> Told:
    del stream
    q = sense(now_s)
    if model == "sds198":
        first, second = 0, round(q["pm100"])
        said = {"pm100": float(second)}
    else:
        first, second = round(q["pm2_5"] * 10), round(q["pm10"] * 10)
        said = {"pm2_5": first / 10, "pm10": second / 10}
    body = struct.pack("<HH", first, second) + b"\x98\x22"
    head = b"\xaa\xcf" if model == "sds198" else b"\xaa\xc0"
    return head + body + bytes([sum(body) & 0xFF, 0xAB]), {"": said}


def _nova_query(sense: Sense, model: str, stream: Stream, _match: re.Match[bytes], now_s: float) -> Told:
    return _nova(sense, model, stream, now_s) if stream.talking else NOTHING


def _nova_firmware(_stream: Stream, _match: re.Match[bytes], _now_s: float) -> Told:
    body = bytes.fromhex("0711081598 22".replace(" ", ""))
    return b"\xaa\xc5" + body + bytes([sum(body) & 0xFF, 0xAB]), {}


def _nova_power(on: bool, stream: Stream, _match: re.Match[bytes], _now_s: float) -> Told:  # noqa: FBT001 - partial
    stream.talking = on
    body = bytes([6, 1, on, 0, 0x98, 0x22])
    return b"\xaa\xc5" + body + bytes([sum(body) & 0xFF, 0xAB]), {}


NOVA_WORK: Final = exactly("AAB406010100000000000000000000FFFF06AB")
NOVA_SLEEP: Final = exactly("AAB406010000000000000000000000FFFF05AB")
NOVA_QUERY: Final = exactly("AAB404000000000000000000000000FFFF02AB")
NOVA_FIRMWARE: Final = exactly("AAB407000000000000000000000000FFFF05AB")


# --- Sensirion SPS30: SHDLC, stuffed after the check byte was made; float output


def shdlc(inner: bytes) -> bytes:
    """Flags and stuffing around bytes and their complement of the sum."""
    inner += bytes([~sum(inner) & 0xFF])
    for byte in (0x7D, 0x7E, 0x11, 0x13):
        inner = inner.replace(bytes([byte]), bytes([0x7D, byte ^ 0x20]))
    return b"\x7e" + inner + b"\x7e"


_SPS_POINTS: Final = (
    ("pm1", 0.62), ("pm2_5", 1.0), ("pm4", 1.12), ("pm10", 1.22), ("particles_0_5", 5.1), ("particles_1_0", 6.2),
    ("particles_2_5", 6.4), ("particles_4_0", 6.45), ("particles_10_0", 6.46),
)  # fmt: skip


def _sps_start(stream: Stream, _match: re.Match[bytes], _now_s: float) -> Told:
    state = 0x43 if "measuring" in stream.memory else 0
    stream.memory["measuring"] = 1.0
    return shdlc(bytes([0, 0, state, 0])), {}


def _sps_stop(stream: Stream, _match: re.Match[bytes], _now_s: float) -> Told:
    state = 0 if stream.memory.pop("measuring", None) else 0x43
    return shdlc(bytes([0, 1, state, 0])), {}


def _sps_read(sense: Sense, stream: Stream, _match: re.Match[bytes], now_s: float) -> Told:
    if "measuring" not in stream.memory:
        return shdlc(bytes([0, 3, 0x43, 0])), {}
    if "not_measuring" in stream.odd:
        return shdlc(bytes([0, 3, 0x43, 0])), {}
    if "no_new_data" in stream.odd and stream.polls % 2:
        return shdlc(bytes([0, 3, 0, 0])), {}
    fine = sense(now_s)["pm2_5"]
    values = [fine * share for _, share in _SPS_POINTS] + [0.58]
    data = struct.pack(">10f", *values)
    if "stuffed" in stream.odd:  # the last byte such that the check byte itself has to be stuffed
        wanted = (0x7E, 0x7D, 0x11, 0x13)[stream.polls % 4]
        data = data[:-1] + bytes([~wanted - sum(b"\0\3\0\x28") - sum(data[:-1]) & 0xFF])
    names = [key for key, _ in _SPS_POINTS] + ["particle_size"]
    return shdlc(bytes([0, 3, 0, 40]) + data), {"": dict(zip(names, struct.unpack(">10f", data), strict=True))}


SPS_START: Final = exactly("7E0000020103F97E")
SPS_READ: Final = exactly("7E000300FC7E")


# --- Honeywell HPMA: sends by itself until told otherwise


def _hpma_values(sense: Sense, now_s: float) -> dict[str, int]:
    q = sense(now_s)
    return {key: round(q[key]) for key in ("pm1", "pm2_5", "pm4", "pm10")}


def _hpma_read(sense: Sense, model: str, _stream: Stream, _match: re.Match[bytes], now_s: float) -> Told:
    values = _hpma_values(sense, now_s)
    if model == "s0":
        values = {key: values[key] for key in ("pm2_5", "pm10")}
    data = b"\x04" + b"".join(value.to_bytes(2) for value in values.values()) + bytes(0 if model == "s0" else 4)
    body = bytes([0x40, len(data)]) + data
    return body + complement(body), {"": {key: float(value) for key, value in values.items()}}


def _hpma_auto(sense: Sense, model: str, _stream: Stream, now_s: float) -> Told:
    values = _hpma_values(sense, now_s)
    order = ("pm1", "pm2_5", "pm4", "pm10") if model == "c0" else ("pm1", "pm2_5", "pm10")
    words = [values[key] for key in order] if model == "c0" else [0, values["pm2_5"], values["pm10"]]
    payload = b"".join(word.to_bytes(2) for word in words).ljust(26, b"\0")
    return plantower.seal(b"BM\0\x1c" + payload), {
        "": {k: float(values[k]) for k in order if model == "c0" or k != "pm1"}
    }


def _hpma_switch(talking: bool, stream: Stream, _match: re.Match[bytes], _now_s: float) -> Told:  # noqa: FBT001 - partial
    stream.talking = talking
    return b"\xa5\xa5", {}


def _hpma(name: str, model: str, seed: int, _unit: int) -> Stream:
    sense = _sense(seed)
    replies: list[tuple[re.Pattern[bytes], Reply]] = [
        (exactly("68010493"), partial(_hpma_read, sense, model)),
        (exactly("68012077"), partial(_hpma_switch, False)),
        (exactly("68014057"), partial(_hpma_switch, True)),
    ]
    return Stream(name, partial(_hpma_auto, sense, model), replies=replies)


# --- Winsen


def _winsen(body: bytes) -> bytes:
    return b"\xff" + body + complement(body)


# model -> gas code, unit code, decimals, full range (raw), point, factor of the point's unit to the frame's
_ZE: Final = {
    "ze03-co": (0x04, 3, 0, 1000, "co"),
    "ze07-co": (0x04, 3, 1, 5000, "co"),
    "ze12-co": (0x04, 3, 2, 1200, "co"),
    "ze12-no2": (0x2C, 4, 0, 2000, "no2"),
    "ze12-o3": (0x2A, 4, 0, 2000, "o3"),
    "ze12-so2": (0x2B, 4, 0, 2000, "so2"),
    "ze14-o3": (0x2A, 3, 2, 1000, "o3"),
    "ze15-co": (0x04, 3, 1, 5000, "co"),
    "ze25-o3": (0x2A, 4, 0, 10000, "o3"),
    "ze27-o3": (0x2A, 4, 0, 10000, "o3"),
}


def _ze(sense: Sense, model: str, _stream: Stream, now_s: float) -> Told:
    gas, unit, decimals, full, point = _ZE[model]
    # Carbon monoxide is a point in ppm, the others in ppb; the frame may say either.
    per_frame = 1.0 if (unit == 3) == (point == "co") else 1000.0
    raw = round(sense(now_s)[point] / per_frame * 10**decimals)
    said = {point: raw / 10**decimals * per_frame}
    return _winsen(bytes([gas, unit, decimals]) + struct.pack(">HH", raw, full)), {"": said}


def _mhz19(sense: Sense, _stream: Stream, _match: re.Match[bytes], now_s: float) -> Told:
    q = sense(now_s)
    co2 = round(q["co2"])
    return _winsen(b"\x86" + co2.to_bytes(2) + bytes([round(q["temperature"]) + 40, 0, 0, 0])), {
        "": {"co2": float(co2)}
    }


def _ze08(sense: Sense, _stream: Stream, _match: re.Match[bytes], now_s: float) -> Told:
    mass = round(sense(now_s)["hcho_mass"])
    return _winsen(b"\x86" + struct.pack(">HHH", mass, 0, round(mass / 1.23))), {"": {"hcho_mass": float(mass)}}


def _zh03b(sense: Sense, _stream: Stream, _match: re.Match[bytes], now_s: float) -> Told:
    q = sense(now_s)
    values = {key: round(q[key]) for key in ("pm2_5", "pm10", "pm1")}
    return _winsen(b"\x86" + struct.pack(">HHH", *values.values())), {"": {k: float(v) for k, v in values.items()}}


WINSEN_READ: Final = exactly("FF0186000000000079")


# --- BME680 behind the MCU680 bridge


def _bme680(sense: Sense, _stream: Stream, _match: re.Match[bytes], now_s: float) -> Told:
    q = sense(now_s)
    temperature, humidity, pressure = (round(100 * q[key]) for key in ("temperature", "humidity", "pressure"))
    body = b"\x5a\x5a\x3f\x0f" + struct.pack(">hH", temperature, humidity) + pressure.to_bytes(3)
    body += struct.pack(">HIh", 3 << 12 | 52, 86_000, 12)
    said = {"temperature": temperature / 100, "humidity": humidity / 100, "pressure": pressure / 100}
    return body + bytes([sum(body) & 0xFF]), {"": said}


def _pusher(name: str, frame: Callable[..., Told], model: str, seed: int, _unit: int) -> Stream:
    bound: Frame = partial(frame, _sense(seed), model)
    return Stream(name, bound)


def _nova_stream(name: str, model: str, seed: int, _unit: int) -> Stream:
    sense = _sense(seed)
    replies: list[tuple[re.Pattern[bytes], Reply]] = [
        (NOVA_QUERY, partial(_nova_query, sense, model)),
        (NOVA_FIRMWARE, _nova_firmware),
        (NOVA_WORK, partial(_nova_power, True)),
        (NOVA_SLEEP, partial(_nova_power, False)),
    ]
    return Stream(name, partial(_nova, sense, model), replies=replies)


def _asked(name: str, request: re.Pattern[bytes], reply: Callable[..., Told], seed: int, _unit: int) -> Stream:
    return Stream(name, replies=[(request, partial(reply, _sense(seed)))])


def _sps30(seed: int, _unit: int) -> Stream:
    replies: list[tuple[re.Pattern[bytes], Reply]] = [
        (SPS_START, _sps_start),
        (exactly("7E000100FE7E"), _sps_stop),
        (SPS_READ, partial(_sps_read, _sense(seed))),
    ]
    quirks = frozenset({"not_measuring", "no_new_data", "stuffed"})
    return Stream("sensirion-sps30", replies=replies, delay_s=0.005, quirks=quirks)


def kinds() -> dict[str, Kind]:
    """Every air sensor of this file, by its profile's name."""
    found = {
        f"plantower-{model}": Kind(partial(_pusher, f"plantower-{model}", _plantower, model), dress=plantower.DRESS)
        for model in ("pms3003", "pms5003s", "pms5003t", "pms5003st")
    }
    found |= {f"nova-{m}": Kind(partial(_nova_stream, f"nova-{m}", m), dress=SDS) for m in ("sds011", "sds198")}
    found |= {f"winsen-{m}": Kind(partial(_pusher, f"winsen-{m}", _ze, m), dress=WINSEN) for m in _ZE}
    for model, reply in (("mhz19b", _mhz19), ("ze08-ch2o", _ze08), ("zh03b", _zh03b)):
        name = f"winsen-{model}"
        found[name] = Kind(partial(_asked, name, WINSEN_READ, reply), dress=WINSEN)
    for model in ("s0", "c0"):
        name = f"honeywell-hpma115{model}"
        found[name] = Kind(partial(_hpma, name, model), dress=SUM_COMPLEMENT)
    bridge = "bosch-bme680-mcu680"
    found[bridge] = Kind(partial(_asked, bridge, exactly("A55601FC"), _bme680), dress=BME)
    found["sensirion-sps30"] = Kind(_sps30, line="115200 8N1", dress=Dress(damage=(1, 4)))
    return found | {f"{name}-duty": found[name] for name in ("nova-sds011", "sensirion-sps30")}
