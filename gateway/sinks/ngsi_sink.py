"""NGSI-LD sink: batch upsert of entities (ETSI GS CIM 009, 6.15), merging attributes (`options=update`).

A batch holds an entity once; a second record of the same entity waits for the next batch, so that every observation
reaches the broker's history in order. 201 and 204 are success; 207 tells the fate of every entity, and is none.
What comes late does not stay over the present: `ngsi_present`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gateway.config import Sink as Options
from gateway.record import Record
from gateway.sinks import Fate, Parcel, Site
from gateway.sinks.credentials import Credentials, Files
from gateway.sinks.http_sink import REFUSED_PARTS, Codes, HttpSink, Line, first_words
from gateway.sinks.http_write import Answer
from gateway.sinks.ngsi import Entities, Form
from gateway.sinks.ngsi_present import Present

BATCH_ENTITIES: Final = 100
UPSERT: Final = "/ngsi-ld/v1/entityOperations/upsert?options=update"
PRESENT_BATCHES: Final = 20  # after so many, the present is sent once more, though late records still wait
_ENCODE: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told(Line):
    """A record as an entity, and the attributes that it dates."""

    record: Record
    names: tuple[str, ...]


class NgsiSink(HttpSink):
    """One context broker, or several urls of it, tried in turn. `token_file` is sent as a bearer token."""

    window = 4 * BATCH_ENTITIES
    codes = Codes(away="CG-NGS-01", door="CG-NGS-02", address="CG-NGS-03", less="CG-NGS-04", tls="CG-NGS-05")

    def __init__(self, name: str, *, config: Options, site: Site, files: Files) -> None:
        super().__init__(name, config=config, site=site, files=files)
        self._entities = Entities(site, points=config.points)
        self._present = Present(self._entities)
        self._batches = 0

    def headers(self, card: Credentials) -> dict[str, str]:
        """JSON-LD with the context in every entity; never beside a Link header (6.3.5)."""
        headers = {"Content-Type": "application/ld+json", "Accept": "application/json"}
        if card.secret is not None:
            headers["Authorization"] = f"Bearer {card.secret}"
        return headers

    async def canary(self) -> Answer:
        """Upsert the gateway itself as a Device: address, token and form are right, or it says what is not."""
        site = self.site
        state = {"type": "Property", "value": "online"}
        form: dict[str, Any] = {
            "id": f"urn:ngsi-ld:Device:{site.city}:{site.gateway}:_gateway",
            "type": "Device",
            "deviceState": state,
        }
        form["@context"] = self._entities.device_context
        part = [_line(form)]
        answer = await self.post(part)
        fates = self.fates(part, answer)
        if fates is None or fates[0][0] is not Fate.DELIVERED:
            raise self.refused(answer)
        return answer

    def encode(self, parcel: Parcel) -> Line:
        """The record as one entity."""
        form = self._entities.entity(parcel.record)
        names = tuple(name for name, x in form.items() if isinstance(x, dict) and "observedAt" in x)
        told = _line(form)
        return _Told(parcel.position, told.text, told.subject, record=parcel.record, names=names)

    def batch(self) -> list[Line]:
        """The next entities in order, up to the first that stands in the batch already."""
        batch: list[Line] = []
        subjects: set[str] = set()
        while self.waiting and len(batch) < BATCH_ENTITIES and self.waiting[0].subject not in subjects:
            batch.append(self.waiting.popleft())
            subjects.add(batch[-1].subject)
        return batch

    async def _deliver(self, batch: list[Line]) -> None:
        """As all; then what has become older at the broker, and has nothing waiting that renews it."""
        await super()._deliver(batch)
        self._batches += 1
        soon = {line.subject for line in self.waiting} if self._batches % PRESENT_BATCHES else set[str]()
        parts = [[_line(form) for form in self._present.behind(but=soon, limit=BATCH_ENTITIES)]]
        while parts:
            part = parts.pop()
            if part:
                parts += await self._restore(part)

    async def _restore(self, part: list[Line]) -> list[list[Line]]:
        """Send the present of some entities once more; the halves of what is refused as a whole."""
        answer = await self.post(part)
        fates = self.fates(part, answer)
        if fates is None and answer.status not in REFUSED_PARTS:
            raise self.refused(answer)
        if fates is None and len(part) > 1:
            half = len(part) // 2
            return [part[half:], part[:half]]
        for line, (fate, _) in zip(part, fates or [(Fate.DEAD, "")], strict=True):
            if fate is not Fate.AGAIN:
                self._present.restored(line.subject)
        return []

    async def _settled(self, part: Sequence[Line], fates: Sequence[tuple[Fate, str]]) -> None:
        for line, (fate, _) in zip(part, fates, strict=True):
            if isinstance(line, _Told) and fate is Fate.DELIVERED:
                self._present.note(line.record, line.subject, names=line.names)
        await super()._settled(part, fates)

    async def post(self, part: Sequence[Line]) -> Answer:
        """One upsert."""
        body = ("[" + ",".join(each.text for each in part) + "]").encode()
        return await self.ask(lambda poster: poster.post(UPSERT, body, headers={}))

    def fates(self, part: Sequence[Line], answer: Answer) -> list[tuple[Fate, str]] | None:
        """201, 204: all. 207: what its lists say; an entity in neither list was not taken."""
        if answer.status == 204 or (answer.status == 201 and _json(answer.text, list) is not None):
            return [(Fate.DELIVERED, "")] * len(part)
        told = _json(answer.text, dict) if answer.status == 207 else None
        if told is None:
            return None
        taken = {str(each) for each in _rows(told, "success")}
        errors = {
            str(each.get("entityId")): each.get("error") for each in _rows(told, "errors") if isinstance(each, dict)
        }
        return [_fate(line, taken, errors) for line in part]


def _line(form: Form) -> Line:
    return Line(-1, _ENCODE(form).decode(), str(form["id"]))


def _json(text: str, kind: type[Any]) -> Any:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, kind) else None


def _rows(told: Mapping[str, object], key: str) -> list[object]:
    """A list of the answer; what is no list tells of no entity."""
    found = told.get(key)
    return found if isinstance(found, list) else []


def _fate(line: Line, taken: set[str], errors: Mapping[str, object]) -> tuple[Fate, str]:
    if line.subject in errors:
        error = errors[line.subject]
        status = error.get("status") if isinstance(error, Mapping) else None
        reason = f"HTTP 207: {first_words(str(error))}"
        passing = isinstance(status, int) and (status >= 500 or status in {401, 403, 429})
        return (Fate.AGAIN if passing else Fate.DEAD), reason
    if line.subject in taken:
        return Fate.DELIVERED, ""
    return Fate.AGAIN, "HTTP 207: it is in neither list"
