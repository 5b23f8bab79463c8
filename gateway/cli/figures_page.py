"""docs/figures.md, made from the tables of the product: figures, quality codes, device options, alarms.

python -m gateway.cli.figures_page docs/figures.md
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import gateway.catalogue
from gateway.catalogue import entry
from gateway.config.options import OPTIONS, THRESHOLDS
from gateway.qualities import dictionary

TABLE: Final = Path(gateway.catalogue.__file__).with_name("figures.toml")
HEAD: Final = (
    "<!-- Made by `python -m gateway.cli.figures_page docs/figures.md` from gateway/catalogue/figures.toml,\n"
    "gateway/qualities.toml, gateway/config/options.py and gateway/catalogue/codes.toml: edit those. -->"
)
CHECKS: Final = (
    ("range", "`b:range`", "every value against the profile's range of the device", "always"),
    ("sentinel", "`b:sentinel`", 'numbers that the maker reserves for "no value"; NaN and infinity', "always"),
    ("failed read", "`b:timeout` `b:exception` `b:crc` `b:absent`", "the cause, as the driver saw it", "always"),
    ("stale", "`b:stale`", "a device that talks by itself has fallen silent", "always"),
    ("size classes", "`u:suspect`", "PM1 <= PM2.5 <= PM4 <= PM10", "always"),
    ("leap", "`u:jump`", "a register rose faster than it can; the difference is unknown", "unit, option `rated_kw`"),
    ("warm-up", "`u:warmup`", "after the device began to answer, or answered again", "profile, option"),
    ("stuck", "`u:stuck`", "unchanged for too long", "profile, option"),
    ("rate of change", "`u:jump`", "faster than a limit from the last value that was not bad (QARTOD)", "option"),
    ("spike", "`u:jump`", "far from the median of the last five not bad; a step is believed after three", "option"),
    ("power", "`u:suspect`", "V x I x PF against W, per phase", "option `power_share`"),
    ("totals", "`u:suspect`", "a total against its phases; vehicle classes against all", "option `total_share`"),
    ("calibration", "`u:calibration`", "the certificate has expired, or does not cover the value", "calibration"),
    ("clock", "`u:clock`", "the time of measurement is only known within bounds", "always"),
    ("estimated", "`u:estimated`", "simulated history", "demo"),
    ("corrected", "`u:corrected`", "a value changed in place; corrections of today are figures beside it", "never yet"),
)  # fmt: skip
ABOUT_FIGURES: Final = """\
A figure stands in the records of its step, under `i`, with its rule's name. Windows are made in the lengths of
`[windows] lengths`, by default `1m`, `15m` and `1h`, and a sink takes those of its `streams`, by default these and
`event`. So what stands in `1d` needs `"1d"` in both lists, and beside it `"15m"` (energy) or `"1m"` (`detector_health`)
in `lengths`, of which it is made; power quality in the ten minutes of IEC needs `"10m"` in both. `1d` is the local day.

An hour counts with 75 % of its polls, a span with 75 % of its hours: a new air sensor has its first `aqi_th` by
particles, `mean_24h_...` and `who_...` after 18 hours, `nowcast_...` after 2.
"""
ALARMS: Final = tuple(f"CG-ALM-0{number}" for number in range(1, 8))
ABOUT_ALARMS: Final = """\
A rule is a table `[alarm.ID]`: `devices` (patterns of outside devices), and one of

| keys | raised when |
|---|---|
| `point` or `figure`, with `above` and/or `below` | the value is beyond a limit; three limits are levels 1, 2, 3 |
| `point` or `figure`, with `rise` and/or `fall`, `within` | it changed by more than that within the time |
| `demand` (kW) | the running 15-minute block will end above it |
| `absent`, perhaps with `point` | no usable value came for that long |

| more keys | by default | meaning |
|---|---|---|
| `devices` | `["*"]` | which outside devices |
| `level` | 2 | 1, 2 or 3: that of a single limit, and of an absence |
| `delay_on` | none (`demand`: 60 s) | unbroken evidence that raises it |
| `delay_off` | none (`point`: 10 s) | unbroken evidence that clears it |
| `margin` | 0 (`demand`: 5 % of the limit) | how far inside the limit a value must come back |
| `within` | `1h` | the time of `rise` and `fall` |
| `stream` | the shortest windows that carry it | the windows whose `figure` is watched, of `[windows] lengths` |

A `point` is watched in every reading, a `figure` in the windows of `stream`. A failed read is no evidence: it neither
raises nor clears a limit. `absent` knows no `delay_on` and no `margin`: they change nothing there; `delay_off` counts
from the first usable value. A rule `absent` (60 s, at least five periods) stands over every device unless the config
has one of this name.

The event's `id` is `alarm-{ID}-{device}`, a dash of the rule's ID twice: the same for raising and clearing.
Absences are folded: into the alarm of a lost wire, into `alarm-absent-bus-...` where all devices of a bus are silent,
into `alarm-absent-gateway` (level 3) where all buses are; the single events then carry `folded_into`. What outlasts its
cause is told by itself. What stands is kept in the journal and told again after a start.
"""


@cache
def figures() -> Mapping[str, Mapping[str, Any]]:
    """The table of figures by name; `{...}` in a name stands for a point or class."""
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def page() -> str:
    """The whole page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield from (HEAD, "", "# Figures, quality, alarms", "")
    yield from ("What the gateway computes, doubts and tells, by which rule and from which source.", "")
    yield from (
        "## Figures",
        "",
        ABOUT_FIGURES,
    )
    rows = [
        (
            f"`{name}`",
            row["steps"],
            row["unit"],
            ", ".join(f"`{rule}`" for rule in row["rules"]),
            row["en"],
            row["source"],
        )
        for name, row in figures().items()
    ]
    yield from _table(("figure", "windows", "unit", "rule", "what it is", "source"), rows)
    yield from _quality()
    yield from ("", "## Alarms", "", ABOUT_ALARMS)
    told = [(code, row.fact["en"], row.more["en"]) for code in ALARMS if (row := entry(code)) is not None]
    yield from _table(("code", "fact", "more"), told)
    yield ""


def _quality() -> Iterator[str]:
    yield from ("", "## Quality", "", "Checks mark, they never delete. The worst code of a value stands.", "")
    yield from _table(("check", "code", "what it looks at", "where it comes from"), CHECKS)
    yield from ("", "Codes and their twins in other worlds:", "")
    codes = [
        (
            f"`{text}`",
            str(row["code"]),
            f"{row['opcua']} {row['opcua_status']}",
            str(row["qartod"]),
            row["en"],
            row["th"],
        )
        for text, row in dictionary().items()
    ]
    yield from _table(("code", "number", "OPC UA", "QARTOD", "meaning", "ความหมาย"), codes)
    yield from ("", "## Calibration", "", CALIBRATION, "## Options of a device", "")
    yield from ("Numbers in `options` of `[device.ID]`; an unknown name is a fault.", "")
    options = [*OPTIONS.items(), *((f"<point>_{suffix}", text) for suffix, text in THRESHOLDS.items())]
    yield from _table(("option", "meaning"), [(f"`{name}`", text) for name, text in options])


CALIBRATION: Final = """\
`[device.ID.calibration.POINT]` holds `gain` and `offset`, or a `table` of `[raw, true]` pairs (straight lines between
them, the outer ones going on), with `date` and perhaps `expires` and `by`. The device's own range is judged first, then
the value is calibrated; such a point has one more decimal, and its curve stands in `{device}/meta`, so the raw value
can be had back. Beyond the table, outside of the device's range, or after the last day the value is `u:calibration`.
"""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
