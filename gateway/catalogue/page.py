"""The page of all codes for the documentation: python -m gateway.catalogue.page docs/errors.md."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.catalogue.table import Entry, codes

HEAD: Final = "<!-- Made from gateway/catalogue/codes.toml by `python -m gateway.catalogue.page docs/errors.md`. -->"
GROUPS: Final = {
    "BUS": "Wires", "LNK": "Answers of one device", "DEV": "Devices", "VAL": "Values", "CFG": "Config",
    "DEC": "Decoding", "CLK": "Time", "JRN": "Journal", "SNK": "Sinks", "MQT": "MQTT", "INF": "InfluxDB",
    "NGS": "NGSI-LD", "SPB": "Sparkplug", "ALM": "Alarms", "WEB": "Live page", "SYS": "System",
    "USE": "The command itself",
}  # fmt: skip


def page() -> str:
    """All codes by group, in English and Thai, as `citygate help CODE` tells them."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from (HEAD, "", "# Error codes", "")
    yield "`citygate help CODE` tells the same offline, `--lang th` in Thai. `<name>` stands for what it happened to."
    used = {code[3:6] for code in codes()}
    for name in (*(name for name in GROUPS if name in used), *sorted(used - set(GROUPS))):
        yield from ("", f"## {GROUPS.get(name, name)}")
        for code, entry in sorted(codes().items()):
            if code[3:6] == name:
                yield from _entry(entry)


def _entry(entry: Entry) -> Iterator[str]:
    yield from ("", f"### {entry.code}")
    for lang in ("en", "th"):
        causes = [_plain(text[lang]) for text in entry.likely]
        yield from ("", f"**{_plain(entry.fact[lang])}**", "")
        yield from (f"{rank}. {text}" for rank, text in enumerate(causes, 1))
        yield from (("",) if causes else ())
        yield f"- **{'do' if lang == 'en' else 'ทำ'}** {_plain(entry.do[lang])}"
        yield f"- {_plain(entry.more[lang])}"


def _plain(text: str) -> str:
    return re.sub(r"\{([a-z_]+)\}", r"&lt;\1&gt;", text.replace("<", "&lt;"))


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
