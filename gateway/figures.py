"""Figures: which city figures stand in which record; takes aggregates as they are issued, hands them on with figures."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.reading import Aggregate, Series


class Figures:
    """Attaches the figures of each record's own step (contracts.md, "Records")."""

    def __init__(self, series: Sequence[Series]) -> None:
        self._series = {one.id: one for one in series}

    def attach(self, aggregate: Aggregate) -> Aggregate:
        """The aggregate with its figures."""
        return aggregate
