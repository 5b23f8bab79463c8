"""Config files: which are read and in what order, their TOML, and where each key stands. No judgement of values."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.catalogue import Fault
from gateway.config import locate

HOME: Final = Path("/etc/citygate")
STATE_DIR: Final = "/var/lib/citygate"
SIZE_CAP_BYTES: Final = 1 << 20
FILES_CAP: Final = 512
SYNTAX_FAULTS_CAP: Final = 20
NAMED: Final = ("bus", "device", "sink", "alarm")
_LINE = re.compile(r"\(at line (\d+), column \d+\)|\(at end of document\)")
_TWICE = re.compile(r"^Cannot (?:declare|overwrite|mutate)|^Duplicate|twice")


@dataclass(frozen=True, slots=True)
class Source:
    """One file that was read: its table of values and the line of each key. `whole` is false after syntax errors."""

    path: Path
    data: Mapping[str, Any]
    lines: Mapping[locate.Path, int]
    whole: bool = True

    def at(self, path: locate.Path) -> str:
        """Where a key stands ("file:line"), or the closest table above it."""
        return f"{self.path}:{locate.nearest_line(self.lines, path)}"


@dataclass(slots=True)
class Draft:
    """All files merged, not yet judged, with the file that each table came from."""

    data: dict[str, Any] = field(default_factory=dict)
    owners: dict[locate.Path, Source] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    whole: bool = True
    broken: set[locate.Path] = field(default_factory=set)

    def owner(self, path: locate.Path) -> Source | None:
        """The file that declares the table of `path`."""
        return self.owners.get(path[:2]) or self.owners.get(path[:1])

    def at(self, path: locate.Path) -> str:
        """Where a key stands ("file:line"); the first file where nothing declares it."""
        source = self.owner(path)
        if source is not None:
            return source.at(path)
        return f"{self.files[0]}:1" if self.files else ""

    def add(self, code: str, path: locate.Path, /, **said: Any) -> None:
        """Note a fault at the key `path`; `said` are fields of `Fault`, anything else fills the fact's braces."""
        own = {key: said.pop(key) for key in ("fact", "seen", "nearest", "do", "warning") if key in said}
        self.faults.append(Fault(code, {key: str(value) for key, value in said.items()}, at=self.at(path), **own))

    def names(self, section: str) -> list[str]:
        """All ids declared in `section`, faulty ones included."""
        table = self.data.get(section)
        found = list(table) if isinstance(table, Mapping) else []
        return found + [path[1] for path in self.broken if len(path) == 2 and path[0] == section]


def collect(path: Path | None, *, candidate: Path | None = None) -> Draft:
    """Read the folder (or one file) `path` and the drop-ins of its state_dir, in the order of contracts.md.

    `candidate` is read behind them: a drop-in that is to be judged before it is put in place.
    """
    home = HOME if path is None else path
    draft = Draft()
    if home.is_dir():
        named = [home / "gateway.toml"] if (home / "gateway.toml").exists() else []
        _merge(draft, [*named, *_drop_ins(draft, home / "conf.d")])
    elif home.exists():
        _merge(draft, [home])
    if not draft.files and not draft.faults:
        draft.faults.append(Fault("CG-CFG-33", {"path": str(home)}, at=str(home)))
        return draft
    gateway = draft.data.get("gateway")
    state_dir = gateway.get("state_dir", STATE_DIR) if isinstance(gateway, Mapping) else STATE_DIR
    if isinstance(state_dir, str) and state_dir.startswith("/"):
        _merge(draft, _drop_ins(draft, Path(state_dir) / "conf.d"))
    if candidate is not None:
        _merge(draft, [candidate])
    return draft


def _drop_ins(draft: Draft, folder: Path) -> list[Path]:
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix == ".toml" and not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        draft.faults.append(Fault("CG-CFG-32", {"why": error.strerror or str(error)}, at=str(folder)))
        return []
    if len(found) > FILES_CAP:
        draft.faults.append(Fault("CG-CFG-32", {"why": f"{len(found)} files > {FILES_CAP}"}, at=str(folder)))
    return found[:FILES_CAP]


def _merge(draft: Draft, paths: Sequence[Path]) -> None:
    for path in paths:
        draft.files.append(path)
        source = read(path, draft.faults)
        if source is None:
            draft.whole = False
            continue
        draft.whole &= source.whole
        for key, value in source.data.items():
            if key in NAMED and isinstance(value, Mapping):
                for name, table in value.items():
                    _put(draft, source, path=(key, name), value=table)
            else:
                _put(draft, source, path=(key,), value=value)


def _put(draft: Draft, source: Source, *, path: locate.Path, value: Any) -> None:
    before = draft.owners.get(path)
    if before is not None and path == ("schema",) and draft.data["schema"] == value:
        return
    if before is not None:
        table = f"[{'.'.join(path)}]" if isinstance(value, Mapping) else f"`{path[-1]}`"
        args = {"table": table, "first": before.at(path)}
        draft.faults.append(Fault("CG-CFG-06", args, at=source.at(path)))
        return
    draft.owners[path] = source
    if len(path) == 1:
        draft.data[path[0]] = value
    else:
        section = draft.data.setdefault(path[0], {})
        if isinstance(section, dict):
            section[path[1]] = value


def read(path: Path, faults: list[Fault]) -> Source | None:
    """One file as far as it can be understood; every syntax error of it goes to `faults`."""
    try:
        if not path.is_file():
            raise OSError(0, "not a regular file")  # noqa: TRY301 - one place tells why a file cannot be read
        with path.open("rb") as stream:
            raw = stream.read(SIZE_CAP_BYTES + 1)
        if len(raw) > SIZE_CAP_BYTES:
            raise OSError(0, f"larger than {SIZE_CAP_BYTES} bytes")  # noqa: TRY301 - as above
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        faults.append(Fault("CG-CFG-02", {"detail": "not UTF-8"}, at=f"{path}:{line}"))
        return None
    except OSError as error:
        faults.append(Fault("CG-CFG-32", {"why": error.strerror or str(error)}, at=str(path)))
        return None
    text = text.replace("\r\n", "\n")
    found = list(_syntax(text, path))
    faults += [fault for fault, _data in found if fault is not None]
    return Source(path, found[-1][1], locate.lines(text), whole=len(found) == 1 and found[0][0] is None)


def _syntax(text: str, path: Path) -> Iterator[tuple[Fault | None, Mapping[str, Any]]]:
    """Each syntax error of `text`; a faulty line is blanked and the rest read on, so that all are found at once."""
    rows = text.split("\n")
    for _turn in range(SYNTAX_FAULTS_CAP):
        try:
            data = tomllib.loads("\n".join(rows))
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            detail = str(error) or "nested too deeply"
            match = _LINE.search(detail)
            line = int(match[1]) if match and match[1] else len(rows)
            line = _last_written(rows, min(line, len(rows)))
            yield _syntax_fault(text, path, line=line, detail=_LINE.sub("", detail).strip()), {}
            if not match or not rows[line - 1].strip():
                return
            rows[line - 1] = ""
            continue
        yield None, data
        return


def _last_written(rows: list[str], line: int) -> int:
    """The parser often names the line behind the fault: go back over empty lines."""
    while line > 1 and not rows[line - 1].strip():
        line -= 1
    return line


def _syntax_fault(text: str, path: Path, *, line: int, detail: str) -> Fault:
    if _TWICE.search(detail):
        places: dict[locate.Path, int] = {}
        for key, at in locate.occurrences(text):
            if at == line and key in places:
                told = f"[{'.'.join(key)}]" if text.split("\n")[line - 1].lstrip().startswith("[") else f"`{key[-1]}`"
                return Fault("CG-CFG-06", {"table": told, "first": f"{path}:{places[key]}"}, at=f"{path}:{line}")
            places.setdefault(key, at)
    seen = text.split("\n")[line - 1].strip()[:80]
    return Fault("CG-CFG-02", {"detail": detail}, at=f"{path}:{line}", seen=_unsecret(seen))


def _unsecret(row: str) -> str:
    """A row for a message: whatever stands behind the `=` of a secret-looking key stays out of it."""
    return re.sub(r"(?i)((?:pass|token|secret|key)\w*\s*=\s*).*", r"\1...", row)
