"""`citygate logs`: what the daemon told the system's log, newest last."""

from __future__ import annotations

import shutil
import subprocess

import click

from gateway.catalogue.fault import EXIT_UNAVAILABLE, Fault, Trouble
from gateway.cli.face import Face

UNIT = "citygate"


@click.command("logs")
@click.option("--lines", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many.")
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C.")
@click.pass_obj
def command(face: Face, *, lines: int, follow: bool) -> int:
    """State changes of the daemon, newest last, from the system's journal (unit citygate)."""
    tool = shutil.which("journalctl")
    if tool is None:
        raise Trouble([Fault("CG-SYS-12")], exit_code=EXIT_UNAVAILABLE)
    form = "json" if face.json else "short-iso"
    argv = [
        tool,
        f"--unit={UNIT}",
        f"--lines={lines}",
        "--no-pager",
        f"--output={form}",
        *(["--follow"] if follow else []),
    ]
    return subprocess.run(argv, check=False).returncode  # noqa: S603 - a fixed program, numbers only
