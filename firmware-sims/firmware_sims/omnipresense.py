"""OmniPreSense OPS243 Doppler radar: lines of speeds, plain or JSON, and its two-letter settings (devices.md 6.5)."""

from __future__ import annotations

import json
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from firmware_sims.city_day import Lane
from firmware_sims.day import passing_times
from firmware_sims.device import Answers, Note, Served, forget
from firmware_sims.framing import Dress
from firmware_sims.vehicles import Vehicle, vehicle

# Letter of the U command -> name in the data, and how many of it make one m/s.
_UNITS: Final = {"M": ("mps", 1.0), "K": ("kmph", 3.6), "S": ("mph", 1 / 0.44704), "C": ("cmps", 100.0),
                 "F": ("fps", 1 / 0.3048)}  # fmt: skip
_SIGHT_S: Final = 1.1  # a vehicle is seen this long before it passes
_LINE_S: Final = 0.1
_AHEAD_S: Final = 10.0
_LOOK_S: Final = 5.0
DRESS: Final = Dress()
BANNER: Final = (
    b'{"Product":"OPS243"}\r\n{"Version":"1.4.4"}\r\n{"SamplingRate":20000, "resolution":0.2722}\r\n'
    b'{"Git":"f46b3e5"}\r\n'
)


@dataclass
class _Line:
    at_s: float
    speed_mps: float
    magnitude: float
    last_of: Vehicle | None = None


@dataclass
class OPS243:
    """A radar that looks at one lane; every fourth vehicle drives away from it (negative speed).

    Settings as after power-on: m/s, one decimal, plain lines, inbound only (`R+`). `flags` holds the letters of
    O commands that are on (J JSON, M magnitude, T time, U units, N objects, C object records).
    """

    name: str
    lane: Lane
    unit: str = "M"
    flags: set[str] = field(default_factory=set)
    direction: str = "+"
    decimals: int = 1
    note: Note = forget
    polls: int = 0
    on_s: float | None = None
    quirks: frozenset[str] = frozenset({"quoted", "chatty"})
    odd: set[str] = field(default_factory=set)
    looked_to_s: float | None = None
    lines: deque[_Line] = field(default_factory=lambda: deque(maxlen=4096), repr=False)
    buffer: bytearray = field(default_factory=bytearray, repr=False)

    def speak(self, now_s: float) -> tuple[bytes, float]:
        """All lines due now."""
        self.on_s = now_s if self.on_s is None else self.on_s
        self._look(now_s)
        out = b""
        while self.lines and self.lines[0].at_s <= now_s:
            line = self.lines.popleft()
            if line.at_s > now_s - 1:  # nothing is kept for a reader that was away
                out += self._text(line, now_s)
        next_s = self.lines[0].at_s if self.lines else now_s + _LOOK_S
        return out, min(next_s, now_s + _LOOK_S)

    def _look(self, now_s: float) -> None:
        start_s = max(self.looked_to_s if self.looked_to_s is not None else now_s + _SIGHT_S, now_s - 5)
        end_s = now_s + _AHEAD_S + _SIGHT_S
        if end_s - start_s < _LOOK_S:
            return
        self.looked_to_s = end_s
        fresh: list[_Line] = []
        for at_s in passing_times(self.lane.passed, start_s=start_s, end_s=end_s):
            fresh += self._sighting(vehicle(self.lane, at_s, lane=1))
        self.lines.extend(sorted(fresh, key=lambda line: line.at_s))

    def _sighting(self, seen: Vehicle) -> list[_Line]:
        dice = random.Random(round(seen.at_s * 1000))
        sign = -1 if dice.random() < 0.25 else 1
        if (sign > 0 and self.direction == "-") or (sign < 0 and self.direction == "+"):
            return []
        steps = int(_SIGHT_S / _LINE_S)
        lines = []
        for step in range(steps):
            speed_mps = sign * seen.speed_kmh / 3.6 * (1 + 0.01 * dice.uniform(-1, 1))
            lines.append(_Line(seen.at_s - _SIGHT_S + step * _LINE_S, speed_mps, 40 + 60 * step + dice.uniform(0, 20)))
        lines[-1].last_of = seen
        return lines

    def _text(self, line: _Line, now_s: float) -> bytes:
        name, factor = _UNITS[self.unit]
        speed = round(line.speed_mps * factor, self.decimals)
        self.polls += 1
        said = {"speed": abs(speed) / factor * 3.6, "direction": float((speed > 0) - (speed < 0))}
        members: dict[str, object] = {}
        if "T" in self.flags:
            members["time"] = f"{now_s - (self.on_s or now_s):.3f}"
        if "U" in self.flags:
            members["unit"] = name
        if "M" in self.flags:
            members["magnitude"] = round(line.magnitude, 1)
            said["magnitude"] = round(line.magnitude, 1)
        members["speed"] = str(speed) if "quoted" in self.odd else speed
        self.note(Served(self.name, now_s, self.polls, said))
        if "J" in self.flags:
            text = json.dumps(members, separators=(",", ":"))
        else:
            text = ",".join(f'"{m}"' if m == name else str(m) for m in members.values())
        if "chatty" in self.odd:  # settings echoed and plain text between the reports
            text = f'{{"OutputFeature":"J"}}\r\nTargets: 1 of 9\r\n{text}'
        records = self._record(line.last_of, now_s) if line.last_of and "C" in self.flags else ""
        return f"{text}\r\n{records}".encode()

    def _record(self, seen: Vehicle, now_s: float) -> str:
        mps = round(seen.speed_kmh / 3.6, 2)
        members = {
            "classifier": "object_inbound",
            "end_time": f"{now_s:.3f}",
            "start_time": f"{now_s - _SIGHT_S:.3f}",
            "delta_time_msec": round(_SIGHT_S * 1000),
            "max_speed_mps": mps,
            "min_speed_mps": round(mps * 0.98, 2),
            "length_m": round(seen.length_m, 1),
        }
        return json.dumps(members, separators=(",", ":")) + "\r\n"

    def hear(self, data: bytes, now_s: float) -> Answers:
        """Commands: two characters, or with a number up to CR; settings answer with a line of JSON."""
        self.buffer += data
        answers: Answers = []
        while self.buffer:
            if self.buffer[0] in b"\r\n":
                del self.buffer[:1]
                continue
            size = 2
            if self.buffer[1:2] and self.buffer[1] in b"><=":
                size = self.buffer.find(b"\r") + 1
            if not size or len(self.buffer) < size:
                break
            command = bytes(self.buffer[:size]).decode("latin-1")
            del self.buffer[:size]
            answer = self._obey(command)
            answers += [(0.01, answer)] if answer else []
        del self.buffer[:-64]
        return answers

    def _obey(self, command: str) -> bytes:
        group, letter = command[0], command[1]
        if group == "O" and letter.upper() in "JMTUNCS":
            (self.flags.add if letter.isupper() else self.flags.discard)(letter.upper())
            return f'{{"OutputFeature":"{letter}"}}\r\n'.encode()
        if group == "U" and letter in _UNITS:
            self.unit = letter
            return f'{{"Units":"{_UNITS[letter][0]}"}}\r\n'.encode()
        if group == "F" and letter in "012345":
            self.decimals = int(letter)
            return f'{{"Precision":{letter}}}\r\n'.encode()
        if group == "R" and letter in "+-|":
            self.direction = letter
            return f'{{"Direction":"{letter}"}}\r\n'.encode()
        return BANNER if command in {"??", "?V"} else b""
