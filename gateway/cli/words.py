"""Help and usage faults in the chosen language: click's pages with the texts of thai.toml, its errors as our faults.

Texts are looked up when a page is written, so that `--lang th` counts wherever it stands before `--help`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import click

from gateway.catalogue.fault import Fault
from gateway.cli.face import wrapped


def language(chosen: str | None) -> str:
    """The chosen language, else that of the environment: "en" or "th"."""
    if chosen:
        return chosen
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if os.environ.get(name):
            return "th" if os.environ[name].lower().startswith("th") else "en"
    return "en"


@cache
def _table() -> Mapping[str, str]:
    import tomllib

    return tomllib.loads(Path(__file__).with_name("thai.toml").read_text(encoding="utf-8"))


def thai(text: str) -> str:
    """The Thai text for an English one; the English one where there is none (a test sees to it that there is)."""
    return _table().get(" ".join(text.split()), text)


NARROW: Final = 60


class Narrow(click.HelpFormatter):
    """A help page for a phone: each option above its text."""

    def write_dl(self, rows: Iterable[tuple[str, str]], *sizes: int, **named: int) -> None:
        """Options with their texts, in two columns where there is room for them."""
        if self.width >= NARROW:
            super().write_dl(list(rows), *sizes, **named)
            return
        for first, text in rows:
            self.write(f"{' ' * self.current_indent}{first}\n")
            for line in wrapped(text, self.width, first=6, rest=6):
                self.write(f"{'' if line.startswith(' ' * 6) else ' ' * 6}{line}\n")


class Page(Narrow):
    """A help page in Thai."""

    def write_usage(self, prog: str, *given: Any, **named: Any) -> None:
        """The first line."""
        super().write_usage(prog, *given, **{**named, "prefix": "การใช้งาน: "})

    def write_heading(self, heading: str) -> None:
        """Options, verbs."""
        super().write_heading(thai(heading))

    def write_text(self, text: str) -> None:
        """What the verb does."""
        super().write_text(thai(text))

    def write_dl(self, rows: Iterable[tuple[str, str]], *sizes: int, **named: int) -> None:
        """Options with their texts; "[default: 10.0]" is click's own."""
        super().write_dl([(first, _told(text)) for first, text in rows], *sizes, **named)


def _told(text: str) -> str:
    words, gap, extra = text.rpartition("  [")
    if not gap:
        return thai(text)
    for name in ("default", "required"):
        extra = extra.replace(name, thai(name))
    return f"{thai(words)}  [{extra}"


class Told(click.Context):
    """A context whose pages come in the language of the call."""

    def make_formatter(self) -> click.HelpFormatter:
        """As click does, in Thai where that is chosen."""
        chosen = getattr(self.find_root().obj, "lang", None) or language(None)
        self.formatter_class = Page if chosen == "th" else Narrow
        self.terminal_width = max(40, min(100, shutil.get_terminal_size((100, 24)).columns))
        return super().make_formatter()


class Misuse(click.UsageError):
    """A call that cannot be understood, in both languages."""

    def __init__(self, en: str, th: str, *, nearest: str = "") -> None:
        super().__init__(en)
        self.texts = {"en": en, "th": th}
        self.nearest = nearest


def misused(error: click.ClickException, lang: str) -> Fault:
    """Click's error, or our own, as a fault; what click says in English is the evidence."""
    if isinstance(error, Misuse):
        return Fault("CG-USE-01", fact=error.texts[lang], nearest=error.nearest, do=_help(error))
    if isinstance(error, click.NoSuchOption):
        near = next(iter(error.possibilities or ()), "")
        return Fault("CG-USE-02", {"option": error.option_name}, nearest=near, do=_help(error))
    if isinstance(error, click.MissingParameter):
        return Fault("CG-USE-03", {"name": _name(error)}, do=_help(error))
    if isinstance(error, click.BadParameter):
        return Fault("CG-USE-04", {"name": _name(error)}, seen=error.message, do=_help(error))
    return Fault("CG-USE-01", fact=error.message if lang == "en" else "", seen=error.message, do=_help(error))


def _name(error: click.BadParameter) -> str:
    parameter: Any = error.param
    return "?" if parameter is None else str(parameter.get_error_hint(error.ctx)).replace("'", "")


def _help(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path} --help" if context is not None else "citygate --help"
