"""Server-sent events: a snapshot, then deltas, a beat where nothing changes. No device is told more than once a second.

How often the stream looks for changes is its source's (docs/decisions/0012-city-view-ticks.md): once a second for one
gateway; more often for a city, where each change of a device that was told within the last second waits for its end.
Every delta is encoded once and kept for 60 s; a page that comes back with Last-Event-ID gets what it missed, or a new
snapshot. Event ids are "<start of this process>-<number>", so an id of another process is never taken for one of ours.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from gateway.clock import Clock, rfc3339
from gateway.web.picture import Picture

EACH_S: Final = 1.0
KEPT_S: Final = 60.0
BEAT_S: Final = 10.0
RETRY_MS: Final = 2000
_encode: Final = msgspec.json.Encoder().encode


class Stream:
    """Turns changes of a picture into events; `follow` is one page's share of them."""

    def __init__(self, picture: Picture, *, clock: Clock, mark: str, tick_s: float = EACH_S) -> None:
        self.followers = 0
        self._picture = picture
        self._clock = clock
        self._mark = mark
        self._tick_s = tick_s
        self._apart_s = EACH_S if tick_s < EACH_S else 0.0
        self._number = 0
        self._deltas: deque[tuple[int, bytes]] = deque(maxlen=round(KEPT_S / tick_s))
        self._news = asyncio.Event()
        self._ended = False

    async def run(self) -> None:
        """Look for changes every `tick_s` seconds, for ever."""
        while True:
            await asyncio.sleep(self._tick_s)
            self.tick()

    def tick(self) -> None:
        """Pack what changed into one delta and wake the pages."""
        changes = self._picture.take(self._clock.mono_ns() / 1e9, apart_s=self._apart_s)
        if changes:
            self._number += 1
            body = _encode({"t": rfc3339(self._clock.wall_ms()), **changes})
            self._deltas.append((self._number, self._event("delta", body)))
        self._wake()

    def end(self) -> None:
        """Let every page go: the process is about to stop."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _event(self, name: str, body: bytes) -> bytes:
        return b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (self._mark.encode(), self._number, name.encode(), body)

    def _snapshot(self) -> bytes:
        body = _encode({"t": rfc3339(self._clock.wall_ms()), **self._picture.snapshot()})
        return self._event("snapshot", body)

    def _seen(self, last_id: str) -> int | None:
        """The number in a Last-Event-ID of ours that can be followed up; None where a snapshot is needed."""
        mark, _, number = last_id.rpartition("-")
        if mark != self._mark or not (number.isascii() and number.isdigit()) or len(number) > 12:
            return None
        oldest = self._deltas[0][0] if self._deltas else self._number + 1
        return int(number) if oldest - 1 <= int(number) <= self._number else None

    async def follow(self, last_id: str = "") -> AsyncIterator[bytes]:
        """The events of one page, until `end`. A page that is 60 s behind gets a snapshot instead."""
        self.followers += 1
        loop = asyncio.get_running_loop()
        try:
            yield b"retry: %d\n\n" % RETRY_MS
            seen = self._seen(last_id)
            beat_s = loop.time()
            while not self._ended:
                news = self._news
                if seen is None or (self._deltas and seen < self._deltas[0][0] - 1):
                    seen, event = self._number, self._snapshot()
                elif seen < self._number:
                    seen += 1
                    event = self._deltas[seen - self._deltas[0][0]][1]
                elif loop.time() - beat_s >= BEAT_S:
                    event = b'event: beat\ndata: {"t":"%s"}\n\n' % rfc3339(self._clock.wall_ms()).encode()
                else:
                    await news.wait()
                    continue
                beat_s = loop.time()
                yield event
        finally:
            self.followers -= 1
