"""Writes a segment anew: sealed, or sealed with fewer entries. Blocking; runs beside the commits, in any thread.

The new file is written and synced under a name of its own and then gets the name of its level; the old one goes with
the next commit. A crash between leaves both, and the old one counts. A segment with damage in it is left as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

from gateway.journal import Entry
from gateway.journal.disk import Disk
from gateway.journal.reader import Reader
from gateway.journal.sealed import Sealer, encode_sealed, span_of
from gateway.journal.segment import (
    BLOCK,
    ENTRY,
    HOLE,
    MARK,
    PREAMBLE,
    TORN,
    Segment,
    decode_mark,
    file_name,
)

Importance = Callable[[Entry], int]
WHOLE: Final = 1  # the level of a sealed segment that holds all it ever did


class _Survey:
    """What stands around a segment's entries, and whether they are all there."""

    def __init__(self, reader: Reader, segment: Segment, *, end: int) -> None:
        self.preamble: list[tuple[int, bytes]] = []
        self.marks: dict[str, bytes] = {}
        expected, sound = segment.first, True
        for found in reader.everything(segment):
            if found.role == BLOCK:
                sound &= found.position == expected
                expected = found.position + span_of(found)
            elif found.role == ENTRY and not segment.level:
                sound &= found.position == expected
                expected = found.position + 1
            elif found.role == PREAMBLE:
                self.preamble.append((found.kind, found.payload))
            elif found.role == MARK:
                name, data = decode_mark(found.payload)
                self.marks[name] = data
            elif found.role in {HOLE, TORN}:
                sound = False
        self.sound = sound and expected == end


def rewrite(
    disk: Disk, segment: Segment, *, reader: Reader, end: int, level: int, importance: Importance, sealer: Sealer
) -> tuple[Segment, list[Entry]] | None:
    """The segment [first, end) at a level, on disk, and the entries that it no longer holds; None where it is damaged.

    Entries with an importance below `level - WHOLE` go, then also marks: old ones serve only where newer are damaged.
    Raises OSError, and then nothing of it is left.
    """
    survey = _Survey(reader, segment, end=end)
    if not survey.sound:
        return None
    gone: list[Entry] = []

    def kept() -> Iterator[Entry]:
        for found in reader.everything(segment):
            if found.role == ENTRY:
                entry = Entry(found.position, found.kind, found.payload)
                if level > WHOLE and importance(entry) < level - WHOLE:
                    gone.append(entry)
                else:
                    yield entry

    name = file_name(segment.generation, level)
    new = Segment(
        name, segment.uuid, segment.generation, segment.first, segment.created, 0, segment.checksum, level=level
    )  # fmt: skip
    marks = {mark: data for mark, data in survey.marks.items() if data and level == WHOLE}
    try:
        data = encode_sealed(new, preamble=survey.preamble, marks=marks, entries=kept(), end=end, sealer=sealer)
    except ValueError:
        return None
    _write(disk, name, data)
    return new, gone


def _write(disk: Disk, name: str, data: bytes) -> None:
    file = disk.create(name + ".new")
    try:
        file.write(data, offset=0)
        file.sync()
        disk.rename(name + ".new", name)
        disk.sync_folder()
    except OSError:
        for left in (name + ".new", name):
            with contextlib.suppress(OSError):
                disk.remove(left)
        raise
    finally:
        with contextlib.suppress(OSError):
            file.close()
