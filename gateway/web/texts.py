"""The page's words in English and Thai: one file, `static/texts.json`, read here and by the page itself."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

LANGUAGES = ("en", "th")


@cache
def texts() -> dict[str, dict[str, str]]:
    """Key to words by language."""
    path = Path(__file__).parent / "static" / "texts.json"
    found: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def say(key: str, lang: str, **parts: object) -> str:
    """The words of `key`, with its parts filled in; the key itself where there are none."""
    row = texts().get(key)
    text = key if row is None else row.get(lang, row["en"])
    for name, part in parts.items():
        text = text.replace("{" + name + "}", str(part))
    return text
