"""Line protocol read back: what our own encoder writes, as series, time and fields."""

from __future__ import annotations

import re
from typing import Final

from gateway.audit import Key, Row, Unreadable, Value
from gateway.record import Record
from gateway.sinks import Site
from gateway.sinks.line_protocol import LineProtocol

# A name or value may hold any character behind a backslash; a string field anything but a bare quote.
_HEAD: Final = re.compile(r"((?:[^\\, ]|\\.)+)((?:,(?:[^\\,= ]|\\.)+=(?:[^\\, ]|\\.)+)*) ")
_TAG: Final = re.compile(r",((?:[^\\,= ]|\\.)+)=((?:[^\\, ]|\\.)+)")
_FIELD: Final = re.compile(r'((?:[^\\,= ]|\\.)+)=("(?:[^"\\]|\\.)*"|[^, ]+)(,| )')
_BACKSLASH: Final = re.compile(r"\\([,= ])")
_QUOTED: Final = re.compile(r'\\(["\\])')


def parse(text: str) -> tuple[str, dict[str, str], dict[str, Value], int]:
    """Measurement, tags, fields and time (in the unit it was written in) of one line. Raises `Unreadable`."""
    head = _HEAD.match(text)
    if head is None:
        raise Unreadable(f"not a line: {text[:80]!r}")
    tags = {_plain(name): _plain(value) for name, value in _TAG.findall(head[2])}
    fields: dict[str, Value] = {}
    at = head.end()
    while True:
        found = _FIELD.match(text, at)
        if found is None:
            raise Unreadable(f"no field at column {at}: {text[at : at + 80]!r}")
        fields[_plain(found[1])] = _value(found[2])
        at = found.end()
        if found[3] == " ":
            break
    time = text[at:].strip()
    if not time.lstrip("-").isdecimal():
        raise Unreadable(f"no time: {text[at : at + 80]!r}")
    return _plain(head[1]), tags, fields, int(time)


def _plain(text: str) -> str:
    return _BACKSLASH.sub(r"\1", text)


def _value(text: str) -> Value:
    if text.startswith('"'):
        return _QUOTED.sub(r"\1", text[1:-1])
    if text in {"true", "false"}:
        return text == "true"
    return int(text[:-1]) if text.endswith("i") else float(text)


class Lines:
    """Records as our own line protocol puts them, for readers of any server that takes it."""

    def __init__(self, site: Site, *, points: tuple[str, ...], rev_tag: bool) -> None:
        self.rev_tag = rev_tag
        self._encoder = LineProtocol(site, points=points, rev_tag=rev_tag)
        self.measurements: dict[Key, str] = {}

    def row(self, record: Record) -> Row | None:
        """The record's fields; None where no line is written for it."""
        text = self._encoder.encode(record)
        if not text:
            return None
        measurement, _tags, fields, t_ms = parse(text)
        self.measurements[Key(record.device, record.stream)] = measurement
        return Row(t_ms, record.rev, fields)
