"""`citygate demo`: the simulated city, end to end, with the real daemon."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from gateway.cli.face import Face


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1.0), help="End by itself after this time.")
@click.option("--keep", type=click.Path(path_type=Path), help="Use this folder and leave it behind.")
@click.option("--no-history", is_flag=True, help="Do not replay 26 h of history first.")
@click.pass_obj
def command(face: Face, *, seconds: float | None, keep: Path | None, no_history: bool) -> int:
    """A small simulated city: real framing, the real daemon, a real broker and database where installed.

    Ctrl-C ends everything. With --json the last line of stdout is one object (see the manual); exit 1 unless its `ok`.
    """
    from gateway.catalogue import Fault
    from gateway.demo.board import Board
    from gateway.demo.run import run
    from gateway.demo.servers import DemoFailed

    board = Board(face, live=sys.stdout.isatty() and not face.json)

    def show(snapshot: dict[str, Any]) -> None:
        if not face.json:
            board.show(snapshot)

    try:
        summary = run(seconds=seconds, keep=keep, say=face.talk, show=show, history=not no_history)
    except DemoFailed as error:
        face.faults([Fault("CG-SYS-09", {"what": error.name}, seen=str(error))])
        return 69
    if face.json:
        face.emit(summary)
    else:
        board.end(summary)
    return 0 if summary["ok"] else 1
