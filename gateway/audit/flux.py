"""Reads InfluxDB 2 back by Flux, through influxdb-client (the extra `citygate[influx]`), imported here only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from gateway.audit import Key, Row, Unreadable, Value
from gateway.audit.lines import Lines
from gateway.clock import rfc3339
from gateway.record import Record
from gateway.sinks import Site
from gateway.sinks.credentials import Credentials

WAIT_MS: Final = 60_000
TORN: Final = (AttributeError, LookupError, TypeError, ValueError)  # what the client's parser meets in other texts


class Flux:
    """One bucket. Keeps every field, overwrites points of one series and time."""

    overwrites = True
    tolerance = 0.0

    def __init__(
        self, url: str, card: Credentials, *, org: str, bucket: str, lines: Lines, site: Site, ca_file: str | None
    ) -> None:
        try:
            from influxdb_client import InfluxDBClient  # type: ignore[attr-defined] # noqa: PLC0415 - 51 MB, for this verb only
        except ImportError:
            raise Unreadable("influxdb-client is not installed: pip install citygate[influx]") from None
        self.overwrites = not lines.rev_tag
        self._client = InfluxDBClient(url, token=card.secret or "", org=org, timeout=WAIT_MS, ssl_ca_cert=ca_file)
        self._bucket, self._lines, self._site = bucket, lines, site

    def expected(self, record: Record) -> Row | None:
        """The record as its line."""
        return self._lines.row(record)

    def rows(self, key: Key, *, first_ms: int, end_ms: int) -> Iterator[Row]:
        """One query; fields of one time and series are put together again."""
        from influxdb_client.client.flux_csv_parser import (  # noqa: PLC0415 - as above
            FluxCsvParserException,
            FluxQueryException,
        )
        from influxdb_client.rest import ApiException  # noqa: PLC0415 - as above
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - what influxdb-client lets through

        tags = {"city": self._site.city, "gateway": self._site.gateway, "device": key.device}
        if key.stream not in {"raw", "event"}:
            tags["stream"] = key.stream
        tests = [f"r._measurement == {_text(self._lines.measurements[key])}"]
        tests += [f"r.{name} == {_text(value)}" for name, value in tags.items()]
        query = (
            f"from(bucket: {_text(self._bucket)})"
            f" |> range(start: {rfc3339(first_ms)}, stop: {rfc3339(end_ms)})"
            f" |> filter(fn: (r) => {' and '.join(tests)})"
        )
        held: dict[tuple[int, int], dict[str, Value]] = defaultdict(dict)
        try:
            for table in self._client.query_api().query(query):
                for one in table.records:
                    facts = one.values
                    t_ms = round(facts["_time"].timestamp() * 1000)
                    held[t_ms, int(facts.get("rev") or 0)][facts["_field"]] = facts["_value"]
        except (ApiException, FluxCsvParserException, FluxQueryException, HTTPError, OSError, *TORN) as error:
            raise Unreadable(
                f"the query failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
            ) from None
        for (t_ms, rev), fields in held.items():
            yield Row(t_ms, rev, fields)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()  # type: ignore[no-untyped-call]  # the library has no types here


def _text(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
