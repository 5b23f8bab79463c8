"""InfluxDB sink (also VictoriaMetrics): batches of line protocol over HTTP (contracts.md, "InfluxDB").

Only 204 is success: a captive portal says 200, InfluxDB 1.x says 200 with an error. Sending a line again is harmless
where the server overwrites a point that comes again; `influx_probe` finds out whether it does.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import zlib
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from gateway.config import Sink as Options
from gateway.sinks import Fate, Parcel, SinkDown, Site
from gateway.sinks.credentials import Credentials, Files
from gateway.sinks.http_sink import Codes, HttpSink, Line
from gateway.sinks.http_write import Answer, Poster
from gateway.sinks.influx_probe import LOOKS_S, Conduct, Probe, server_ms
from gateway.sinks.line_protocol import LineProtocol, line

BATCH_LINES: Final = 2000
BATCH_BYTES: Final = 1_000_000

NO_AMENDMENTS: Final = (
    "this server does not overwrite points, so it cannot take amended records (rev_tag = true sends them as own series)"
)
DOUBLES: Final = (
    "this server keeps twice what is sent twice (VictoriaMetrics: start it with -dedup.minScrapeInterval=1ms)"
)


class InfluxSink(HttpSink):
    """One database, or several urls of it, tried in turn."""

    codes = Codes(away="CG-INF-01", door="CG-INF-02", address="CG-INF-03", less="CG-INF-04", tls="CG-INF-05")

    def __init__(self, name: str, *, config: Options, site: Site, files: Files) -> None:
        super().__init__(name, config=config, site=site, files=files)
        self._encoder = LineProtocol(site, points=config.points, rev_tag=config.rev_tag)
        self._path = _path(config)
        self._conduct = Conduct()
        self._guess = True
        self._looking: asyncio.Task[None] | None = None

    def headers(self, card: Credentials) -> dict[str, str]:
        """Plain text, and the credentials as the API wants them."""
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if card.secret is not None:
            headers["Authorization"] = _authorization(self.config, card.username, card.secret)
        return headers

    async def greet(self) -> None:
        """Write one point of our own: address, credentials, database and form are right, or it says what is not."""
        answer = await self.canary()
        itself = any(name.startswith("x-influxdb-") for name in answer.headers)
        self._guess = self.config.api == "v3" or (itself and "x-server-hostname" not in answer.headers)
        await self._probe(server_ms(answer))

    async def canary(self) -> Answer:
        """One point of our own, without a time: the server's counts, whatever clock a proxy before it has."""
        tags = {"city": self.site.city, "gateway": self.site.gateway, "device": "_gateway"}
        fields = {"up": 1.0, "epoch": self.site.epoch}
        canary = line("gateway", tags, fields=fields, time=0).removesuffix(" 0")
        answer = await self.post([Line(-1, canary)])
        if answer.status != 204:
            raise self.refused(answer)
        return answer

    async def _probe(self, t_ms: int | None) -> None:
        """Write the probe and look once; where it does not show yet, look again beside the posting.

        A probe that is refused tells nothing of records: the clock of a proxy dates it, which may lie before the
        retention time. What the server does then stays unknown, as where it may not be read back.
        """
        self._conduct = Conduct()
        if t_ms is None:
            return
        probe = Probe(self.site, t_ms=t_ms, database=self.config.database or self.config.bucket or "")
        for text in probe.lines():
            answer = await self.post([Line(-1, text)])
            if 400 <= answer.status < 500 and answer.status != 429:
                return
            if answer.status != 204:
                raise self.refused(answer)
        self._conduct = await self.ask(probe.look)
        if self._conduct.overwrites is not None and self._conduct.doubles is None:
            self._looking = asyncio.create_task(self._look(probe), name=f"ship:{self.name}:probe")

    async def _look(self, probe: Probe) -> None:
        with contextlib.suppress(SinkDown):  # the posting finds that too
            for wait_s in LOOKS_S:
                await asyncio.sleep(wait_s)
                self._conduct = await self.ask(probe.look)
                if self._conduct.doubles is not None:
                    return

    async def close(self) -> None:
        """Stop looking and posting."""
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()
            await asyncio.wait({looking})
        await super().close()

    @property
    def _overwrites(self) -> bool:
        """Whether a point that comes again replaces the first: as read back, else by what the server says it is."""
        return self._guess if self._conduct.overwrites is None else self._conduct.overwrites

    def encode(self, parcel: Parcel) -> Line:
        """The record as a line; one with `rev` only where the server overwrites, or as a series of its own."""
        if parcel.record.rev and not (self._overwrites or self.config.rev_tag):
            raise ValueError(NO_AMENDMENTS)
        return Line(parcel.position, self._encoder.encode(parcel.record))

    def batch(self) -> list[Line]:
        """Up to 2000 lines or 1 MB."""
        batch: list[Line] = []
        size_bytes = 0
        while self.waiting and len(batch) < BATCH_LINES and size_bytes < BATCH_BYTES:
            batch.append(self.waiting.popleft())
            size_bytes += len(batch[-1].text)
        return batch

    async def post(self, part: Sequence[Line]) -> Answer:
        """Lines, compressed by gzip level 1: 9x smaller at 0.12 us a point (libraries.md 4)."""
        text = "\n".join(each.text for each in part)

        def work(poster: Poster) -> Answer:
            compress = zlib.compressobj(1, zlib.DEFLATED, 31)
            body = compress.compress(text.encode()) + compress.flush()
            return poster.post(self._path, body, headers={"Content-Encoding": "gzip"})

        return await self.ask(work)

    def fates(self, part: Sequence[Line], answer: Answer) -> list[tuple[Fate, str]] | None:
        """All delivered by 204, and by nothing else."""
        return [(Fate.DELIVERED, "")] * len(part) if answer.status == 204 else None

    def warning(self) -> str:
        """That amended records cannot be taken, and that points are kept twice, where that is so."""
        if self.down() is not None:
            return ""
        amended = "" if self._overwrites or self.config.rev_tag else NO_AMENDMENTS
        doubles = DOUBLES if self._conduct.doubles else ""
        return "; ".join(text for text in (amended, doubles, super().warning()) if text)


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
