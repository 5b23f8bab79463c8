"""Traffic detectors that push or are asked in a protocol of their own (devices.md 6.2 to 6.8)."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from firmware_sims.city_day import CityDay, Lane
from firmware_sims.day import LOCAL_OFFSET_S, passing_times
from firmware_sims.framing import Dress
from firmware_sims.kind import Kind
from firmware_sims.streams import NOTHING, Stream, Told, crc, exactly, xor
from firmware_sims.vehicles import Vehicle, vehicle

KMH_PER_MPH: Final = 1.609344
LOOP_M: Final = 1.8
XMODEM: Final = 0x1021
INTERVAL_S: Final = 30
SILENT: Final = Dress()
PARTS: Final = dict.fromkeys(
    ("wavetronix-ss105", "iss-rtms-g4", "iss-rtms-g4-events", "natch"), "lanes"
) | dict.fromkeys(("canoga-c900", "banner-dxm"), "channels")


def between(lanes: tuple[Lane, ...], start_s: float, *, end_s: float) -> list[Vehicle]:
    """The vehicles of all lanes in (start, end], in order."""
    return sorted(
        (
            vehicle(lane, at_s, lane=n)
            for n, lane in enumerate(lanes, start=1)
            for at_s in passing_times(lane.passed, start_s=start_s, end_s=end_s)
        ),
        key=lambda seen: seen.at_s,
    )


def fresh(stream: Stream, lanes: tuple[Lane, ...], *, now_s: float) -> list[Vehicle]:
    """The vehicles since this was last asked, of at most the last minute."""
    start_s = max(stream.memory.get("seen_s", now_s - 10), now_s - 60)
    stream.memory["seen_s"] = now_s
    return between(lanes, start_s, end_s=now_s)


def busy_ms(seen: Vehicle) -> int:
    """How long a vehicle stands over the detector."""
    return round(1000 * (seen.length_m + LOOP_M) / (seen.speed_kmh / 3.6))


def last_interval(lanes: tuple[Lane, ...], now_s: float) -> tuple[float, list[list[Vehicle]]]:
    """End of the last whole interval and its vehicles, lane by lane."""
    end_s = now_s // INTERVAL_S * INTERVAL_S
    seen = between(lanes, end_s - INTERVAL_S, end_s=end_s)
    return end_s, [[v for v in seen if v.lane == n] for n in range(1, len(lanes) + 1)]


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0


# --- SS105: text


def _ss105(lanes: tuple[Lane, ...], stream: Stream, match: re.Match[bytes], now_s: float) -> Told:
    if int(match[1]) != stream.unit:
        return NOTHING
    end_s, groups = last_interval(lanes, now_s)
    stamped = max(round(end_s + stream.ahead_s - datetime(2000, 1, 1, tzinfo=UTC).timestamp()), 0)
    payload, said = f"{stamped:08X}", {}
    for n, seen in enumerate(groups, start=1):
        speed = round(_mean([v.speed_kmh for v in seen]) / KMH_PER_MPH)
        occupancy = min(round(sum(map(busy_ms, seen)) / INTERVAL_S / 1000 * 1024), 1024)
        counts = [sum(v.klass == k for v in seen) for k in (1, 2, 3)]
        shares = [round(count / len(seen) * 1024) if seen else 0 for count in counts]
        payload += f"{n:X}{len(seen):08X}{speed:04X}{occupancy:04X}" + "".join(f"{share:04X}" for share in shares)
        part = {"vehicle_count": float(len(seen)), "occupancy": occupancy / 1024 * 100}
        part |= {f"vehicle_count_c{k}": float(count) for k, count in enumerate(counts, start=1)}
        part["vehicle_count_c4"] = float(len(seen) - sum(counts))
        said[f"lane{n}"] = part | ({"speed": speed * KMH_PER_MPH} if seen else {})
    check = "%04X" % (sum(payload.encode()) & 0xFFFF)
    return b"Z0%04dXD%s%s~\r" % (stream.unit, payload.encode(), check.encode()), said


# --- RTMS G4


def g4_frame(kind: int, data: bytes, *, unit: int) -> bytes:
    """One frame: FF AA, kind, length, id, data, 16-bit sum of id and data."""
    body = unit.to_bytes(2) + data
    return b"\xff\xaa" + bytes([kind, len(data) + 2]) + body + (sum(body) & 0xFFFF).to_bytes(2)


def _bcd(number: int) -> int:
    return number // 10 << 4 | number % 10


def _stamp(at_s: float) -> bytes:
    at = datetime.fromtimestamp(at_s, UTC) + timedelta(seconds=LOCAL_OFFSET_S)
    return bytes(map(_bcd, (at.second, at.minute, at.hour, at.isoweekday(), at.day, at.month, at.year % 100)))


def _g4_statistics(lanes: tuple[Lane, ...], stream: Stream, match: re.Match[bytes], now_s: float) -> Told:
    if int.from_bytes(match[1]) != stream.unit:
        return NOTHING
    end_s, groups = last_interval(lanes, now_s)
    number = int(end_s // INTERVAL_S) & 0xFF
    head = bytes([number]) + b"\0\0\0" + _stamp(end_s + stream.ahead_s) + bytes([len(groups), 0b11111111])
    head += INTERVAL_S.to_bytes(2) + bytes([124, 0x10]) + bytes(5)
    tables: dict[int, list[int]] = {kind: [] for kind in (0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x1E, 0x1F)}
    said = {}
    for n, seen in enumerate(groups, start=1):
        row = _g4_zone(seen)
        for kind, value in zip(tables, row.values(), strict=True):
            tables[kind].append(value)
        scale = {"occupancy": 0.1, "gap": 0.1, "headway": 0.1}
        values = {k: v * scale.get(k, 1.0) for k, v in row.items() if seen or k not in _NEEDS_A_VEHICLE}
        values["vehicle_count_c1"] = values["vehicle_count"] - sum(values[f"vehicle_count_c{k}"] for k in (2, 3, 4))
        said[f"lane{n}"] = values
    frames = [g4_frame(0x80, head, unit=stream.unit)]
    frames += [g4_frame(kind, struct.pack(f">{len(row)}H", *row), unit=stream.unit) for kind, row in tables.items()]
    return b"".join([*frames, g4_frame(0x81, b"\0", unit=stream.unit)]), said


_NEEDS_A_VEHICLE = frozenset({"speed", "speed_p85", "gap", "headway"})


def _g4_zone(seen: list[Vehicle]) -> dict[str, int]:
    speeds = sorted(v.speed_kmh for v in seen)
    busy = [busy_ms(v) for v in seen]
    headway = round(10 * INTERVAL_S / len(seen)) if seen else 0
    return {
        "vehicle_count": len(seen),
        "occupancy": min(round(sum(busy) / INTERVAL_S), 1000),
        "speed": round(_mean(speeds)),
        "gap": max(headway - round(_mean([float(ms) for ms in busy]) / 100), 0),
        "vehicle_count_c2": sum(v.klass == 1 for v in seen),
        "vehicle_count_c3": sum(v.klass == 2 for v in seen),
        "vehicle_count_c4": sum(v.klass == 3 for v in seen),
        "headway": headway,
        "speed_p85": round(speeds[min(int(0.85 * len(speeds)), len(speeds) - 1)]) if speeds else 0,
    }


def _g4_event(lanes: tuple[Lane, ...], stream: Stream, now_s: float) -> Told:
    data, said = b"", {}
    for seen in fresh(stream, lanes, now_s=now_s)[:1]:
        length, speed, dwell = round(seen.length_m * 10), min(round(seen.speed_kmh), 255), busy_ms(seen)
        body = (
            bytes([seen.lane, seen.klass, length, speed])
            + dwell.to_bytes(2)
            + b"\x25"
            + _stamp(seen.at_s + stream.ahead_s)
            + b"\0"
        )
        data = g4_frame(0x5E, body, unit=stream.unit)
        values = {"speed": float(speed), "length": length / 10, "vehicle_class": float(seen.klass)}
        said = {f"lane{seen.lane}": values | {"duration": dwell / 1000}}
    return data or g4_frame(0x5F, b"", unit=stream.unit), said


# --- Houston Radar


def houston(body: bytes) -> bytes:
    """F3, body and CRC escaped, FC."""
    inner = body + crc(body, XMODEM, reflected=False).to_bytes(2, "little")
    for byte in (0xFA, 0xF3, 0xFC):
        inner = inner.replace(bytes([byte]), bytes([0xFA, byte & 0x0F]))
    return b"\xf3" + inner + b"\xfc"


def _houston(lanes: tuple[Lane, ...], kmh_per_unit: float, _stream: Stream, _m: re.Match[bytes], now_s: float) -> Told:
    speed = round(lanes[0].speed_kmh(now_s) / kmh_per_unit)
    return houston(bytes([0x32, speed])), {"": {"speed": speed * kmh_per_unit}}


# --- Canoga


def _canoga(lanes: tuple[Lane, ...], stream: Stream, match: re.Match[bytes], now_s: float) -> Told:
    body = match[0][:-3]
    if body[3] != stream.unit or int(match[1], 16) != xor(match[0][:-3]):
        return NOTHING
    data, said = b"", {}
    for n, lane in enumerate(lanes, start=1):
        total = math.floor(lane.passed(now_s))
        duration = 240 + 7 * (total % 40)
        data += duration.to_bytes(3) + (round(now_s * 1000) & 0xFFFFFFFF).to_bytes(4) + bytes([total & 0xFF, 0])
        said[f"ch{n}"] = {"duration": duration / 1000}
        before = stream.memory.get(f"count{n}")
        if before is not None:
            said[f"ch{n}"]["vehicle_count"] = float((total - int(before)) % 256)
        stream.memory[f"count{n}"] = float(total)
    return data + bytes([xor(data)]), said


# --- ADEC TDC


def _adec(lanes: tuple[Lane, ...], stream: Stream, match: re.Match[bytes], now_s: float) -> Told:
    control, unit, check = match[0][1:4]
    if unit != stream.unit or (control + unit) & 0xFF != check or control & 0x0F != 8:
        return NOTHING
    memory, bit = stream.memory, float(control & 0x20)  # FT1.2's frame count bit: it changes with each new request
    if memory.get("bit") != bit:  # else the answer before was lost on its way, and is said again
        memory |= {"bit": bit, "before_s": memory.get("seen_s", now_s - 10), "before": memory.get("total", 1000.0)}
    memory["seen_s"] = memory["before_s"]
    if not (waiting := fresh(stream, lanes[:1], now_s=now_s)):
        return b"\xe5", {}
    seen, total = waiting[0], int(memory["before"]) + 1
    memory["seen_s"], memory["total"] = seen.at_s, float(total)  # the others wait in the queue
    speed, length, occupancy, gap = round(seen.speed_kmh), round(seen.length_m * 10), busy_ms(seen) // 10, 230
    body = bytes([8, unit, 0x01]) + total.to_bytes(4) + struct.pack(">BBHHB", speed, seen.klass, occupancy, gap, length)
    said = {"speed": float(speed), "vehicle_class": float(seen.klass), "duration": occupancy / 100, "gap": gap / 100}
    said |= {"length": length / 10, "vehicle_total": float(total)}
    return b"\x68" + bytes([len(body)] * 2) + b"\x68" + body + bytes([sum(body) & 0xFF, 0x16]), {"": said}


# --- Banner DXM, Natch, Icoms


def _dxm(lanes: tuple[Lane, ...], _stream: Stream, match: re.Match[bytes], now_s: float) -> Told:
    first, count = int(match[1]), int(match[2])
    scans = [min(round(1800 * lane.per_hour(now_s) / 4000), 1800) for lane in lanes]
    values = [*scans, *[65001] * 8][first - 1 : first - 1 + count]  # four pucks, the other channels fail
    said = {f"ch{n}": {"occupancy": scan / 18} for n, scan in enumerate(scans, start=1)}
    return b"RSP0001%d,%s,\r\n" % (first, ",".join(map(str, values)).encode()), said


def _natch(lanes: tuple[Lane, ...], stream: Stream, now_s: float) -> Told:
    """One event a time."""
    memory = stream.memory
    waiting = fresh(stream, lanes, now_s=now_s)
    if not waiting:
        return NOTHING
    seen = waiting[0]
    memory["seen_s"] = seen.at_s
    memory["id"] = memory.get("id", 0.0) + 1
    shift_s = LOCAL_OFFSET_S + stream.ahead_s - 3600 * ("dst" in stream.odd and now_s % 120 < 60)
    local = datetime.fromtimestamp(seen.at_s + shift_s, UTC)
    duration, headway = busy_ms(seen), 4638
    line = f"ds,{int(memory['id']) & 0xFFFF:04x},{seen.lane - 1},{duration},{headway},{local:%H:%M:%S}\r\n"
    return line.encode(), {f"lane{seen.lane}": {"duration": duration / 1000, "headway": headway / 1000}}


def _icoms(lanes: tuple[Lane, ...], stream: Stream, now_s: float) -> Told:
    waiting = fresh(stream, lanes[:1], now_s=now_s)
    if not waiting:
        return NOTHING
    seen = waiting[0]
    stream.memory["seen_s"] = seen.at_s
    speed = round(seen.speed_kmh)
    return b"\r\n+%03d km/h\r\n" % speed, {"": {"speed": float(speed), "direction": 1.0}}


def _lanes(seed: int) -> tuple[Lane, ...]:
    return CityDay(seed).lanes


def _pushed(name: str, frame: Callable[..., Told], seed: int, unit: int) -> Stream:
    quirks = frozenset({"dst", "clock_wrong"} if name == "natch" else {"clock_wrong"})
    return Stream(name, partial(frame, _lanes(seed)), period_s=0.25, unit=unit, quirks=quirks)


def _asked(name: str, request: re.Pattern[bytes], reply: Callable[..., Told], seed: int, unit: int) -> Stream:
    quirks = frozenset({"clock_wrong"} if name in {"wavetronix-ss105", "iss-rtms-g4"} else ())
    return Stream(name, replies=[(request, partial(reply, _lanes(seed)))], unit=unit, quirks=quirks)


def kinds() -> dict[str, Kind]:
    """The detectors of this file, by their profile's name."""
    ask_speed = exactly("F3317226FC")
    asked: dict[str, tuple[re.Pattern[bytes], Callable[..., Told], str]] = {
        "wavetronix-ss105": (re.compile(rb"Z0(\d{4})XD\r"), _ss105, "9600 8N1"),
        "iss-rtms-g4": (re.compile(rb"\xff\xaa\x53\x03(..)\0..", re.DOTALL), _g4_statistics, "115200 8N1"),
        "houston-dr500": (ask_speed, lambda lanes, *rest: _houston(lanes, KMH_PER_MPH, *rest), "115200 8N1"),
        "houston-dr500-metric": (ask_speed, lambda lanes, *rest: _houston(lanes, 1.0, *rest), "115200 8N1"),
        "canoga-c900": (re.compile(rb"<08.\*([0-9A-F]{2})>", re.DOTALL), _canoga, "9600 8N1"),
        "adec-tdc": (re.compile(rb"\x10(...)\x16", re.DOTALL), _adec, "9600 8N1"),
        "banner-dxm": (re.compile(rb"CMD0001(\d+),(\d+),0,0,0\n"), _dxm, "19200 8N1"),
    }
    found = {
        name: Kind(partial(_asked, name, request, reply), line=line, unit=1, dress=SILENT)
        for name, (request, reply, line) in asked.items()
    }
    pushed: dict[str, tuple[Callable[..., Told], str]] = {
        "iss-rtms-g4-events": (_g4_event, "115200 8N1"),
        "natch": (_natch, "9600 8N1"),
        "icoms-tma": (_icoms, "9600 8N1"),
    }
    found |= {
        name: Kind(partial(_pushed, name, frame), line=line, unit=1, dress=SILENT)
        for name, (frame, line) in pushed.items()
    }
    return {name: replace(kind, parts=PARTS.get(name, "")) for name, kind in found.items()}
