"""Judgement of sinks: keys of each kind, addresses, secrets, selections, amounts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from drivers.points import points
from gateway.config import secrets
from gateway.config.duration import budget, bytes_per_second
from gateway.config.judge import Bench, duration, quantity
from gateway.config.shape import nearest
from gateway.config.tree import Device, Sink
from gateway.config.windows import LENGTHS

KINDS: Final = ("air", "traffic", "energy", "water", "weather", "noise", "gateway")
_EVERY: Final = frozenset({
    "kind", "streams", "devices", "kinds", "points", "start", "raw_every", "budget", "backfill_rate",
})  # fmt: skip
_TLS: Final = frozenset({"urls", "username", "password_file", "ca_file", "cert_file", "key_file"})
_MQTT: Final = _EVERY | _TLS | {"protocol", "client_id", "keepalive"}
KEYS: Final[Mapping[str, frozenset[str]]] = {
    "mqtt": _MQTT | {"topic", "encoding", "no_subscriber"},
    "sparkplug": _MQTT,
    "influxdb": _EVERY | _TLS | {"api", "org", "bucket", "database", "token_file", "rev_tag"},
    "ngsi-ld": _EVERY | _TLS | {"token_file"},
    "file": _EVERY | {"path", "format"},
    "memory": _EVERY,
}
_SCHEMES: Final[Mapping[str, tuple[str, ...]]] = {
    "mqtt": ("mqtt", "mqtts"), "sparkplug": ("mqtt", "mqtts"),
    "influxdb": ("http", "https"), "ngsi-ld": ("http", "https"),
}  # fmt: skip
_OTHER_SCHEMES: Final = {"tcp": "mqtt", "ssl": "mqtts", "tls": "mqtts", "ws": "mqtt", "wss": "mqtts"}
_NEEDS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("influxdb", "v1"): ("database",),
    ("influxdb", "v2"): ("org", "bucket"),
    ("influxdb", "v3"): ("database",),
    ("file", ""): ("path",),
}
_HOME: Final = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)")
_CLIENT_ID = re.compile(r"[\x21-\x7e]{1,128}")
_BRACES = re.compile(r"\{[^{}]*\}")
_TOPIC: Final = ("{city}", "{gateway}")


def outlets(bench: Bench, *, memory: bool) -> None:
    """Judge `[sink.*]`; sinks of kind "memory" only where `memory` allows them (tests)."""
    for name, sink in bench.config.sink.items():
        path = ("sink", name)
        if not bench.sound(*path, "kind"):
            continue
        if sink.kind == "memory" and not memory:
            bench.draft.add("CG-CFG-25", (*path, "kind"), sink=name)
        for key in sorted(set(bench.draft.data["sink"][name]) - KEYS[sink.kind]):
            bench.draft.add("CG-CFG-21", (*path, key), key=key, kind=sink.kind)
        _token(bench, name, sink)
        for key in _NEEDS.get((sink.kind, sink.api if sink.kind == "influxdb" else ""), ()):
            if not getattr(sink, key) and bench.sound(*path, key):
                bench.draft.add("CG-CFG-05", path, key=key, table=f"[sink.{name}]")
        _urls(bench, name, sink)
        _secrets(bench, name, sink)
        _amounts(bench, name, sink)
        _selection(bench, name, sink)
        if sink.kind in {"mqtt", "sparkplug"}:
            _mqtt(bench, name, sink)
    _apart(bench)
    _personal(bench)


def _token(bench: Bench, name: str, sink: Sink) -> None:
    """InfluxDB 2 and 3 need a token; a server on this machine may be one that asks for none (VictoriaMetrics)."""
    if sink.kind != "influxdb" or sink.api == "v1" or sink.token_file or not bench.sound("sink", name, "token_file"):
        return
    hosts = [split.hostname or "" for split in map(_split, sink.urls) if split]
    if hosts and all(_HOME.fullmatch(host) for host in hosts):
        bench.draft.add("CG-CFG-64", ("sink", name), sink=name, warning=True)
    else:
        bench.draft.add("CG-CFG-05", ("sink", name), key="token_file", table=f"[sink.{name}]")


def _urls(bench: Bench, name: str, sink: Sink) -> None:
    schemes = _SCHEMES.get(sink.kind)
    path = ("sink", name, "urls")
    if schemes is None:
        return
    if not sink.urls and bench.sound(*path):
        bench.draft.add("CG-CFG-05", path[:2], key="urls", table=f"[sink.{name}]")
    for index, url in enumerate(sink.urls):
        at = (*path, str(index))
        split = _split(url)
        if split is None or split.scheme not in schemes:
            bench.draft.add(
                "CG-CFG-20", at, value=_bare(url), schemes=_schemes(schemes), nearest=_url_meant(url, schemes)
            )
        elif split.username is not None or split.password is not None:
            bench.draft.add("CG-CFG-35", at, value=_bare(url))
        elif split.scheme in {"mqtt", "mqtts"} and (split.path.strip("/") or split.query or split.fragment):
            bench.draft.add("CG-CFG-20", at, value=url, schemes=_schemes(schemes))
        elif split.scheme in {"mqtt", "http"} and not _HOME.fullmatch(split.hostname or ""):
            code = "CG-CFG-39" if sink.password_file or sink.token_file else "CG-CFG-55"
            bench.draft.add(code, at, value=url, nearest=url.replace("://", "s://", 1), warning=True)


def _split(url: str) -> SplitResult | None:
    """The parts of a URL with a host and a valid port; None where it has none."""
    try:
        split = urlsplit(url)
        good = bool(split.hostname) and split.port != 0 and url.isprintable() and " " not in url
    except ValueError:
        return None
    return split if good else None


def _bare(url: str) -> str:
    """The URL without what may be a password."""
    return re.sub(r"//[^/@]*@", "//...@", url)


def _schemes(schemes: Sequence[str]) -> str:
    return " | ".join(f"{scheme}://HOST:PORT" for scheme in schemes)


def _url_meant(url: str, schemes: Sequence[str]) -> str:
    scheme, mark, rest = url.partition("://")
    if not mark:
        scheme, rest = "", url
    meant = _OTHER_SCHEMES.get(scheme.lower(), scheme.lower())
    meant = meant if meant in schemes else (nearest(meant, schemes) or schemes[0])
    fixed = f"{meant}://{rest}"
    return _bare(fixed) if _split(fixed) else ""


def _secrets(bench: Bench, name: str, sink: Sink) -> None:
    for key, private in (
        ("password_file", True), ("token_file", True), ("key_file", True), ("ca_file", False), ("cert_file", False),
    ):  # fmt: skip
        named: str | None = getattr(sink, key)
        path = ("sink", name, key)
        source = bench.draft.owner(path)
        if named is None or source is None:
            continue
        found = secrets.fault(named, source.path, private=private) if named else None
        if not named:
            bench.draft.add("CG-CFG-22", path, path='""', why="empty name")
        elif found is not None:
            bench.draft.add(found.code, path, **found.args, do=found.do)
    if (sink.cert_file is None) != (sink.key_file is None):
        have, lack = ("cert_file", "key_file") if sink.key_file is None else ("key_file", "cert_file")
        bench.draft.add("CG-CFG-56", ("sink", name, have), key=have, other=lack)
    if sink.password_file is not None and sink.username is None:
        bench.draft.add("CG-CFG-56", ("sink", name, "password_file"), key="password_file", other="username")
    plain = all(url.startswith(("mqtt://", "http://")) for url in sink.urls)
    for key in ("ca_file", "cert_file"):
        if getattr(sink, key) is not None and sink.urls and plain:
            bench.draft.add("CG-CFG-57", ("sink", name, key), key=key, warning=True)


def _amounts(bench: Bench, name: str, sink: Sink) -> None:
    path = ("sink", name)
    if sink.raw_every is not None:
        duration(bench, (*path, "raw_every"), text=sink.raw_every, within_s=(0.1, 86400))
        if "raw" not in sink.streams:
            bench.draft.add("CG-CFG-58", (*path, "raw_every"), key="raw_every", warning=True)
    if sink.budget is not None:
        quantity(bench, (*path, "budget"), text=sink.budget, parse=budget, want="@budget")
    if sink.backfill_rate is not None:
        quantity(bench, (*path, "backfill_rate"), text=sink.backfill_rate, parse=bytes_per_second, want="@rate")


def _selection(bench: Bench, name: str, sink: Sink) -> None:
    path = ("sink", name)
    written = bench.draft.data["sink"][name]
    lengths = [length for length in bench.config.windows.lengths if length in LENGTHS]
    known = ["raw", *lengths, "event"]
    for index, stream in enumerate(sink.streams if "streams" in written else ()):
        at = (*path, "streams", str(index))
        if stream not in known and stream in LENGTHS:
            if len(lengths) < len(bench.config.windows.lengths):
                continue  # the list of lengths is faulty itself
            bench.draft.add("CG-CFG-24", at, value=stream, lengths=", ".join(lengths))
        elif stream not in known and stream not in bench.config.windows.lengths:
            bench.draft.add(
                "CG-CFG-04",
                at,
                key="streams",
                value=f'"{stream}"',
                choices=", ".join(known),
                nearest=nearest(stream, known),
            )
    devices = [*series_ids(bench.config.device), *bench.draft.names("device"), "_gateway"]
    whole = bench.draft.whole
    for key, choices in (("devices", devices), ("kinds", KINDS), ("points", points())):
        chosen: tuple[str, ...] = getattr(sink, key)
        if key in written:
            _chosen(bench, (*path, key), chosen, known=choices if whole or key != "devices" else ())
    for key in ("streams", "devices", "kinds", "points"):
        chosen = getattr(sink, key)
        if key in written and not any(not item.startswith("!") for item in chosen):
            bench.draft.add("CG-CFG-59", (*path, key), key=key)


def _chosen(bench: Bench, path: tuple[str, ...], chosen: Sequence[str], *, known: Iterable[str]) -> None:
    names = list(known)
    for index, item in enumerate(chosen):
        name = item.removeprefix("!")
        if names and not any(fnmatchcase(one, name) for one in names):
            meant = nearest(name, names)
            args = {"key": path[-1], "value": item}
            bench.draft.add(
                "CG-CFG-34", (*path, str(index)), **args, nearest=item[: len(item) - len(name)] + meant if meant else ""
            )


def series_ids(devices: Mapping[str, Device]) -> list[str]:
    """Ids seen outside: each device, its lanes and its channels."""
    found = []
    for name, device in devices.items():
        found.append(name)
        found += [f"{name}-lane{number}" for number in device.lanes]
        found += [f"{name}-ch{number}" for number in device.channels]
    return found


def _mqtt(bench: Bench, name: str, sink: Sink) -> None:
    path = ("sink", name)
    duration(bench, (*path, "keepalive"), text=sink.keepalive, within_s=(5, 65535))
    if sink.client_id is not None and not _CLIENT_ID.fullmatch(sink.client_id):
        bench.draft.add("CG-CFG-60", (*path, "client_id"))
    topic = sink.topic
    bare = topic.replace("{city}", "c").replace("{gateway}", "g")
    levels = bare.split("/")
    if "{" in bare or "}" in bare or any(mark in bare for mark in "+#$\0") or "" in levels or not bare.isprintable():
        wrong = next(iter(set(_BRACES.findall(topic)) - set(_TOPIC)), "")
        bench.draft.add("CG-CFG-36", (*path, "topic"), value=topic, nearest=nearest(wrong, _TOPIC) if wrong else "")
    elif "{gateway}" not in topic and bench.config.gateway.id not in levels and sink.kind == "mqtt":
        bench.draft.add("CG-CFG-61", (*path, "topic"), value=topic)


def _apart(bench: Bench) -> None:
    """Two sinks that would write the same file, or take over each other's MQTT session."""
    first: dict[tuple[str, ...], str] = {}
    for name, sink in bench.config.sink.items():
        where: tuple[str, ...] = ()
        if sink.kind == "file" and sink.path:
            where = ("path", str(Path(bench.config.gateway.state_dir) / sink.path))
        elif sink.client_id:
            where = ("client_id", sink.client_id, *sorted(sink.urls))
        if where and where in first:
            bench.draft.add(
                "CG-CFG-42", ("sink", name, where[0]), key=where[0], value=where[1], one=first[where], other=name
            )
        elif where:
            first[where] = name


def _personal(bench: Bench) -> None:
    named = {item for sink in bench.config.sink.values() for item in sink.devices}
    for name, device in bench.config.device.items():
        if device.personal and not named & set(series_ids({name: device})):
            bench.draft.add("CG-CFG-40", ("device", name, "personal"), device=name, warning=True)
