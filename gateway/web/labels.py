"""Times and names for the page: RFC 3339 and back, labels of points in both languages from the one table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from drivers.points import points


def times_ms(text: str) -> int:
    """UTC ms of an RFC 3339 time. Raises `ValueError`."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def point_facts(name: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """Unit, decimals and labels of a point; a point of a newer gateway has its name as label."""
    row = points().get(name)
    digits = told.get("digits")
    if digits is None:
        digits = _digits(told.get("resolution"))
    labels = {"en": name, "th": name} if row is None else {"en": row.en, "th": row.th}
    return {"unit": str(told.get("unit", "")), "kind": str(told.get("kind", "gauge")), "digits": digits, **labels}


def _digits(resolution: object) -> int:
    """Decimals of a resolution such as 0.1."""
    if not isinstance(resolution, int | float) or not 1e-9 < resolution < 1:
        return 0
    return len(f"{resolution:.9f}".rstrip("0").partition(".")[2])
