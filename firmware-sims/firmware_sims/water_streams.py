"""Level, wind: MaxBotix and DFRobot rangers of other ranges, Gill WindSonic (devices.md 4.5, 7.1, 7.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Final

from firmware_sims import ultrasonic
from firmware_sims.framing import Dress
from firmware_sims.kind import Kind
from firmware_sims.quantities import canal, street
from firmware_sims.streams import Stream, Told, xor


@dataclass(frozen=True, slots=True)
class Ranger:
    """Form of the line, millimetres per unit, nearest and farthest reading in units (the farthest = no target)."""

    form: bytes
    mm: int
    nearest: int
    farthest: int


RANGERS: Final = {
    "maxbotix-hrxl-10m": Ranger(b"R%04d\r", 1, 500, 9999),
    "maxbotix-xl": Ranger(b"R%03d\r", 10, 20, 765),
}


def _ranger(name: str, model: Ranger, seed: int, _unit: int) -> Stream:
    water = canal(seed)

    def frame(_stream: Stream, now_s: float) -> Told:
        raw = min(max(round(1000 * (water(now_s)["distance"] or 0.0) / model.mm), model.nearest), model.farthest)
        good = model.nearest < raw < model.farthest
        return model.form % raw, {"": {"distance": raw * model.mm / 1000}} if good else {}

    return Stream(name, frame, period_s=0.15)


def _a02(seed: int, _unit: int) -> Stream:
    water = canal(seed)

    def frame(_stream: Stream, now_s: float) -> Told:
        raw = min(max(round(1000 * (water(now_s)["distance"] or 0.0)), 30), 4500)
        return ultrasonic.a01_frame(raw), {"": {"distance": raw / 1000}} if 30 < raw < 4500 else {}

    return Stream("dfrobot-a02yyuw", frame, period_s=0.1)


def _windsonic(seed: int, _unit: int) -> Stream:
    air = street(seed)

    def frame(_stream: Stream, now_s: float) -> Told:
        now = air(now_s)
        speed, direction = f"{now['wind_speed'] or 0.0:06.2f}", f"{round(now['wind_direction'] or 0.0) % 360:03d}"
        body = f"Q,{direction},{speed},M,00,".encode()
        said = {"wind_speed": float(speed), "wind_direction": float(direction)}
        return b"\x02" + body + b"\x03%02X\r\n" % xor(body), {"": said}

    return Stream("gill-windsonic", frame)


def _org815(seed: int, _unit: int) -> Stream:
    """Rain at a steady rate, so that rate and accumulation agree; the accumulation comes round at 1000 mm."""
    rate = 0.25 + seed % 7

    def _reply(_stream: Stream, _match: re.Match[bytes], now_s: float) -> Told:
        total = f"{now_s / 3600 * rate % 999:07.3f}"
        return f"R- {rate:4.2f} {total}\r".encode(), {
            "": {"rain_rate": float(f"{rate:.2f}"), "rain_total": float(total)}
        }

    return Stream("optical-org-815", replies=[(re.compile(b"A"), _reply)])


def kinds() -> dict[str, Kind]:
    """The sensors of this file, by their profile's name."""
    found = {name: Kind(partial(_ranger, name, model), dress=Dress()) for name, model in RANGERS.items()}
    found["dfrobot-a02yyuw"] = Kind(_a02, dress=ultrasonic.A01_DRESS)
    found["optical-org-815"] = Kind(_org815, dress=Dress())
    found["gill-windsonic"] = Kind(_windsonic, dress=Dress())
    return found
