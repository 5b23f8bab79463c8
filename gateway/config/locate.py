"""Where each key of a TOML text stands: the line numbers that tomllib does not give.

A small scanner, lenient on purpose: it also walks texts that tomllib refuses, so that both places of a
table declared twice can be named. It knows the four kinds of strings, comments, arrays over several
lines, inline tables and dotted keys; values themselves are tomllib's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

Path: TypeAlias = tuple[str, ...]
_KEY = re.compile(r"""[ \t]*(?:"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)'|([A-Za-z0-9_-]+))[ \t]*""")
_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)+")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}|\'\'\'(?:[^\']|\'(?!\'\'))*\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL
)
_BARE = re.compile(r"[^\s,\]}#]+(?: [0-9][0-9:.Z+-]*)?")
_DEPTH: Final = 32


@dataclass(slots=True)
class _Scan:
    text: str
    at: int = 0
    found: list[tuple[Path, int]] = field(default_factory=list)
    counted: tuple[int, int] = (0, 1)

    def line(self) -> int:
        at, line = self.counted
        self.counted = (self.at, line + self.text.count("\n", at, self.at))
        return self.counted[1]

    def blank(self) -> None:
        match = _BLANK.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def next_line(self) -> None:
        end = self.text.find("\n", self.at)
        self.at = len(self.text) if end < 0 else end + 1

    def key(self) -> Path:
        """A dotted key at the present place; empty where there is none."""
        parts: list[str] = []
        while match := _KEY.match(self.text, self.at):
            parts.append(next(group for group in match.groups() if group is not None))
            self.at = match.end()
            if not self.text.startswith(".", self.at):
                break
            self.at += 1
        return tuple(parts)

    def value(self, path: Path) -> None:
        while self.text.startswith((" ", "\t"), self.at):
            self.at += 1
        head = self.text[self.at : self.at + 1]
        if head in {"[", "{"} and len(path) < _DEPTH:
            self.at += 1
            self.inside(path, "]" if head == "[" else "}")
        elif match := _STRING.match(self.text, self.at) or _BARE.match(self.text, self.at):
            self.at = match.end()

    def inside(self, path: Path, close: str) -> None:
        """The items of an array, or the pairs of an inline table, up to `close`."""
        index = 0
        while True:
            self.blank()
            start = self.at
            if start >= len(self.text) or self.text[start] == close:
                self.at += 1
                return
            if close == "]":
                self.found.append(((*path, str(index)), self.line()))
                self.value((*path, str(index)))
                index += 1
            else:
                self.pair(path)
            self.blank()
            if self.text.startswith(",", self.at):
                self.at += 1
            elif self.at == start:
                return

    def pair(self, table: Path) -> None:
        line = self.line()
        key = self.key()
        if not key or not self.text.startswith("=", self.at):
            return
        self.at += 1
        self.found.append(((*table, *key), line))
        self.value((*table, *key))


def occurrences(text: str) -> Iterator[tuple[Path, int]]:
    """Every key, table header and array item of `text` with its line (from 1), in the order of the text."""
    scan = _Scan(text.replace("\r\n", "\n"))
    table: Path = ()
    while True:
        scan.blank()
        if scan.at >= len(scan.text):
            break
        if scan.text.startswith("[", scan.at):
            line = scan.line()
            scan.at += 2 if scan.text.startswith("[[", scan.at) else 1
            table = scan.key()
            scan.found.append((table, line))
        else:
            scan.pair(table)
        scan.next_line()
    yield from scan.found


def lines(text: str) -> Mapping[Path, int]:
    """The line (from 1) of the first occurrence of every key path of `text`, tables above a key included."""
    first: dict[Path, int] = {}
    for path, line in occurrences(text):
        for length in range(1, len(path) + 1):
            first.setdefault(path[:length], line)
    return first


def nearest_line(places: Mapping[Path, int], path: Path) -> int:
    """The line of `path`, or of the closest table above it; 1 where nothing is known."""
    for length in range(len(path), 0, -1):
        if path[:length] in places:
            return places[path[:length]]
    return 1
