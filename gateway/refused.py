"""What a journal with a full memory could not take: counted per device and stream, told once it takes entries again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.clock import rfc3339
from gateway.reading import Event

Key = tuple[str, str]


@dataclass(slots=True)
class _Count:
    """Times (UTC ms) and number of what was refused of one device and stream."""

    first_ms: int
    last_ms: int
    n: int = 0


class Refused:
    """Numbers were not issued for any of it, so no other record shows the hole; the gap event does."""

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch
        self._counts: dict[Key, _Count] = {}

    def add(self, device: str, stream: str, *, t_ms: int) -> None:
        """One record was refused."""
        was = self._counts.setdefault((device, stream), _Count(t_ms, t_ms))
        was.first_ms, was.last_ms, was.n = min(was.first_ms, t_ms), max(was.last_ms, t_ms), was.n + 1

    def gaps(self, t_ms: int) -> Iterator[tuple[Key, Event]]:
        """A gap event for each device and stream; `forget` it once it is in the journal."""
        for (device, stream), what in list(self._counts.items()):
            text = {
                "en": f"{what.n} records of {device}/{stream} did not fit into the full journal",
                "th": f"ข้อมูล {what.n} รายการของ {device}/{stream} ลงบันทึกไม่ได้เพราะเต็ม",
            }
            body = {
                "stream": stream, "reason": "full", "from": rfc3339(what.first_ms), "to": rfc3339(what.last_ms),
                "n": what.n, "epoch": self._epoch, "seq": None,
            }  # fmt: skip
            ident = f"gap-{device}-{stream}-{what.first_ms}"
            yield (device, stream), Event(device, t_ms, ident, "gap", "CG-JRN-04", "info", 2, text, body)

    def forget(self, key: Key) -> None:
        """It has been told."""
        self._counts.pop(key, None)
