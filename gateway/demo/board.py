"""The demo's table: a live screen on a terminal, a line now and then in a pipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

EVERY: Final = 5  # in a pipe: one block of lines every so many snapshots
POINTS: Final = 3  # values shown per device


class Board:
    """Shows snapshots of the daemon."""

    def __init__(self, face: Any, *, live: bool) -> None:
        self._face = face
        self._live = live
        self._count = 0

    def show(self, snapshot: Mapping[str, Any]) -> None:
        """One snapshot."""
        self._count += 1
        if not self._live and self._count % EVERY != 1:
            return
        if self._live:
            self._face.data("\x1b[H\x1b[2J")
        gateway = snapshot["gateway"]
        self._face.data(f"{gateway['id']}  {snapshot['t']}  up {gateway['uptime_s']} s  epoch {gateway['epoch']}")
        rows = [self._row(ident, facts) for ident, facts in snapshot["devices"].items()]
        self._face.table(rows, head=["device", "kind", "state", "values"])
        for name, sink in snapshot["sinks"].items():
            self._face.data(f"{name}: {sink['state']}, {sink['confirmed']} confirmed, {sink['waiting']} waiting")

    def _row(self, ident: str, facts: Mapping[str, Any]) -> list[str]:
        last = facts["last"] or {"v": {}}
        shown = [
            f"{name} {value:g} {facts['points'][name]['unit']}" for name, value in list(last["v"].items())[:POINTS]
        ]
        return [ident, facts["kind"], facts["state"], ", ".join(shown)]

    def end(self, summary: Mapping[str, Any]) -> None:
        """The account of the run."""
        rows = [[ident, str(row["records"]), str(row["committed"])] for ident, row in summary["devices"].items()]
        self._face.table(rows, head=["device", "records", "committed"])
        for name, sink in summary["sinks"].items():
            self._face.data(f"{name}: {sink['confirmed']} confirmed, {sink['waiting']} waiting")
        self._face.data("ok" if summary["ok"] else "not ok: a device or a sink gave nothing, or something still waits")
