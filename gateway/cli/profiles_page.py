"""The device pages of the documentation, made from the profiles: pure text, so that a test can hold them in step.

python -m gateway.cli.profiles_page docs/devices
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from drivers.profile import Profile, Row, load, shipped, where

HEAD: Final = (
    "<!-- Made from drivers/profiles by `python -m gateway.cli.profiles_page docs/devices`: edit the profile. -->"
)
KINDS: Final = {
    "air": "Air",
    "traffic": "Traffic",
    "energy": "Energy",
    "water": "Water",
    "weather": "Weather",
    "noise": "Noise",
}
PROVEN: Final = {
    "recorded": "Bytes recorded from a device decode to their stated values; the rest of the map follows the source.",
    "manual": "From the maker's manual or from drivers in daily use; not checked here against bytes of a device.",
    "untested": "From a single or weak source. Compare the first readings with the device's display.",
}
SPEAKS: Final = {
    "modbus": "Modbus, polled",
    "poll": "its own protocol, polled",
    "push": "its own protocol, talks by itself",
}
_UNIT: Final = re.compile(r"\bunit (\d+)")
PARTS: Final = {"": "", "lane": "lane1", "channel": "ch1"}


def pages() -> dict[str, str]:
    """All pages by file name, the index among them."""
    profiles = [load(name) for name in shipped()]
    return {f"{profile.id}.md": page(profile) for profile in profiles} | {"README.md": index(profiles)}


def index(profiles: Iterable[Profile]) -> str:
    """The list of known devices by field."""
    known = sorted(profiles, key=lambda profile: profile.id)
    lines = [HEAD, "", "# Known devices", "", "How to add one: [add-a-device](../add-a-device.md).", ""]
    for kind, title in KINDS.items():
        rows = [
            (f"[{profile.id}]({profile.id}.md)", f"{profile.maker} {profile.model}", profile.proven)
            for profile in known
            if profile.kind == kind
        ]
        if rows:
            lines += [f"## {title}", "", *_table(("profile", "device", "proven"), rows), ""]
    return "\n".join(lines)


def page(profile: Profile) -> str:
    """One device: how to wire and set it, what it tells, what to know about it, how far that is proven."""
    lines = [
        HEAD,
        "",
        f"# {profile.maker} {profile.model}",
        "",
        f"Profile `{profile.id}`, version {profile.version}.",
        "",
    ]
    lines += [*_table(("", ""), list(_facts(profile))), ""]
    lines += ["## Config", "", "```toml", *_config(profile), "```", ""]
    for part, label in (("", "Points"), ("lane", "Points of each lane"), ("channel", "Points of each channel")):
        if any(row.part == part for row in profile.rows):
            head = ("point", "", "", "unit", "kind", "read from", "valid")
            lines += [f"## {label}", "", *_table(head, list(_points(profile, part))), ""]
    if profile.quirks:
        lines += ["## Good to know", "", *(f"- {quirk}" for quirk in profile.quirks), ""]
    if profile.fingerprint:
        lines += ["## Known by", "", *(f"- `{mark.read}`: {mark.means}" for mark in profile.fingerprint), ""]
    lines += [
        "## How far proven",
        "",
        f"{profile.proven}: {PROVEN[profile.proven]}",
        "",
        f"Source: {profile.source}",
        "",
    ]
    return "\n".join(lines)


def _facts(profile: Profile) -> Iterator[tuple[str, str]]:
    limits = profile.limits
    yield "speaks", SPEAKS[profile.speaks]
    yield "line", ", ".join(f"`{line}`" for line in profile.wire.lines)
    if profile.wire.tcp_port is not None:
        yield "TCP port", str(profile.wire.tcp_port)
    if profile.wire.note:
        yield "wiring", profile.wire.note
    yield "period", f"{profile.every_s:g} s" if profile.every_s else "one record per event"
    if profile.warmup_s:
        yield "warm-up", f"{profile.warmup_s:g} s"
    if profile.silence_s:
        yield "may be silent for", f"{profile.silence_s:g} s"
    if profile.quality:
        yield "plausibility", ", ".join(f"`{name} = {limit:g}`" for name, limit in profile.quality.items())
    if profile.speaks == "modbus":
        yield "registers per read", str(limits.max_registers) + (", from even addresses" if limits.even_start else "")
        yield "undefined registers", "may be read across" if limits.hole else "are never read across"
        yield "time-out", f"{limits.timeout_ms} ms at first, then learned"
        if limits.turnaround_ms:
            yield "rest between requests", f"{limits.turnaround_ms} ms"
        if not limits.retry:
            yield "repeated reads", "never: a read changes the device"


def _config(profile: Profile) -> Iterator[str]:
    yield f"[device.my-{profile.kind}]"
    yield 'bus = "..."'
    yield f'profile = "{profile.id}"'
    if profile.speaks == "modbus":
        told = _UNIT.search(profile.wire.note)
        yield f"unit = {told[1] if told else 1}"
    if profile.speaks != "push" and profile.every_s:
        yield f'every = "{profile.every_s:g}s"'
    if any(row.part == "lane" for row in profile.rows):
        yield 'lanes = { 1 = { en = "inbound", th = "ขาเข้า" } }'


def _points(profile: Profile, part: str) -> Iterator[tuple[str, ...]]:
    rows = profile.rows_of(PARTS[part])
    for row, point in zip(rows, profile.points(PARTS[part]), strict=True):
        valid = "" if point.valid is None else f"{point.valid[0]:.12g} .. {point.valid[1]:.12g}"
        yield f"`{point.name}`", point.en, point.th, point.unit, point.kind, _from(row), valid


def _from(row: Row) -> str:
    if row.read is None:
        return f"`{row.field}`".replace("|", "\\|")
    place = where(row.read)
    order = f" {place.order}" if place.order != "ABCD" and place.count > 1 else ""
    return f"{place.table} {place.address} (0x{place.address:04X}) {place.type}{order}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *rows)]


def write(folder: Path) -> int:
    """Write all pages into `folder`, remove pages of profiles that are gone; the number of pages."""
    folder.mkdir(parents=True, exist_ok=True)
    made = pages()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")
    for path in folder.glob("*.md"):
        if path.name not in made and path.read_text(encoding="utf-8").startswith(HEAD):
            path.unlink()
    return len(made)


if __name__ == "__main__":
    print(f"{write(Path(sys.argv[1]))} pages")
