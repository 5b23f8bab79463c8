"""InfluxDB sink (also VictoriaMetrics): batches of line protocol over HTTP (contracts.md, "InfluxDB").

Only 204 is success: a captive portal says 200, InfluxDB 1.x says 200 with an error. 400 and 422 may mean that one line
of many is bad: the batch is halved until the bad ones stand alone; they become dead letters, all others are delivered.
Sending a line again is harmless: same series and time is the same point.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import ssl
import zlib
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from urllib.parse import urlencode

from gateway.config import Sink as Options
from gateway.sinks import UNFIT, Fate, Parcel, Settle, SinkDown, Site
from gateway.sinks.credentials import Files, read
from gateway.sinks.http_write import Answer, Poster
from gateway.sinks.line_protocol import LineProtocol, line

WINDOW: Final = 4000
BATCH_LINES: Final = 2000
BATCH_BYTES: Final = 1_000_000
REASON_CHARS: Final = 300
# Known by the headers that InfluxDB 1.x and 2.x put on every answer; whatever does not call itself InfluxDB
# (VictoriaMetrics) keeps both values of one time, and a reader could not tell which is right.
NO_AMENDMENTS: Final = (
    "this server does not overwrite points, so it cannot take amended records (rev_tag = true sends them as own series)"
)

Line = tuple[int, str]  # position in the journal, and the line


class InfluxSink:
    """One database, or several urls of it, tried in turn."""

    window = WINDOW
    linger_s = 1.0

    def __init__(self, name: str, *, config: Options, site: Site, files: Files) -> None:
        self.name = name
        self._config = config
        self._site = site
        self._files = files
        self._encoder = LineProtocol(site, points=config.points, rev_tag=config.rev_tag)
        self._path = _path(config)
        self._first_url = 0
        self._url = ""
        self._settle: Settle = lambda _position, _fate, _reason: None
        self._waiting: deque[Line] = deque(maxlen=2 * WINDOW)
        self._held = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._thread: ThreadPoolExecutor | None = None
        self._poster: Poster | None = None
        self._overwrites = True
        self._worker: asyncio.Task[None] | None = None
        self._down: SinkDown | None = SinkDown("not connected", code="CG-INF-01")

    async def open(self, settle: Settle) -> None:
        """Write one point of our own: address, credentials, database and form are right, or it says what is not."""
        self._settle = settle
        urls = self._config.urls
        if not urls:
            raise SinkDown("no url is configured", code="CG-INF-01")
        self._url = urls[self._first_url % len(urls)]
        self._first_url += 1
        card = await asyncio.to_thread(read, self._config, self._files, tls=self._url.startswith("https:"))
        headers = {"Content-Type": "text/plain; charset=utf-8", "User-Agent": f"citygate/{self._site.version}"}
        if card.secret is not None:
            headers["Authorization"] = _authorization(self._config, card.username, card.secret)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"sink-{self.name}")
        self._poster = Poster(self._url, headers=headers, tls=card.tls)
        answer = await self._post(self._canary())
        if answer.status != 204:
            raise self._refused(answer)
        self._first_url -= 1
        self._overwrites = self._config.api == "v3" or any(name.startswith("x-influxdb-") for name in answer.headers)
        self._waiting.clear()
        self._held = 0
        self._down = None
        self._worker = asyncio.create_task(self._work(), name=f"ship:{self.name}:post")

    async def send(self, parcels: Sequence[Parcel]) -> None:
        """Encode and queue; waits while the window is full."""
        for parcel in parcels:
            while self._held >= WINDOW and self._down is None:
                self._room.clear()
                self._wake.set()
                await self._room.wait()
            down = self.down()
            if down is not None:
                raise down
            self._take(parcel)
        self._wake.set()

    def _take(self, parcel: Parcel) -> None:
        if parcel.record.rev and not (self._overwrites or self._config.rev_tag):
            self._settle(parcel.position, Fate.DEAD, NO_AMENDMENTS)
            return
        try:
            text = self._encoder.encode(parcel.record)
        except UNFIT as error:
            self._settle(parcel.position, Fate.DEAD, f"it cannot be encoded: {error}")
            return
        self._waiting.append((parcel.position, text))
        self._held += 1

    async def health(self, report: Mapping[str, object]) -> None:
        """Not written: the health of a gateway travels over MQTT."""

    async def close(self) -> None:
        """Stop posting and let go; what has no answer yet stays waiting."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
            await asyncio.wait({worker})
        thread, self._thread = self._thread, None
        if thread is not None:
            if self._poster is not None:
                thread.submit(self._poster.close)
            thread.shutdown(wait=False)
        self._poster = None
        self._down = self._down or SinkDown("closed", code="CG-INF-01")
        self._room.set()

    def down(self) -> SinkDown | None:
        """Why posting ended, or None while it goes on. An error of our own in the poster is raised here."""
        worker = self._worker
        if worker is not None and worker.done() and not worker.cancelled():
            worker.result()
        return self._down

    def warning(self) -> str:
        """That amended records cannot be taken, where that is so."""
        return "" if self._overwrites or self._down is not None else NO_AMENDMENTS

    def _canary(self) -> str:
        tags = {"city": self._site.city, "gateway": self._site.gateway, "device": "_gateway"}
        fields = {"up": 1.0, "epoch": self._site.epoch}
        return line("gateway", tags, fields=fields, time=0).removesuffix(" 0")  # no time: the server's

    async def _work(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    await self._deliver(self._batch())
        except SinkDown as down:
            self._down = down
        finally:
            self._room.set()

    def _batch(self) -> list[Line]:
        batch: list[Line] = []
        size_bytes = 0
        while self._waiting and len(batch) < BATCH_LINES and size_bytes < BATCH_BYTES:
            batch.append(self._waiting.popleft())
            size_bytes += len(batch[-1][1])
        return batch

    async def _deliver(self, batch: list[Line]) -> None:
        """Settle every line of the batch, or raise SinkDown; the smaller halves of a refused batch go in order."""
        parts = [batch]
        while parts:
            part = parts.pop()
            answer = await self._post("\n".join(text for _, text in part))
            if answer.status == 204:
                for position, _ in part:
                    self._give(position, Fate.DELIVERED, "")
            elif answer.status not in {400, 413, 422}:
                raise self._refused(answer)
            elif len(part) == 1:
                self._give(part[0][0], Fate.DEAD, f"HTTP {answer.status}: {_first_words(answer.text)}")
            else:
                half = len(part) // 2
                parts += [part[half:], part[:half]]

    def _give(self, position: int, fate: Fate, reason: str) -> None:
        self._held -= 1
        if self._held < WINDOW:
            self._room.set()
        self._settle(position, fate, reason)

    async def _post(self, text: str) -> Answer:
        if self._poster is None or self._thread is None:
            raise SinkDown("not connected", code="CG-INF-01")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, _send, self._poster, self._path, text)
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or str(error)
            raise SinkDown(f"{self._url}: TLS is refused: {reason}", code="CG-INF-05") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise SinkDown(f"{self._url}: no answer: {reason}", code="CG-INF-01") from None

    def _refused(self, answer: Answer) -> SinkDown:
        status = answer.status
        fact = f"{self._url}: HTTP {status}: {_first_words(answer.text)}"
        if status in {401, 403}:
            return SinkDown(fact, code="CG-INF-02", retry_s=60.0)
        if status in {400, 404, 422}:
            return SinkDown(fact, code="CG-INF-03", retry_s=60.0)
        if status in {429, 503}:
            return SinkDown(fact, code="CG-INF-04", retry_s=answer.retry_s)
        if status >= 500:
            return SinkDown(fact, code="CG-INF-01", retry_s=answer.retry_s)
        return SinkDown(f"{fact} (this is not the write address of a database)", code="CG-INF-03", retry_s=60.0)


def _send(poster: Poster, path: str, text: str) -> Answer:
    compress = zlib.compressobj(1, zlib.DEFLATED, 31)  # gzip, level 1: 9x smaller at 0.12 us a point (libraries.md 4)
    body = compress.compress(text.encode()) + compress.flush()
    return poster.post(path, body, headers={"Content-Encoding": "gzip"})


def _first_words(text: str) -> str:
    return " ".join(text.split())[:REASON_CHARS] or "(no reason given)"


def _path(config: Options) -> str:
    if config.api == "v1":
        return "/write?" + urlencode({"db": config.database or config.bucket or "", "precision": "ms"})
    if config.api == "v2":
        return "/api/v2/write?" + urlencode(
            {"org": config.org or "", "bucket": config.bucket or "", "precision": "ms"}
        )  # fmt: skip
    return "/api/v3/write_lp?" + urlencode({"db": config.database or config.bucket or "", "precision": "millisecond"})


def _authorization(config: Options, username: str | None, secret: str) -> str:
    if config.token_file is None:
        return "Basic " + base64.b64encode(f"{username or ''}:{secret}".encode()).decode()
    return f"{'Token' if config.api == 'v2' else 'Bearer'} {secret}"
