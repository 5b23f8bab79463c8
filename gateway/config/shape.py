"""The shape of a config: unknown keys, wrong types, bad choices, missing keys; all of them, then what is left is typed.

msgspec stops at the first fault and hides table names; jsonschema, loaded only after a failure, finds every one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from difflib import get_close_matches
from functools import cache
from math import isfinite
from typing import Any, Final

import msgspec

from gateway.config import locate
from gateway.config.files import Draft
from gateway.config.schema import plain
from gateway.config.tree import Config

# What people write who come from other tools: (table, word) -> our key.
_OTHER_WORDS: Final[Mapping[tuple[str, str], str]] = {
    **{("bus", word): 'line = "9600 8N1"' for word in ("baud", "baudrate", "parity", "stopbits", "bytesize", "speed")},
    **{("bus", word): "port" for word in ("device", "tty", "path", "dev")},
    **{("bus", word): "host" for word in ("ip", "address", "url")},
    **{("device", word): "unit" for word in ("slave", "slave_id", "unit_id", "address", "device_id", "id")},
    **{("device", word): "every" for word in ("interval", "period", "poll", "poll_interval", "rate")},
    **{("device", word): "profile" for word in ("type", "model", "driver", "template")},
    **{("sink", word): "password_file" for word in ("password", "pass", "passwd")},
    **{("sink", word): "token_file" for word in ("token", "api_token", "auth_token")},
    **{("sink", word): "urls" for word in ("url", "host", "broker", "server", "address", "uri")},
    **{("sink", word): "topic" for word in ("prefix", "topic_prefix", "base_topic")},
    **{("sink", word): "database" for word in ("db",)},
    **{("sink", word): "username" for word in ("user", "login")},
    **{("sink", word): "ca_file" for word in ("ca", "cafile", "ca_cert", "ca_certs")},
}
# What stands for a required key that is missing or wrong, so that the rest of its table is judged all the same.
_STUBS: Final[Mapping[tuple[str, str], Any]] = {
    ("", "schema"): 1,
    ("", "gateway"): {},
    ("gateway", "id"): "unknown",
    ("gateway", "city"): "bangkok",
    ("device", "bus"): "",
    ("device", "profile"): "",
}
_PASSES: Final = 6
PLACE: Final = frozenset({"latitude", "longitude"})


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant, or "" where none is close."""
    names = sorted(known)
    folded = {other.lower().replace("_", "-"): other for other in names}
    wanted = name.lower().replace("_", "-")
    found = get_close_matches(wanted, folded, n=1, cutoff=0.6)
    found = found or [other for other in folded if len(wanted) > 2 and other.startswith(wanted)][:1]
    return folded[found[0]] if found else ""


def typed(draft: Draft) -> Config:
    """The draft as the typed tree; every structural fault is noted in the draft and what caused it left out.

    What cannot be repaired by leaving out a key (a device without a bus) is left out whole and noted in `broken`.
    """
    endless = dict(_endless(draft.data, ()))
    try:
        if not endless:
            return msgspec.convert(draft.data, Config)
    except msgspec.ValidationError:
        pass
    draft.data = deepcopy(draft.data)
    for path, number in endless.items():
        draft.add("CG-CFG-03", path, key=".".join(path[-2:]), want="@number", got=f"{number}")
        _cut(draft, path)
    faults = _faults(draft.data)
    _tell_all(draft, faults)
    for _pass in range(_PASSES):
        if not faults:
            break
        for path, error in faults:
            _leave_out(draft, path, error)
        faults = _faults(draft.data)
    return msgspec.convert(draft.data, Config)


def _endless(value: object, path: locate.Path) -> Iterator[tuple[locate.Path, float]]:
    """Every key that holds `nan` or `inf`, in itself or in its array: TOML has them, and no limit or gain is one.

    A place has a fault of its own for them.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in PLACE:
                yield from _endless(inner, (*path, str(key)))
    elif isinstance(value, list):
        for inner in value:
            yield from _endless(inner, path)
    elif isinstance(value, float) and not isfinite(value):
        yield path, value


def _faults(data: Mapping[str, Any]) -> list[tuple[locate.Path, Any]]:
    found = _validator().iter_errors(data)
    return [(tuple(str(part) for part in error.absolute_path), error) for error in found]


@cache
def _validator() -> Any:
    import jsonschema  # noqa: PLC0415 - 100 ms that only a faulty config costs

    return jsonschema.Draft4Validator(plain())


def _tell_all(draft: Draft, faults: Iterable[tuple[locate.Path, Any]]) -> None:
    """Every structural fault once. A required key that stands there misspelled is not told as missing too."""
    meant: set[locate.Path] = set()
    for path, error in faults:
        table = "[" + ".".join(path) + "]" if path else "@top"
        known = error.schema.get("properties", ())
        if error.validator == "additionalProperties":
            for key in sorted(set(error.instance) - set(known)):
                near = _meant(path, key, known)
                meant.add((*path, near))
                draft.add("CG-CFG-01", (*path, key), key=key, table=table, nearest=near)
        elif error.validator != "required":
            _tell(draft, path, error)
    for path, error in faults:
        table = "[" + ".".join(path) + "]" if path else "@top"
        if error.validator == "required" and (path or draft.whole):
            for key in error.validator_value:
                if key not in error.instance and (*path, key) not in meant:
                    draft.add("CG-CFG-05", path or (key,), key=key, table=table)


def _meant(path: locate.Path, key: str, known: Iterable[str]) -> str:
    """The key that was meant: what another tool calls so, the nearest of ours, or the nearest of other tools' words."""
    words = {word: ours for (section, word), ours in _OTHER_WORDS.items() if path[:1] == (section,)}
    if len(path) != 2:
        return nearest(key, known)
    return words.get(key.lower()) or nearest(key, known) or words.get(nearest(key, words), "")


def _tell(draft: Draft, path: locate.Path, error: Any) -> None:
    if error.validator == "enum":
        choices = sorted({str(choice) for choice in error.validator_value} - {"memory"})
        meant = nearest(str(error.instance), choices)
        value = msgspec.json.encode(error.instance, enc_hook=str).decode()
        draft.add("CG-CFG-04", path, key=path[-1], value=value, choices=", ".join(choices), nearest=meant)
    else:
        want = error.validator_value
        wants = want if isinstance(want, list) else [want]
        got = _type_name(error.instance)
        draft.add("CG-CFG-03", path, key=".".join(path[-2:]), want=f"@{'_'.join(wants)}", got=f"@{got}")


def _leave_out(draft: Draft, path: locate.Path, error: Any) -> None:
    if error.validator == "additionalProperties":
        for key in set(error.instance) - set(error.schema["properties"]):
            error.instance.pop(key, None)
        return
    if error.validator != "required":
        _cut(draft, path)
        return
    for key in error.validator_value:
        stub = _STUBS.get((path[0] if path else "", key))
        if key not in error.instance and stub is not None:
            error.instance[key] = deepcopy(stub)
            draft.broken.add((*path, key))
        elif key not in error.instance:
            _cut(draft, path)
            return


def _cut(draft: Draft, path: locate.Path) -> None:
    """Leave out the key at `path` (an array as a whole), or the whole table of a device, bus or sink."""
    draft.broken.add(path)
    table: Any = draft.data
    for depth, part in enumerate(path[:-1]):
        if part not in table:
            return
        if not isinstance(table[part], dict):
            path = path[: depth + 1]
            break
        table = table[part]
    table.pop(path[-1], None)


def _type_name(value: object) -> str:
    names = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "time")
