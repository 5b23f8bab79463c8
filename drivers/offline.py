"""The pure core of `citygate decode`: recorded bytes in, one finding per frame out. No port, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any, Final

from drivers.errors import DeviceRefused, ProfileError
from drivers.profile import Profile, load, shipped
from drivers.sample import FIRST_BAD, Code, Sample
from drivers.uart.family import Facts
from drivers.uart.registry import families, family
from drivers.uart.rows import Rows
from drivers.uart.stream import Ear, Heard

PORTION: Final = 4096  # bytes fed at once, so that a long file costs no more than it must

# Family of the captures -> the profiles that speak it; the first is decoded with, all are tried for values.
CAPTURE_FAMILIES: Final = {
    "plantower-pmsx003": ("plantower-pms5003",),
    "plantower-pms3003": ("plantower-pms3003",),
    "plantower-pms5003t": ("plantower-pms5003t",),
    "wavetronix-ss125": ("wavetronix-ss125", "wavetronix-ss125-events"),
    "omnipresense-ops243": ("omnipresense-ops243",),
    "nova-sds011": ("nova-sds011",),
    "nova-sds198": ("nova-sds198",),
    "sensirion-sps30": ("sensirion-sps30",),
    "honeywell-hpma115c0": ("honeywell-hpma115c0",),
    "winsen-mhz19b": ("winsen-mhz19b",),
    "bosch-bme680-mcu680": ("bosch-bme680-mcu680",),
    "gill-windsonic": ("gill-windsonic",),
    "dsmr-p1": ("dsmr-p1", "easymeter-q3d"),
    "iec62056-21": ("iec62056-21",),
    "dlms-hdlc": ("kaifa-ma304",),
}


@dataclass(frozen=True, slots=True)
class Found:
    """One frame, or one rejected candidate, in recorded bytes.

    `values` and `quality` follow the records of contracts.md (`v`, `q`), `fields` holds all that the frame says.
    """

    offset: int
    size: int
    ok: bool
    values: Mapping[str, float] = field(default_factory=dict)
    quality: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    part: str = ""
    code: str = ""
    reason: str = ""

    def row(self) -> dict[str, Any]:
        """The JSON object that `citygate decode` prints."""
        if not self.ok:
            return {"offset": self.offset, "size": self.size, "ok": False, "code": self.code, "reason": self.reason}
        row: dict[str, Any] = {"offset": self.offset, "size": self.size, "ok": True}
        row |= {"v": dict(self.values), "q": dict(self.quality), "fields": dict(self.fields)}
        return row | ({"part": self.part} if self.part else {})


def stream_profiles(name: str) -> tuple[Profile, ...]:
    """The stream profiles meant by `name`: a profile, or a family of captures (with - or _).

    Raises:
        ProfileError: `name` is neither.
    """
    dashed = name.replace("_", "-")
    names = CAPTURE_FAMILIES.get(dashed) or (dashed,)
    found = [load(each) for each in names]
    if any(profile.speaks == "modbus" for profile in found):
        raise ProfileError(f"{dashed} speaks Modbus: its registers are decoded with the request they answer")
    return tuple(found)


def knows_stream(name: str) -> bool:
    """Whether `decode_stream` can take `name`."""
    dashed = name.replace("_", "-")
    names = CAPTURE_FAMILIES.get(dashed) or (dashed,)
    return all(each in shipped() and load(each).speaks != "modbus" for each in names)


def decode_stream(name: str, data: bytes) -> list[Found]:
    """Everything found in `data`, the recorded stream of one device of profile or capture family `name`.

    Raises:
        ProfileError: there is no such profile.
    """
    profiles = stream_profiles(name)
    ear = Ear(family(profiles[0].family), profiles[0].variant)
    rows = [Rows(profile) for profile in profiles]
    heard: list[Heard] = []
    for at in range(0, len(data), PORTION):
        heard += ear.feed(data[at : at + PORTION])
    heard += ear.finish()
    return [found for item in heard for found in _found(item, rows)]


def _found(heard: Heard, rows: list[Rows]) -> list[Found]:
    offset, size = heard.piece.offset, len(heard.piece.data)
    if heard.error is not None:
        code = "CG-DEV-02" if isinstance(heard.error, DeviceRefused) else "CG-DEV-01"
        return [Found(offset, size, ok=False, code=code, reason=heard.error.fact)]
    return [_of_facts(facts, rows, offset=offset, size=size) for facts in heard.facts or (Facts({}),)]


def _of_facts(facts: Facts, rows: list[Rows], *, offset: int, size: int) -> Found:
    for each in rows:
        sample = each.sample(facts, 0)
        if sample is not None:
            points = each.profile.points(facts.part)
            rounded = tuple(round(value, point.digits) for value, point in zip(sample.values, points, strict=True))
            values, quality = record([point.name for point in points], replace(sample, values=rounded))
            return Found(offset, size, ok=True, values=values, quality=quality, fields=facts.fields, part=facts.part)
    return Found(offset, size, ok=True, fields=facts.fields, part=facts.part)


def record(names: list[str], sample: Sample) -> tuple[dict[str, float], dict[str, str]]:
    """`v` and `q` of a sample whose points are `names`: `v` holds only what is good or uncertain."""
    values = {
        name: value
        for name, value, code in zip(names, sample.values, sample.codes, strict=True)
        if code < FIRST_BAD and isfinite(value)
    }
    quality = {name: Code(code).text for name, code in zip(names, sample.codes, strict=True) if code}
    if len(quality) == len(names) > 1 and len(set(quality.values())) == 1:
        quality = {"*": next(iter(quality.values()))}
    return values, quality


__all__ = ["CAPTURE_FAMILIES", "Found", "decode_stream", "families", "knows_stream", "record", "stream_profiles"]
