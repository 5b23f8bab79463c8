"""The city's outline for the map: polygons of a GeoJSON file (RFC 7946), which the city brings itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

FILE_MAX: Final = 4_000_000
POINTS_MAX: Final = 20_000

Ring = list[tuple[float, float]]


def outline(path: Path) -> list[Ring]:
    """The rings, as (longitude, latitude) in degrees.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no GeoJSON with polygons or lines, or holds more than 20,000 positions.
    """
    if path.stat().st_size > FILE_MAX:
        raise ValueError(f"{path} is longer than {FILE_MAX} bytes")
    try:
        rings = [_ring(one) for one in _rings(msgspec.json.decode(path.read_bytes()), depth=0)]
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ValueError(f"{path} is no GeoJSON outline: {error}") from None
    if not rings or sum(map(len, rings)) > POINTS_MAX:
        raise ValueError(f"{path} must hold polygons or lines of at most {POINTS_MAX} positions together")
    return rings


def _rings(form: Any, *, depth: int) -> Iterator[Any]:
    kind = form["type"]
    if kind == "FeatureCollection" and not depth:
        for feature in form["features"]:
            yield from _rings(feature, depth=1)
    elif kind == "Feature" and depth < 2:
        yield from _rings(form["geometry"], depth=2)
    elif kind == "LineString":
        yield form["coordinates"]
    elif kind in {"Polygon", "MultiLineString"}:
        yield from form["coordinates"]
    elif kind == "MultiPolygon":
        for polygon in form["coordinates"]:
            yield from polygon
    else:
        raise TypeError(f"{kind!r} has no outline")


def _ring(positions: Any) -> Ring:
    ring = [(round(float(one[0]), 5), round(float(one[1]), 5)) for one in positions]
    if not all(-180 <= x <= 180 and -90 <= y <= 90 for x, y in ring):
        raise TypeError("a position is not on the globe")
    return ring
