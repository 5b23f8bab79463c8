"""The page's addresses (starlette). All are read-only but `/setup/` (`setup`); `guard` stands in front."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from gateway.clock import Clock, rfc3339
from gateway.web import export, metrics, page
from gateway.web.labels import times_ms
from gateway.web.outline import Ring
from gateway.web.picture import Picture
from gateway.web.setup import Setup
from gateway.web.source import NoHistory, Source
from gateway.web.stream import Stream

STATIC: Final = Path(__file__).parent / "static"
STREAMS_MAX: Final = 200
RANGE_MAX_MS: Final = 8 * 86_400_000
_TYPES: Final = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
                 ".json": "application/json"}  # fmt: skip
_NO_STORE: Final = {"cache-control": "no-store"}
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page as it is sent."""

    body: bytes
    packed: bytes
    kind: str
    etag: str


@dataclass(frozen=True, slots=True)
class Extras:
    """What a city adds to its page: an outline for the map, the address of its Grafana."""

    outline: tuple[Ring, ...] = ()
    grafana: str = ""


def assets(folder: Path = STATIC) -> dict[str, Asset]:
    """The files of the page by name; nothing outside this table can be asked for."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in _TYPES:
            body = path.read_bytes()
            etag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
            found[path.name] = Asset(body, gzip.compress(body, 9, mtime=0), _TYPES[path.suffix], etag)
    return found


class Pages:
    """The answers. `guard_counts` tells the refused requests by status, for the metrics."""

    def __init__(self, *, picture: Picture, source: Source, stream: Stream, clock: Clock, extras: Extras) -> None:
        self.guard_counts: Callable[[], Mapping[int, int]] = dict
        self._picture = picture
        self._source = source
        self._stream = stream
        self._clock = clock
        self._extras = extras
        self._assets = assets()

    def app(self) -> Starlette:
        """The routes."""
        found = {
            "/": self.front, "/events": self.events, "/static/{name}": self.static, "/api/snapshot": self.snapshot,
            "/api/device": self.device, "/api/history": self.history, "/export/{name}": self.exported,
            "/api/outline": self.outline_, "/metrics": self.metrics, "/healthz": self.healthz, "/readyz": self.readyz,
        }  # fmt: skip
        made = Starlette(routes=[Route(path, answer, methods=["GET"]) for path, answer in found.items()])
        made.router.routes.append(Route("/setup/{what}", Setup(self._source).answer, methods=["POST"]))
        made.router.redirect_slashes = False
        return made

    async def front(self, request: Request) -> Response:
        """The page: complete without JavaScript, taken over by it where there is some."""
        lang = page.language(request.query_params.get("lang"), request.headers.get("accept-language", ""))
        text = page.front(
            self._picture, lang=lang, now_ms=self._clock.wall_ms(), chart="uplot.js" in self._assets,
            grafana=self._extras.grafana,
        )  # fmt: skip
        return Response(text, media_type="text/html", headers={**_NO_STORE, "content-language": lang})

    async def static(self, request: Request) -> Response:
        """A file of the page."""
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            return _none()
        headers = {"etag": asset.etag, "cache-control": "no-cache", "vary": "accept-encoding"}
        if request.headers.get("if-none-match") == asset.etag:
            return Response(status_code=304, headers=headers)
        body = asset.body
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"], body = "gzip", asset.packed
        return Response(body, media_type=asset.kind, headers=headers)

    async def events(self, request: Request) -> Response:
        """The live stream."""
        if self._stream.followers >= STREAMS_MAX:
            return PlainTextResponse("too many open pages\n", 503, headers={"retry-after": "5"})
        last_id = request.headers.get("last-event-id", "")[:64]
        body: AsyncIterator[bytes] = self._stream.follow(last_id)
        return StreamingResponse(body, media_type="text/event-stream", headers=_NO_STORE)

    async def snapshot(self, _request: Request) -> Response:
        """All that the page knows, once."""
        return _json({"t": rfc3339(self._clock.wall_ms()), **self._picture.snapshot()})

    async def device(self, request: Request) -> Response:
        """One device with all its points."""
        found = self._picture.detail(request.query_params.get("key", ""))
        return _none() if found is None else _json({"t": rfc3339(self._clock.wall_ms()), **found})

    async def history(self, request: Request) -> Response:
        """Records of a device: `key`, `stream`, `from`, `to`; `point` narrows; `format=csv` for a spreadsheet."""
        asked = request.query_params
        device = self._picture.devices.get(asked.get("key", ""))
        if device is None:
            return _none()
        question: dict[str, Any] = {"series": device.about["id"], "stream": asked.get("stream", "15m")}
        try:
            question |= _times(asked, now_ms=self._clock.wall_ms())
        except ValueError as error:
            return PlainTextResponse(f"{error}\n", 400)
        if asked.get("point") in device.about["points"]:
            question["points"] = [asked["point"]]
        try:
            found = await self._source.history(device.about["gateway"], question=question)
        except NoHistory as error:
            return PlainTextResponse(f"{error}\n", 503)
        if found.get("truncated"):
            return _too_long(found["records"], question)
        if asked.get("format") == "csv":
            return _csv(export.history_csv(device.about, found["records"]), f"{device.about['id']}.csv")
        return _json(found)

    async def exported(self, request: Request) -> Response:
        """Open data: the newest values of all devices, and what every column means."""
        name = request.path_params["name"]
        if name == "latest.csv":
            return _csv(export.latest_csv(self._picture, now_ms=self._clock.wall_ms()), name)
        if name == "latest.json":
            return _json(export.latest(self._picture, now_ms=self._clock.wall_ms()))
        if name == "dictionary.json":
            return _json(export.dictionary(self._picture))
        return _none()

    async def outline_(self, _request: Request) -> Response:
        """The city's outline for the map."""
        return _json({"rings": self._extras.outline})

    async def metrics(self, _request: Request) -> Response:
        """Prometheus, text format 0.0.4."""
        text = metrics.text(
            self._picture, now_ms=self._clock.wall_ms(), streams=self._stream.followers, refused=self.guard_counts()
        )
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8", headers=_NO_STORE)

    async def healthz(self, _request: Request) -> Response:
        """This process lives."""
        return PlainTextResponse("ok\n", headers=_NO_STORE)

    async def readyz(self, _request: Request) -> Response:
        """Its source answers."""
        source = self._picture.source
        if source["up"]:
            return PlainTextResponse("ok\n", headers=_NO_STORE)
        return PlainTextResponse(f"not ready: {source['fact'] or 'the source has not answered yet'}\n", 503)


def _none() -> Response:
    return PlainTextResponse("there is nothing here\n", 404, headers=_NO_STORE)


def _times(asked: Mapping[str, str], *, now_ms: int) -> dict[str, str]:
    """`from` and `to` of a question about the past; without, the last 24 hours. Raises `ValueError`."""
    try:
        to_ms = times_ms(asked["to"]) if "to" in asked else now_ms
        from_ms = times_ms(asked["from"]) if "from" in asked else to_ms - 86_400_000
    except ValueError:
        raise ValueError("`from` and `to` are RFC 3339 times") from None
    if not 0 <= to_ms - from_ms <= RANGE_MAX_MS:
        raise ValueError("at most 8 days at once")
    return {"from": rfc3339(from_ms), "to": rfc3339(to_ms)}


def _too_long(records: Sequence[Mapping[str, Any]], question: Mapping[str, Any]) -> Response:
    """Part of an answer would be taken for the whole: none is given, but the longest time that fits."""
    fits = f"; from={question['from']}&to={records[-1]['t']} fits" if records else ""
    return PlainTextResponse(f"more than {len(records)} records{fits}\n", 413, headers=_NO_STORE)


def _json(thing: object) -> Response:
    return Response(_encode(thing), media_type="application/json", headers=_NO_STORE)


def _csv(text: str, name: str) -> Response:
    headers = {**_NO_STORE, "content-disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)
