"""How the command line talks: stdout is data, stderr is talk; colour on a terminal only; JSON on request."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from gateway.catalogue import Fault
from gateway.catalogue.table import spoken

_COLOURS: Final = {"red": "31", "yellow": "33", "green": "32", "blue": "36", "bold": "1", "dim": "2"}
_INDENT: Final = 10
_NARROW: Final = 40
_WIDEST: Final = 110


@dataclass(frozen=True, slots=True)
class Face:
    """The global options of one call.

    `config` is a file or folder (None: /etc/citygate); `lang` "en" or "th"; `verbosity` counts -v.
    """

    config: Path | None = None
    json: bool = False
    lang: str = "en"
    color: bool = True
    verbosity: int = 0

    def pick(self, en: str, th: str) -> str:
        """The text in the chosen language."""
        return th if self.lang == "th" else en

    def data(self, text: str = "") -> None:
        """One line of data, to stdout."""
        print(text)

    def prose(self, text: str) -> None:
        """A sentence of data, to stdout, wrapped on a terminal."""
        for line in wrapped(text, self.width(), first=0, rest=0) if sys.stdout.isatty() else [text]:
            print(line)

    def talk(self, text: str = "") -> None:
        """A sentence for people, to stderr; wrapped on a terminal."""
        for line in wrapped(text, self.width(), first=0, rest=0) if sys.stderr.isatty() else [text]:
            print(line, file=sys.stderr)

    def emit(self, thing: object) -> None:
        """One JSON object on one line of stdout. JSON has no NaN and no infinity: they become null."""
        try:
            text = _dumps(thing)
        except ValueError:
            text = _dumps(_finite(thing))
        print(text)

    def paint(self, text: str, colour: str, *, stream: TextIO | None = None) -> str:
        """`text` in a colour where the stream is a terminal that wants colours; else as it is."""
        out = sys.stdout if stream is None else stream
        if not self.color or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb" or not out.isatty():
            return text
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"

    def width(self) -> int:
        """Columns of the terminal, at least 40; the widest text we write is 110 columns."""
        return max(_NARROW, min(_WIDEST, shutil.get_terminal_size((100, 24)).columns))

    def faults(self, faults: Sequence[Fault], *, stream: TextIO | None = None) -> None:
        """Show faults: as text to `stream` (stderr unless told), or with --json one object a line to stdout."""
        out = sys.stderr if stream is None else stream
        for fault in faults:
            told = spoken(fault, self.lang)
            if self.json:
                self.emit({"schema": 1, "fault": told})
                continue
            for line in self._lines(told, out, alone=len(faults) == 1):
                print(line, file=out)

    def _lines(self, told: Mapping[str, Any], stream: TextIO, *, alone: bool) -> Iterator[str]:
        """The fault as text. Places and commands are never cut: they are clicked and copied."""
        bare = f"{told['level']}[{told['code']}]"
        head = self.paint(bare, "red" if told["level"] == "error" else "yellow", stream=stream)
        rows = wrapped(told["fact"], self.width(), first=cells(bare) + 2, rest=2)
        yield f"{head}: {rows[0]}"
        yield from rows[1:]
        likely = told["likely"]
        ranked = [f"{rank}. {text}" if len(likely) > 1 else text for rank, text in enumerate(likely, 1)]
        texts = [("at", told.get("at", "")), ("seen", told.get("seen", "")), *(("likely", text) for text in ranked)]
        texts += [("do", told["do"]), ("more", told["more"] if alone else "")]
        last = ""
        for label, text in texts:
            if text:
                rows = [text] if label == "at" else wrapped(text, self.width(), first=_INDENT, rest=_INDENT)
                mark = self.paint(f"{'' if label == last else label:<8}", "dim", stream=stream)
                yield f"  {mark}{rows[0]}"
                yield from rows[1:]
            last = label

    def facts(self, rows: Sequence[tuple[str, str]]) -> None:
        """Labelled texts to stdout, wrapped to the width; a label that repeats stands once."""
        wide = min(14, max((cells(label) for label, _text in rows), default=0)) + 4
        last = ""
        for label, text in rows:
            lines = wrapped(text, self.width(), first=wide, rest=wide)
            self.data(f"  {padded('' if label == last else label, wide - 2)}{lines[0]}")
            for line in lines[1:]:
                self.data(line)
            last = label

    def table(self, rows: Sequence[Sequence[str]], *, head: Sequence[str] = (), right: Sequence[int] = ()) -> None:
        """Columns to stdout. Where they do not fit the width, each row becomes a small block: no value is cut."""
        everything = [head, *rows] if head else list(rows)
        if not everything:
            return
        widths = [max(cells(row[index]) for row in everything) for index in range(len(everything[0]))]
        if sum(widths) + 2 * (len(widths) - 1) > self.width() and sys.stdout.isatty():
            self._blocks(rows, head)
            return
        for number, row in enumerate(everything):
            parts = [
                padded(text, width, right=index in right)
                for index, (text, width) in enumerate(zip(row, widths, strict=True))
            ]
            line = "  ".join(parts).rstrip()
            self.data(self.paint(line, "bold") if head and number == 0 else line)

    def _blocks(self, rows: Sequence[Sequence[str]], head: Sequence[str]) -> None:
        for row in rows:
            self.data(row[0])
            for index, text in enumerate(row[1:], 1):
                label = f"  {head[index] + ' ' if head else ''}"
                for number, line in enumerate(wrapped(text, self.width(), first=cells(label), rest=4) if text else ()):
                    self.data(line if number else label + line)


_dumps: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str, allow_nan=False).encode


def _finite(thing: object) -> object:
    if isinstance(thing, float):
        return thing if math.isfinite(thing) else None
    if isinstance(thing, Mapping):
        return {key: _finite(value) for key, value in thing.items()}
    return [_finite(value) for value in thing] if isinstance(thing, list | tuple) else thing


def cells(text: str) -> int:
    """Columns that `text` takes on a terminal: combining marks (Thai vowels, tones) take none, wide letters two."""
    return sum(
        0
        if unicodedata.category(char) in {"Mn", "Me", "Cf"}
        else 2
        if unicodedata.east_asian_width(char) in {"W", "F"}
        else 1
        for char in text
    )


def padded(text: str, width: int, *, right: bool = False) -> str:
    """`text` filled with blanks to `width` columns."""
    blank = " " * max(0, width - cells(text))
    return blank + text if right else text + blank


def wrapped(text: str, width: int, *, first: int, rest: int) -> list[str]:
    """Lines of at most `width` columns, broken between words; words longer than a line stay whole.

    The first line begins at column `first` (not written here); the others carry `rest` blanks.
    """
    lines = [""]
    room = width - first
    for word in text.split(" "):
        line = lines[-1]
        if line.strip() and cells(line) + 1 + cells(word) > room:
            lines.append(" " * rest + word)
            room = width
        else:
            lines[-1] = f"{line} {word}" if line.strip() else line + word
    return lines
