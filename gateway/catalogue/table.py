"""The table codes.toml as frozen types, and a fault put into words or into JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from gateway.catalogue.fault import Fault

LANGUAGES: Final = ("en", "th")
Text = Mapping[str, str]
_BRACES = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One code of the catalogue; every text in English and Thai. `likely` is ranked and holds at most three."""

    code: str
    fact: Text
    likely: tuple[Text, ...]
    do: Text
    more: Text


@cache
def _table() -> Mapping[str, Any]:
    import tomllib  # noqa: PLC0415 - only a fault that is shown pays for it

    return tomllib.loads(Path(__file__).with_name("codes.toml").read_text(encoding="utf-8"))


@cache
def codes() -> Mapping[str, Entry]:
    """All entries by their code."""
    rows = _table()
    return {
        code: Entry(code, row["fact"], tuple(row.get("likely", ())), row["do"], row["more"])
        for code, row in rows.items()
        if code != "word"
    }


@cache
def figure_names() -> tuple[str, ...]:
    """All figures by name (figures.toml); a part in braces, such as "aqi_th_{pollutant}", stands for a word."""
    import tomllib  # noqa: PLC0415 - only an alarm on a figure asks

    return tuple(tomllib.loads(Path(__file__).with_name("figures.toml").read_text(encoding="utf-8")))


def entry(code: str) -> Entry | None:
    """The entry of `code` (upper or lower case), or None where there is none."""
    return codes().get(code.upper())


def word(text: str, lang: str) -> str:
    """`@name` as the word of that name in `lang`; any other text as it is."""
    if not text.startswith("@"):
        return text
    found = _table()["word"].get(text[1:])
    return text[1:] if found is None else str(found[lang])


def filled(template: str, args: Mapping[str, str], *, lang: str) -> str:
    """`template` with its braces filled from `args`; a brace without an argument shows as `?`."""
    return _BRACES.sub(lambda found: word(args.get(found[1], "?"), lang), template)


def worded(code: str, *, name: str, seen: str, over: bool = False) -> dict[str, str]:
    """An event's text in all languages: `name` and the fact of `code` (or that it is `over`), with what was seen."""
    row = entry(code)
    args = {"endpoint": name, "device": name}
    texts = {}
    for lang in LANGUAGES:
        fact = word("@over", lang) if over else filled(row.fact[lang], args, lang=lang) if row else code
        texts[lang] = f"{name}: {fact} ({seen})" if seen and seen != fact else f"{name}: {fact}"
    return texts


def spoken(fault: Fault, lang: str) -> dict[str, Any]:
    """The fault as one object, the same in JSON, on the page and in the docs; texts in `lang`.

    Keys: code, level ("error" or "warning"), fact, likely (list), do, more; at and seen where there is something.
    """
    row = entry(fault.code)
    facts: Text = row.fact if row else {}
    likely = [filled(text[lang], fault.args, lang=lang) for text in row.likely] if row else []
    if fault.nearest:
        likely = [filled(word("@meant", lang), {"nearest": fault.nearest}, lang=lang), *likely][:3]
    do = fault.do or (filled(row.do[lang], fault.args, lang=lang) if row else "")
    told: dict[str, Any] = {
        "code": fault.code,
        "level": "warning" if fault.warning else "error",
        "fact": fault.fact or filled(facts.get(lang, fault.code), fault.args, lang=lang),
        "at": fault.at,
        "seen": fault.seen,
        "likely": likely,
        "do": do,
        "more": f"citygate help {fault.code}",
    }
    return {key: value for key, value in told.items() if value or key in {"likely", "do"}}
