"""Wavetronix SmartSensor HD (SS125), binary Z1: intervals per lane, vehicle events, configuration (devices.md 6.1).

Sizes in the header count the body without its CRC. The lay-out of general config (00), data config (03), version
(04) and date/time (0E) follows mnit-rtmc/iris comm/ss125.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Final

from firmware_sims.city_day import Lane
from firmware_sims.day import passing_times
from firmware_sims.device import Answers, Note, Served, forget
from firmware_sims.framing import Dress
from firmware_sims.vehicles import Vehicle, vehicle

READ, WRITE, RESULT = 0, 1, 2
_GENERAL, _DATA, _VERSION, _CLOCK, _EVENT, _INTERVAL = 0x00, 0x03, 0x04, 0x0E, 0x67, 0x71
OK, BAD_SIZE, BAD_CRC, READ_ONLY, NO_INTERVAL = 0, 1, 2, 3, 15
_KEPT_INTERVALS: Final = 2976  # a month of quarter hours
_LOOP_M: Final = 1.8  # length of the virtual detector
KMH_PER_MPH: Final = 1.609344
M_PER_FT: Final = 0.3048


def crc8(data: bytes) -> int:
    """CRC-8, poly 0x1C, init 0, not reflected."""
    crc = 0
    for byte in data:
        crc = _CRC_TABLE[crc ^ byte]
    return crc


def _crc_row(value: int) -> int:
    for _ in range(8):
        value = (value << 1 ^ 0x1C) & 0xFF if value & 0x80 else value << 1
    return value


_CRC_TABLE: Final = tuple(_crc_row(value) for value in range(256))


def packet(body: bytes, *, destination: int, source: int, sequence: int) -> bytes:
    """A whole Z1 packet around a body without its CRC; sub ids are 0."""
    head = b"Z1" + struct.pack(">BHBHBB", 0, destination, 0, source, sequence & 0xFF, len(body))
    return head + bytes([crc8(head)]) + body + bytes([crc8(body)])


def fixed16(value: float) -> bytes:
    """Integer byte and fraction / 256."""
    return min(round(value * 256), 0xFFFF).to_bytes(2, "big")


def fixed24(value: float | None) -> bytes:
    """Valid flag, 15-bit signed integer part, fraction / 256 with the sign of the integer part. None = no value."""
    if value is None:
        return bytes(3)
    whole, part = divmod(round(abs(value) * 256), 256)
    return (0x8000 | (-whole if value < 0 else whole) & 0x7FFF).to_bytes(2, "big") + bytes([part])


def stamp(at_s: float) -> bytes:
    """Date and time of a Unix moment, UTC, to the millisecond."""
    at = datetime.fromtimestamp(round(at_s, 3), UTC)
    date = at.year << 9 | at.month << 5 | at.day
    return struct.pack(">II", date, at.hour << 22 | at.minute << 16 | at.second << 10 | at.microsecond // 1000)


def unstamp(data: bytes) -> float:
    """The Unix moment of a date and time field.

    Raises:
        ValueError: no such date.
    """
    date, time = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:], "big")
    day = datetime(date >> 9, date >> 5 & 15, date & 31, time >> 22, time >> 16 & 63, time >> 10 & 63, tzinfo=UTC)
    return day.timestamp() + int(time & 0x3FF) / 1000


def _reseal(data: bytes) -> bytes:
    head = data[:9] + bytes([len(data) - 12])
    return head + bytes([crc8(head)]) + data[11:-1] + bytes([crc8(data[11:-1])])


# An answer of sensor 77 to another host.
DRESS: Final = Dress(
    _reseal, unit_at=7, tail=1, foreign=packet(bytes(3) + b"\x01", destination=9, source=77, sequence=200)
)


QUIRKS: Final = frozenset({"no_speed", "negative_speed", "occupancy_error", "clock_wrong", "buffered"})
_ERRORS: Final = 0x7FFF  # occupancies from here on are error codes of no known meaning
_BEHIND_S: Final = 3600.0


@dataclass
class SS125:
    """A radar over `lanes`, answering to `id`. `metric` is its units setting (km/h and m, else mph and ft).

    Its clock runs `clock_s` ahead of the true time; writing date and time sets that. Packet n of an interval is
    lane n + 1, packets behind the lanes are the approaches. `odd` are its quirks now.
    """

    name: str
    lanes: tuple[Lane, ...]
    id: int = 1
    interval_s: int = 5
    approaches: int = 0
    metric: bool = False
    clock_s: float = 0.0
    note: Note = forget
    polls: int = 0
    buffer: bytearray = field(default_factory=bytearray, repr=False)
    quirks: frozenset[str] = QUIRKS
    odd: set[str] = field(default_factory=set)
    events: deque[Vehicle] = field(default_factory=lambda: deque(maxlen=512), repr=False)
    events_to_s: float | None = None

    def hear(self, data: bytes, now_s: float) -> Answers:
        """Answers to the requests completed by `data`; a wrong header CRC or a foreign id goes unanswered."""
        self.buffer += data
        answers: Answers = []
        while (at := self.buffer.find(b"Z1")) >= 0 and len(self.buffer) >= at + 11:
            head = bytes(self.buffer[at : at + 11])
            size = 12 + head[9]
            if crc8(head[:10]) != head[10]:
                del self.buffer[: at + 2]
                continue
            if len(self.buffer) < at + size:
                break
            body = bytes(self.buffer[at + 11 : at + size])
            del self.buffer[: at + size]
            if int.from_bytes(head[3:5], "big") == self.id:
                answers += self._packets(head, body, now_s=now_s)
        if len(self.buffer) > 1024:
            self.buffer.clear()
        return answers

    def _packets(self, head: bytes, body: bytes, *, now_s: float) -> Answers:
        if crc8(body[:-1]) != body[-1] or len(body) < 4:
            bodies = [self._result(body, BAD_CRC if len(body) >= 4 else BAD_SIZE)]
        else:
            bodies = self._obey(body[:-1], now_s)
        host = int.from_bytes(head[6:8], "big")
        return [
            (0.03, packet(answer, destination=host, source=self.id, sequence=head[8] + 1 + n))
            for n, answer in enumerate(bodies)
        ]

    def _result(self, body: bytes, code: int) -> bytes:
        return body[:2].ljust(2, b"\0") + bytes([RESULT]) + code.to_bytes(2, "big")

    def _obey(self, body: bytes, now_s: float) -> list[bytes]:
        message, kind = body[0], body[2]
        if kind == WRITE:
            if message != _CLOCK or len(body) != 11:
                return [self._result(body, READ_ONLY if message != _CLOCK else BAD_SIZE)]
            self.clock_s = unstamp(body[3:11]) - now_s
            return [self._result(body, OK)]
        if message == _INTERVAL:
            return self._interval(body, now_s) if len(body) == 6 else [self._result(body, BAD_SIZE)]
        if message == _EVENT:
            return [self._event(now_s)]
        settings = {
            _GENERAL: lambda: b"N " + b"Sri Chan Road".ljust(32) + self.name.encode()[:32].ljust(32)
            + b"SS125U100000412 " + bytes([self.metric]),
            _DATA: lambda: struct.pack(">HB", self.interval_s, 1) + bytes(18) + fixed16(16) + fixed16(6),
            _VERSION: lambda: struct.pack(">IIII", 0x01040200, 0x12345678, 0x0A0B0C0D, 0x01020304),
            _CLOCK: lambda: stamp(now_s + self.clock_s),
        }  # fmt: skip
        return [body[:3] + settings[message]()] if message in settings else [self._result(body, READ_ONLY)]

    def _interval(self, body: bytes, now_s: float) -> list[bytes]:
        age = int.from_bytes(body[3:6], "big")
        now_s -= _BEHIND_S * ("buffered" in self.odd)  # it goes on telling an old interval
        if age > _KEPT_INTERVALS:
            return [self._result(body, NO_INTERVAL)]
        end_s = (now_s + self.clock_s) // self.interval_s * self.interval_s - age * self.interval_s - self.clock_s
        self.polls += 1
        per_lane = [self._seen(n, end_s - self.interval_s, end_s=end_s) for n in range(len(self.lanes))]
        half = max(len(per_lane) // max(self.approaches, 1), 1)
        groups = per_lane + [
            list(chain.from_iterable(per_lane[k * half : (k + 1) * half])) for k in range(self.approaches)
        ]
        bodies = []
        for number, seen in enumerate(groups):
            data, said = self._summary(seen, lanes=1 if number < len(self.lanes) else half)
            part = f"lane{number + 1}" if number < len(self.lanes) else f"approach{number - len(self.lanes) + 1}"
            self.note(Served(self.name, now_s, self.polls, said, part))
            head = bytes([_INTERVAL, number, READ]) + body[3:6] + stamp(end_s + self.clock_s)
            bodies.append(head + data + bytes([len(self.lanes), self.approaches]))
        return bodies

    def _seen(self, lane: int, start_s: float, *, end_s: float) -> list[Vehicle]:
        course = self.lanes[lane]
        passed = passing_times(course.passed, start_s=start_s, end_s=end_s)
        return [vehicle(course, at_s, lane=lane + 1) for at_s in passed]

    def _summary(self, seen: list[Vehicle], *, lanes: int) -> tuple[bytes, dict[str, float]]:
        speed = KMH_PER_MPH if not self.metric else 1.0
        speeds = sorted(v.speed_kmh for v in seen)
        mean = fixed24(sum(speeds) / len(speeds) / speed if speeds else None)
        fast = fixed24(speeds[min(int(0.85 * len(speeds)), len(speeds) - 1)] / speed if speeds else None)
        busy_s = sum((v.length_m + _LOOP_M) / (v.speed_kmh / 3.6) for v in seen)
        occupancy = min(round(busy_s / self.interval_s / lanes * 100 * 256), 100 * 256)
        classes = [sum(v.klass == k for v in seen) for k in range(4)]
        headway_ms = round(1000 * self.interval_s * lanes / len(seen)) if seen else 0
        gap_ms = round(headway_ms - 1000 * busy_s / len(seen)) if seen else 0
        numbers = [len(seen), *classes, headway_ms, max(gap_ms, 0)]
        said: dict[str, float] = {}
        occupancy_raw = _ERRORS + 1 if "occupancy_error" in self.odd else occupancy
        raw = [number.to_bytes(3, "big") for number in numbers]
        if not self.odd.isdisjoint({"no_speed", "negative_speed"}):
            mean = fast = fixed24(None if "no_speed" in self.odd else -19.25)
            speeds = []
        data = mean + raw[0] + occupancy_raw.to_bytes(2, "big") + b"".join(raw[1:5]) + fast + raw[5] + raw[6]
        if "negative_speed" in self.odd:
            said = {"speed": -19.25 * speed, "speed_p85": -19.25 * speed}
        said |= {"vehicle_count": float(len(seen))} | (
            {"occupancy": occupancy / 256} if occupancy_raw < _ERRORS else {}
        )
        said |= {f"vehicle_count_c{k + 1}": float(count) for k, count in enumerate(classes)}
        if seen:
            said |= {"headway": headway_ms / 1000, "gap": max(gap_ms, 0) / 1000}
        if speeds:
            said |= {"speed": _number(mean) * speed, "speed_p85": _number(fast) * speed}
        return data, said

    def _event(self, now_s: float) -> bytes:
        start_s = max(self.events_to_s if self.events_to_s is not None else now_s - 10, now_s - 60)
        self.events_to_s = now_s
        fresh = [v for n in range(len(self.lanes)) for v in self._seen(n, start_s, end_s=now_s)]
        self.events.extend(sorted(fresh, key=lambda v: v.at_s))
        if not self.events:
            return bytes([_EVENT, 0, READ]) + bytes(20)
        v = self.events.popleft()
        speed, length = (1.0, 1.0) if self.metric else (KMH_PER_MPH, M_PER_FT)
        raw_speed, raw_length, raw_range = (
            fixed24(v.speed_kmh / speed),
            fixed16(v.length_m / length),
            fixed16((4 + 3.2 * v.lane) / length),
        )
        duration_ms = round(1000 * (v.length_m + _LOOP_M) / (v.speed_kmh / 3.6))
        self.polls += 1
        said = {
            "speed": _number(raw_speed) * speed,
            "length": int.from_bytes(raw_length, "big") / 256 * length,
            "range": int.from_bytes(raw_range, "big") / 256 * length,
            "duration": duration_ms / 1000,
            "vehicle_class": float(v.klass),
        }
        self.note(Served(self.name, now_s, self.polls, said, f"lane{v.lane}"))
        head = bytes([_EVENT, 1, READ]) + stamp(v.at_s + self.clock_s) + bytes([v.lane])
        return head + raw_range + duration_ms.to_bytes(3, "big") + raw_speed + bytes([v.klass]) + raw_length


def _number(raw: bytes) -> float:
    """The positive number of a valid fixed24."""
    return (int.from_bytes(raw[:2], "big") & 0x7FFF) + raw[2] / 256
