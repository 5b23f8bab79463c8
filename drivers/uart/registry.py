"""Which stream families there are: those of this folder, and those of other packages (entry points)."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Final

from drivers.errors import ProfileError
from drivers.uart.family import Family

GROUP: Final = "citygate.families"
_MACHINERY: Final = frozenset({"__init__", "family", "obis", "registry", "rows", "stream", "polled"})


@cache
def families() -> dict[str, str]:
    """Name -> "module:attribute" of every family, without importing any; a shipped name cannot be taken over."""
    metadata = import_module("importlib.metadata")  # 2 MB, and only whoever lists families needs it
    return {entry.name: entry.value for entry in metadata.entry_points(group=GROUP)} | _shipped()


@cache
def _shipped() -> dict[str, str]:
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py"))
    return {name: f"drivers.uart.{name}:FAMILY" for name in names if name not in _MACHINERY}


@cache
def family(name: str) -> Family:
    """The family called `name`, imported now.

    Raises:
        ProfileError: there is none, or what stands under the name is not a family.
    """
    where = _shipped().get(name) or families().get(name)
    if where is None:
        raise ProfileError(f"no family is called {name!r}; there are {', '.join(sorted(families()))}")
    module, _, attribute = where.partition(":")
    try:
        found = getattr(import_module(module), attribute or "FAMILY")
    except (ImportError, AttributeError) as error:
        raise ProfileError(f"family {name}: {where} cannot be loaded: {error}") from error
    if not isinstance(found, Family):
        raise ProfileError(f"family {name}: {where} is not a Family")
    return found
