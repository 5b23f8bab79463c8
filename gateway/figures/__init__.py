"""Figures: which city figures stand in which record; takes aggregates as they are issued, hands them on with figures.

A figure stands only in the records of its own step (contracts.md, "Records"); what it covers is its `span`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

from gateway.figures.air import MASSES, Air
from gateway.figures.energy import Energy
from gateway.figures.look import Look
from gateway.figures.particles import Particles
from gateway.figures.supply import Supply
from gateway.figures.traffic import Traffic
from gateway.figures.water import Water
from gateway.reading import Aggregate, Indicator, Series

_NONE: Final[Mapping[str, Mapping[str, float]]] = {}
REACH_MS: Final = 25 * 3_600_000
"""How far back aggregates matter for figures to come: a day, and the hour or quarter in which it began."""


class _Field(Protocol):
    def take(self, aggregate: Aggregate) -> Iterator[Indicator]: ...


class Figures:
    """The figures of all series, with the state of up to two days that they need.

    `options` are numbers by configured device, for example a gauge's `sensor_height` in m (see each field's class).
    """

    def __init__(self, series: Sequence[Series], options: Mapping[str, Mapping[str, float]] = _NONE) -> None:
        self._fields = {one.id: _fields(one, options.get(one.device, {})) for one in series}

    def attach(self, aggregate: Aggregate) -> Aggregate:
        """The aggregate with the figures of its step after those that it came with (from rows of its window)."""
        found = [figure for one in self._fields.get(aggregate.series.id, ()) for figure in one.take(aggregate)]
        return replace(aggregate, indicators=(*aggregate.indicators, *found)) if found else aggregate

    def recall(self, aggregate: Aggregate) -> None:
        """Note an aggregate of before the start, oldest first: figures over hours and days go on where they were."""
        self.attach(aggregate)


def _fields(series: Series, options: Mapping[str, float]) -> tuple[_Field, ...]:
    look = Look(series)
    names = {point.name for point in series.points}
    fields: list[_Field] = []
    if names & {"pm2_5", "pm10", "o3", "no2", "so2", "co", *MASSES}:
        fields += [Air(look, options), Particles(look, options)]
    if series.kind == "energy":
        fields += [Energy(look, options), Supply(look, options)]
    if series.kind == "traffic":
        fields.append(Traffic(look, options))
    if names & {"level", "distance", "rain_total"}:
        fields.append(Water(look, options))
    return tuple(fields)
