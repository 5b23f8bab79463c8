"""The JSON Schema of the config, made from the typed tree: one schema for the check, for editors and for the docs.

Kept to draft 4, which is what Taplo ("Even Better TOML") understands.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from gateway.config.tree import Config
from gateway.config.windows import LENGTHS

DRAFT: Final = "http://json-schema.org/draft-04/schema#"
ID: Final = r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"
_DURATION: Final = r"^[0-9.]+ ?(ms|s|min|m|h|d)$"
# (definition, key) -> what an editor may know beyond the type; values are judged in full by `judge`.
_MORE: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("Gateway", "id"): {"pattern": ID},
    ("Gateway", "city"): {"pattern": ID},
    ("Clock", "max_wait"): {"pattern": _DURATION},
    ("Journal", "cap"): {"pattern": r"^[0-9.]+ ?(B|kB|MB|GB)$"},
    ("Journal", "keep"): {"pattern": _DURATION},
    ("Journal", "commit"): {"pattern": _DURATION},
    ("Bus", "line"): {"pattern": r"^[0-9]+ [5-8][NEO][12]$"},
    ("Device", "bus"): {"pattern": ID},
    ("Device", "unit"): {"minimum": 0, "maximum": 255},
    ("Device", "every"): {"pattern": _DURATION},
    **{("Alarm", key): {"pattern": _DURATION} for key in ("within", "absent", "delay_on", "delay_off")},
    **{("Alarm", key): {"maxItems": 3} for key in ("above", "below", "rise", "fall", "demand")},
    **{("Calibration", key): {"pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"} for key in ("date", "expires")},
    ("Location", "latitude"): {"minimum": -90, "maximum": 90},
    ("Location", "longitude"): {"minimum": -180, "maximum": 180},
    ("Sink", "raw_every"): {"pattern": _DURATION},
    ("Sink", "keepalive"): {"pattern": _DURATION},
    ("Sink", "budget"): {"pattern": r"^[0-9.]+ ?(B|kB|MB|GB|TB) ?/ ?(hour|day|week|month)$"},
    ("Sink", "backfill_rate"): {"pattern": r"^[0-9.]+ ?(B|kB|MB|GB) ?/ ?s$"},
}


def plain() -> dict[str, Any]:
    """Types, choices, required and unknown keys of the tree, as draft 4 without nulls (TOML has none)."""
    made = msgspec.json.schema(Config, ref_template="#/definitions/{name}")
    made["definitions"] = made.pop("$defs")
    for definition in made["definitions"].values():
        definition["properties"] = {key: _without_null(row) for key, row in definition["properties"].items()}
        if not definition["required"]:
            del definition["required"]
    return made


def exported() -> dict[str, Any]:
    """The schema for editors: `plain`, plus patterns, ranges and titles."""
    made = plain()
    for (name, key), more in _MORE.items():
        made["definitions"][name]["properties"][key].update(more)
    kinds = made["definitions"]["Sink"]["properties"]["kind"]
    kinds["enum"] = [kind for kind in kinds["enum"] if kind != "memory"]
    lengths = made["definitions"]["Windows"]["properties"]["lengths"]
    lengths["items"] = {"type": "string", "enum": list(LENGTHS)}
    top = made["definitions"]["Config"]
    for section in ("bus", "device", "sink", "alarm"):
        row = top["properties"][section]
        row["patternProperties"] = {ID: row.pop("additionalProperties")}
        row["additionalProperties"] = False
    return {"$schema": DRAFT, "title": "citygate config, schema 1", **made}


def text() -> str:
    """The exported schema as the file config/citygate.schema.json holds it."""
    return json.dumps(exported(), indent=2, ensure_ascii=False) + "\n"


def _without_null(row: dict[str, Any]) -> dict[str, Any]:
    if row.get("default", 0) is None:
        row = {key: value for key, value in row.items() if key != "default"}
    choices = [choice for choice in row.get("anyOf", ()) if choice != {"type": "null"}]
    if not choices:
        return row
    rest = {key: value for key, value in row.items() if key != "anyOf"}
    if len(choices) == 1:
        return {**choices[0], **rest}
    return {"type": [choice["type"] for choice in choices], **rest}
