"""The present state of entities at a context broker, kept against what comes late.

A broker shows of an attribute what it was sent last, not what was observed last. After a record of a backlog, a replay
or an amended window, the attributes that had been newer are sent once more, as they were. The broker's history has all
of it: late observations at their own times, those that are sent once more with the same `observedAt`, twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from gateway.reading import Aggregate
from gateway.record import Record
from gateway.sinks.ngsi import Entities, Form

KEPT: Final = 4000  # entities; of more, those are forgotten that were silent for longest
_HEAD: Final = frozenset({"id", "type", "@context"})


@dataclass(slots=True)
class _Entity:
    """Per attribute the record that told it last, and the attributes at whose place the broker shows an older one."""

    latest: dict[str, Record] = field(default_factory=dict)
    behind: set[str] = field(default_factory=set)


class Present:
    """What was delivered last of every entity, of those records that were on time."""

    def __init__(self, entities: Entities) -> None:
        self._entities = entities
        self._known: dict[str, _Entity] = {}
        self._behind: set[str] = set()
        self._places: dict[tuple[str, str], tuple[str, int]] = {}

    def note(self, record: Record, subject: str, *, names: Iterable[str]) -> None:
        """The broker took these attributes of the entity `subject`.

        On time, a record counts as newest whatever its clock says; late, by what was observed when.
        """
        late = self._late(record)
        entity = self._known[subject] = self._known.pop(subject, _Entity())
        for name in names:
            known = entity.latest.get(name)
            if late and known is not None and observed_ms(record) < observed_ms(known):
                entity.behind.add(name)
            else:
                entity.latest[name] = record
                entity.behind.discard(name)
        (self._behind.add if entity.behind else self._behind.discard)(subject)
        if len(self._known) > KEPT:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._behind.discard(oldest)

    def _late(self, record: Record) -> bool:
        """Sent late, or told before: another one of its stream with a higher number was here already."""
        stream, place = (record.device, record.stream), (record.epoch, record.seq)
        newest = self._places[stream] = max(place, self._places.get(stream, place))
        return record.late or place < newest

    def behind(self, *, but: Collection[str] = (), limit: int) -> list[Form]:
        """What has to be sent once more: at most `limit` entities, none of `but`."""
        chosen = [subject for subject in sorted(self._behind) if subject not in but]
        return [self._form(self._known[subject]) for subject in chosen[:limit]]

    def _form(self, entity: _Entity) -> Form:
        form: Form = {}
        for record in {id(each): each for each in map(entity.latest.__getitem__, sorted(entity.behind))}.values():
            names = {name for name in entity.behind if entity.latest[name] is record}
            form |= {key: x for key, x in self._entities.entity(record).items() if key in names or key in _HEAD}
        return form

    def restored(self, subject: str) -> None:
        """The broker shows its newest again, or will not."""
        self._behind.discard(subject)
        self._known[subject].behind.clear()


def observed_ms(record: Record) -> int:
    """The time (UTC ms) that stands as `observedAt` in what a record tells."""
    return record.body.end_ms if isinstance(record.body, Aggregate) else record.t_ms
