"""History from InfluxDB instead of the gateway's journal: v1 by InfluxQL over plain HTTP, v2 by influxdb-client.

The rows are those of contracts.md, "InfluxDB"; they become records as the local socket tells them. Every name that goes
into a query was checked against a closed form first: nothing is quoted by hand.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from drivers.sample import Code
from gateway.clock import rfc3339
from gateway.web.picture import Picture
from gateway.web.secret import secret_text
from gateway.web.source import NoHistory, Source

ANSWER_S: Final = 15.0
ANSWER_MAX: Final = 32_000_000
ROWS_MAX: Final = 20_000
_NAME: Final = re.compile(r"[a-z0-9_][a-z0-9_-]{0,63}")
_TIME: Final = re.compile(r"[0-9T:.Z-]{20,30}")
_STREAM: Final = re.compile(r"raw|[1-9][0-9]?[smhd]")
_NOT_POINTS: Final = frozenset(
    {"quality", "seq", "rev", "epoch", "n", "coverage", "end_ms", "time", "t_err_s", "table", "result"}
)
_CODES: Final = {int(code): code.text for code in Code}


@dataclass(frozen=True, slots=True)
class Database:
    """Where to ask. v1: `name` is the database, `secret` "user:password"; v2: `org`, the bucket `name`, the token."""

    url: str
    api: str
    name: str
    org: str = ""
    secret: str = ""
    ca_file: Path | None = None

    @classmethod
    def of(
        cls,
        url: str,
        *,
        api: str,
        name: str,
        org: str = "",
        secret_file: Path | None = None,
        ca_file: Path | None = None,
    ) -> Database:
        """From the options of the command line.

        Raises:
            ValueError: no such url, or others can read the secret.
            OSError: the secret or the CA cannot be read.
        """
        where = urllib.parse.urlsplit(url)
        if where.scheme not in {"http", "https"} or not where.hostname or where.password or where.username:
            raise ValueError(f"{url.partition('@')[2] or url}: the database is http[s]://HOST[:PORT], without a secret")
        secret = "" if secret_file is None else secret_text(secret_file)
        ssl.create_default_context(cafile=ca_file)  # a file that is no CA is told now
        return cls(url.rstrip("/"), api, name, org, secret, ca_file)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, every part checked."""

    city: str
    gateway: str
    device: str
    measurement: str
    stream: str
    begin: str
    end: str
    points: tuple[str, ...]


class FromDatabase:
    """A source whose live side is another's and whose past is a database's."""

    def __init__(self, live: Source, database: Database) -> None:
        self._live = live
        self._database = database
        self._picture: Picture | None = None
        self.tick_s = live.tick_s

    async def run(self, picture: Picture) -> None:
        """As the live source."""
        self._picture = picture
        await self._live.run(picture)

    async def steer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """As the live source. Raises `NoSteering`."""
        return await self._live.steer(request)

    async def history(self, gateway: str, *, question: Mapping[str, Any]) -> dict[str, Any]:
        """The device's records out of the database. Raises `NoHistory`."""
        asked = self._asked(gateway, question)
        fetch = rows_v1 if self._database.api == "v1" else rows_v2
        try:
            rows = await asyncio.wait_for(asyncio.to_thread(fetch, self._database, asked), 2 * ANSWER_S)
        except TimeoutError:
            raise NoHistory("the database did not answer in time") from None
        records = [record(row, asked) for row in rows]
        return {"records": records, "truncated": len(records) >= ROWS_MAX}

    def _asked(self, gateway: str, question: Mapping[str, Any]) -> Asked:
        picture = self._picture
        device = None if picture is None else picture.devices.get(f"{gateway}/{question['series']}")
        if picture is None or device is None:
            raise NoHistory("no such device")
        stream = str(question["stream"])
        kind = str(device.about.get("kind", ""))
        city = str(picture.gateways.get(gateway, {}).get("city", ""))
        name = gateway.rpartition("/")[2]  # a page of several cities calls it "city/gateway"
        asked = Asked(
            city, name, str(question["series"]), kind if stream == "raw" else f"{kind}_window", stream,
            str(question["from"]), str(question["to"]), tuple(question.get("points", ())),
        )  # fmt: skip
        names = (city, name, asked.device, asked.measurement, *asked.points)
        fits = all(_NAME.fullmatch(name) for name in names) and _STREAM.fullmatch(stream)
        if not fits or not (_TIME.fullmatch(asked.begin) and _TIME.fullmatch(asked.end)):
            raise NoHistory("this device has a name that no query may hold")
        return asked


def fields(asked: Asked) -> str:
    """The fields that a question needs, as a regular expression; all where it names no point."""
    if not asked.points:
        return ".*"
    mine = "|".join(asked.points)
    return f"^({mine})(__[a-z0-9]+)?$|^quality_({mine})$|^end_ms$|^n$|^coverage$"


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nobody: the credentials are for this host alone. A redirect is an answer like any refusal."""

    def redirect_request(self, *_: Any) -> None:
        """Nowhere."""


def _opener(database: Database) -> urllib.request.OpenerDirector:
    """Asks this server itself, by no proxy of the environment, over TLS with its CA."""
    tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=database.ca_file))
    return urllib.request.build_opener(_Stay(), urllib.request.ProxyHandler({}), tls)


def rows_v1(database: Database, asked: Asked) -> list[dict[str, Any]]:
    """InfluxQL on `/query`, rows with `time` in ms. Raises `NoHistory`."""
    stream = "" if asked.stream == "raw" else f" AND \"stream\" = '{asked.stream}'"
    query = (
        f'SELECT /{fields(asked)}/ FROM "{asked.measurement}" WHERE "city" = \'{asked.city}\' '  # noqa: S608 - checked
        f"AND \"gateway\" = '{asked.gateway}' AND \"device\" = '{asked.device}'{stream} "
        f"AND time >= '{asked.begin}' AND time < '{asked.end}' ORDER BY time ASC LIMIT {ROWS_MAX}"
    )
    form = urllib.parse.urlencode({"db": database.name, "q": query, "epoch": "ms"}).encode()
    request = urllib.request.Request(f"{database.url}/query", form)  # noqa: S310 - http(s) alone, see `Database.of`
    if database.secret:
        request.add_header("Authorization", f"Basic {base64.b64encode(database.secret.encode()).decode()}")
    try:
        with _opener(database).open(request, timeout=ANSWER_S) as answer:
            told = json.loads(answer.read(ANSWER_MAX))["results"][0]
    except urllib.error.HTTPError as error:
        error.close()
        raise NoHistory(f"the database answers {error.code}") from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise NoHistory(f"the database: {getattr(error, 'reason', None) or error}") from None
    if "error" in told:
        raise NoHistory(f"the database: {str(told['error'])[:200]}")
    series = told.get("series") or [{"columns": [], "values": []}]
    return [dict(zip(series[0]["columns"], row, strict=True)) for row in series[0]["values"]]


def _flux(database: Database, asked: Asked) -> str:
    """The question in Flux: one row a time."""
    stream = "" if asked.stream == "raw" else f' and r.stream == "{asked.stream}"'
    return (
        f'from(bucket: "{database.name}") |> range(start: {asked.begin}, stop: {asked.end})'
        f' |> filter(fn: (r) => r._measurement == "{asked.measurement}" and r.city == "{asked.city}"'
        f' and r.gateway == "{asked.gateway}" and r.device == "{asked.device}"{stream})'
        f" |> filter(fn: (r) => r._field =~ /{fields(asked)}/)"
        f' |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
        f' |> sort(columns: ["_time"]) |> limit(n: {ROWS_MAX})'
    )


def rows_v2(database: Database, asked: Asked) -> list[dict[str, Any]]:
    """Flux by influxdb-client, pivoted to one row a time. Raises `NoHistory`."""
    try:
        from influxdb_client.client.flux_csv_parser import (  # noqa: PLC0415 - as above
            FluxCsvParserException,
            FluxQueryException,
        )
        from influxdb_client.client.influxdb_client import InfluxDBClient  # noqa: PLC0415 - 51 MB, for v2 alone
        from influxdb_client.rest import ApiException  # noqa: PLC0415 - as above
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - as above
    except ImportError:
        raise NoHistory("influxdb-client is not installed (citygate[influx])") from None
    ca = None if database.ca_file is None else str(database.ca_file)
    wait_ms = int(ANSWER_S * 1000)
    client = InfluxDBClient(database.url, database.secret, org=database.org, timeout=wait_ms, ssl_ca_cert=ca)
    try:
        tables = client.query_api().query(_flux(database, asked))
        found = [dict(row.values) for table in tables for row in table.records]
    except (
        ApiException,
        FluxCsvParserException,
        FluxQueryException,
        HTTPError,
        OSError,
        ValueError,
        LookupError,
    ) as error:
        raise NoHistory(f"the database: {getattr(error, 'reason', None) or type(error).__name__}") from None
    finally:
        client.close()  # type: ignore[no-untyped-call]
    for row in found:
        row["time"] = round(row.pop("_time").timestamp() * 1000)
    return found


def record(row: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    """One row as the local socket would tell it."""
    made: dict[str, Any] = {"device": asked.device, "stream": asked.stream, "t": rfc3339(int(row["time"]))}
    if row.get("end_ms") is not None:
        made["end"] = rfc3339(int(row["end_ms"]))
    values: dict[str, Any] = {}
    figures: dict[str, dict[str, Any]] = {}
    doubts: dict[str, str] = {}
    for name, value in _told(row):
        point, _, part = name.partition("__")
        if name.startswith("i__"):
            figure, _, part = part.partition("__")
            figures.setdefault(figure, {})[part or "value"] = value
        elif point.startswith("quality_") and not part:
            doubts[point.removeprefix("quality_")] = _CODES.get(int(value), "u:suspect")
        elif part:
            values.setdefault(point, {})[part] = value
        elif not name.startswith("bad_"):
            values[name] = value
    made |= {"v": values, "q": {name: text for name, text in doubts.items() if text != "good"}}
    shown = {name: figure for name, figure in figures.items() if "value" in figure}
    return made | ({"i": shown} if shown else {}) | {k: row[k] for k in ("n", "coverage") if row.get(k) is not None}


def _told(row: Mapping[str, Any]) -> Iterable[tuple[str, float]]:
    """The numbers of a row that are not its own bookkeeping."""
    for name, value in row.items():
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        if plain and name not in _NOT_POINTS and not name.startswith(("_", "bad_")):
            yield name, value
