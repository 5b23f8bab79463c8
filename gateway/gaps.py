"""Gap events: what a full or damaged journal let go of, with exact counts and ranges (contracts.md, Records)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.clock import rfc3339
from gateway.reading import Event
from gateway.record import Record


class Whose(NamedTuple):
    """What went: `records` that a sink had not had, its dead `letters`, or `samples` without a time."""

    what: str
    sink: str
    device: str
    stream: str
    epoch: str | None


@dataclass(slots=True)
class Hole:
    """How many of these, and their first and last times (UTC ms) and numbers."""

    n: int = 0
    times: tuple[int, int] | None = None
    seqs: tuple[int, int] | None = None


def widen(holes: dict[Whose, Hole], whose: Whose, *, record: Record) -> None:
    """One more record of these has gone."""
    hole = holes.setdefault(whose, Hole())
    hole.n += 1
    times, seqs = hole.times, hole.seqs
    hole.times = (min(times[0], record.t_ms), max(times[1], record.t_ms)) if times else (record.t_ms, record.t_ms)
    hole.seqs = (min(seqs[0], record.seq), max(seqs[1], record.seq)) if seqs else (record.seq, record.seq)


_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "records": (
        "{n} records of {device}/{stream} were dropped before sink {sink} had them",
        "ข้อมูล {n} รายการของ {device}/{stream} ถูกทิ้งก่อนส่งถึง {sink}",
    ),
    "letters": (
        "{n} dead letters of {device}/{stream} for sink {sink} were dropped: the journal is full",
        "จดหมายตีกลับ {n} รายการของ {device}/{stream} สำหรับ {sink} ถูกทิ้ง: เจอร์นัลเต็ม",
    ),
    "samples": (
        "{n} samples of {device}/{stream} were dropped before their time was known",
        "ตัวอย่าง {n} รายการของ {device}/{stream} ถูกทิ้งก่อนทราบเวลา",
    ),
}


def gap(whose: Whose, hole: Hole, *, now_ms: int) -> Event:
    """The gap event that names what will never come; samples without a time have no range and no numbers."""
    facts = {"n": hole.n, "device": whose.device, "stream": whose.stream, "sink": whose.sink}
    english, thai = (text.format_map(facts) for text in _WORDS[whose.what])
    kind = "" if whose.what == "records" else f"{whose.what}-"
    first = hole.seqs[0] if hole.seqs else now_ms
    times = [None, None] if hole.times is None else [rfc3339(t_ms) for t_ms in hole.times]
    return Event(
        whose.device, now_ms, f"gap-{kind}{whose.sink}-{whose.device}-{whose.stream}-{whose.epoch}-{first}", "gap",
        "CG-JRN-04", "info", level=2, text={"en": english, "th": thai},
        body={
            "stream": whose.stream, "reason": "full", "sink": whose.sink, "from": times[0], "to": times[1],
            "n": hole.n, "epoch": whose.epoch, "seq": None if hole.seqs is None else [*hole.seqs],
        },
    )  # fmt: skip


def corrupt(holes: list[tuple[int, int]], *, waiting: dict[str, int], now_ms: int) -> Event:
    """The gap event of what a damaged journal lost: positions, and how many records of them each sink still waited for.

    Nobody can tell their streams, times and numbers any more.
    """
    first, end, n = holes[0][0], holes[-1][1], sum(end - first for first, end in holes)
    return Event(
        "_gateway", now_ms, f"gap-corrupt-{first}-{end}", "gap", "CG-JRN-03", "info",
        level=2,
        text={
            "en": f"{n} records of the journal are damaged and were skipped",
            "th": f"ข้ามระเบียนที่เสียหายในเจอร์นัล {n} รายการ",
        },
        body={
            "stream": "*", "reason": "corrupt", "from": None, "to": None, "n": n, "epoch": None, "seq": None,
            "positions": [first, end - 1], "waiting": waiting,
        },
    )  # fmt: skip
