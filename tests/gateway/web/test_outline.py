"""The city's outline: what GeoJSON it takes, what it refuses."""

import json

import pytest

from gateway.web.outline import POINTS_MAX, outline

RING = [[102.8, 16.4], [102.9, 16.4], [102.9, 16.5], [102.8, 16.4]]
TAKEN = [
    {"type": "Polygon", "coordinates": [RING]},
    {"type": "MultiPolygon", "coordinates": [[RING]]},
    {"type": "LineString", "coordinates": RING},
    {"type": "MultiLineString", "coordinates": [RING]},
    {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [RING]}, "properties": {"name": "<script>"}},
    {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [RING]}}],
    },
]
REFUSED = [
    [],
    {},
    {"type": "Point", "coordinates": [1, 2]},
    {"type": "Polygon"},
    {"type": "Polygon", "coordinates": [[["a", 1]]]},
    {"type": "Polygon", "coordinates": [[[500, 1]]]},
    {"type": "Polygon", "coordinates": [[[float("nan"), 1]]]},
    {"type": "FeatureCollection", "features": []},
    {"type": "FeatureCollection", "features": [{"type": "FeatureCollection", "features": []}]},
    {"type": "LineString", "coordinates": [[1, 2]] * (POINTS_MAX + 1)},
]


@pytest.mark.parametrize("form", TAKEN)
def test_outlines(tmp_path, form):
    path = tmp_path / "city.geojson"
    path.write_text(json.dumps(form))
    assert outline(path) == [[tuple(position) for position in RING]]


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_none(tmp_path, form):
    path = tmp_path / "city.geojson"
    path.write_text(json.dumps(form))
    with pytest.raises(ValueError, match=r"city\.geojson"):
        outline(path)
