"""Load: the files of a site become one frozen, judged config; or every fault of them at once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from drivers.profile import Profile
from gateway.catalogue import Fault, Trouble
from gateway.catalogue.fault import EXIT_CONFIG
from gateway.config import secrets
from gateway.config.cities import cities
from gateway.config.columns import columns
from gateway.config.files import Draft, collect
from gateway.config.judge import Bench, site
from gateway.config.outlets import outlets
from gateway.config.rules import rules
from gateway.config.shape import typed
from gateway.config.tree import Bus, Config, Device, Sink
from gateway.config.wires import read_profiles, wires

DEFAULT_ZONE: Final = "Asia/Bangkok"
# Something is missing: not told while a syntax error may be the reason.
_FOLLOWING: Final = frozenset(f"CG-CFG-{number:02}" for number in (5, 10, 14, 24, 34, 40, 56, 58, 59, 64))


class ConfigError(Trouble):
    """The config cannot be used; `faults` holds all errors and warnings of it, in the order of files and lines."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(faults, exit_code=EXIT_CONFIG)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A config that was judged and found good.

    Attributes:
        config: the tree with effective values: what was left out and follows from the profile or the city is
            filled in (a bus's `line` and TCP `port`, a polled device's `every`, `timezone`, default streams);
            a sink's relative `path` stands in `state_dir`.
        profiles: per device id, its profile.
        origins: dotted key ("sink.city.urls") -> "file:line" for every key that was written.
        warnings: faults that do not keep the gateway from running.
        hash: 16 hex digits over the effective values (not over comments, order, files or secrets).
        files: what was read, in order.
        owners: per table ("sink.city"), the file that declares it.
        profiles_dir: the site's own profiles, where it has a folder of them.
    """

    config: Config
    profiles: Mapping[str, Profile]
    origins: Mapping[str, str]
    warnings: tuple[Fault, ...]
    hash: str
    files: tuple[Path, ...]
    owners: Mapping[str, Path]
    profiles_dir: Path | None = None

    def file(self, path_text: str, origin: str) -> Path:
        """The file that `path_text` means where it stands in the config (`origin`: "sink.city.ca_file")."""
        table = ".".join(origin.split(".")[:2])
        return secrets.place(path_text, self.owners.get(table, self.files[0]))

    def secret(self, path_text: str, origin: str) -> str:
        """The secret in the file that `path_text` means at the dotted key `origin`, read anew at every call.

        Raises:
            ConfigError: the file is gone, empty, unreadable or readable by others.
        """
        table = ".".join(origin.split(".")[:2])
        beside = self.owners.get(table, self.files[0])
        at = self.origins.get(origin, "")
        found = secrets.fault(path_text, beside, private=True)
        if found is not None:
            raise ConfigError([Fault(found.code, found.args, at=at, do=found.do)])
        try:
            return secrets.text(path_text, beside)
        except (OSError, ValueError) as error:
            args = {"path": str(secrets.place(path_text, beside)), "why": type(error).__name__}
            raise ConfigError([Fault("CG-CFG-22", args, at=at)]) from None


def load(path: Path | None = None, *, memory: bool = False, candidate: Path | None = None) -> Loaded:
    """The config of the folder or file `path` (default /etc/citygate), with the drop-ins of its state_dir.

    `memory` allows sinks of kind "memory" (tests only). `candidate` is one more drop-in, not in place yet.

    Raises:
        ConfigError: with all faults, warnings included.
    """
    draft = collect(path, candidate=candidate)
    if not draft.files:
        raise ConfigError(draft.faults)
    config = typed(draft)
    home = (path or draft.files[0].parent) if path is None or path.is_dir() else path.parent
    bare = Bench(draft, config, {}, home)
    bench = Bench(draft, config, read_profiles(bare), home)
    site(bench)
    wires(bench)
    outlets(bench, memory=memory)
    columns(bench)
    rules(bench)
    if not draft.whole:
        draft.faults = [fault for fault in draft.faults if fault.code not in _FOLLOWING]
    faults = _ordered(draft)
    if any(not fault.warning for fault in faults):
        raise ConfigError(faults)
    filled = _filled(bench)
    return Loaded(
        config=filled,
        profiles=bench.profiles,
        origins=_origins(draft),
        warnings=tuple(faults),
        hash=_hash(filled),
        files=tuple(draft.files),
        owners={".".join(table): source.path for table, source in draft.owners.items()},
        profiles_dir=home / "profiles" if (home / "profiles").is_dir() else None,
    )


def _ordered(draft: Draft) -> list[Fault]:
    order = {str(path): index for index, path in enumerate(draft.files)}

    def place(fault: Fault) -> tuple[int, int]:
        name, _colon, line = fault.at.rpartition(":")
        return (order.get(name, len(order)), int(line)) if line.isdigit() else (order.get(fault.at, len(order)), 0)

    return sorted(_once(draft.faults), key=place)


def _once(faults: Sequence[Fault]) -> list[Fault]:
    seen: dict[tuple[str, str, str], Fault] = {}
    for fault in faults:
        seen.setdefault((fault.code, fault.at, repr(sorted(fault.args.items()))), fault)
    return list(seen.values())


def _filled(bench: Bench) -> Config:
    config = bench.config
    city = cities().get(config.gateway.city)
    zone = config.gateway.timezone or (city.timezone if city else DEFAULT_ZONE)
    return msgspec.structs.replace(
        config,
        gateway=msgspec.structs.replace(config.gateway, timezone=zone),
        bus={name: _bus(bench, name, bus) for name, bus in config.bus.items()},
        device={name: _device(device, bench.profiles.get(name)) for name, device in config.device.items()},
        sink={name: _sink(bench, name, sink) for name, sink in config.sink.items()},
    )


def _bus(bench: Bench, name: str, bus: Bus) -> Bus:
    here = [bench.profiles[key] for key, device in bench.config.device.items() if device.bus == name]
    if bus.kind == "serial" and bus.line is None:
        return msgspec.structs.replace(bus, line=here[0].wire.lines[0] if here else "9600 8N1")
    if bus.kind == "tcp" and bus.port is None:
        return msgspec.structs.replace(bus, port=next((p.wire.tcp_port for p in here if p.wire.tcp_port), 502))
    return bus


def _device(device: Device, profile: Profile | None) -> Device:
    if device.every is None and profile is not None and profile.speaks != "push" and profile.every_s > 0:
        return msgspec.structs.replace(device, every=f"{profile.every_s:g}s")
    return device


def _sink(bench: Bench, name: str, sink: Sink) -> Sink:
    if sink.path is not None:
        sink = msgspec.structs.replace(sink, path=str(Path(bench.config.gateway.state_dir) / sink.path))
    if "streams" in bench.draft.data["sink"][name]:
        return sink
    made = (*bench.config.windows.lengths, "event")
    return msgspec.structs.replace(sink, streams=tuple(stream for stream in sink.streams if stream in made))


def _origins(draft: Draft) -> dict[str, str]:
    found: dict[str, str] = {}
    for table, source in draft.owners.items():
        for path, line in source.lines.items():
            if path[: len(table)] == table:
                found[".".join(path)] = f"{source.path}:{line}"
    return found


def _hash(config: Config) -> str:
    return hashlib.sha256(msgspec.json.encode(config, order="sorted")).hexdigest()[:16]
