"""Older configs brought to today's schema: line by line, so that comments, order and blanks stay as they are. Pure.

A step leads from one schema number to the next and renames keys of tables; what needs a decision of a person is no step
but a fault of `check`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

CURRENT: Final = 1


@dataclass(frozen=True, slots=True)
class Step:
    """From schema `since` to the next: `renames` are (table pattern, old key, new key); "" is the top level."""

    since: int
    renames: tuple[tuple[str, str, str], ...] = ()


STEPS: Final = (Step(0),)  # 0: files from before `schema` was asked for
_TABLE: Final = re.compile(r"\s*\[+\s*([^\]]+?)\s*\]+")
_SCHEMA: Final = re.compile(r"(?m)^(\s*schema\s*=\s*)(\d+)")


def schema_of(text: str) -> int:
    """The schema number that a config file states at its top level, 0 where it states none."""
    head = re.split(r"(?m)^\s*\[", text, maxsplit=1)[0]
    found = _SCHEMA.search(head)
    return int(found[2]) if found else 0


def migrated(text: str, *, main: bool, since: int, steps: Sequence[Step] = STEPS, current: int = CURRENT) -> str:
    """The text of one file in schema `current`; `main` is the file that states it (gateway.toml)."""
    for step in steps:
        if since <= step.since < current:
            text = _renamed(text, step.renames)
    if not main:
        return text
    if schema_of(text):
        head, *rest = re.split(r"(?m)(?=^\s*\[)", text, maxsplit=1)
        return _SCHEMA.sub(lambda found: f"{found[1]}{current}", head, count=1) + "".join(rest)
    return f"schema = {current}" + ("\r\n" if "\r\n" in text else "\n") + text


def _renamed(text: str, renames: Sequence[tuple[str, str, str]]) -> str:
    table, out = "", []
    for line in text.splitlines(keepends=True):
        head = _TABLE.match(line)
        table = head[1] if head else table
        out.append(line)
        for pattern, old, new in renames:
            if not head and re.fullmatch(pattern, table):
                out[-1] = re.sub(rf"^(\s*){re.escape(old)}(\s*=)", rf"\g<1>{new}\g<2>", out[-1])
    return "".join(out)
