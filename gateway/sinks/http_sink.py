"""What all HTTP sinks do: a bounded queue, one request at a time in a thread of its own, the fate of every line.

400 and 422 may mean that one line of many is bad: the batch is halved until the bad ones stand alone; they become dead
letters, all others are delivered. Sending a line again is harmless where the peer keys by identity and time.

A peer that refuses everything (a proxy before it, a database that is gone) buries nothing: before a record is buried,
the peer has to have taken something just now; else it is asked to take a canary, and is down if it does not.
"""

from __future__ import annotations

import asyncio
import http.client
import ssl
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from gateway.config import Sink as Options
from gateway.sinks import UNFIT, Fate, Parcel, Settle, SinkDown, Site
from gateway.sinks.credentials import Credentials, Files, read
from gateway.sinks.http_write import WHOLE_S, Answer, Poster
from gateway.sinks.renewal import SECRET_FILES, TLS_FILES, Stamp, renewed, stamp

WINDOW: Final = 4000
REASON_CHARS: Final = 300
REFUSED_PARTS: Final = frozenset({400, 413, 422})  # halve, or bury the last line
BURIED_MAX: Final = 20  # so many records may be buried behind one that was taken, then the canary has to be taken again


@dataclass(frozen=True, slots=True)
class Line:
    """One record as it is written: its place in the journal, its text, and what names its subject at the peer."""

    position: int
    text: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Codes:
    """The catalogue codes of one kind of peer."""

    away: str
    door: str
    address: str
    less: str
    tls: str


_T = TypeVar("_T")


class HttpSink:
    """The frame; a kind of peer says how to greet, encode, cut a batch, post it and read the answer."""

    window = WINDOW
    linger_s = 1.0
    codes: Codes

    def __init__(self, name: str, *, config: Options, site: Site, files: Files) -> None:
        self.name = name
        self.config = config
        self.site = site
        self.url = ""
        self.sent_bytes = 0
        self.waiting: deque[Line] = deque(maxlen=2 * WINDOW)
        self._files = files
        self._first_url = 0
        self._settle: Settle = lambda _position, _fate, _reason: None
        self._held = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._thread: ThreadPoolExecutor | None = None
        self._poster: Poster | None = None
        self._worker: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._unfit = ""  # what is wrong with renewed files
        self._may_bury = 0
        self._down: SinkDown | None = SinkDown("not connected", code=self.codes.away)

    # What a kind of peer says:

    def headers(self, card: Credentials) -> dict[str, str]:
        """The headers of every request."""
        raise NotImplementedError

    async def greet(self) -> None:
        """Prove that address, credentials and destination are right. Raises `SinkDown`."""
        await self.canary()

    async def canary(self) -> Answer:
        """Write something of our own, as records are written. Raises `SinkDown` where it is not taken."""
        raise NotImplementedError

    def encode(self, parcel: Parcel) -> Line:
        """One record as it is written. Raises `UNFIT`."""
        raise NotImplementedError

    def batch(self) -> list[Line]:
        """What goes into the next request, taken from `waiting`."""
        raise NotImplementedError

    async def post(self, part: Sequence[Line]) -> Answer:
        """Send some lines."""
        raise NotImplementedError

    def fates(self, part: Sequence[Line], answer: Answer) -> list[tuple[Fate, str]] | None:
        """The fate of every line where `answer` settles them; None where it settles none."""
        raise NotImplementedError

    # What the shipper sees:

    async def open(self, settle: Settle) -> None:
        """Greet one url; the next `open` takes the next one if this fails."""
        self._settle = settle
        urls = self.config.urls
        if not urls:
            raise SinkDown("no url is configured", code=self.codes.away)
        self.url = urls[self._first_url % len(urls)]
        self._first_url += 1
        since = await asyncio.to_thread(stamp, self.config, self._files, keys=self._keys())
        card = await asyncio.to_thread(read, self.config, self._files, tls=self.url.startswith("https:"))
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"sink-{self.name}")
        self._poster = self._made(card)
        await self.greet()
        self._first_url -= 1
        self.waiting.clear()
        self._held = 0
        self._down = None
        self._worker = asyncio.create_task(self._work(), name=f"ship:{self.name}:post")
        if since:
            self._renewing = asyncio.create_task(self._renew(since), name=f"ship:{self.name}:files")

    def _keys(self) -> tuple[str, ...]:
        """The options whose files count here."""
        return SECRET_FILES + (TLS_FILES if self.url.startswith("https:") else ())

    def _made(self, card: Credentials) -> Poster:
        headers = self.headers(card) | {"User-Agent": f"citygate/{self.site.version}"}
        poster = Poster(self.url, headers=headers, tls=card.tls)
        poster.count = self._count
        return poster

    def _count(self, size_bytes: int) -> None:
        self.sent_bytes += size_bytes

    async def _renew(self, since: Stamp) -> None:
        """Take up renewed certificates and secrets: the next request goes over a new connection."""
        keys, tls = self._keys(), self.url.startswith("https:")
        while True:
            card, since = await renewed(
                self.config, self._files, since=since, tls=tls, keys=keys, tell=self._note_unfit
            )  # fmt: skip
            self._note_unfit("")
            old, self._poster = self._poster, self._made(card)
            if old is not None and self._thread is not None:
                self._thread.submit(old.close)

    def _note_unfit(self, text: str) -> None:
        self._unfit = text

    def warning(self) -> str:
        """What is wrong with renewed files; empty if all is well."""
        return self._unfit

    async def send(self, parcels: Sequence[Parcel]) -> None:
        """Encode and queue; waits while the window is full."""
        for parcel in parcels:
            while self._held >= self.window and self._down is None:
                self._room.clear()
                self._wake.set()
                await self._room.wait()
            down = self.down()
            if down is not None:
                raise down
            try:
                line = self.encode(parcel)
            except UNFIT as error:
                self._settle(parcel.position, Fate.DEAD, f"it cannot be encoded: {error}")
            else:
                self.waiting.append(line)
                self._held += 1
        self._wake.set()

    async def health(self, report: Mapping[str, object]) -> None:
        """Not written: the health of a gateway travels over MQTT."""

    async def close(self) -> None:
        """Stop posting and let go; what has no answer yet stays waiting."""
        tasks = {task for task in (self._worker, self._renewing) if task is not None}
        self._worker = self._renewing = None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        thread, self._thread = self._thread, None
        if thread is not None:
            if self._poster is not None:
                thread.submit(self._poster.close)
            thread.shutdown(wait=False)
        self._poster = None
        self._down = self._down or SinkDown("closed", code=self.codes.away)
        self._room.set()

    def down(self) -> SinkDown | None:
        """Why posting ended, or None while it goes on. An error of our own in the poster is raised here."""
        worker = self._worker
        if worker is not None and worker.done() and not worker.cancelled():
            worker.result()
        return self._down

    async def _work(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self.waiting:
                    await self._deliver(self.batch())
        except SinkDown as down:
            self._down = down
        finally:
            self._room.set()

    async def _deliver(self, batch: list[Line]) -> None:
        """Settle every line of the batch, or raise SinkDown; the smaller halves of a refused batch go in order."""
        parts, self._may_bury = [batch], 0
        while parts:
            part = parts.pop()
            answer = await self.post(part)
            fates = self.fates(part, answer)
            if fates is not None:
                await self._settled(part, fates)
            elif answer.status not in REFUSED_PARTS:
                raise self.refused(answer)
            elif len(part) == 1:
                await self._settled(part, [(Fate.DEAD, f"HTTP {answer.status}: {first_words(answer.text)}")])
            else:
                half = len(part) // 2
                parts += [part[half:], part[:half]]

    async def _settled(self, part: Sequence[Line], fates: Sequence[tuple[Fate, str]]) -> None:
        if any(fate is Fate.DELIVERED for fate, _ in fates):
            self._may_bury = BURIED_MAX
        for line, (fate, reason) in zip(part, fates, strict=True):
            if fate is Fate.DEAD:
                if not self._may_bury:
                    await self.canary()
                    self._may_bury = BURIED_MAX
                self._may_bury -= 1
            self._give(line.position, fate, reason)

    def _give(self, position: int, fate: Fate, reason: str) -> None:
        self._held -= 1
        if self._held < self.window:
            self._room.set()
        self._settle(position, fate, reason)

    async def ask(self, work: Callable[[Poster], _T]) -> _T:
        """Some requests in the sink's own thread. Raises `SinkDown` where no answer comes."""
        if self._poster is None or self._thread is None:
            raise SinkDown("not connected", code=self.codes.away)
        poster = self._poster
        asked = asyncio.get_running_loop().run_in_executor(self._thread, work, poster)
        try:
            async with asyncio.timeout(WHOLE_S):
                return await asked
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or str(error)
            raise SinkDown(f"{self.url}: TLS is refused: {reason}", code=self.codes.tls) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            reason = f"not all of it within {WHOLE_S:g} s" if asked.cancelled() else reason
            raise SinkDown(f"{self.url}: no answer: {reason}", code=self.codes.away) from None
        finally:
            if asked.cancelled():  # too late, or not wanted any more: nobody else would end its thread
                poster.cut()

    def refused(self, answer: Answer) -> SinkDown:
        """What an answer that settles nothing means for the connection."""
        status, codes = answer.status, self.codes
        fact = f"{self.url}: HTTP {status}: {first_words(answer.text)}"
        if status in {401, 403}:
            return SinkDown(fact, code=codes.door, retry_s=60.0)
        if status in {400, 404, 422}:
            return SinkDown(fact, code=codes.address, retry_s=60.0)
        if status in {429, 503}:
            return SinkDown(fact, code=codes.less, retry_s=answer.retry_s)
        if status >= 500:
            return SinkDown(fact, code=codes.away, retry_s=answer.retry_s)
        return SinkDown(f"{fact} (this is not the write address)", code=codes.address, retry_s=60.0)


def first_words(text: str) -> str:
    """The beginning of a peer's words, on one line."""
    return " ".join(text.split())[:REASON_CHARS] or "(no reason given)"
