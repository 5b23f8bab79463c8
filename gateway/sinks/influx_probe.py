"""How a server treats a point that comes again: a probe is written twice and read back.

Three fields at one time: `same` comes twice with one number, `up` and `down` come the second time with another. One
that overwrites keeps the second of both; one that doubles keeps `same` twice. Headers prove nothing: VictoriaMetrics
calls itself InfluxDB 1.8.0 (seen with 1.79.5), and with deduplication it keeps the second number only by luck, so
whatever answers at its export is taken not to overwrite. What may not be read back stays unknown (None).
"""

from __future__ import annotations

import random
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import msgspec

from gateway.sinks import Site
from gateway.sinks.http_write import Answer, Poster
from gateway.sinks.line_protocol import line

NAME: Final = "gateway_probe"
LOOKS_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 16.0)  # a server may show after 10 s only what it took
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


class Conduct(NamedTuple):
    """Whether a server overwrites a point that comes again, and whether it keeps the same one twice."""

    overwrites: bool | None = None
    doubles: bool | None = None


class Probe:
    """One probe at the server's own time `t_ms` (UTC)."""

    def __init__(self, site: Site, *, t_ms: int, database: str) -> None:
        self._tags = {"city": site.city, "gateway": site.gateway, "device": "_gateway"}
        self._t_ms = t_ms
        self._database = database
        self._mark = random.randrange(1, 1 << 20)  # noqa: S311 - tells this probe from another of the same second

    def lines(self) -> tuple[str, str]:
        """The two writes, each a request of its own."""
        same, low, high = float(self._mark), float(self._mark), float(self._mark + 1)
        first, second = {"same": same, "up": low, "down": high}, {"same": same, "up": high, "down": low}
        return self._line(first), self._line(second)

    def _line(self, fields: dict[str, float]) -> str:
        return line(NAME, self._tags, fields=fields, time=self._t_ms)

    def look(self, poster: Poster) -> Conduct:
        """What can be read back now. Blocking; raises what `Poster.post` does."""
        match = ",".join(f'{key}="{value}"' for key, value in self._tags.items())
        asked = {"match[]": f'{{__name__=~"{NAME}_.+",{match}}}'}
        asked |= {"start": f"{self._t_ms / 1000:.3f}", "end": f"{self._t_ms / 1000:.3f}"}
        answer = poster.post("/api/v1/export", urlencode(asked).encode(), headers=_FORM)
        if answer.status == 200 and "stream+json" in answer.headers.get("content-type", ""):
            return Conduct(overwrites=False, doubles=self._doubled(answer.text))
        where = " AND ".join(f"{key}='{value}'" for key, value in self._tags.items())
        query = f"SELECT same, up, down FROM {NAME} WHERE {where} AND time = {self._t_ms}ms"  # noqa: S608 - ids are plain
        address = "/query?" + urlencode({"db": self._database, "epoch": "ms"})
        return self._told(poster.post(address, urlencode({"q": query}).encode(), headers=_FORM))

    def _doubled(self, text: str) -> bool | None:
        """Of an export: one line per field, with all its values at that time; None while it shows nothing yet."""
        for each in text.splitlines():
            match _decoded(each):
                case {"metric": {"__name__": name}, "values": [*values]} if name == f"{NAME}_same":
                    count = values.count(self._mark)
                    return count > 1 if count else None
        return None

    def _told(self, answer: Answer) -> Conduct:
        """Of an InfluxQL answer; nothing is known where the door is shut, or the server answers something else."""
        if answer.status != 200:
            return Conduct()
        try:
            rows = _decoded(answer.text)["results"][0]["series"][0]["values"]
            mine = [(up, down) for _t_ms, same, up, down in rows if same == self._mark]
        except (TypeError, LookupError, ValueError):
            return Conduct()
        if not mine:
            return Conduct()
        return Conduct(overwrites=mine == [(self._mark + 1, self._mark)], doubles=len(mine) > 1)


def server_ms(answer: Answer) -> int | None:
    """The server's own time (UTC ms) by its Date header; None where it tells none."""
    try:
        return round(parsedate_to_datetime(answer.headers.get("date", "")).timestamp() * 1000)
    except (ValueError, TypeError, OverflowError):
        return None


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None
