"""Figures that need values row by row, before they are averaged: they travel through windows as sums.

Wind vectors (direction and speed of the same poll), space-mean speed (harmonic, weighted by vehicles) and the energy
mean of sound levels cannot be had from the means of their points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from gateway.indicators import traffic, wind
from gateway.reading import Indicator, Series
from gateway.window.finish import deltas, quantile
from gateway.window.piece import Floats, Ints, Layout, Piece

Columns: TypeAlias = Callable[[Floats], Floats]
Figures: TypeAlias = Callable[[float, list[float]], tuple[Indicator, ...]]
REGISTERS: Final = ("energy_import", "energy_total")
BLOCK_MS: Final = 900_000
EDGE_MS: Final = 5_000
CLASSES: Final = 16  # FHWA has 13, detectors up to 8 and a 0 for what they could not tell
SOUND: Final = ("noise_leq", "noise_level")


@dataclass(frozen=True, slots=True)
class Derived:
    """`columns(rows)` gives terms of sums, (rows x `width`), NaN if none; `figures(n, sums)` gives the result."""

    width: int
    columns: Columns
    figures: Figures


def derived(series: Series) -> tuple[Derived, ...]:
    """What is to be summed for this series."""
    place = {point.name: index for index, point in enumerate(series.points)}
    found = []
    if "wind_speed" in place and "wind_direction" in place:
        found.append(_wind(place["wind_speed"], place["wind_direction"]))
    if "speed" in place and series.kind == "traffic":
        found.append(_speed(place["speed"], place.get("vehicle_count")))
    if series.kind == "traffic" and series.every_ms is None:  # each record is one vehicle
        if "length" in place:
            found.append(_lengths(place["length"]))
        if "vehicle_class" in place:
            found.append(_classes(place["vehicle_class"]))
    found += [_sound(place[name], name) for name in SOUND if name in place]
    return tuple(found)


def _wind(speed: int, direction: int) -> Derived:
    def columns(rows: Floats) -> Floats:
        towards = np.radians(rows[:, direction])
        return np.stack([-rows[:, speed] * np.sin(towards), -rows[:, speed] * np.cos(towards)], axis=1)

    def figures(n: float, sums: list[float]) -> tuple[Indicator, ...]:
        u, v = sums[0] / n, sums[1] / n
        strength = float(np.hypot(u, v))
        told = [Indicator("wind_speed_vector", strength, "vector-mean")]
        if strength >= wind.NO_DIRECTION:
            told.append(Indicator("wind_direction_vector", wind.bearing(-u, -v), "vector-mean"))
        return tuple(told)

    return Derived(2, columns, figures)


def _speed(speed: int, count: int | None) -> Derived:
    def columns(rows: Floats) -> Floats:
        weight = np.ones(len(rows)) if count is None else rows[:, count]
        used = (rows[:, speed] > 0) & (weight > 0)
        slowness = np.divide(weight, rows[:, speed], out=np.full(len(rows), np.nan), where=used)
        return np.stack([np.where(used, weight, np.nan), slowness], axis=1)

    def figures(_n: float, sums: list[float]) -> tuple[Indicator, ...]:
        return (Indicator("speed_space_mean", sums[0] / sums[1], "harmonic-mean"),)

    return Derived(2, columns, figures)


def _lengths(length: int) -> Derived:
    def columns(rows: Floats) -> Floats:
        return _one_hot(np.searchsorted(traffic.LENGTH_LIMITS_M, rows[:, length], side="right"), rows[:, length], 4)

    def figures(_n: float, sums: list[float]) -> tuple[Indicator, ...]:
        pairs = zip(traffic.LENGTH_BINS, sums, strict=True)
        return tuple(Indicator(f"length_{name}", count, "length-2.0/6.6/14.9m") for name, count in pairs)

    return Derived(4, columns, figures)


def _classes(of: int) -> Derived:
    def columns(rows: Floats) -> Floats:
        number = np.where((rows[:, of] >= 0) & (rows[:, of] < CLASSES), rows[:, of], np.nan)
        return _one_hot(np.nan_to_num(number).astype(np.int64), number, CLASSES)

    def figures(_n: float, sums: list[float]) -> tuple[Indicator, ...]:
        return tuple(Indicator(f"class_{k}", count, "detector-class") for k, count in enumerate(sums) if count)

    return Derived(CLASSES, columns, figures)


def _one_hot(place: Ints, values: Floats, width: int) -> Floats:
    """A one in the column that each row belongs to; NaN where the value is not known."""
    hot = place[:, None] == np.arange(width)
    return np.where(np.isnan(values)[:, None], np.nan, hot.astype(np.float64))


def _sound(level: int, name: str) -> Derived:
    def columns(rows: Floats) -> Floats:
        return np.asarray(10.0 ** (rows[:, level : level + 1] / 10.0))

    def figures(n: float, sums: list[float]) -> tuple[Indicator, ...]:
        return (Indicator(f"{name}_mean", 10.0 * float(np.log10(sums[0] / n)), "energy-mean"),)

    return Derived(1, columns, figures)


def terms(parts: tuple[Derived, ...], rows: Floats) -> Floats:
    """For each figure: the number of rows that gave its terms, then their sums."""
    found = []
    for part in parts:
        columns = part.columns(rows)
        used = ~np.isnan(columns).any(axis=1)
        found += [np.array([used.sum()]), columns[used].sum(axis=0)]
    return np.concatenate(found) if found else np.zeros(0)


def told(parts: tuple[Derived, ...], sums: Floats) -> tuple[Indicator, ...]:
    """The figures of one window; none where no row gave terms."""
    found: list[Indicator] = []
    at = 0
    for part in parts:
        n, *rest = sums[at : at + part.width + 1].tolist()
        at += part.width + 1
        if n > 0:
            found += part.figures(n, rest)
    return tuple(found)


def speed_p85(series: Series, layout: Layout, *, piece: Piece) -> tuple[Indicator, ...]:
    """The 85th percentile of speed, where each vehicle is a record of its own."""
    if series.every_ms is not None or series.kind != "traffic":
        return ()
    names = [series.points[column].name for column in layout.gauge.tolist()]
    if "speed" not in names or not piece.n[layout.gauge[names.index("speed")]]:
        return ()
    value = float(quantile(layout, piece, shares=(0.85,))[0, names.index("speed")])
    return (Indicator("speed_p85", value, "type-7"),)


def demand(series: Series, layout: Layout, *, piece: Piece, before: Piece | None, end_ms: int) -> tuple[Indicator, ...]:
    """The 15-minute demand in kW: the register's difference between the last readings of two adjoining blocks.

    It is divided by the time between these readings. None where a block's last reading lies further than two periods
    (at least 5 s) before its end: energy of a gap belongs to the whole gap and not to one block.
    """
    counters = [point.name for point in series.points if point.kind == "counter"]
    register = next((name for name in REGISTERS if name in counters), None)
    if register is None or series.kind != "energy" or before is None or series.every_ms is None:
        return ()
    at = counters.index(register)
    kwh = float(deltas(layout, piece, before=before)[at])
    slack_ms = max(2 * series.every_ms, EDGE_MS)
    start_ms, last_ms = int(before.last_ms[at]), int(piece.last_ms[at])
    known = kwh >= 0 and not np.isnan(before.last[at])  # false for NaN
    if not known or end_ms - BLOCK_MS - start_ms > slack_ms or end_ms - last_ms > slack_ms:
        return ()
    return (Indicator("demand_kw", round(kwh * 3_600_000 / (last_ms - start_ms), 6), "register", span="15m"),)
